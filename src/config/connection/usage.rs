//! `connections.NAME.use:` which scopes of a resource need which scopes of the vendor.

use indexmap::IndexMap;

use crate::{
    config::{Names, form::name_of, problem::Wrong, reader::Section},
    ids::ResourceId,
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
