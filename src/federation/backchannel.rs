//! `POST /login/{provider}/backchannel-logout`: the provider says that a session of its own is over, and what was born
//! of it here ends (OpenID Connect Back-Channel Logout).
//!
//! Whatever is refused burns nothing: the token's `jti` is spent in the transaction in which it takes effect. A fault
//! of ours, or keys that cannot be had, is a 503, upon which a provider may send the same token again.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::logout_token::{self, Expected, Logout, LogoutError};
use crate::{
    app::App,
    audit::{About, Event, Kind},
    config::provider::{IdTokenAlg, Provider},
    identity::ending::{Cause, Ended, Ending},
    ids::ProviderId,
    jose::{Unverified, VerifyError, verifier},
    oauth::error::ErrorCode,
    store::{replays, upstream_sessions},
    web::{
        error::ApiError,
        request::{ApiForm, Origin},
    },
};

/// Answers the provider.
pub(super) async fn logout(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    origin: Origin,
    form: Result<ApiForm, ApiError>,
) -> Response {
    match end(&app, &id, &origin, form).await {
        Ok(()) => {
            (StatusCode::OK, [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]).into_response()
        }
        Err(error) => {
            if !error.is_fault() {
                app.limits.refused_logouts.count(origin.source, app.clock.now());
            }
            let event = Event::new(Kind::LogoutRefused, &origin.recorded);
            app.refuse(&origin, event, error).await.into_response()
        }
    }
}

async fn end(app: &App, id: &str, origin: &Origin, form: Result<ApiForm, ApiError>) -> Result<(), ApiError> {
    if !app.limits.refused_logouts.admits(&origin.source, app.clock.now()) {
        return Err(ApiError::too_many_requests());
    }
    let id = ProviderId::try_from(id.to_owned());
    let provider = id
        .ok()
        .and_then(|id| app.config.providers.get(&id))
        .ok_or_else(|| ApiError::new(ErrorCode::InvalidRequest, "there is no such provider"))?;
    let about = About::default().provider(&provider.id);
    let ApiForm(params) = form.map_err(|error| error.with_about(about.clone()))?;
    let token =
        params.require("logout_token").map_err(|error| ApiError::from(error).with_about(about.clone()))?;
    let refuse = |error: LogoutError| refusal(provider, &error).with_about(about.clone());
    let logout = verify(app, provider, token).await?.map_err(refuse)?;

    let mut tx = app.db.begin().await?;
    if !replays::spend(&mut tx, &logout.once, app.clock.now()).await? {
        return Err(refuse(LogoutError::Replayed));
    }
    let ending =
        Ending { origin: &origin.recorded, cause: Cause::Provider, chance: (&app.clock, &app.entropy) };
    let mut all = Ended::default();
    let ids = upstream_sessions::meant(&mut tx, (&provider.id, &logout.issuer), &logout.meant).await?;
    for id in &ids {
        let ended = ending.session(&mut tx, id).await?;
        all.sessions.extend(ended.sessions);
        all.grants.extend(ended.grants);
    }
    let event = Event::new(Kind::LogoutReceived, &origin.recorded)
        .about(about)
        .detail("sessions", all.sessions.len())
        .detail("grants", all.grants.len());
    app.record(&mut tx, &event).await?;
    tx.commit().await?;
    tracing::info!(provider = %provider.id, sessions = all.sessions.len(), grants = all.grants.len(), "logout");
    Ok(())
}

/// What the token asks for. The outer error is an outage.
async fn verify(
    app: &App,
    provider: &Provider,
    token: &str,
) -> Result<Result<Logout, LogoutError>, ApiError> {
    let accepted: Vec<_> = provider.id_token_algs.iter().copied().map(IdTokenAlg::algorithm).collect();
    let unverified = match Unverified::parse(token, verifier::Kind::LogoutToken, &accepted) {
        Ok(unverified) => unverified,
        Err(error) => return Ok(Err(error.into())),
    };
    let unreachable =
        |error: String| ApiError::unavailable(format!("{}: {} {error}", provider.id, provider.name));
    let reached = app.federation.reach(provider, &app.upstream, &app.clock).await;
    let reached = reached.map_err(|error| unreachable(error.to_string()))?;
    let expected = Expected {
        issuer: &provider.issuer,
        client_id: &provider.client_id,
        leeway: provider.leeway,
        now: app.clock.now(),
    };
    match reached.jwks.verify(unverified).await {
        Ok(verified) => Ok(logout_token::check(&verified, &expected)),
        Err(VerifyError::NoKeys(error)) => Err(unreachable(error.to_string())),
        Err(error) => Ok(Err(error.into())),
    }
}

/// One text, whichever check failed; the record says which.
fn refusal(provider: &Provider, error: &LogoutError) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, "the logout token is not accepted")
        .with_reason(format!("{}: {error}", provider.id))
}
