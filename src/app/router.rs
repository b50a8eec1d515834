//! The public router: the rooms' routes under the issuer's path, and the layers around them.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{Any, CorsLayer},
    timeout::TimeoutLayer,
};
use tower_sessions::{Expiry, SessionManagerLayer, cookie::SameSite};

use crate::{
    account,
    app::{App, metadata},
    authorize, clients, dpop, federation, idp,
    store::browser_sessions::BrowserSessions,
    token,
    vault::{self, figures},
    web::{
        error::{Fault, PageError, RETRY_AFTER_SECS},
        page::{self, FormTargets},
        pages,
        request::{self, Origin},
    },
};

/// The largest request body. The largest honest one is a registration or a token request of a few KB.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long a request may take, body and upstream included; clients give up after ten to thirty seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The public router, under the issuer's path.
pub fn router(app: Arc<App>) -> Router {
    let base = app.config.server.issuer.path().to_owned();
    let is_idp = app.config.idp.is_some();
    let only = |present: bool, router: Router<Arc<App>>| if present { router } else { Router::new() };
    let browser = Router::new()
        .merge(authorize::router())
        .merge(federation::router())
        .merge(account::router())
        .merge(vault::connect::router())
        .merge(only(is_idp, idp::browser_router()))
        .layer(session_layer(&app));
    let programs = Router::new()
        .merge(token::router())
        .merge(clients::registration::router())
        .merge(metadata::router())
        .merge(vault::client_document::router())
        .merge(only(is_idp, idp::router()))
        .layer(cors());
    let rooms = Router::new().merge(browser).merge(programs).merge(pages::assets());
    let routes = if base.is_empty() { rooms } else { Router::new().nest(&base, rooms) };
    routes
        .merge(metadata::well_known(&base).layer(cors()))
        .merge(only(is_idp, idp::well_known(&base)).layer(cors()))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { PageError::not_found() })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            PageError::unavailable("a handler panicked").into_response()
        }))
        .layer(middleware::from_fn_with_state(app.clone(), finish))
        .layer(middleware::from_fn_with_state(app.clone(), request::identify))
        .with_state(app)
}

/// The admin port's router: for the operator's own probes, without a login.
pub fn admin(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures::show))
        .with_state(app)
}

/// The browser's cookie. An issuer at the root has its host to itself: with TLS it is `__Host-`, so that no neighbour
/// can plant one (RFC 6265bis §4.1.3). One with a path shares the host with others, even with one below it: the cookie
/// has that path for its own and in its name.
fn session_layer(app: &App) -> SessionManagerLayer<BrowserSessions> {
    let issuer = &app.config.server.issuer;
    let secure = issuer.as_str().starts_with("https://");
    let prefix = match (secure, issuer.path()) {
        (false, _) => "",
        (true, "") => "__Host-",
        (true, _) => "__Secure-",
    };
    // What is left is letters, digits and underscores, and no two paths come to the same.
    let path = utf8_percent_encode(issuer.path(), NON_ALPHANUMERIC).to_string().replace('%', "_");
    let store = BrowserSessions {
        db: app.db.clone(),
        clock: app.clock.clone(),
        entropy: app.entropy.clone(),
        signed_in: app.config.lifetimes.session_absolute,
    };
    SessionManagerLayer::new(store)
        .with_name(format!("{prefix}chancery{path}"))
        .with_secure(secure)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path(if issuer.path().is_empty() { "/".to_owned() } else { issuer.path().to_owned() })
        .with_expiry(Expiry::OnSessionEnd)
}

/// CORS for what programs fetch, which holds no cookie and no session. Pages never get it.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::OPTIONS])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("mcp-protocol-version"),
            dpop::PROOF_HEADER,
        ])
        .expose_headers([header::WWW_AUTHENTICATE, header::RETRY_AFTER, dpop::NONCE_HEADER])
        .max_age(Duration::from_secs(3600))
}

/// Readiness: the database answers and keys are loaded.
pub async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, StatusCode> {
    app.db.ping().await.map_err(|error| {
        tracing::warn!(%error, "not ready");
        StatusCode::SERVICE_UNAVAILABLE
    })?;
    Ok("ready\n")
}

/// Draws error pages, which need the service's name and the reference number, and sets the headers that every answer
/// carries.
async fn finish(State(app): State<Arc<App>>, origin: Origin, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<PageError>() {
        response = draw(&app, &origin, &error, &response);
    } else if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        let error = PageError::unavailable("a layer failed");
        response = draw(&app, &origin, &error, &error.clone().into_response());
    }
    let unavailable = response.status() == StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    if unavailable {
        // The time limit and the readiness probe say nothing but the status.
        headers.entry(header::RETRY_AFTER).or_insert(HeaderValue::from(RETRY_AFTER_SECS));
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if app.config.server.issuer.as_str().starts_with("https://") {
        headers
            .entry(header::STRICT_TRANSPORT_SECURITY)
            .or_insert(HeaderValue::from_static("max-age=31536000; includeSubDomains"));
    }
    response
}

fn draw(app: &App, origin: &Origin, error: &PageError, plain: &Response) -> Response {
    if error.status.is_server_error() {
        tracing::error!(status = error.status.as_u16(), reason = %error.reason, "{}", error.title);
    } else {
        tracing::info!(status = error.status.as_u16(), reason = %error.reason, "{}", error.title);
    }
    let view = pages::ErrorPage {
        chrome: app.chrome(),
        title: error.title.as_ref().into(),
        happened: error.what.as_ref().into(),
        fault: fault_in_words(error.fault).into(),
        remedy: error.advice.as_ref().into(),
        contact: error.contact.as_deref().or(app.config.server.contact.as_deref()).map(Into::into),
        reference: origin.recorded.reference.to_string().as_str().into(),
        link: error
            .link
            .as_ref()
            .map(|(text, href)| pages::Link { href: href.as_str().into(), text: text.as_ref().into() }),
        back: error
            .back
            .as_ref()
            .map(|(uri, href)| pages::Back { href: href.clone(), host: uri.host().as_str().into() }),
    };
    let mut page = page::render(error.status, &view, &FormTargets::own());
    for (name, value) in plain.headers() {
        if name == header::RETRY_AFTER || name == header::SET_COOKIE {
            page.headers_mut().append(name, value.clone());
        }
    }
    page
}

const fn fault_in_words(fault: Fault) -> &'static str {
    match fault {
        Fault::Application => "The application that sent you here made a mistake. You did nothing wrong.",
        Fault::Provider => {
            "The sign-in service of your organization did not do its part. You did nothing wrong."
        }
        Fault::Vendor => "The service whose account you connect did not do its part. You did nothing wrong.",
        Fault::Policy => "A rule of your organization decided this. Nothing is broken.",
        Fault::Browser => "Nothing is broken; the way you came here does not lead on.",
        Fault::Ourselves => "The fault is ours, not yours.",
    }
}
