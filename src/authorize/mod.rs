//! The authorization endpoint and what a person answers there (OAuth 2.1 §4.1).
//!
//! A request becomes an interaction bound to the browser that began it. What it needs next is decided by a pure
//! function ([`next`]) each time the interaction's page is opened, so back, reload and several tabs all work.

mod answer;
mod code;
mod consent_page;
mod interaction;
mod next;
mod opened;
pub mod request;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{MethodRouter, get},
};
use sqlx::types::Json;

use crate::{
    app::App,
    audit::{Event, Kind},
    authorize::request::Refused,
    clients::{self, Client, ClientError},
    identity::session::BrowserSession,
    idp::id_token,
    ids::{ClientId, InteractionId},
    oauth::{
        authorization::{Reply, ValidatedRequest},
        error::{ErrorCode, OAuthError},
        params::Params,
        purpose::{Purpose, Role},
        redirect_uri::Reach,
    },
    store::{
        interactions::{self, Interaction},
        switched_off::{self, Switch},
    },
    web::{
        error::{Fault, PageError},
        page::see_other,
        request::{Origin, PageForm},
    },
};

/// The longest query that every proxy and browser on the way carries.
const MAX_QUERY_BYTES: usize = 8 * 1024;

/// The routes of this room.
pub fn router() -> Router<Arc<App>> {
    let role = Role::AuthorizationServer;
    Router::new()
        .route(role.authorization_endpoint(), endpoint(role))
        .route("/interaction/{id}", get(interaction::show).post(answer::answer))
}

/// The authorization endpoint of a role.
pub fn endpoint(role: Role) -> MethodRouter<Arc<App>> {
    get(move |state, session, origin, headers, form| authorize(role, state, session, origin, headers, form))
        .post(async move |state, form| as_get(role, state, form))
}

/// A posted request (OAuth 2.1 §3.1) is asked for again with GET. Another site's form arrives without our cookie, and
/// answering it would give the browser a new one in place of the session that it holds.
fn as_get(
    role: Role,
    State(app): State<Arc<App>>,
    form: Result<PageForm, PageError>,
) -> Result<Response, PageError> {
    let PageForm(params) = form?;
    let query = params.encode();
    if query.len() > MAX_QUERY_BYTES {
        return Err(PageError::bad_application("Its request is too long."));
    }
    Ok(see_other(&app.path(&format!("{}?{query}", role.authorization_endpoint()))))
}

async fn authorize(
    role: Role,
    State(app): State<Arc<App>>,
    session: BrowserSession,
    origin: Origin,
    headers: HeaderMap,
    form: Result<PageForm, PageError>,
) -> Result<Response, PageError> {
    let now = app.clock.now();
    if !app.limits.begun.admits(&origin.source, now) {
        return Err(PageError::too_many());
    }
    app.limits.begun.count(origin.source, now);
    let PageForm(params) = form?;
    let client = client_of(&app, role, params.get("client_id"), &origin).await?;
    let reply = request::reply_of(&params, &client, app.config.issuer(role))?;
    let asked_of = (&app.config, role);
    let request = request::validate(&params, &client, reply, is_cross_site(&headers), asked_of);
    let request = match request.and_then(|request| of_person(&app, &params, request)) {
        Ok(request) => request,
        Err(Refused { reply, error }) => {
            let event = Event::new(Kind::AuthorizationRefused, &origin.recorded)
                .client(&client.id)
                .reason(error.code.as_str())
                .detail("why", &error.description);
            app.record_refusal(&origin, &event).await?;
            return Ok(send_error(&client, &reply, &error));
        }
    };
    let interaction = Interaction {
        id: InteractionId::new(&app.clock, &app.entropy),
        browser_hash: session.browser_hash(),
        request: Json(request),
        created_at: now,
        expires_at: now.plus(app.config.lifetimes.interaction),
        answered_at: None,
    };
    session.remember().await?;
    let mut tx = app.db.begin().await?;
    interactions::insert(&mut tx, &interaction).await?;
    tx.commit().await?;
    Ok(Redirect::to(&app.path(&format!("/interaction/{}", interaction.id))).into_response())
}

/// The same request, of the person whom the client names by an ID token that it got of us (OpenID Connect Core
/// §3.1.2.1). The other issuer gives no ID tokens, so there the parameter means nothing.
fn of_person(app: &App, params: &Params, request: ValidatedRequest) -> Result<ValidatedRequest, Refused> {
    let idp = app.idp().filter(|_| request.purpose == Purpose::SignIn);
    let (Some(idp), Some(hint)) = (idp, params.get("id_token_hint")) else { return Ok(request) };
    let person = id_token::person(app, idp, &request.client, hint);
    if person.is_none() {
        let text = "id_token_hint is no ID token that this issuer gave this client";
        return Err(Refused {
            reply: request.reply,
            error: OAuthError::new(ErrorCode::InvalidRequest, text),
        });
    }
    Ok(ValidatedRequest { person, ..request })
}

/// The client, or a page: nothing is ever sent to a redirect URI of a client that is not known, or switched off.
async fn client_of(
    app: &Arc<App>,
    role: Role,
    id: Option<&str>,
    origin: &Origin,
) -> Result<Client, PageError> {
    let id = id.ok_or_else(|| PageError::bad_application("It did not say which application it is."))?;
    let unknown = || PageError::bad_application("It calls itself by a name that is not known here.");
    let id = ClientId::try_from(id.to_owned()).map_err(|_| unknown())?;
    let client = clients::find(app, role, &id).await.map_err(|error| match error {
        ClientError::Unknown(_) => unknown().with_reason(error.to_string()),
        ClientError::Store(error) => PageError::from(error),
        ClientError::Document(error) => {
            PageError::bad_application(format!("Its description of itself could not be used: {error}."))
                .with_reason(format!("client document {id}: {error:?}"))
        }
    })?;
    if !switched_off::is_off(&app.db, Switch::Client(&id)).await? {
        return Ok(client);
    }
    let event = Event::new(Kind::AuthorizationRefused, &origin.recorded).client(&id);
    app.record_refusal(origin, &event.reason("client_disabled")).await?;
    Err(PageError::new(
        StatusCode::FORBIDDEN,
        Fault::Policy,
        "This application has been switched off",
        format!("The people who run this service do not let {} in at the moment.", client.name),
        "Nothing was shared. If you need it for your work, ask them, and quote the number below.",
    )
    .with_reason(format!("client {id} is switched off")))
}

/// Whether a page of another site sent the browser here (Fetch Metadata). Browsers that do not say so count as sent.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    !matches!(site, Some("none" | "same-origin" | "same-site"))
}

/// Sends an error back to the client. Where anybody may have registered the address, the browser is not sent there
/// unasked: an open redirector would lend our name to any site (OAuth 2.1 §7.13).
pub(crate) fn send_error(client: &Client, reply: &Reply, error: &OAuthError) -> Response {
    let target = reply.with_error(error);
    if client.is_assured() || reply.redirect_uri.reach() != Reach::Web {
        return see_other(&target);
    }
    PageError::bad_application(format!("It was refused: {}.", error.description))
        .with_way_back(&reply.redirect_uri, target)
        .with_reason(error.code.as_str())
        .into_response()
}
