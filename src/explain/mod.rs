//! Why somebody may, or may not: an operator's question, answered with every rule that speaks to it, for and against.
//!
//! The rules are asked by the same code as at the endpoints, of the same facts; nothing is written, nobody outside is
//! asked, but for the keys of an assertion that is at hand. A [`Case`] is the question, a [`Way`] one of the ways in
//! which the client could come by a token, and what stands in each way is a list of [`Finding`]s in the order in which
//! the endpoints ask.

mod assertion;
mod client;
mod person;
mod recorded;
mod ways;

use serde::Serialize;

pub use self::{
    assertion::{NoAnswer, Pasted, of_assertion_at_hand},
    client::{Asker, Known},
    person::{Found, find},
    recorded::{Again, Refused, of_reference},
    ways::{Case, itself},
};
use crate::{
    config::{places::Places, resource::Resource},
    ids::{ClientId, ProviderId},
    oauth::scope::ScopeSet,
    policy,
    store::{
        Db, StoreError,
        identities::Account,
        switched_off::{self, Switch},
    },
};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// For whom; nobody where the client asks for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Person>,
    /// Who asks.
    pub client: Asker,
    /// Where; nowhere while it is not known where an assertion is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Target>,
    /// What; empty for what is given to whoever asks for nothing.
    pub scope: String,
    /// How it could be had.
    pub ways: Vec<Way>,
}

/// A user, by what is known of her.
#[derive(Debug, Serialize)]
pub struct Person {
    /// Chancery's id of her.
    pub id: String,
    /// Her name.
    pub name: Option<String>,
    /// Her address.
    pub email: Option<String>,
    /// The provider through which she came.
    pub provider: String,
    /// Who names her.
    pub issuer: String,
    /// What it calls her.
    pub subject: String,
    /// The operator's tenant.
    pub organization: Option<String>,
    /// Her groups, as her provider said last.
    pub groups: Vec<String>,
    /// When she last came.
    pub last_seen_at: String,
}

/// A resource.
#[derive(Debug, Serialize)]
pub struct Target {
    /// Its name in the configuration.
    pub id: String,
    /// Its URI.
    pub uri: String,
}

/// A way to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The user signs in and is asked.
    Consent,
    /// The client refreshes what she allowed before.
    Refresh,
    /// The client presents an assertion of her provider.
    Assertion,
    /// The client asks for itself.
    #[value(skip)]
    Itself,
}

/// One way, and what stands in it.
#[derive(Debug, Serialize)]
pub struct Way {
    /// Which way.
    pub by: By,
    /// Whether it leads to a token.
    pub allowed: bool,
    /// What the token would allow.
    pub granted: String,
    /// Every rule that spoke.
    pub findings: Vec<Finding>,
}

/// What one rule said.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Whether it is met.
    pub admits: bool,
    /// The scope that it was asked about; none: everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Its path in the configuration, or what it is about where it is no setting.
    pub rule: String,
    /// Where it stands in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What it asks for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub wants: String,
}

impl Explanation {
    /// Whether any way leads to a token.
    pub fn is_allowed(&self) -> bool {
        self.ways.iter().any(|way| way.allowed)
    }

    /// Says of every rule where it stands.
    pub fn locate(&mut self, places: &Places) {
        for finding in self.ways.iter_mut().flat_map(|way| &mut way.findings) {
            finding.at = places.of(&finding.rule);
        }
    }
}

impl Way {
    /// What comes of these findings: nothing while one of them, about everything, is against it. Those about one scope
    /// stand together, in the order in which they were asked.
    fn new(by: By, mut findings: Vec<Finding>, granted: &ScopeSet) -> Self {
        findings.sort_by(|one, other| one.scope.cmp(&other.scope));
        let barred = findings.iter().any(|finding| finding.scope.is_none() && !finding.admits);
        let scopes = findings.iter().any(|finding| finding.scope.is_some());
        let allowed = !barred && (!granted.is_empty() || !scopes);
        let granted = if allowed { granted.to_string() } else { String::new() };
        Self { by, allowed, granted, findings }
    }
}

impl Way {
    /// The same while something is switched off, which bars every way.
    fn unless(mut self, off: &[Finding]) -> Self {
        if !off.is_empty() {
            self.findings.splice(0..0, off.iter().cloned());
            (self.allowed, self.granted) = (false, String::new());
        }
        self
    }
}

/// What an operator has switched off of these two. A switch speaks only while it is off.
async fn switched_off(
    db: &Db,
    client: &ClientId,
    provider: Option<&ProviderId>,
) -> Result<Vec<Finding>, StoreError> {
    let mut off = Vec::new();
    if switched_off::is_off(db, Switch::Client(client)).await? {
        off.push(Finding::of(format!("clients.{client}"), "not switched off", false));
    }
    if let Some(provider) = provider
        && switched_off::is_off(db, Switch::Provider(provider)).await?
    {
        off.push(Finding::of(format!("providers.{provider}"), "not switched off", false));
    }
    Ok(off)
}

impl Finding {
    /// What is asked beside the policy.
    fn of(rule: impl Into<String>, wants: impl Into<String>, admits: bool) -> Self {
        Self { admits, scope: None, rule: rule.into(), at: None, wants: wants.into() }
    }
}

impl From<policy::Finding> for Finding {
    fn from(finding: policy::Finding) -> Self {
        let policy::Finding { scope, rule, kind: _, wants, admits } = finding;
        Self { admits, scope: scope.map(String::from), rule, at: None, wants }
    }
}

impl From<&Account> for Person {
    fn from(account: &Account) -> Self {
        let identity = account.identity.clone();
        Self {
            id: identity.user_id.to_string(),
            name: identity.name,
            email: identity.email,
            provider: identity.provider.to_string(),
            issuer: identity.issuer,
            subject: identity.subject,
            organization: identity.organization,
            groups: identity.groups.0,
            last_seen_at: identity.last_seen_at.to_string(),
        }
    }
}

impl From<&Resource> for Target {
    fn from(resource: &Resource) -> Self {
        Self { id: resource.id.to_string(), uri: resource.uri.to_string() }
    }
}
