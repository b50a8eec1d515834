//! `id_jag.allow:` which client may have which scopes of which resource by an assertion, and for whom.

use indexmap::IndexMap;
use serde_json::Value;

use super::super::entry::read_claims;
use crate::{
    config::{
        Names,
        claims::{ClaimPath, ClaimPaths},
        form::{name_of, text},
        reader::Section,
    },
    ids::{ClientId, ResourceId},
    oauth::scope::{Scope, ScopeSet},
};

/// What may be had at one resource. Clients and scopes are all that there are; groups and claims restrict further
/// where they are given, and each kind is met by any of its values.
#[derive(Debug, Clone)]
pub struct AssertionRule {
    /// The clients that may present assertions for it; never empty.
    pub clients: Vec<ClientId>,
    /// The scopes that they may have; never empty.
    pub scopes: ScopeSet,
    /// The user's groups. Empty: not asked.
    pub groups: Vec<String>,
    /// The assertion's claims. A claim that is a list meets the rule by any of its elements.
    pub claims: IndexMap<ClaimPath, Vec<Value>>,
}

/// `None`: nothing is listed, and that is reported.
pub(super) fn read(
    id_jag: &Section<'_>,
    names: &Names<'_>,
    claims: &ClaimPaths,
) -> Option<IndexMap<ResourceId, AssertionRule>> {
    let resource = name_of(&names.resources, "no resource has this name");
    let allow = id_jag.entries("allow", resource, |id, section| rule(&id, section, names, claims));
    if id_jag.count("allow") == 0 {
        id_jag
            .problem("allow", "is missing: what assertions give, by resource, each with clients and scopes");
        return None;
    }
    Some(allow)
}

fn rule(
    resource: &ResourceId,
    section: &Section<'_>,
    names: &Names<'_>,
    claims: &ClaimPaths,
) -> Option<AssertionRule> {
    let there = names.scopes.get(resource.as_str()).map(Vec::as_slice).unwrap_or_default();
    let clients = section.restriction("clients", |written| names.client(written));
    let scopes =
        section.restriction("scopes", name_of::<Scope>(there, "the resource has no scope of this name"));
    let groups = section.restriction("groups", text);
    for (key, what) in [
        ("clients", "which clients may present assertions for this resource"),
        ("scopes", "which scopes of this resource assertions can give"),
    ] {
        if !section.has(key) {
            section.problem(key, format!("is missing: {what}"));
        }
    }
    if section.has("groups") && claims.groups.is_none() {
        let message = "can never be met: no claim is known to hold groups; name it in claims.groups";
        section.problem("groups", message);
    }
    let rule =
        AssertionRule { clients, scopes: scopes.into_iter().collect(), groups, claims: read_claims(section) };
    (!rule.clients.is_empty() && !rule.scopes.is_empty()).then_some(rule)
}
