//! One rule: where it stands in the configuration, what it asks for, and whether it is met. Texts are made only for
//! those rules that somebody wants to read.

use std::fmt;

use serde_json::Value;

use super::{Finding, Reason, ReasonKind};
use crate::{
    config::claims::ClaimPath,
    ids::{ClientId, ProviderId, ResourceId, TargetId},
    oauth::scope::{Scope, ScopeSet},
};

/// A rule that was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule<'a> {
    pub(super) place: Place<'a>,
    pub(super) kind: ReasonKind,
    pub(super) wants: Wants<'a>,
    pub(super) admits: bool,
}

/// Where a rule stands in the configuration.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// `resources.R.scopes.S`
    Scope(Entry<'a>, &'a Scope),
    /// `resources.R.allow.KEY` or `resources.R.scopes.S.allow.KEY`
    Allow(Entry<'a>, Option<&'a Scope>, &'static str),
    /// `idp.targets.T.client_ids`
    TargetClients(&'a TargetId),
    /// `clients.C.resources.R`
    Own(&'a ClientId, &'a ResourceId),
    /// `providers.P.id_jag`
    IdJag(&'a ProviderId),
    /// `providers.P.id_jag.allow`
    Assertions(&'a ProviderId),
    /// `providers.P.id_jag.allow.R.KEY`
    Assertion(&'a ProviderId, &'a ResourceId, &'static str),
    /// `providers.P.id_jag.allow.R.claims.PATH`
    Claim(&'a ProviderId, &'a ResourceId, &'a ClaimPath),
    /// The assertion's own claim `scope`.
    Asserted,
}

/// An entry with rules.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry<'a> {
    /// `resources.R`
    Resource(&'a ResourceId),
    /// `idp.targets.T`
    Target(&'a TargetId),
    /// `idp.targets.T.resources.R`
    TargetResource(&'a TargetId, &'a ResourceId),
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource(id) => write!(f, "resources.{id}"),
            Self::Target(id) => write!(f, "idp.targets.{id}"),
            Self::TargetResource(target, id) => write!(f, "idp.targets.{target}.resources.{id}"),
        }
    }
}

/// What a rule asks for: any of these.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wants<'a> {
    Nothing,
    Texts(&'a [String]),
    Providers(&'a [ProviderId]),
    Clients(&'a [ClientId]),
    Scopes(&'a ScopeSet),
    Values(&'a [Value]),
}

impl Rule<'_> {
    pub(super) fn reason(&self) -> Reason {
        Reason { rule: self.place.to_string(), kind: self.kind }
    }

    pub(super) fn finding(&self, scope: Option<&Scope>) -> Finding {
        Finding {
            scope: scope.cloned(),
            rule: self.place.to_string(),
            kind: self.kind,
            wants: self.wants.to_string(),
            admits: self.admits,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scope(entry, scope) => write!(f, "{entry}.scopes.{scope}"),
            Self::Allow(entry, None, key) => write!(f, "{entry}.allow.{key}"),
            Self::Allow(entry, Some(scope), key) => write!(f, "{entry}.scopes.{scope}.allow.{key}"),
            Self::TargetClients(target) => write!(f, "idp.targets.{target}.client_ids"),
            Self::Own(client, resource) => write!(f, "clients.{client}.resources.{resource}"),
            Self::IdJag(provider) => write!(f, "providers.{provider}.id_jag"),
            Self::Assertions(provider) => write!(f, "providers.{provider}.id_jag.allow"),
            Self::Assertion(provider, resource, key) => {
                write!(f, "providers.{provider}.id_jag.allow.{resource}.{key}")
            }
            Self::Claim(provider, resource, path) => {
                write!(f, "providers.{provider}.id_jag.allow.{resource}.claims.{path}")
            }
            Self::Asserted => f.write_str("the assertion's scope"),
        }
    }
}

impl fmt::Display for Wants<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn listed<T: fmt::Display>(
            f: &mut fmt::Formatter<'_>,
            values: impl IntoIterator<Item = T>,
        ) -> fmt::Result {
            values
                .into_iter()
                .enumerate()
                .try_for_each(|(i, value)| write!(f, "{}{value}", if i == 0 { "" } else { ", " }))
        }
        match self {
            Self::Nothing => Ok(()),
            Self::Texts(texts) => listed(f, *texts),
            Self::Providers(providers) => listed(f, *providers),
            Self::Clients(clients) => listed(f, *clients),
            Self::Scopes(scopes) => listed(f, scopes.iter()),
            Self::Values(values) => listed(f, *values),
        }
    }
}
