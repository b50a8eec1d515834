//! Dynamic client registration (RFC 7591): deprecated in MCP, and still all that many clients have.
//!
//! What is registered is what we honour; members that we do not know are dropped (RFC 7591 §2). Equal registrations of
//! public clients get one id, so that a client that registers at every start does not pile up.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::{Deserialize, Serialize};
use sqlx::types::Json as Column;

use crate::{
    app::App,
    audit::{Event, Kind},
    clients::known,
    config::registration::DynamicRegistration,
    ids::ClientId,
    oauth::{
        error::ErrorCode,
        grant_type::{ClientAuthMethod, GrantType},
        redirect_uri::{Reach, RedirectUri},
        scope::ScopeSet,
    },
    secret::{ClientSecret, TokenHash},
    store::clients::{self, DynamicClient, RegisteredMetadata},
    web::{error::ApiError, request::Origin},
};

/// The most redirect URIs that one client may register; real ones register up to five.
const MAX_REDIRECT_URIS: usize = 20;
/// The longest name; consent pages show no more.
const MAX_NAME_CHARS: usize = 100;

/// The endpoint's route.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/oauth/register", post(register))
}

/// What a client sends (RFC 7591 §2), in the members that we honour.
#[derive(Debug, Deserialize)]
struct Registration {
    #[serde(default)]
    redirect_uris: Vec<String>,
    client_name: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
    application_type: Option<String>,
    scope: Option<String>,
    client_uri: Option<String>,
    software_id: Option<String>,
    software_version: Option<String>,
    software_statement: Option<String>,
    #[serde(default)]
    dpop_bound_access_tokens: bool,
}

/// What it is answered (RFC 7591 §3.2.1): everything that is stored.
#[derive(Serialize)]
struct Registered<'a> {
    client_id: &'a ClientId,
    client_id_issued_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u8>,
    response_types: [&'static str; 1],
    #[serde(flatten)]
    metadata: &'a RegisteredMetadata,
}

async fn register(
    State(app): State<Arc<App>>,
    origin: Origin,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match answer(&app, &origin, &headers, body).await {
        Ok(registered) => registered,
        Err(error) => {
            let event = Event::new(Kind::RegistrationRefused, &origin.recorded);
            app.refuse(&origin, event, error).await.into_response()
        }
    }
}

async fn answer(
    app: &App,
    origin: &Origin,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let now = app.clock.now();
    if !app.limits.registrations.admits(&origin.source, now) {
        return Err(ApiError::too_many_requests());
    }
    app.limits.registrations.count(origin.source, now);
    let policy = &app.config.registration.dynamic;
    check_invitation(policy, headers)?;
    let metadata = metadata_of(parse(headers, body)?, policy)?;

    let secret = (metadata.token_endpoint_auth_method != ClientAuthMethod::None)
        .then(|| ClientSecret::new(&app.entropy));
    let client = DynamicClient {
        id: ClientId::try_from(format!("chy_client_{}", app.entropy.token()))
            .map_err(|text| ApiError::new(ErrorCode::InvalidClientMetadata, text))?,
        fingerprint: secret.is_none().then(|| fingerprint(&metadata)),
        secret_hash: secret.as_ref().map(ClientSecret::hash),
        metadata: Column(metadata),
        created_at: now,
        last_used_at: now,
    };
    let mut tx = app.db.begin().await?;
    let stored = clients::register(&mut tx, &client).await?;
    if stored.id == client.id {
        let event = Event::new(Kind::ClientRegistered, &origin.recorded)
            .client(&stored.id)
            .detail("client_name", &stored.metadata.client_name);
        app.record(&mut tx, &event).await?;
    }
    tx.commit().await?;
    let answer = Registered {
        client_id: &stored.id,
        client_id_issued_at: stored.created_at.as_secs(),
        client_secret: secret.as_ref().map(ClientSecret::expose),
        client_secret_expires_at: secret.as_ref().map(|_| 0),
        response_types: ["code"],
        metadata: &stored.metadata,
    };
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, no_store, Json(answer)).into_response())
}

/// Whether this caller may register at all.
fn check_invitation(policy: &DynamicRegistration, headers: &HeaderMap) -> Result<(), ApiError> {
    match policy {
        DynamicRegistration::Open | DynamicRegistration::KnownClients => Ok(()),
        DynamicRegistration::Closed => Err(ApiError::new(
            ErrorCode::AccessDenied,
            "dynamic registration is closed: ask the administrator",
        )),
        DynamicRegistration::Token(expected) => {
            let sent =
                headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let token = sent.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            if token.is_some_and(|(_, token)| expected.matches(token.trim())) {
                Ok(())
            } else {
                Err(ApiError::invalid_token("registration needs an initial access token (RFC 7591 §3)"))
            }
        }
    }
}

fn parse(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Registration, ApiError> {
    let invalid = |text: &'static str| ApiError::new(ErrorCode::InvalidClientMetadata, text);
    let body = body.map_err(|_| invalid("the body is too large or did not arrive"))?;
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(invalid("the body must be of the type application/json"));
    }
    serde_json::from_slice(&body).map_err(|_| invalid("the body is not a JSON object of client metadata"))
}

/// The metadata that we will honour, or why there is none.
fn metadata_of(sent: Registration, policy: &DynamicRegistration) -> Result<RegisteredMetadata, ApiError> {
    let invalid = |text: &'static str| ApiError::new(ErrorCode::InvalidClientMetadata, text);
    if sent.software_statement.is_some() {
        return Err(invalid("software statements are not supported"));
    }
    let redirect_uris = redirect_uris_of(&sent.redirect_uris, policy)?;
    let grant_types = grant_types_of(sent.grant_types)?;
    if sent.response_types.is_some_and(|types| !types.iter().any(|kind| kind == "code")) {
        return Err(invalid("response_types must hold code"));
    }
    let method = sent.token_endpoint_auth_method.as_deref().unwrap_or("none");
    let token_endpoint_auth_method = ClientAuthMethod::parse(method)
        .filter(|method| *method != ClientAuthMethod::PrivateKeyJwt)
        .ok_or_else(|| {
            invalid("token_endpoint_auth_method must be none, client_secret_basic or client_secret_post")
        })?;
    let all_local = redirect_uris.iter().all(|uri| uri.reach() != Reach::Web);
    Ok(RegisteredMetadata {
        client_name: plain(sent.client_name)?
            .map(|name| name.trim().chars().take(MAX_NAME_CHARS).collect::<String>())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "An unnamed application".to_owned()),
        redirect_uris,
        grant_types,
        token_endpoint_auth_method,
        application_type: sent
            .application_type
            .filter(|kind| kind == "web" || kind == "native")
            .unwrap_or_else(|| if all_local { "native" } else { "web" }.to_owned()),
        scope: sent.scope.as_deref().and_then(|scope| ScopeSet::parse(scope).ok()),
        client_uri: short(sent.client_uri)?.filter(|uri| uri.starts_with("https://")),
        software_id: short(sent.software_id)?,
        software_version: short(sent.software_version)?,
        dpop_bound_access_tokens: sent.dpop_bound_access_tokens,
    })
}

/// Text without control characters: no page can show them, and PostgreSQL cannot store all of them.
fn plain(text: Option<String>) -> Result<Option<String>, ApiError> {
    match text {
        Some(text) if text.trim().contains(char::is_control) => {
            Err(ApiError::new(ErrorCode::InvalidClientMetadata, "a text has a control character in it"))
        }
        text => Ok(text),
    }
}

fn short(text: Option<String>) -> Result<Option<String>, ApiError> {
    Ok(plain(text)?.filter(|text| text.len() <= 512))
}

/// Those of the addresses that may be registered. An address that is none at all, or that would run in the browser,
/// refuses the whole request; one that the policy does not admit is left out, since clients register addresses for
/// several of their products at once.
fn redirect_uris_of(sent: &[String], policy: &DynamicRegistration) -> Result<Vec<RedirectUri>, ApiError> {
    let invalid = |text: &'static str| ApiError::new(ErrorCode::InvalidRedirectUri, text);
    if sent.len() > MAX_REDIRECT_URIS {
        return Err(invalid("too many redirect_uris"));
    }
    let parsed = sent
        .iter()
        .map(|text| RedirectUri::try_from(text.clone()).map_err(invalid))
        .collect::<Result<Vec<_>, _>>()?;
    let admitted: Vec<_> = parsed
        .into_iter()
        .filter(|uri| !matches!(policy, DynamicRegistration::KnownClients) || known::admits(uri))
        .collect();
    if admitted.is_empty() {
        return Err(invalid(
            "none of the redirect_uris may be registered here: loopback addresses and those of well-known MCP clients may",
        ));
    }
    Ok(admitted)
}

/// The grants among those asked for that anybody may register for. A client that names none gets both, since MCP
/// clients that leave them out expect to be refreshed.
fn grant_types_of(sent: Option<Vec<String>>) -> Result<Vec<GrantType>, ApiError> {
    let Some(sent) = sent else { return Ok(GrantType::BY_REGISTRATION.to_vec()) };
    let served: Vec<_> = GrantType::BY_REGISTRATION
        .into_iter()
        .filter(|grant| sent.iter().any(|s| s == grant.as_str()))
        .collect();
    if served.contains(&GrantType::AuthorizationCode) {
        Ok(served)
    } else {
        Err(ApiError::new(ErrorCode::InvalidClientMetadata, "grant_types must hold authorization_code"))
    }
}

fn fingerprint(metadata: &RegisteredMetadata) -> TokenHash {
    TokenHash::of(&serde_json::to_string(metadata).unwrap_or_default())
}
