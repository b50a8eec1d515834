//! The token endpoint (OAuth 2.1 §3.2). The pipeline owns the steps that every grant shares, in their order: the
//! parameters are parsed, the client proves itself, the grant is one that we serve and the client may use. A grant
//! then verifies its own credential and consumes it in one transaction with what it records; the pipeline signs.

pub mod actor;
pub mod grants;
pub mod issue;
pub mod standing;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::post,
};

use crate::{
    app::App,
    audit::{Event, Kind},
    clients::authenticate::{Authenticated, authenticate},
    jose::Thumbprint,
    oauth::{error::ErrorCode, grant_type::GrantType, params::Params},
    store::{Tx, replays},
    web::{
        error::ApiError,
        request::{ApiForm, Origin},
    },
};

/// The endpoint's route.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/oauth/token", post(token))
}

/// What a grant works with: a client that proved itself, and what it sent.
#[derive(Debug)]
pub struct TokenRequest {
    /// The client.
    pub client: Authenticated,
    /// The parameters.
    pub params: Params,
    /// Where the request came from.
    pub origin: Origin,
    /// The key whose possession was proved with the request (RFC 9449 §5): what is issued is bound to it.
    pub bound_to: Option<Thumbprint>,
}

impl TokenRequest {
    /// Begins the transaction in which a grant takes effect, and spends in it what the client proved itself with, where
    /// that counts once. A grant that issues anything begins here.
    pub async fn begin(&self, app: &App) -> Result<Tx, ApiError> {
        let mut tx = app.db.begin().await?;
        if let Some(one_time) = self.client.one_time()
            && !replays::spend(&mut tx, one_time, app.clock.now()).await?
        {
            let reason = format!("client assertion of {}: it was used before", one_time.issuer);
            return Err(ApiError::invalid_client(false, reason));
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
    State(app): State<Arc<App>>,
    origin: Origin,
    headers: HeaderMap,
    form: Result<ApiForm, ApiError>,
) -> Response {
    let (client, params) = match prove(&app, &origin, &headers, form).await {
        Ok(proven) => proven,
        Err(error) => {
            let event = Event::new(Kind::TokenRefused, &origin.recorded);
            return app.refuse(&origin, event, error).await.into_response();
        }
    };
    let request = TokenRequest { client, params, origin, bound_to: None };
    match answer(&app, &request).await {
        Ok(response) => response,
        Err(error) => {
            let client = &request.client.client().id;
            let mut event = Event::new(Kind::TokenRefused, &request.origin.recorded).client(client);
            if let Some(grant) = request.params.get("grant_type").and_then(GrantType::parse) {
                event = event.detail("grant_type", grant.as_str());
            }
            app.refuse(&request.origin, event, error).await.into_response()
        }
    }
}

async fn prove(
    app: &Arc<App>,
    origin: &Origin,
    headers: &HeaderMap,
    form: Result<ApiForm, ApiError>,
) -> Result<(Authenticated, Params), ApiError> {
    let ApiForm(params) = form?;
    Ok((authenticate(app, origin.source, headers, &params).await?, params))
}

async fn answer(app: &Arc<App>, request: &TokenRequest) -> Result<Response, ApiError> {
    let grant = GrantType::parse(request.params.require("grant_type")?)
        .ok_or_else(|| ApiError::new(ErrorCode::UnsupportedGrantType, "this grant_type is not supported"))?;
    if !request.client.client().may_use(grant) {
        return Err(ApiError::new(ErrorCode::UnauthorizedClient, "this client may not use this grant_type"));
    }
    let issuance = match grant {
        GrantType::AuthorizationCode => grants::authorization_code::exchange(app, request).await?,
        GrantType::RefreshToken => grants::refresh_token::exchange(app, request).await?,
        GrantType::ClientCredentials => grants::client_credentials::exchange(app, request).await?,
        GrantType::TokenExchange => grants::token_exchange::exchange(app, request).await?,
    };
    let body = issue::respond(app, issuance)?;
    let mut response = Json(body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
