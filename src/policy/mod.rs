//! Who may have what: a pure function of the user, the client, the resource and the scopes asked for.
//!
//! A client that asks for itself, with no user behind it, may have what its own entry in the configuration lists, and
//! nothing else: `allow` only ever restricts. Of `allow` it must meet `clients`; the other lists speak of people. A
//! client that comes with an assertion of the user's provider must meet that provider's `id_jag.allow` as well. One
//! that wants a grant for the authorization server of somebody else must stand in that target's `client_ids`.
//!
//! It is asked when a request is authorized and again at every refresh, with the rules as they stand then. A
//! [`Decision`] names the first rule that refused; a [`Trace`] is what every rule said, for and against.

mod assertion;
mod reason;
mod rule;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, ops::ControlFlow};

use indexmap::IndexMap;

use self::rule::{Entry, Place, Rule, Wants};
pub use self::{
    assertion::Assertion,
    reason::{Finding, Reason, ReasonKind},
};
use crate::{
    config::{
        idp::{Target, TargetResource},
        provider::id_jag::IdJag,
        resource::{Allow, Resource, ScopeRule},
    },
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

/// What a client asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The client.
    pub client: &'a ClientId,
    /// The resource that the token is for.
    pub resource: &'a Resource,
    /// The scopes; empty stands for the resource's defaults, or for what an assertion holds.
    pub scope: &'a ScopeSet,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The scopes that may be granted. Empty for a resource without scopes too: ask [`Decision::is_allowed`].
    pub granted: ScopeSet,
    /// The scopes that may not, each with the first rule that refused it.
    pub refused: Vec<(Scope, Reason)>,
    /// The rule that refused the whole request.
    pub barred: Option<Reason>,
}

impl Decision {
    /// These scopes, where no rule has anything to say.
    pub const fn of(granted: ScopeSet) -> Self {
        Self { granted, refused: Vec::new(), barred: None }
    }

    /// Nothing, for this reason.
    pub fn barred(reason: Reason) -> Self {
        Self { granted: ScopeSet::default(), refused: Vec::new(), barred: Some(reason) }
    }

    /// Whether anything may be granted: nothing bars the resource, and at least one scope is left or the resource
    /// knows none.
    pub fn is_allowed(&self) -> bool {
        self.barred.is_none() && (!self.granted.is_empty() || self.refused.is_empty())
    }

    /// The rules that refused something.
    pub fn reasons(&self) -> impl Iterator<Item = &Reason> {
        self.barred.iter().chain(self.refused.iter().map(|(_, reason)| reason))
    }
}

/// How many reasons a line of the log names; a request can ask for thousands of scopes that nobody knows.
const REASONS_SHOWN: usize = 16;

/// What refused, for the log and the record.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("policy:")?;
        for (i, reason) in self.reasons().take(REASONS_SHOWN).enumerate() {
            write!(f, "{}{reason}", if i == 0 { " " } else { ", " })?;
        }
        match self.reasons().count().saturating_sub(REASONS_SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// A decision and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The answer.
    pub decision: Decision,
    /// What every rule said, in the order in which they are asked. Rules that are absent say nothing. One that bars
    /// the resource does not keep those after it from being heard.
    pub findings: Vec<Finding>,
}

/// A question to the policy.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    party: Party<'a>,
    client: &'a ClientId,
    at: At<'a>,
    scope: &'a ScopeSet,
}

/// The entry of the configuration that is asked about: its place, its scopes and its rules.
#[derive(Debug, Clone, Copy)]
struct At<'a> {
    entry: Entry<'a>,
    scopes: &'a IndexMap<Scope, ScopeRule>,
    allow: &'a Allow,
}

/// Whom a decision is about.
#[derive(Debug, Clone, Copy)]
enum Party<'a> {
    /// A user, who is asked for her consent.
    User(&'a Subject),
    /// A user, whose provider speaks for her.
    Asserted(&'a Subject, Assertion<'a>, Asked<'a>),
    /// A user whose provider spoke for her before, by an assertion that is no longer at hand.
    Accepted(&'a Subject, Option<&'a IdJag>, Asked<'a>),
    /// The client itself, with what it was given at this resource.
    Client(Option<&'a ScopeSet>, &'a ResourceId),
    /// A user, for whom we speak to the authorization server of somebody else.
    Elsewhere(&'a Subject, &'a Target),
}

impl<'a> Party<'a> {
    const fn user(self) -> Option<&'a Subject> {
        match self {
            Self::User(subject)
            | Self::Asserted(subject, ..)
            | Self::Accepted(subject, ..)
            | Self::Elsewhere(subject, _) => Some(subject),
            Self::Client(..) => None,
        }
    }
}

/// Decides what of `asked` the subject may have.
pub fn decide(subject: &Subject, asked: Asked<'_>) -> Decision {
    Question::of_user(subject, asked).decide()
}

/// Decides what of `asked` the client may have for itself; `own` is what its entry lists.
pub fn decide_own(own: &IndexMap<ResourceId, ScopeSet>, asked: Asked<'_>) -> Decision {
    Question::of_client(own, asked).decide()
}

impl<'a> Question<'a> {
    /// What of `asked` the subject may have.
    pub const fn of_user(subject: &'a Subject, asked: Asked<'a>) -> Self {
        Self::of(Party::User(subject), asked)
    }

    /// What of `asked` the subject may have by an assertion of her provider.
    pub const fn of_assertion(subject: &'a Subject, assertion: Assertion<'a>, asked: Asked<'a>) -> Self {
        Self::of(Party::Asserted(subject, assertion, asked), asked)
    }

    /// What of `asked` the subject may have still by an assertion that was accepted before, of which nobody kept the
    /// claims: rules about them are not asked again. `worth`: what her provider's assertions are worth today.
    pub const fn of_accepted(subject: &'a Subject, worth: Option<&'a IdJag>, asked: Asked<'a>) -> Self {
        Self::of(Party::Accepted(subject, worth, asked), asked)
    }

    /// What of `asked` the client may have for itself; `own` is what its entry lists.
    pub fn of_client(own: &'a IndexMap<ResourceId, ScopeSet>, asked: Asked<'a>) -> Self {
        let id = &asked.resource.id;
        Self::of(Party::Client(own.get(id), id), asked)
    }

    /// What of `scope` the client may ask for, in the subject's name, at a resource of somebody else's authorization
    /// server.
    pub const fn of_target(
        subject: &'a Subject,
        client: &'a ClientId,
        (target, resource): (&'a Target, &'a TargetResource),
        scope: &'a ScopeSet,
    ) -> Self {
        let entry = Entry::TargetResource(&target.id, &resource.id);
        let at = At { entry, scopes: &resource.scopes, allow: &resource.allow };
        Self { party: Party::Elsewhere(subject, target), client, at, scope }
    }

    const fn of(party: Party<'a>, asked: Asked<'a>) -> Self {
        let Asked { client, resource, scope } = asked;
        let entry = Entry::Resource(&resource.id);
        Self { party, client, at: At { entry, scopes: &resource.scopes, allow: &resource.allow }, scope }
    }

    /// The answer, with the first rule that refused what was refused.
    pub fn decide(self) -> Decision {
        let first_refusal = &mut |rule: Rule<'_>| {
            if rule.admits { ControlFlow::Continue(()) } else { ControlFlow::Break(rule.reason()) }
        };
        if let ControlFlow::Break(reason) = self.ask_of_resource(first_refusal) {
            return Decision::barred(reason);
        }
        let (mut granted, mut refused) = (Vec::new(), Vec::new());
        for scope in self.candidates().iter() {
            match self.ask_of_scope(scope, first_refusal) {
                ControlFlow::Continue(()) => granted.push(scope.clone()),
                ControlFlow::Break(reason) => refused.push((scope.clone(), reason)),
            }
        }
        Decision { granted: granted.into_iter().collect(), refused, barred: None }
    }

    /// The answer, with what every rule said.
    pub fn trace(self) -> Trace {
        let mut findings = Vec::new();
        let mut note = |scope: Option<&Scope>, rule: Rule<'_>| {
            findings.push(rule.finding(scope));
            ControlFlow::Continue(())
        };
        let _ = self.ask_of_resource(&mut |rule| note(None, rule));
        for scope in self.candidates().iter() {
            let _ = self.ask_of_scope(scope, &mut |rule| note(Some(scope), rule));
        }
        Trace { decision: self.decide(), findings }
    }

    /// The scopes that are decided on.
    fn candidates(self) -> Cow<'a, ScopeSet> {
        let asserted = match self.party {
            Party::Asserted(_, assertion, _) => assertion.scope,
            Party::User(_) | Party::Accepted(..) | Party::Client(..) | Party::Elsewhere(..) => None,
        };
        match asserted {
            _ if !self.scope.is_empty() => Cow::Borrowed(self.scope),
            Some(asserted) => Cow::Borrowed(asserted),
            None => Cow::Owned(default_scope(self.at.scopes)),
        }
    }

    /// Asks what must be met to have anything at the resource.
    fn ask_of_resource(self, hear: Hear<'_>) -> ControlFlow<Reason> {
        match self.party {
            Party::User(_) => {}
            Party::Asserted(subject, assertion, asked) => assertion.ask_of_resource(subject, asked, hear)?,
            Party::Accepted(subject, worth, asked) => {
                assertion::ask_of_resource(worth, subject, asked, hear)?;
            }
            Party::Client(own, resource) => hear(self.own(own, resource, None))?,
            Party::Elsewhere(_, target) => {
                hear(Rule {
                    place: Place::TargetClients(&target.id),
                    kind: ReasonKind::Client,
                    wants: Wants::Nothing,
                    admits: target.client_ids.contains_key(self.client),
                })?;
                self.ask_allow(
                    &target.allow,
                    |key| Place::Allow(Entry::Target(&target.id), None, key),
                    hear,
                )?;
            }
        }
        self.ask_allow(self.at.allow, |key| Place::Allow(self.at.entry, None, key), hear)
    }

    /// Asks what must be met to have this scope of it.
    fn ask_of_scope(self, scope: &Scope, hear: Hear<'_>) -> ControlFlow<Reason> {
        let At { entry, scopes, .. } = self.at;
        let declared = scopes.get(scope);
        hear(Rule {
            place: Place::Scope(entry, scope),
            kind: ReasonKind::UnknownScope,
            wants: Wants::Nothing,
            admits: declared.is_some(),
        })?;
        match self.party {
            Party::User(_) | Party::Elsewhere(..) => {}
            Party::Asserted(subject, assertion, asked) => {
                assertion.ask_of_scope(subject, asked, scope, hear)?;
            }
            Party::Accepted(subject, worth, asked) => {
                assertion::ask_of_scope(worth, subject, asked, scope, hear)?;
            }
            Party::Client(own, resource) => hear(self.own(own, resource, Some(scope)))?,
        }
        declared.map_or(ControlFlow::Continue(()), |rule| {
            self.ask_allow(&rule.allow, |key| Place::Allow(entry, Some(scope), key), hear)
        })
    }

    /// Whether the client's own entry lists the resource, or a scope of it.
    fn own(self, listed: Option<&'a ScopeSet>, resource: &'a ResourceId, scope: Option<&Scope>) -> Rule<'a> {
        Rule {
            place: Place::Own(self.client, resource),
            kind: ReasonKind::NotListed,
            wants: listed.map_or(Wants::Nothing, Wants::Scopes),
            admits: listed.is_some_and(|listed| scope.is_none_or(|scope| listed.contains(scope))),
        }
    }

    /// Asks the lists of an `allow`. Those that are empty restrict nothing and say nothing; most speak of people alone.
    fn ask_allow<'r>(
        self,
        allow: &'r Allow,
        place: impl Fn(&'static str) -> Place<'r>,
        hear: Hear<'_>,
    ) -> ControlFlow<Reason> {
        let Allow { organizations, providers, groups, clients } = allow;
        if let Some(user) = self.party.user() {
            if !organizations.is_empty() {
                hear(Rule {
                    place: place("organizations"),
                    kind: ReasonKind::Organization,
                    wants: Wants::Texts(organizations),
                    admits: user.organization.as_ref().is_some_and(|own| organizations.contains(own)),
                })?;
            }
            if !providers.is_empty() {
                hear(Rule {
                    place: place("providers"),
                    kind: ReasonKind::Provider,
                    wants: Wants::Providers(providers),
                    admits: providers.contains(&user.provider),
                })?;
            }
            if !groups.is_empty() {
                hear(Rule {
                    place: place("groups"),
                    kind: ReasonKind::Group,
                    wants: Wants::Texts(groups),
                    admits: groups.iter().any(|group| user.groups.contains(group)),
                })?;
            }
        }
        if !clients.is_empty() {
            hear(Rule {
                place: place("clients"),
                kind: ReasonKind::Client,
                wants: Wants::Clients(clients),
                admits: clients.contains(self.client),
            })?;
        }
        ControlFlow::Continue(())
    }
}

/// Who is told what each rule says, one after another, and may stop the questioning.
type Hear<'h> = &'h mut dyn FnMut(Rule<'_>) -> ControlFlow<Reason>;

/// What is granted when no scope is asked for (OAuth 2.1 §1.4.1).
fn default_scope(scopes: &IndexMap<Scope, ScopeRule>) -> ScopeSet {
    scopes.iter().filter(|(_, rule)| rule.default).map(|(scope, _)| scope.clone()).collect()
}
