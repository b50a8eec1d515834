//! `clients.NAME.exchange:` what the server of a resource may have elsewhere for a person whose token it was sent
//! (RFC 8693).

use indexmap::IndexMap;

use crate::{
    config::{Names, form::name_of, problem::Wrong, reader::Section},
    ids::ResourceId,
    oauth::scope::{Scope, ScopeSet},
};

/// What tokens for one resource are worth at others.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The resource whose server the client is: its tokens are what it exchanges.
    pub own: ResourceId,
    worth: IndexMap<ResourceId, IndexMap<Scope, ScopeSet>>,
}

impl Exchange {
    /// What a token that holds `held` is worth at `target`. `None`: nothing is declared for it.
    pub fn worth(&self, held: &ScopeSet, target: &ResourceId) -> Option<ScopeSet> {
        let pairs = self.worth.get(target)?;
        let worth = held.iter().filter_map(|scope| pairs.get(scope));
        Some(worth.fold(ScopeSet::default(), |all, more| all.union(more)))
    }

    /// What one scope is worth, wherever it is worth anything.
    pub fn worth_of(&self, held: &Scope) -> impl Iterator<Item = (&ResourceId, &ScopeSet)> {
        self.worth.iter().filter_map(move |(target, pairs)| Some((target, pairs.get(held)?)))
    }

    /// `own`: the resource that the client serves. `None`: nothing is declared, or it is wrong and reported.
    pub(super) fn read(client: &Section<'_>, own: Option<&ResourceId>, names: &Names<'_>) -> Option<Self> {
        if client.has("exchange") && !client.has("serves") {
            let message = "is of no use without serves: a server exchanges the tokens that it is sent";
            client.problem("exchange", message);
        }
        let own_scopes = own.and_then(|own| names.scopes.get(own.as_str()));
        let target = |written: String| {
            if own.is_some_and(|own| own.as_str() == written) {
                return Err(Wrong::from("is the resource that it serves itself"));
            }
            name_of::<ResourceId>(&names.resources, "no resource has this name")(written)
        };
        let worth = client.entries("exchange", target, |id, section| {
            let there = names.scopes.get(id.as_str()).map(Vec::as_slice).unwrap_or_default();
            let Some(own_scopes) = own_scopes else {
                section.abandon();
                return None;
            };
            if !section.has_any() {
                section.problem_here(
                    "names no scope; say what one is worth there, such as \"tickets:read\": [\"wiki:read\"]",
                );
            }
            Some(pairs(section, own_scopes, there))
        });
        let own = own.filter(|_| !worth.is_empty())?.clone();
        Some(Self { own, worth })
    }
}

/// For each scope of one's own those that it is worth.
fn pairs(section: &Section<'_>, own: &[&str], there: &[&str]) -> IndexMap<Scope, ScopeSet> {
    let mut pairs = IndexMap::new();
    for written in own {
        let worth = section.restriction(written, name_of(there, "the resource has no scope of this name"));
        if let Ok(scope) = Scope::try_from((*written).to_owned())
            && !worth.is_empty()
        {
            pairs.insert(scope, worth.into_iter().collect());
        }
    }
    pairs
}
