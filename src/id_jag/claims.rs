//! What an assertion whose signature holds must say (ID-JAG §3.1, §4.4.1; RFC 7523 §3). Pure: every fact that the
//! judgement depends on is passed in.

use std::time::Duration;

use serde_json::Value;

use super::{Refusal, checks};
use crate::{
    authorize::request::resource_scopes,
    clock::Timestamp,
    ids::ClientId,
    jose::{Thumbprint, Verified, VerifyError},
    oauth::{issuer::Issuer, resource::ResourceUri, scope::ScopeSet},
};

/// What an assertion is held against.
#[derive(Debug)]
pub struct Expected<'a> {
    /// The client that presents it, and has proved who it is.
    pub client: &'a ClientId,
    /// Our own issuer.
    pub ours: &'a Issuer,
    /// The key whose possession was proved with the request.
    pub bound_to: Option<&'a Thumbprint>,
    /// How far its issuer's clock may be from ours.
    pub leeway: Duration,
    /// The longest life that it may have.
    pub max_lifetime: Duration,
    /// Now, by our clock.
    pub now: Timestamp,
}

/// A checked assertion: good now, made for us and for this client, with nothing in it that restricts and is not
/// understood. Whom it is about is read elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdJag {
    /// Its identifier.
    pub jti: String,
    /// When nobody would accept it any more.
    pub expires_at: Timestamp,
    /// The resources that it is for. `None`: it does not say.
    pub resources: Option<Vec<ResourceUri>>,
    /// The scopes that it gives at most. `None`: it does not say.
    pub scope: Option<ScopeSet>,
    /// Whether only the holder of a key can present it, who just did.
    pub bound: bool,
}

/// Checks everything but whether it was presented before.
pub fn check(verified: &Verified, expected: &Expected<'_>) -> Result<IdJag, Refusal> {
    let expires_at = lifetime(verified, expected)?;
    audience(verified, expected)?;
    presenter(verified, expected)?;
    let jti = checks::jti(verified)?;
    let bound = checks::restrictions(verified, expected.bound_to)?;
    let (resources, scope) = (resources(verified)?, scope(verified)?);
    Ok(IdJag { jti, expires_at, resources, scope, bound })
}

/// Our issuer and nobody else's, or it could be presented elsewhere too (ID-JAG §3.1).
pub fn audience(verified: &Verified, expected: &Expected<'_>) -> Result<(), Refusal> {
    let is_ours = verified.audiences()?.as_slice() == [expected.ours.as_str()];
    is_ours.then_some(()).ok_or(Refusal::Audience)
}

/// The client that presents it, and no other.
pub fn presenter(verified: &Verified, expected: &Expected<'_>) -> Result<(), Refusal> {
    let is_meant = verified.text("client_id")? == expected.client.as_str();
    is_meant.then_some(()).ok_or(Refusal::Client)
}

/// `exp`, `iat` and `nbf`; returns until when it would be accepted.
pub fn lifetime(verified: &Verified, expected: &Expected<'_>) -> Result<Timestamp, Refusal> {
    let times = verified.check_times(expected.now, expected.leeway, None)?;
    let issued_at = times.issued_at.ok_or(VerifyError::Missing("iat"))?;
    if times.expires_at > issued_at.plus(expected.max_lifetime) {
        return Err(Refusal::Lifetime(expected.max_lifetime));
    }
    Ok(times.expires_at.plus(expected.leeway))
}

/// `resource`: one text or a list. What is no URL of a server cannot be one of ours, and is passed over.
pub fn resources(verified: &Verified) -> Result<Option<Vec<ResourceUri>>, Refusal> {
    let malformed = || Refusal::from(VerifyError::Malformed("resource"));
    let named = match verified.claims().get("resource") {
        None => return Ok(None),
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => {
            several.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(malformed)?
        }
        Some(_) => return Err(malformed()),
    };
    Ok(Some(named.into_iter().filter_map(|uri| ResourceUri::try_from(uri.to_owned()).ok()).collect()))
}

/// `scope`. Scopes of OpenID Connect, which some agents ask for by habit, say nothing of a resource: a claim that holds
/// no others is as good as none.
pub fn scope(verified: &Verified) -> Result<Option<ScopeSet>, Refusal> {
    if !verified.claims().contains_key("scope") {
        return Ok(None);
    }
    let all = ScopeSet::parse(verified.text("scope")?).map_err(|_| VerifyError::Malformed("scope"))?;
    let scope = resource_scopes(&all);
    Ok((all.is_empty() || !scope.is_empty()).then_some(scope))
}
