//! `connections.NAME.use:` which scopes of a resource need which scopes of the vendor.

use std::{collections::BTreeMap, fmt};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{
    config::{Names, form::name_of, problem::Wrong, reader::Section},
    ids::{ConnectionName, ResourceId},
    oauth::scope::{Scope, ScopeSet},
};

/// For each scope of each resource, what it needs of the vendor. A resource that is not named here gets nothing.
#[derive(Debug, Clone, Default)]
pub struct Use(IndexMap<ResourceId, IndexMap<Scope, ScopeSet>>);

impl Use {
    /// The resources that use the connection.
    pub fn resources(&self) -> impl Iterator<Item = &ResourceId> {
        self.0.keys()
    }

    /// The scopes of a resource that stand for something at the vendor, each with what. `None`: the resource does not
    /// use the connection.
    pub fn of(&self, resource: &ResourceId) -> Option<&IndexMap<Scope, ScopeSet>> {
        self.0.get(resource)
    }

    /// What a token with the scopes `held` is worth at the vendor. `None`: the resource does not use the connection, or
    /// none of these scopes does.
    pub fn worth(&self, resource: &ResourceId, held: &ScopeSet) -> Option<ScopeSet> {
        let pairs = self.0.get(resource)?;
        let mut worth = held.iter().filter_map(|scope| pairs.get(scope)).peekable();
        worth.peek()?;
        Some(worth.fold(ScopeSet::default(), |all, more| all.union(more)))
    }

    /// Everything that any resource needs.
    pub fn all(&self) -> ScopeSet {
        let sets = self.0.values().flat_map(IndexMap::values);
        sets.fold(ScopeSet::default(), |all, more| all.union(more))
    }

    /// `upstream`: parses a scope of the vendor.
    pub(super) fn read(
        connection: &Section<'_>,
        names: &Names<'_>,
        upstream: impl Fn(String) -> Result<Scope, Wrong>,
    ) -> Self {
        let resource = name_of(&names.resources, "no resource has this name");
        Self(connection.entries("use", resource, |id: ResourceId, section| {
            if !section.has_any() {
                section.problem_here(
                    "names no scope; say what one needs there, such as \"tickets:write\": [repo]",
                );
            }
            let there = names.scopes.get(id.as_str()).map(Vec::as_slice).unwrap_or_default();
            let mut pairs = IndexMap::new();
            for written in there {
                let needed = section.list(written, &upstream);
                if let (Some(needed), Ok(scope)) = (needed, Scope::try_from((*written).to_owned())) {
                    pairs.insert(scope, needed.into_iter().collect());
                }
            }
            Some(pairs)
        }))
    }
}

/// For scopes of one resource, what each needs at which connection: what a person is told before she allows them, and
/// what she was told then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uses(BTreeMap<Scope, BTreeMap<ConnectionName, ScopeSet>>);

impl Uses {
    /// What these scopes need.
    pub(super) fn needed(
        scopes: &ScopeSet,
        connections: &[(&ConnectionName, &IndexMap<Scope, ScopeSet>)],
    ) -> Self {
        let of = |scope: &Scope| -> BTreeMap<_, _> {
            let needed = |(name, pairs): &(&ConnectionName, &IndexMap<Scope, ScopeSet>)| {
                Some(((*name).clone(), pairs.get(scope)?.clone()))
            };
            connections.iter().filter_map(needed).collect()
        };
        let all = scopes.iter().map(|scope| (scope.clone(), of(scope)));
        Self(all.filter(|(_, needed)| !needed.is_empty()).collect())
    }

    /// What one scope needs, by connection; nothing of the vendor's scopes means the account alone.
    pub fn of(&self, scope: &Scope) -> impl Iterator<Item = (&ConnectionName, &ScopeSet)> {
        self.0.get(scope).into_iter().flatten()
    }

    /// Whether a scope was said to need no less than `needed` at a connection.
    pub fn say(&self, scope: &Scope, connection: &ConnectionName, needed: &ScopeSet) -> bool {
        self.of(scope).any(|(name, said)| name == connection && needed.is_subset(said))
    }

    /// Whether all of `other` is in it.
    pub fn cover(&self, other: &Self) -> bool {
        let all = other.0.iter().flat_map(|(scope, needed)| needed.iter().map(move |one| (scope, one)));
        all.into_iter().all(|(scope, (name, needed))| self.say(scope, name, needed))
    }

    /// What is said of these scopes in it, and of all others in `other`.
    #[must_use]
    pub fn of_these_and(mut self, scopes: &ScopeSet, other: Self) -> Self {
        self.0.retain(|scope, _| scopes.contains(scope));
        let others = other.0.into_iter().filter(|(scope, _)| !scopes.contains(scope));
        self.0.extend(others);
        self
    }
}

/// As JSON: the same text for the same uses.
impl fmt::Display for Uses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(text: &str) -> Uses {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_was_said_covers_as_much_and_no_more() {
        let said = uses(r#"{"write":{"github":"repo user","crm":""},"read":{"github":""}}"#);
        for (other, is_covered) in [
            ("{}", true),
            (r#"{"write":{"github":"repo"}}"#, true),
            (r#"{"write":{"crm":""},"read":{"github":""}}"#, true),
            (r#"{"write":{"github":"repo admin"}}"#, false),
            (r#"{"read":{"github":"repo"}}"#, false),
            (r#"{"read":{"crm":""}}"#, false),
            (r#"{"close":{"github":""}}"#, false),
        ] {
            assert_eq!(said.cover(&uses(other)), is_covered, "{other}");
        }
    }

    #[test]
    fn what_is_said_now_counts_for_the_scopes_that_are_asked_about() {
        let now = uses(r#"{"read":{"crm":""},"write":{"crm":""}}"#);
        let before = uses(r#"{"read":{"github":""},"close":{"github":"repo"}}"#);
        let both = now.of_these_and(&ScopeSet::parse("read").unwrap(), before);
        assert_eq!(both, uses(r#"{"read":{"crm":""},"close":{"github":"repo"}}"#));
    }
}
