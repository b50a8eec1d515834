//! Who may have what: a pure function of the user, the client, the resource and the scopes asked for.
//!
//! It is asked when a request is authorized and again at every refresh, with the rules as they stand then. Every
//! refusal names the rule that spoke, by its path in the configuration.

use std::fmt;

use crate::{
    config::resource::{Allow, Resource},
    ids::{ClientId, ProviderId},
    oauth::scope::{Scope, ScopeSet},
};

/// The facts about a user that rules may speak of, as her provider last stated them.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The provider through which she came.
    pub provider: ProviderId,
    /// The operator's tenant that the provider's users belong to.
    pub organization: Option<String>,
    /// Her groups at the provider.
    pub groups: Vec<String>,
}

/// What a client asks for on a user's behalf.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The client.
    pub client: &'a ClientId,
    /// The resource that the token is for.
    pub resource: &'a Resource,
    /// The scopes; empty stands for the resource's defaults.
    pub scope: &'a ScopeSet,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The scopes that may be granted. Empty for a resource without scopes too: ask [`Decision::is_allowed`].
    pub granted: ScopeSet,
    /// The scopes that may not, each with the first rule that refused it.
    pub refused: Vec<(Scope, Reason)>,
    /// The rule of the resource that refused the whole request.
    pub barred: Option<Reason>,
}

impl Decision {
    /// Whether anything may be granted: nothing bars the resource, and at least one scope is left or the resource
    /// knows none.
    pub fn is_allowed(&self) -> bool {
        self.barred.is_none() && (!self.granted.is_empty() || self.refused.is_empty())
    }
}

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The rule's path in the configuration, such as `resources.tickets.allow.groups`.
    pub rule: String,
    /// What did not fit.
    pub kind: ReasonKind,
}

/// What did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasonKind {
    /// The resource declares no scope of this name.
    UnknownScope,
    /// The user's organization is not among those named.
    Organization,
    /// The user's provider is not among those named.
    Provider,
    /// The user is in none of the groups named.
    Group,
    /// The client is not among those named.
    Client,
}

impl ReasonKind {
    /// Its name in the audit record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownScope => "unknown_scope",
            Self::Organization => "organization",
            Self::Provider => "provider",
            Self::Group => "group",
            Self::Client => "client",
        }
    }

    /// What the user is told.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::UnknownScope => "this service does not offer it",
            Self::Organization => "it is reserved for another organization",
            Self::Provider => "it is not open to people who sign in the way you did",
            Self::Group => "it is reserved for groups that you are not in",
            Self::Client => "it is not open to this application",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.rule, self.kind.as_str())
    }
}

/// Decides what of `asked` the subject may have.
pub fn decide(subject: &Subject, asked: Asked<'_>) -> Decision {
    let resource = asked.resource;
    let path = format!("resources.{}", resource.id);
    if let Some(reason) = objection(subject, asked.client, &resource.allow, &path) {
        return Decision { granted: ScopeSet::default(), refused: Vec::new(), barred: Some(reason) };
    }
    let requested = if asked.scope.is_empty() { default_scope(resource) } else { asked.scope.clone() };
    let mut granted = Vec::new();
    let mut refused = Vec::new();
    for scope in requested.iter() {
        let path = format!("{path}.scopes.{scope}");
        let reason = match resource.scopes.get(scope) {
            None => Some(Reason { rule: path, kind: ReasonKind::UnknownScope }),
            Some(rule) => objection(subject, asked.client, &rule.allow, &path),
        };
        match reason {
            None => granted.push(scope.clone()),
            Some(reason) => refused.push((scope.clone(), reason)),
        }
    }
    Decision { granted: granted.into_iter().collect(), refused, barred: None }
}

/// What is granted when no scope is asked for (OAuth 2.1 §1.4.1).
fn default_scope(resource: &Resource) -> ScopeSet {
    resource.scopes.iter().filter(|(_, rule)| rule.default).map(|(scope, _)| scope.clone()).collect()
}

/// The first kind of `allow` that does not admit this subject and client. Kinds that are empty restrict nothing.
fn objection(subject: &Subject, client: &ClientId, allow: &Allow, path: &str) -> Option<Reason> {
    let because = |kind, key: &str| Some(Reason { rule: format!("{path}.allow.{key}"), kind });
    let organizations = &allow.organizations;
    if !organizations.is_empty()
        && !subject.organization.as_ref().is_some_and(|own| organizations.contains(own))
    {
        return because(ReasonKind::Organization, "organizations");
    }
    if !allow.providers.is_empty() && !allow.providers.contains(&subject.provider) {
        return because(ReasonKind::Provider, "providers");
    }
    if !allow.groups.is_empty() && !allow.groups.iter().any(|group| subject.groups.contains(group)) {
        return because(ReasonKind::Group, "groups");
    }
    if !allow.clients.is_empty() && !allow.clients.contains(client) {
        return because(ReasonKind::Client, "clients");
    }
    None
}
