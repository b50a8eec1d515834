//! What an assertion is for: the one resource, and the scopes that the policy is asked about.

use indexmap::IndexMap;

use super::Refusal;
use crate::{
    authorize::request::resource_scopes,
    config::resource::Resource,
    ids::ResourceId,
    oauth::{params::Params, resource::ResourceUri, scope::ScopeSet},
};

/// The resource (RFC 8707 §2.2): the one that the request names among those of the assertion, or the only one of ours
/// that the assertion names, or the default. A token is for one, so several of which none is chosen are refused.
pub fn resource<'c>(
    claimed: Option<&[ResourceUri]>,
    params: &Params,
    default: Option<&ResourceId>,
    ours: &'c IndexMap<ResourceId, Resource>,
) -> Result<&'c Resource, Refusal> {
    let claimed: Option<Vec<&Resource>> =
        claimed.map(|named| ours.values().filter(|resource| named.contains(&resource.uri)).collect());
    if claimed.as_ref().is_some_and(Vec::is_empty) {
        return Err(Refusal::ResourceClaim);
    }
    let covered = |resource: &&Resource| {
        claimed.as_ref().is_none_or(|claimed| claimed.iter().any(|known| known.id == resource.id))
    };
    let mut asked = params.all("resource").map(|text| ResourceUri::try_from(text.to_owned()));
    if let Some(first) = asked.next() {
        let first = first.map_err(|_| Refusal::ResourceParameter)?;
        if asked.any(|other| other.as_ref() != Ok(&first)) {
            return Err(Refusal::ResourceParameter);
        }
        let named = ours.values().find(|resource| resource.uri == first);
        return named.filter(covered).ok_or(Refusal::ResourceParameter);
    }
    match claimed.as_deref() {
        Some([only]) => Ok(only),
        _ => default.and_then(|id| ours.get(id)).filter(covered).ok_or(Refusal::ResourceMissing),
    }
}

/// The scopes that the request asks for, of an assertion that gives these; empty where it asks for none. An assertion
/// all of whose scopes are unknown at the resource was made for something else (Enterprise-Managed Authorization
/// §7.6.2).
pub fn scope(given: Option<&ScopeSet>, params: &Params, resource: &Resource) -> Result<ScopeSet, Refusal> {
    let known = |scope: &ScopeSet| scope.iter().any(|scope| resource.scopes.contains_key(scope));
    if given.is_some_and(|scope| !scope.is_empty() && !known(scope)) {
        return Err(Refusal::ScopeClaim);
    }
    let asked = ScopeSet::parse(params.get("scope").unwrap_or_default()).map_err(Refusal::ScopeParameter)?;
    Ok(resource_scopes(&asked))
}
