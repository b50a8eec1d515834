//! `refresh_token` (OAuth 2.1 §4.3): rotation at every use, and one answer for a request that is sent twice.
//!
//! A successor is derived from its predecessor and a salt that is stored when the predecessor is used. Whoever repeats
//! a refresh within the retry window therefore gets the very same successor, so two racing processes of one client
//! cannot end up in two branches, and nothing but the two hashes and the salt is stored. Once the successor was used,
//! or the window is over, the old token is proof of theft and ends the family.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::{
    app::{App, Audience},
    audit::{About, Kind},
    clock::Timestamp,
    idp,
    ids::TokenId,
    oauth::{error::ErrorCode, scope::ScopeSet},
    secret::{RefreshKind, RefreshToken, TokenKind as _},
    store::{
        grants::{self, Grant},
        refresh_tokens::{self, StoredRefreshToken},
    },
    token::{
        TokenRequest,
        grants::authorization_code::check_resource,
        issue::{self, Issuance, Person},
        lose, recheck, standing,
    },
    web::error::ApiError,
};

/// A refresh token that belongs to whoever presents it, with all that it stands on. Whether it was used before is not
/// asked yet.
pub struct Verified<'a> {
    presented: RefreshToken,
    stored: StoredRefreshToken,
    /// What it stands on.
    pub grant: Grant,
    /// Who accepts what is issued for it.
    pub audience: Audience<'a>,
}

/// Exchanges a refresh token for its successor and a new access token.
pub async fn exchange<'a>(app: &'a Arc<App>, request: &TokenRequest) -> Result<Issuance<'a>, ApiError> {
    match attempt(app, request).await? {
        Some(issuance) => Ok(issuance),
        // Another request used the token between our look and our write: now it reads as a retry.
        None => attempt(app, request).await?.ok_or_else(|| ApiError::unavailable("refresh token in flux")),
    }
}

async fn attempt<'a>(app: &'a Arc<App>, request: &TokenRequest) -> Result<Option<Issuance<'a>>, ApiError> {
    let verified = verify(app, request, request.params.require("refresh_token")?).await?;
    check_resource(request, verified.audience)?;
    let asked = asked_scope(request, &verified.grant, verified.audience)?;
    let retried = retried(app, request, &verified).await?;
    let Verified { presented, stored, grant, audience } = verified;
    let now = app.clock.now();
    let user = (&grant.user_id, &grant.identity_id);
    let (standing, scope) = standing::confirm(app, user, &grant.client_id, audience, &asked).await?;
    let account = (&standing.subject.provider, &grant.identity_id);
    recheck::confirm(app, account, grant.session_id.as_ref(), &request.origin)
        .await
        .map_err(|error| error.with_about(about_of(&grant)))?;

    let token_id = TokenId::new(&app.clock, &app.entropy);
    let mut tx = request.begin(app, audience).await?;
    let successor = if let Some(successor) = retried {
        successor
    } else {
        let salt = app.entropy.bytes::<32>();
        if !refresh_tokens::rotate(&mut tx, &stored.hash, &salt, now).await? {
            lose(app, tx).await?;
            return Ok(None);
        }
        let successor = successor_of(&presented, &salt)?;
        let idle = now.plus(app.config.lifetimes.refresh_idle).min(grant.expires_at);
        refresh_tokens::insert(&mut tx, &successor.hash(), &grant.id, now, idle).await?;
        successor
    };
    if !grants::touch(&mut tx, &grant.id, now).await? {
        return Err(dead("the grant ended meanwhile"));
    }
    // The refresh token of a public client that proves a key is bound to it (RFC 9449 §5), at the latest now.
    if grant.jkt.is_none()
        && let Some(key) = request.bound_to().filter(|_| request.client.client().is_public())
        && !grants::bind(&mut tx, &grant.id, key).await?
    {
        return Err(dead("the token was bound to another key meanwhile"));
    }
    crate::store::clients::touch(&mut tx, &grant.client_id, now).await?;
    let event =
        issue::event(Kind::TokenRefreshed, request, &grant, audience).scope(&scope).detail("jti", &token_id);
    app.record(&mut tx, &event).await?;
    tx.commit().await?;
    let client = grant.client_id.clone();
    let person = Some(Person { grant, standing });
    let bound_to = request.bound_to().cloned();
    let refresh_token = Some(successor);
    let delegation = None;
    // The nonce belongs to the authentication; an ID token of a refresh has none (OpenID Connect Core §12.2).
    let nonce = None;
    Ok(Some(Issuance {
        client,
        person,
        audience,
        nonce,
        scope,
        bound_to,
        refresh_token,
        delegation,
        token_id,
        now,
    }))
}

/// Checks everything that can be checked without changing anything: the token exists, is this client's, at this issuer,
/// with this key, and in force.
pub async fn verify<'a>(app: &'a App, request: &TokenRequest, sent: &str) -> Result<Verified<'a>, ApiError> {
    let presented = RefreshToken::parse(sent).ok_or_else(|| dead("not a refresh token of ours"))?;
    let stored =
        refresh_tokens::find(&app.db, &presented.hash()).await?.ok_or_else(|| dead("no such token"))?;
    let grant = grants::find(&app.db, &stored.grant_id).await?.ok_or_else(|| dead("no such grant"))?;
    let now = app.clock.now();
    let dead = |reason| dead(reason).with_about(about_of(&grant));
    // Names of clients mean something to one of our issuers alone, so this one goes first.
    if grant.purpose.role() != request.role {
        return Err(dead("the token is the other issuer's"));
    }
    if grant.client_id != request.client.client().id {
        return Err(dead("the token was issued to another client"));
    }
    if grant.jkt.as_ref().is_some_and(|key| !request.proves(key)) {
        return Err(dead("the token is bound to a key that the request does not prove"));
    }
    if grant.revoked_at.is_some() {
        return Err(dead("the grant was ended"));
    }
    if grant.expires_at <= now {
        return Err(dead("the grant has expired"));
    }
    if stored.expires_at <= now {
        return Err(dead("the token was not used for too long"));
    }
    let audience = app
        .audience(&grant.purpose)
        .filter(|audience| audience.uri().as_str() == grant.audience)
        .ok_or_else(|| dead("what the token is for is no longer configured"))?;
    Ok(Verified { presented, stored, grant, audience })
}

/// What the record says of a refusal.
fn about_of(grant: &Grant) -> About {
    About::default().user(&grant.user_id).grant(&grant.id).asked(&grant.scope)
}

/// What a token that was used before is answered with: its successor, where that was only asked for a second time. Any
/// other use of it is theft, and ends the family. `None`: it was not used.
pub async fn retried(
    app: &App,
    request: &TokenRequest,
    verified: &Verified<'_>,
) -> Result<Option<RefreshToken>, ApiError> {
    let Some(used_at) = verified.stored.used_at else { return Ok(None) };
    let now = app.clock.now();
    match retry_of(app, verified, used_at, now).await? {
        Some(successor) => Ok(Some(successor)),
        None => Err(reused(app, request, verified, now).await),
    }
}

/// The scopes for this token: those asked for, at most the grant's; the grant's where none are asked for.
fn asked_scope(request: &TokenRequest, grant: &Grant, audience: Audience<'_>) -> Result<ScopeSet, ApiError> {
    let Some(text) = request.params.get("scope") else { return Ok(grant.scope.clone()) };
    let invalid = |text: &'static str| ApiError::new(ErrorCode::InvalidScope, text);
    let asked = ScopeSet::parse(text).map_err(invalid)?;
    let asked = match audience {
        Audience::Resource(_) => crate::authorize::request::resource_scopes(&asked),
        // An ID token is always of somebody.
        Audience::Idp(_) => asked.intersection(&grant.scope).union(&idp::scopes::required()),
    };
    if asked.is_empty() {
        Ok(grant.scope.clone())
    } else if asked.is_subset(&grant.scope) {
        Ok(asked)
    } else {
        Err(invalid("a refresh cannot ask for more than was granted"))
    }
}

/// The successor that a repeated request is answered with: the one that its first sending made, while that is unused
/// and the window is open.
async fn retry_of(
    app: &App,
    verified: &Verified<'_>,
    used_at: Timestamp,
    now: Timestamp,
) -> Result<Option<RefreshToken>, ApiError> {
    if now.since(used_at) > app.config.lifetimes.retry_window {
        return Ok(None);
    }
    let Some(salt) = &verified.stored.salt else { return Ok(None) };
    let successor = successor_of(&verified.presented, salt)?;
    let unused = refresh_tokens::find(&app.db, &successor.hash())
        .await?
        .is_some_and(|row| row.used_at.is_none() && row.expires_at > now);
    Ok(unused.then_some(successor))
}

/// Derives a token's successor (RFC 5869): only the holder of the token can, and only with the stored salt.
fn successor_of(token: &RefreshToken, salt: &[u8]) -> Result<RefreshToken, ApiError> {
    let mut bits = zeroize::Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(salt), token.expose().as_bytes())
        .expand(b"chancery refresh successor", bits.as_mut_slice())
        .map_err(|_| ApiError::unavailable("refresh successor derivation"))?;
    let text = zeroize::Zeroizing::new(format!(
        "{}{}",
        RefreshKind::PREFIX,
        URL_SAFE_NO_PAD.encode(bits.as_slice())
    ));
    RefreshToken::parse(&text).ok_or_else(|| ApiError::unavailable("refresh successor form"))
}

/// A used token came back: its family ends (OAuth 2.1 §4.3.1).
async fn reused(app: &App, request: &TokenRequest, verified: &Verified<'_>, now: Timestamp) -> ApiError {
    let ended = async {
        let mut tx = request.spend(app).await?;
        if grants::revoke(&mut tx, &verified.grant.id, now).await? {
            let event = issue::event(Kind::RefreshReused, request, &verified.grant, verified.audience);
            app.record(&mut tx, &event).await?;
        }
        Ok(tx.commit().await?)
    };
    match ended.await {
        Ok(()) => dead("a used refresh token came back: the family was ended"),
        Err(error) => error,
    }
}

fn dead(reason: &'static str) -> ApiError {
    ApiError::new(ErrorCode::InvalidGrant, "the refresh token is invalid, expired or was revoked")
        .with_reason(reason)
}
