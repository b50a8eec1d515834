//! What a client may learn of a person, told as it is now (OpenID Connect Core §5.3).

use std::{borrow::Cow, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

use super::id_token::Told;
use crate::{
    app::{App, Audience},
    dpop::{Presented, Proof, Scheme},
    ids::GrantId,
    jose::Verified,
    oauth::{
        error::ErrorCode,
        purpose::{Purpose, Role},
        scope::ScopeSet,
    },
    store::{grants, replays},
    token::standing,
    web::error::ApiError,
};

#[derive(Serialize)]
struct Answer<'a> {
    sub: &'a str,
    #[serde(flatten)]
    told: Told<'a>,
}

/// `GET` and `POST /idp/userinfo`
pub(super) async fn tell(State(app): State<Arc<App>>, method: Method, headers: HeaderMap) -> Response {
    let mut response = answer(&app, &method, &headers).await.into_response();
    response.headers_mut().extend(app.nonces.header(app.clock.now()));
    response
}

async fn answer(app: &Arc<App>, method: &Method, headers: &HeaderMap) -> Result<Response, ApiError> {
    let missing = || ApiError::invalid_token("the access token is missing, expired or not for this");
    let presented = Presented::of(method, headers).ok_or_else(missing)?;
    let token = verify(app, presented.token).ok_or_else(missing)?;
    let proof = check_binding(app, &presented, &token)?;
    let (grant_id, scope) = permission_of(&token).ok_or_else(missing)?;
    let gone = || ApiError::invalid_token("the permission behind the access token has ended");
    let grant = grants::find(&app.db, &grant_id).await?.ok_or_else(gone)?;
    let now = app.clock.now();
    if grant.purpose != Purpose::SignIn || grant.revoked_at.is_some() || grant.expires_at <= now {
        return Err(gone());
    }
    let audience = Audience::Idp(app.idp().ok_or_else(gone)?);
    let user = (&grant.user_id, &grant.identity_id);
    let standing = standing::confirm(app, user, &grant.client_id, audience, &scope).await;
    let (standing, scope) = standing.map_err(|error| {
        if error.is_fault() { error } else { gone().with_reason(error.reason().to_owned()) }
    })?;
    if let Some(proof) = proof {
        let mut tx = app.db.begin().await?;
        if !replays::spend(&mut tx, &proof.one_time(), now).await? {
            return Err(not_proved("the DPoP proof was used before"));
        }
        tx.commit().await?;
    }
    let answer = Answer { sub: grant.user_id.as_str(), told: Told::by(&scope, &standing) };
    let mut response = Json(answer).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The token, if it is one of ours that is for here and alive.
fn verify(app: &App, token: &str) -> Option<Verified> {
    let issuer = app.config.issuer(Role::IdentityProvider).as_str();
    let token = app.idp()?.keys.verify_own(token).ok()?;
    let ours = token.text("iss").ok()? == issuer && token.audiences().ok()? == [issuer];
    let alive = token.date("exp").ok()?? > app.clock.now();
    (ours && alive).then_some(token)
}

/// The permission and the scopes of a token.
fn permission_of(token: &Verified) -> Option<(GrantId, ScopeSet)> {
    Some((GrantId::parse(token.text("grant_id").ok()?)?, ScopeSet::parse(token.text("scope").ok()?).ok()?))
}

/// The proof of the key that the token is bound to, with a nonce of ours and still to be spent (RFC 9449 §7, §9).
fn check_binding(app: &App, presented: &Presented<'_>, token: &Verified) -> Result<Option<Proof>, ApiError> {
    let now = app.clock.now();
    let url = app.config.server.issuer.url("/idp/userinfo");
    let proof = presented.check_binding(token, &url, now).map_err(|error| {
        let text = "the access token is not one to be sent in this way";
        let refused = match presented.scheme {
            _ if error.is_the_proofs() => return not_proved(error.to_string()),
            Scheme::Dpop => ApiError::not_proved(ErrorCode::InvalidToken, text),
            Scheme::Bearer => ApiError::invalid_token(text),
        };
        refused.with_reason(error.to_string())
    })?;
    if let Some(proof) = &proof {
        app.nonces.check(proof.nonce(), now).map_err(|error| {
            let text = "the DPoP proof must hold the nonce of the header DPoP-Nonce";
            ApiError::not_proved(ErrorCode::UseDpopNonce, text).with_reason(error.to_string())
        })?;
    }
    Ok(proof)
}

fn not_proved(reason: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::not_proved(ErrorCode::InvalidDpopProof, "the DPoP proof is missing, or cannot be accepted")
        .with_reason(reason)
}
