//! The token endpoints (OAuth 2.1 §3.2), one for each role. The pipeline owns the steps that every grant shares, in
//! their order: the parameters are parsed, the client proves itself and, where its tokens are bound to one, a key (RFC
//! 9449), the grant is one that we serve and the client may use. A grant then verifies its own credential and consumes
//! it in one transaction with what it records; the pipeline signs.

pub mod actor;
pub mod dpop;
pub mod grants;
pub mod issue;
pub mod recheck;
pub mod standing;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};

use self::grants::token_exchange::Exchanged;
use crate::{
    app::{App, Audience},
    audit::{About, Event, Kind},
    clients::authenticate::{Authenticated, authenticate},
    dpop::Proof,
    idp,
    jose::Thumbprint,
    oauth::{error::ErrorCode, grant_type::GrantType, params::Params, purpose::Role},
    store::{
        Tx, replays,
        switched_off::{self, Switch},
    },
    web::{
        error::ApiError,
        request::{ApiForm, Origin},
    },
};

/// The endpoint's route.
pub fn router() -> Router<Arc<App>> {
    let role = Role::AuthorizationServer;
    Router::new().route(role.token_endpoint(), endpoint(role))
}

/// The token endpoint of a role.
pub fn endpoint(role: Role) -> MethodRouter<Arc<App>> {
    post(move |state, origin, headers, form| token(role, state, origin, headers, form))
}

/// What a grant works with: a client that proved itself, and what it sent.
#[derive(Debug)]
pub struct TokenRequest {
    /// In which role we are asked.
    pub role: Role,
    /// The client.
    pub client: Authenticated,
    /// The parameters.
    pub params: Params,
    /// Where the request came from.
    pub origin: Origin,
    /// The proof of the key that what is issued is bound to.
    pub proof: Option<Proof>,
}

impl TokenRequest {
    /// The key whose possession was proved with the request (RFC 9449 §5): what is issued is bound to it.
    pub fn bound_to(&self) -> Option<&Thumbprint> {
        self.proof.as_ref().map(Proof::key)
    }

    /// Whether it was possession of this key that was proved.
    pub fn proves(&self, key: &Thumbprint) -> bool {
        self.bound_to().is_some_and(|proved| proved.is(key))
    }

    /// What is recorded in the course of this request: its client, and the key that it proved.
    pub fn event(&self, kind: Kind) -> Event {
        let event = Event::new(kind, &self.origin.recorded).client(&self.client.client().id);
        match self.bound_to() {
            Some(key) => event.detail("jkt", key.as_str()),
            None => event,
        }
    }

    /// Begins the transaction in which a grant takes effect and a token for `audience` is issued. A grant that issues
    /// one begins here.
    pub async fn begin(&self, app: &App, audience: Audience<'_>) -> Result<Tx, ApiError> {
        if let Audience::Resource(resource) = audience
            && resource.dpop_required
            && self.proof.is_none()
        {
            let reason = format!(
                "resource {} takes tokens bound to a key alone, and there is no DPoP proof",
                resource.id
            );
            return Err(dpop::refused(reason));
        }
        self.spend(app).await
    }

    /// Begins the transaction of whatever comes of the request, and spends in it what counts once: what the client
    /// proved itself with, and the proof of a key. Whoever can repeat a request but not make one changes nothing.
    pub async fn spend(&self, app: &App) -> Result<Tx, ApiError> {
        let now = app.clock.now();
        let mut tx = app.db.begin().await?;
        if let Some(one_time) = self.client.one_time()
            && !replays::spend(&mut tx, one_time, now).await?
        {
            let reason = format!("client assertion of {}: it was used before", one_time.issuer);
            return Err(ApiError::invalid_client(false, reason));
        }
        if let Some(proof) = &self.proof
            && !replays::spend(&mut tx, &proof.one_time(), now).await?
        {
            return Err(dpop::refused("DPoP proof: it was used before"));
        }
        Ok(tx)
    }
}

/// Gives up a transaction that lost a race: rolled back, so that the client's assertion is not spent by it. An empty
/// transaction then returns once the winner's write is in force, so that the next look sees it.
async fn lose(app: &App, tx: Tx) -> Result<(), ApiError> {
    drop(tx);
    Ok(app.db.begin().await?.commit().await?)
}

async fn token(
    role: Role,
    State(app): State<Arc<App>>,
    origin: Origin,
    headers: HeaderMap,
    form: Result<ApiForm, ApiError>,
) -> Response {
    let mut response = respond(&app, role, origin, &headers, form).await;
    response.headers_mut().extend(app.nonces.header(app.clock.now()));
    response
}

async fn respond(
    app: &Arc<App>,
    role: Role,
    origin: Origin,
    headers: &HeaderMap,
    form: Result<ApiForm, ApiError>,
) -> Response {
    let refused = Event::new(Kind::TokenRefused, &origin.recorded);
    let (client, params) = match prove(app, role, &origin, headers, form).await {
        Ok(proven) => proven,
        Err(error) => return app.refuse(&origin, refused, error).await.into_response(),
    };
    let mut refused = refused.client(&client.client().id);
    if let Some(grant) = params.get("grant_type").and_then(GrantType::parse) {
        refused = refused.detail("grant_type", grant.as_str());
    }
    let endpoint = app.config.server.issuer.url(role.token_endpoint());
    let answered = match dpop::prove(app, headers, &endpoint, client.client()) {
        Ok(proof) => answer(app, &TokenRequest { role, client, params, origin: origin.clone(), proof }).await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(response) => response,
        Err(error) => app.refuse(&origin, refused, error).await.into_response(),
    }
}

async fn prove(
    app: &Arc<App>,
    role: Role,
    origin: &Origin,
    headers: &HeaderMap,
    form: Result<ApiForm, ApiError>,
) -> Result<(Authenticated, Params), ApiError> {
    let ApiForm(params) = form?;
    Ok((authenticate(app, role, origin.source, headers, &params).await?, params))
}

async fn answer(app: &Arc<App>, request: &TokenRequest) -> Result<Response, ApiError> {
    let client = request.client.client();
    if switched_off::is_off(&app.db, Switch::Client(&client.id)).await? {
        return Err(ApiError::new(ErrorCode::UnauthorizedClient, "this client has been switched off here")
            .with_about(About::default().reason("client_disabled")));
    }
    let grant = GrantType::parse(request.params.require("grant_type")?)
        .filter(|grant| GrantType::served(request.role).contains(grant))
        .ok_or_else(|| ApiError::new(ErrorCode::UnsupportedGrantType, "this grant_type is not supported"))?;
    if !client.may_use(grant) {
        return Err(ApiError::new(ErrorCode::UnauthorizedClient, "this client may not use this grant_type"));
    }
    let issuance = match (grant, request.role) {
        (GrantType::AuthorizationCode, _) => grants::authorization_code::exchange(app, request).await?,
        (GrantType::RefreshToken, _) => grants::refresh_token::exchange(app, request).await?,
        (GrantType::ClientCredentials, _) => grants::client_credentials::exchange(app, request).await?,
        (GrantType::JwtBearer, _) => grants::jwt_bearer::exchange(app, request).await?,
        (GrantType::TokenExchange, Role::AuthorizationServer) => {
            match grants::token_exchange::exchange(app, request).await? {
                Exchanged::Issued(issuance) => *issuance,
                Exchanged::Vended(answer) => return Ok(not_stored(answer)),
            }
        }
        (GrantType::TokenExchange, Role::IdentityProvider) => {
            return Ok(not_stored(Json(idp::exchange(app, request).await?)));
        }
    };
    Ok(not_stored(Json(issue::respond(app, issuance)?)))
}

/// An answer that no cache may keep (OAuth 2.1 §3.2.3).
fn not_stored(body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
