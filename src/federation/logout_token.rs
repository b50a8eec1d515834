//! The claims of a logout token whose signature holds (OpenID Connect Back-Channel Logout §2.6). Pure: every fact that
//! the judgement depends on is passed in.

use std::time::Duration;

use super::id_token::{IdTokenError, audience};
use crate::{
    clock::Timestamp,
    config::provider::IssuerRule,
    identity::authentication::is_identifier,
    jose::{Verified, VerifyError},
    store::{
        replays::{OneTime, OneTimeKind},
        upstream_sessions::Meant,
    },
};

/// The member of `events` that makes a token a logout token (§2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a logout token may be. The specification has them live for two minutes; a provider that tries again after
/// an outage of ours may send the same.
const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// What the token must say.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    /// Which issuers the provider's tokens may name.
    pub(super) issuer: &'a IssuerRule,
    /// Our `client_id` at the provider.
    pub(super) client_id: &'a str,
    /// How far the provider's clock may be from ours.
    pub(super) leeway: Duration,
    /// Now, by our clock.
    pub(super) now: Timestamp,
}

/// A logout that a provider asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Logout {
    /// Who asks.
    pub(super) issuer: String,
    /// Which of our sessions it means.
    pub(super) meant: Meant,
    /// The token, which counts once.
    pub(super) once: OneTime,
}

/// Why a logout token is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogoutError {
    /// It is no token that we read, nothing proves it, or a claim is missing, malformed or out of time.
    #[error(transparent)]
    Token(#[from] VerifyError),
    /// It is for another client.
    #[error("the token is for another client (aud or azp)")]
    Audience,
    /// It is of another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// It is no logout token: `events` does not say so.
    #[error("the token's events do not ask for a logout")]
    Event,
    /// It holds a `nonce`, so it was made as an ID token.
    #[error("the token has a nonce, so it is no logout token")]
    Nonce,
    /// It names neither a person nor a session.
    #[error("the token has neither sub nor sid")]
    Nobody,
    /// It was used before.
    #[error("the token was used before")]
    Replayed,
}

/// Judges the claims of a logout token.
pub(super) fn check(token: &Verified, expected: &Expected<'_>) -> Result<Logout, LogoutError> {
    let issuer = token.text("iss")?;
    if !names(expected.issuer, issuer) {
        return Err(LogoutError::Issuer);
    }
    audience(token, expected.client_id).map_err(|error| match error {
        IdTokenError::Token(error) => LogoutError::Token(error),
        _ => LogoutError::Audience,
    })?;
    let times = token.check_times(expected.now, expected.leeway, Some(MAX_AGE))?;
    let issued_at = times.issued_at.ok_or(VerifyError::Missing("iat"))?;
    let asks = token.claims().get("events").and_then(|events| events.as_object()?.get(EVENT)?.as_object());
    if asks.is_none() {
        return Err(LogoutError::Event);
    }
    if token.claims().contains_key("nonce") {
        return Err(LogoutError::Nonce);
    }
    let jti = identifier(token, "jti")?.ok_or(VerifyError::Missing("jti"))?;
    let meant = match (identifier(token, "sub")?, identifier(token, "sid")?) {
        (Some(subject), Some(sid)) => Meant::SessionOf { subject, sid },
        (Some(subject), None) => Meant::Subject(subject),
        (None, Some(sid)) => Meant::Session(sid),
        (None, None) => return Err(LogoutError::Nobody),
    };
    let refused_from = times.expires_at.min(issued_at.plus(MAX_AGE)).plus(expected.leeway);
    Ok(Logout {
        issuer: issuer.to_owned(),
        meant,
        once: OneTime {
            kind: OneTimeKind::LogoutToken,
            issuer: issuer.to_owned(),
            jti,
            expires_at: refused_from.plus(Duration::from_millis(1)),
            holder: None,
        },
    })
}

/// Whether the rule knows the issuer. A logout token need not say its tenant, so every tenant that is let in is tried.
fn names(rule: &IssuerRule, issuer: &str) -> bool {
    match rule {
        IssuerRule::Exact(right) => issuer == right,
        IssuerRule::Template { template, tenants } => {
            tenants.iter().any(|tenant| issuer == template.replace("{tid}", tenant))
        }
    }
}

/// A claim that names something: absent, or a text of bounded length.
fn identifier(token: &Verified, claim: &'static str) -> Result<Option<String>, VerifyError> {
    if !token.claims().contains_key(claim) {
        return Ok(None);
    }
    let text = token.text(claim)?;
    if is_identifier(text) { Ok(Some(text.to_owned())) } else { Err(VerifyError::Malformed(claim)) }
}
