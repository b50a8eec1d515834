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
        ask_of_resource(self.worth, subject, asked, hear)?;
        let claims = rule_of(self.worth, asked).map(|rule| &rule.claims);
        for (path, values) in claims.into_iter().flatten() {
            hear(Rule {
                place: Place::Claim(&subject.provider, &asked.resource.id, path),
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
        ask_of_scope(self.worth, subject, asked, scope, hear)
    }
}

/// What the provider's assertions are worth at the resource.
fn rule_of<'a>(worth: Option<&'a IdJag>, asked: Asked<'_>) -> Option<&'a AssertionRule> {
    worth?.allow.get(&asked.resource.id)
}

/// Asks what any assertion of the provider must meet to give anything at the resource; of its claims, nothing.
pub(super) fn ask_of_resource(
    worth: Option<&IdJag>,
    subject: &Subject,
    asked: Asked<'_>,
    hear: Hear<'_>,
) -> ControlFlow<Reason> {
    let (provider, resource) = (&subject.provider, &asked.resource.id);
    let Some(AssertionRule { clients, scopes: _, groups, claims: _ }) = rule_of(worth, asked) else {
        let place = if worth.is_some() { Place::Assertions(provider) } else { Place::IdJag(provider) };
        return hear(Rule { place, kind: ReasonKind::Resource, wants: Wants::Nothing, admits: false });
    };
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
    ControlFlow::Continue(())
}

/// Asks whether the provider's assertions can give this scope of it.
pub(super) fn ask_of_scope(
    worth: Option<&IdJag>,
    subject: &Subject,
    asked: Asked<'_>,
    scope: &Scope,
    hear: Hear<'_>,
) -> ControlFlow<Reason> {
    // Where there is no rule for the resource, that has barred it already.
    rule_of(worth, asked).map_or(ControlFlow::Continue(()), |rule| {
        hear(Rule {
            place: Place::Assertion(&subject.provider, &asked.resource.id, "scopes"),
            kind: ReasonKind::Scope,
            wants: Wants::Scopes(&rule.scopes),
            admits: rule.scopes.contains(scope),
        })
    })
}
