//! What a workload's own assertion must say (RFC 7523 §3): it is good now, made for us, and its `sub` is one that the
//! operator declared to be this client. Pure.

use super::{Refusal, checks};
use crate::{
    clock::Timestamp,
    config::provider::{Workload, id_jag::Replay},
    ids::ClientId,
    jose::{Thumbprint, Verified},
    oauth::{issuer::Issuer, purpose::Role},
    store::replays::{OneTime, OneTimeKind},
};

/// What an assertion is held against.
#[derive(Debug)]
pub struct Expected<'a> {
    /// The client that presents it.
    pub client: &'a ClientId,
    /// What the operator says of its issuer.
    pub rules: &'a Workload,
    /// Our own issuer.
    pub ours: &'a Issuer,
    /// The key whose possession was proved with the request.
    pub bound_to: Option<&'a Thumbprint>,
    /// How far its issuer's clock may be from ours.
    pub leeway: std::time::Duration,
    /// Now, by our clock.
    pub now: Timestamp,
}

/// Checks everything but whether it was presented before; what counts once, where it does, is still to be spent.
pub fn check(verified: &Verified, expected: &Expected<'_>) -> Result<Option<OneTime>, Refusal> {
    let Expected { client, rules, ours, bound_to, leeway, now } = *expected;
    let times = verified.check_times(now, leeway, None)?;
    // Dates of one clock; where it does not say when it began, its end must be near by ours.
    let began = times.issued_at.unwrap_or(now);
    if times.expires_at > began.plus(rules.max_lifetime).plus(leeway) {
        return Err(Refusal::Lifetime(rules.max_lifetime));
    }
    let endpoint = ours.url(Role::AuthorizationServer.token_endpoint());
    let is_us = |audience: &str| match &rules.audience {
        Some(configured) => audience == configured,
        None => audience == ours.as_str() || audience == endpoint,
    };
    if !matches!(verified.audiences()?.as_slice(), [only] if is_us(only)) {
        return Err(Refusal::Audience);
    }
    let named = rules.subjects.get(verified.text("sub")?).ok_or(Refusal::Workload)?;
    if named != client {
        return Err(Refusal::Client);
    }
    checks::restrictions(verified, bound_to)?;
    match rules.replay {
        Replay::SameClient => Ok(None),
        Replay::SingleUse => Ok(Some(OneTime {
            kind: OneTimeKind::Workload,
            issuer: rules.issuer.issuer.clone(),
            jti: checks::jti(verified)?,
            expires_at: times.expires_at.plus(leeway),
            holder: None,
        })),
    }
}
