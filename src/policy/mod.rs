//! Who may have what: a pure function of the user, the client, the resource and the scopes asked for.
//!
//! A client that asks for itself, with no user behind it, may have what its own entry in the configuration lists, and
//! nothing else: `allow` only ever restricts. Of `allow` it must meet `clients`; the other lists speak of people.
//!
//! It is asked when a request is authorized and again at every refresh, with the rules as they stand then. Every
//! refusal names the rule that spoke, by its path in the configuration.

use std::fmt;

use indexmap::IndexMap;

use crate::{
    config::resource::{Allow, Resource},
    ids::{ClientId, ProviderId, ResourceId},
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

/// Whom a decision is about.
#[derive(Debug, Clone, Copy)]
enum Party<'a> {
    /// A user.
    User(&'a Subject),
    /// The client itself, with what it was given.
    Client(&'a IndexMap<ResourceId, ScopeSet>),
}

/// What a client asks for.
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
    /// The client asks for itself, and its own entry does not list it.
    NotListed,
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
            Self::NotListed => "not_listed",
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
            Self::NotListed => "it was not given to this application itself",
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
    judge(Party::User(subject), asked)
}

/// Decides what of `asked` the client may have for itself; `own` is what its entry lists.
pub fn decide_own(own: &IndexMap<ResourceId, ScopeSet>, asked: Asked<'_>) -> Decision {
    judge(Party::Client(own), asked)
}

fn judge(party: Party<'_>, asked: Asked<'_>) -> Decision {
    let resource = asked.resource;
    let path = format!("resources.{}", resource.id);
    let bar = unlisted(party, asked, None).or_else(|| objection(party, asked.client, &resource.allow, &path));
    if let Some(reason) = bar {
        return Decision { granted: ScopeSet::default(), refused: Vec::new(), barred: Some(reason) };
    }
    let requested = if asked.scope.is_empty() { default_scope(resource) } else { asked.scope.clone() };
    let mut granted = Vec::new();
    let mut refused = Vec::new();
    for scope in requested.iter() {
        let path = format!("{path}.scopes.{scope}");
        let reason = match resource.scopes.get(scope) {
            None => Some(Reason { rule: path, kind: ReasonKind::UnknownScope }),
            Some(rule) => unlisted(party, asked, Some(scope))
                .or_else(|| objection(party, asked.client, &rule.allow, &path)),
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

/// Why a client that asks for itself may not have the resource, or a scope of it; no reason where a user stands behind
/// it.
fn unlisted(party: Party<'_>, asked: Asked<'_>, scope: Option<&Scope>) -> Option<Reason> {
    let Party::Client(own) = party else { return None };
    let listed = own.get(&asked.resource.id);
    if listed.is_some_and(|listed| scope.is_none_or(|scope| listed.contains(scope))) {
        return None;
    }
    let rule = format!("clients.{}.resources.{}", asked.client, asked.resource.id);
    Some(Reason { rule, kind: ReasonKind::NotListed })
}

/// The first kind of `allow` that does not admit this party and client. Kinds that are empty restrict nothing.
fn objection(party: Party<'_>, client: &ClientId, allow: &Allow, path: &str) -> Option<Reason> {
    let because = |kind, key: &str| Some(Reason { rule: format!("{path}.allow.{key}"), kind });
    if let Party::User(subject) = party {
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
    }
    if !allow.clients.is_empty() && !allow.clients.contains(client) {
        return because(ReasonKind::Client, "clients");
    }
    None
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::{Config, environment::Environment};

    const FILE: &str = r#"
server: { issuer: "https://auth.acme.com" }
database: { url: "sqlite://c.db" }
encryption: { keys: [{ id: k, key: kQx0vYc0bq7Jz5mWk8sN1eTfRgUhXiLoKpQx0vYc0bo= }] }
resources:
  tickets:
    uri: https://mcp.acme.com/tickets
    name: Tickets
    allow: { organizations: [acme], providers: [google], groups: [staff] }
    scopes:
      read: { description: Read, default: true }
      write: { description: Write, default: true }
      close: { description: Close, allow: { groups: [support] } }
      purge: { description: Purge, allow: { clients: [other] } }
  wiki:
    uri: https://mcp.acme.com/wiki
    name: Wiki
    allow: { clients: [other] }
    scopes: { read: { description: Read, default: true } }
  blog:
    uri: https://mcp.acme.com/blog
    name: Blog
    scopes: { read: { description: Read, default: true } }
clients:
  nightly:
    secret: 0123456789abcdef
    grant_types: [client_credentials]
    resources: { tickets: [read, close, purge], wiki: [read] }
  other: { secret: 0123456789abcdef, redirect_uris: ["https://other.acme.com/cb"] }
providers:
  google: { preset: google, client_id: c, client_secret: s, organization: acme, sign_in: { anyone: true } }
"#;

    fn decided(resource: &str, scope: &str) -> Decision {
        let config = Config::parse(FILE, "c.yaml", &Environment::of([])).unwrap_or_else(|p| panic!("{p}"));
        let client = ClientId::try_from("nightly".to_owned()).unwrap();
        let resource = &config.resources[&ResourceId::try_from(resource.to_owned()).unwrap()];
        let scope = ScopeSet::parse(scope).unwrap();
        decide_own(&config.clients[&client].resources, Asked { client: &client, resource, scope: &scope })
    }

    #[rstest]
    #[case::listed("tickets", "read", "read", "")]
    #[case::the_listed_defaults("tickets", "", "read", "clients.nightly.resources.tickets (not_listed)")]
    #[case::rules_for_people_are_not_asked("tickets", "read close", "close read", "")]
    #[case::not_listed("tickets", "write", "", "clients.nightly.resources.tickets (not_listed)")]
    #[case::unknown("tickets", "fly", "", "resources.tickets.scopes.fly (unknown_scope)")]
    #[case::rules_for_clients_are_asked(
        "tickets",
        "purge read",
        "read",
        "resources.tickets.scopes.purge.allow.clients (client)"
    )]
    #[case::of_the_resource_too("wiki", "read", "", "resources.wiki.allow.clients (client)")]
    #[case::open_to_people_is_not_open_to_machines(
        "blog",
        "read",
        "",
        "clients.nightly.resources.blog (not_listed)"
    )]
    fn a_client_has_for_itself_what_its_entry_lists(
        #[case] resource: &str,
        #[case] scope: &str,
        #[case] granted: &str,
        #[case] why: &str,
    ) {
        let decision = decided(resource, scope);
        let reasons = decision.barred.iter().chain(decision.refused.iter().map(|(_, reason)| reason));
        let reasons: Vec<_> = reasons.map(ToString::to_string).collect();
        assert_eq!((decision.granted.to_string().as_str(), reasons.join(", ").as_str()), (granted, why));
        assert_eq!(decision.is_allowed(), !granted.is_empty());
    }
}
