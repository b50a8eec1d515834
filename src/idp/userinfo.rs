//! What a client may learn of a person, told as it is now (OpenID Connect Core §5.3).

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

use super::id_token::Told;
use crate::{
    app::{App, Audience},
    ids::GrantId,
    oauth::{
        purpose::{Purpose, Role},
        scope::ScopeSet,
    },
    store::grants,
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
pub(super) async fn tell(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ApiError> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token);
    let (grant_id, scope) = token
        .and_then(|token| presented(&app, token.trim()))
        .ok_or_else(|| ApiError::invalid_token("the access token is missing, expired or not for this"))?;
    let gone = || ApiError::invalid_token("the permission behind the access token has ended");
    let grant = grants::find(&app.db, &grant_id).await?.ok_or_else(gone)?;
    let now = app.clock.now();
    if grant.purpose != Purpose::SignIn || grant.revoked_at.is_some() || grant.expires_at <= now {
        return Err(gone());
    }
    let audience = Audience::Idp(app.idp().ok_or_else(gone)?);
    let user = (&grant.user_id, &grant.identity_id);
    let standing = standing::confirm(&app, user, &grant.client_id, audience, &scope).await;
    let (standing, scope) = standing.map_err(|error| {
        if error.is_fault() { error } else { gone().with_reason(error.reason().to_owned()) }
    })?;
    let answer = Answer { sub: grant.user_id.as_str(), told: Told::by(&scope, &standing) };
    let mut response = Json(answer).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The permission and the scopes of an access token that is for here.
fn presented(app: &App, token: &str) -> Option<(GrantId, ScopeSet)> {
    let issuer = app.config.issuer(Role::IdentityProvider).as_str();
    let token = app.idp()?.keys.verify_own(token).ok()?;
    let ours = token.text("iss").ok()? == issuer && token.audiences().ok()? == [issuer];
    let alive = token.date("exp").ok()?? > app.clock.now();
    // One that is bound to a key is worth nothing without a proof of it (RFC 9449 §7.1).
    let unbound = !token.claims().contains_key("cnf");
    if !ours || !alive || !unbound {
        return None;
    }
    Some((GrantId::parse(token.text("grant_id").ok()?)?, ScopeSet::parse(token.text("scope").ok()?).ok()?))
}
