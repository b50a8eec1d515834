//! What a provider's identity assertions (ID-JAG) give: the rules of `providers.NAME.id_jag.allow`, by which nothing is
//! given that is not listed. They come before the resource's own.

use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::{
    Asked, Hear, Reason, ReasonKind, Subject,
    rule::{Place, Rule, Wants},
};
use crate::{
    config::{
        claims::is_one_of,
        provider::id_jag::{AssertionRule, IdJag},
    },
    oauth::scope::{Scope, ScopeSet},
};

/// What an assertion brings into a decision.
#[derive(Debug, Clone, Copy)]
pub struct Assertion<'a> {
    /// What the provider's assertions are worth: its section `id_jag`.
    pub worth: Option<&'a IdJag>,
    /// Its claims, verified.
    pub claims: &'a Map<String, Value>,
    /// Its claim `scope`: no more than this can be had by it, and nothing if it is empty. `None`: it has no such claim,
    /// and the rules alone decide.
    pub scope: Option<&'a ScopeSet>,
}

impl Assertion<'_> {
    /// Asks what must be met to have anything at the resource.
    pub(super) fn ask_of_resource(
        self,
        subject: &Subject,
        asked: Asked<'_>,
        hear: Hear<'_>,
    ) -> ControlFlow<Reason> {
        let (provider, resource) = (&subject.provider, &asked.resource.id);
        let nothing =
            |place| Rule { place, kind: ReasonKind::Resource, wants: Wants::Nothing, admits: false };
        let Some(id_jag) = self.worth else { return hear(nothing(Place::IdJag(provider))) };
        let Some(rule) = id_jag.allow.get(resource) else {
            return hear(nothing(Place::Assertions(provider)));
        };
        let AssertionRule { clients, scopes: _, groups, claims } = rule;
        hear(Rule {
            place: Place::Assertion(provider, resource, "clients"),
            kind: ReasonKind::Client,
            wants: Wants::Clients(clients),
            admits: clients.contains(asked.client),
        })?;
        if !groups.is_empty() {
            hear(Rule {
                place: Place::Assertion(provider, resource, "groups"),
                kind: ReasonKind::Group,
                wants: Wants::Texts(groups),
                admits: groups.iter().any(|group| subject.groups.contains(group)),
            })?;
        }
        for (path, values) in claims {
            hear(Rule {
                place: Place::Claim(provider, resource, path),
                kind: ReasonKind::Claim,
                wants: Wants::Values(values),
                admits: path.lookup(self.claims).is_some_and(|value| is_one_of(value, values)),
            })?;
        }
        ControlFlow::Continue(())
    }

    /// Asks what must be met to have this scope of it.
    pub(super) fn ask_of_scope(
        self,
        subject: &Subject,
        asked: Asked<'_>,
        scope: &Scope,
        hear: Hear<'_>,
    ) -> ControlFlow<Reason> {
        if let Some(asserted) = self.scope {
            hear(Rule {
                place: Place::Asserted,
                kind: ReasonKind::NotAsserted,
                wants: Wants::Scopes(asserted),
                admits: asserted.contains(scope),
            })?;
        }
        // Where there is no rule for the resource, that has barred it already.
        let rule = self.worth.and_then(|id_jag| id_jag.allow.get(&asked.resource.id));
        rule.map_or(ControlFlow::Continue(()), |rule| {
            hear(Rule {
                place: Place::Assertion(&subject.provider, &asked.resource.id, "scopes"),
                kind: ReasonKind::Scope,
                wants: Wants::Scopes(&rule.scopes),
                admits: rule.scopes.contains(scope),
            })
        })
    }
}
