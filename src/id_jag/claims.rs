//! What an assertion whose signature holds must say (ID-JAG §3.1, §4.4.1; RFC 7523 §3). Pure: every fact that the
//! judgement depends on is passed in.

use std::time::Duration;

use serde_json::Value;

use super::Refusal;
use crate::{
    authorize::request::resource_scopes,
    clock::Timestamp,
    ids::ClientId,
    jose::{Thumbprint, Verified, VerifyError},
    oauth::{issuer::Issuer, resource::ResourceUri, scope::ScopeSet},
};

/// The longest `jti`; a UUID has 36, a hash in hexadecimal 64.
const MAX_JTI_BYTES: usize = 256;

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
    // Our issuer and nobody else's, or it could be presented elsewhere too (ID-JAG §3.1).
    if verified.audiences()?.as_slice() != [expected.ours.as_str()] {
        return Err(Refusal::Audience);
    }
    if verified.text("client_id")? != expected.client.as_str() {
        return Err(Refusal::Client);
    }
    let jti = verified.text("jti")?;
    if !(1..=MAX_JTI_BYTES).contains(&jti.len()) || jti.chars().any(char::is_control) {
        return Err(Refusal::Jti);
    }
    // It narrows what is given in ways that we do not know (RFC 9396).
    if verified.claims().contains_key("authorization_details") {
        return Err(Refusal::AuthorizationDetails);
    }
    let bound = confirmation(verified, expected.bound_to)?;
    let (resources, scope) = (resources(verified)?, scope(verified)?);
    Ok(IdJag { jti: jti.to_owned(), expires_at, resources, scope, bound })
}

/// `exp`, `iat` and `nbf`; returns until when it would be accepted.
fn lifetime(verified: &Verified, expected: &Expected<'_>) -> Result<Timestamp, Refusal> {
    let times = verified.check_times(expected.now, expected.leeway, None)?;
    let issued_at = times.issued_at.ok_or(VerifyError::Missing("iat"))?;
    if times.expires_at > issued_at.plus(expected.max_lifetime) {
        return Err(Refusal::Lifetime(expected.max_lifetime));
    }
    Ok(times.expires_at.plus(expected.leeway))
}

/// `cnf` (RFC 7800 §3.1): only whoever holds the key may present it, which a proof by RFC 9449 shows (ID-JAG §9.8.1.2). Any
/// other way to confirm is one that we cannot check.
fn confirmation(verified: &Verified, bound_to: Option<&Thumbprint>) -> Result<bool, Refusal> {
    let Some(cnf) = verified.claims().get("cnf") else { return Ok(false) };
    let members = cnf.as_object().filter(|members| members.len() == 1);
    let jkt = members.and_then(|members| members.get("jkt")).and_then(Value::as_str);
    let jkt = jkt.and_then(|jkt| Thumbprint::try_from(jkt.to_owned()).ok()).ok_or(Refusal::Confirmation)?;
    match bound_to {
        Some(key) if key.is(&jkt) => Ok(true),
        Some(_) | None => Err(Refusal::Possession),
    }
}

/// `resource`: one text or a list. What is no URL of a server cannot be one of ours, and is passed over.
fn resources(verified: &Verified) -> Result<Option<Vec<ResourceUri>>, Refusal> {
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
fn scope(verified: &Verified) -> Result<Option<ScopeSet>, Refusal> {
    if !verified.claims().contains_key("scope") {
        return Ok(None);
    }
    let all = ScopeSet::parse(verified.text("scope")?).map_err(|_| VerifyError::Malformed("scope"))?;
    let scope = resource_scopes(&all);
    Ok((all.is_empty() || !scope.is_empty()).then_some(scope))
}
