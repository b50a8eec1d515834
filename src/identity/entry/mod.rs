//! The entry rules: who of a provider's people may come in. Pure, and asked whenever a provider vouches for somebody,
//! and again of what it said last, before every token.
//!
//! Every kind of rule that the operator wrote must be met; the first that is not becomes the page that the person
//! reads.

mod refusal;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::Value;

pub use self::refusal::EntryRefusal;
use super::verified::{Groups, VerifiedIdentity};
use crate::{
    config::{
        claims::{self, ClaimPath},
        provider::{EntryRules, IssuerRule, Provider, Requirements, Tenants},
    },
    jose::json::Object,
    policy::{Reason, ReasonKind},
    store::identities::Identity,
};

/// Google's claim that names the Workspace domain of an account.
const HOSTED_DOMAIN: &str = "hd";
/// Claims that tell how somebody signed in and not who she is: an assertion's own silence about them stands.
const OF_A_SIGN_IN: [&str; 3] = ["acr", "amr", "auth_time"];
/// The longest text, and the longest list, of a claim that is kept.
const MAX_KEPT_BYTES: usize = 512;
const MAX_KEPT_ELEMENTS: usize = 200;

/// One kind of rule that the operator wrote.
#[derive(Debug, Clone, Copy)]
pub enum EntryRule<'a> {
    /// The tenants of an issuer that has several.
    Tenants(&'a Tenants),
    /// Domains of a verified address.
    EmailDomains(&'a [String]),
    /// Values of `hd`.
    HostedDomains(&'a [String]),
    /// Tenants, further narrowed.
    RequiredTenants(&'a [String]),
    /// Groups.
    Groups(&'a [String]),
    /// Values of any other claim.
    Claim(&'a ClaimPath, &'a [Value]),
}

/// Every rule of a provider's, in the order in which they are asked.
pub fn rules(provider: &Provider) -> impl Iterator<Item = EntryRule<'_>> {
    let tenants = match &provider.issuer {
        IssuerRule::Template { tenants, .. } => Some(EntryRule::Tenants(tenants)),
        IssuerRule::Exact(_) => None,
    };
    let required = match &provider.sign_in {
        EntryRules::Anyone => None,
        EntryRules::Require(required) => Some(required),
    };
    let required = required.into_iter().flat_map(|rules| {
        let Requirements { email_domains, hosted_domains, tenants, groups, claims } = rules;
        let lists = [
            EntryRule::EmailDomains(email_domains),
            EntryRule::HostedDomains(hosted_domains),
            EntryRule::RequiredTenants(tenants),
            EntryRule::Groups(groups),
        ];
        let claims = claims.iter().map(|(path, values)| EntryRule::Claim(path, values));
        lists.into_iter().filter(|rule| !rule.is_absent()).chain(claims)
    });
    tenants.into_iter().chain(required)
}

/// Whether this person may come in.
pub fn admit(who: &VerifiedIdentity<'_>) -> Result<(), EntryRefusal> {
    rules(who.provider).try_for_each(|rule| rule.ask(who))
}

/// Why she may no longer come in, by what her provider said last.
pub fn bar(provider: &Provider, identity: &Identity) -> Option<Reason> {
    // Most providers that let in anyone have no rules at all.
    rules(provider).next()?;
    let refusal = admit(&VerifiedIdentity::remembered(provider, identity)).err()?;
    Some(Reason { rule: format!("providers.{}.{}", provider.id, refusal.rule()), kind: ReasonKind::Entry })
}

/// What is kept of the claims that the rules read: without them, no rule could be asked again when she is not there.
pub fn kept(who: &VerifiedIdentity<'_>) -> Object {
    let claims = rules(who.provider).filter_map(|rule| {
        let (name, named) = rule.claim()?;
        Some((name.to_owned(), worth_keeping(rule.said(who)?, named)?))
    });
    claims.collect()
}

/// Adds to what an assertion says what it is silent about, of the claims that the rules read.
pub(super) fn complete(who: &mut VerifiedIdentity<'_>, known: &Object) {
    for rule in rules(who.provider) {
        let Some((name, _)) = rule.claim().filter(|(name, _)| !OF_A_SIGN_IN.contains(name)) else { continue };
        if rule.said(who).is_none()
            && let Some(value) = known.get(name)
        {
            who.claims.signed.insert(name.to_owned(), value.clone());
        }
    }
}

/// What a rule could be met by: texts, numbers, truths, and lists of them. Of more than is sensible, only what the rule
/// names.
fn worth_keeping(value: &Value, named: &[Value]) -> Option<Value> {
    let is_small = |value: &Value| match value {
        Value::String(text) => text.len() <= MAX_KEPT_BYTES && !text.contains('\0'),
        Value::Bool(_) | Value::Number(_) => true,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    let Value::Array(elements) = value else { return is_small(value).then(|| value.clone()) };
    let mut kept: Vec<_> = elements.iter().filter(|element| is_small(element)).cloned().collect();
    if kept.len() > MAX_KEPT_ELEMENTS {
        kept.retain(|element| named.contains(element));
    }
    Some(Value::Array(kept))
}

impl EntryRule<'_> {
    const fn is_absent(&self) -> bool {
        match self {
            Self::Tenants(_) | Self::Claim(..) => false,
            Self::EmailDomains(named)
            | Self::HostedDomains(named)
            | Self::RequiredTenants(named)
            | Self::Groups(named) => named.is_empty(),
        }
    }

    /// Its path below the provider in the configuration.
    pub fn path(&self) -> Cow<'static, str> {
        match self {
            Self::Tenants(_) => "tenants".into(),
            Self::EmailDomains(_) => "sign_in.email_domains".into(),
            Self::HostedDomains(_) => "sign_in.require.hosted_domains".into(),
            Self::RequiredTenants(_) => "sign_in.require.tenants".into(),
            Self::Groups(_) => "sign_in.require.groups".into(),
            Self::Claim(path, _) => format!("sign_in.require.claims.{path}").into(),
        }
    }

    /// What it asks for: any of these.
    pub fn wants(&self) -> Vec<String> {
        match self {
            Self::Tenants(tenants) => tenants.iter().map(str::to_owned).collect(),
            Self::EmailDomains(named)
            | Self::HostedDomains(named)
            | Self::RequiredTenants(named)
            | Self::Groups(named) => named.to_vec(),
            Self::Claim(_, values) => values.iter().map(ToString::to_string).collect(),
        }
    }

    /// Whether this person meets it.
    pub fn ask(&self, who: &VerifiedIdentity<'_>) -> Result<(), EntryRefusal> {
        let refused = match *self {
            Self::Tenants(tenants) => {
                let is_listed = who.tenant.as_ref().is_some_and(|tenant| tenants.contains(tenant));
                (!is_listed).then_some(EntryRefusal::Tenant("tenants"))
            }
            Self::EmailDomains(domains) => return email_domain(domains, who),
            Self::HostedDomains(domains) => {
                let hosted = self.said(who).and_then(Value::as_str);
                let is_listed = hosted.is_some_and(|hosted| is_one_of(hosted, domains));
                (!is_listed).then(|| EntryRefusal::HostedDomain(domains.to_vec()))
            }
            Self::RequiredTenants(tenants) => {
                let is_listed = who.tenant.as_ref().is_some_and(|tenant| tenants.contains(tenant));
                (!is_listed).then_some(EntryRefusal::Tenant("sign_in.require.tenants"))
            }
            Self::Groups(groups) => match &who.groups {
                Groups::TooMany => Some(EntryRefusal::GroupsUnknown),
                Groups::Known(names) if groups.iter().any(|group| names.contains(group)) => None,
                Groups::Known(_) | Groups::Unsaid => Some(EntryRefusal::Groups(groups.to_vec())),
            },
            Self::Claim(path, values) => {
                let is_met = self.said(who).is_some_and(|value| claims::is_one_of(value, values));
                (!is_met).then(|| EntryRefusal::Claim(path.clone()))
            }
        };
        refused.map_or(Ok(()), Err)
    }

    /// The claim that it reads, where that is no fact of an identity's own, and the values that it names.
    fn claim(&self) -> Option<(&str, &[Value])> {
        match *self {
            Self::HostedDomains(_) => Some((HOSTED_DOMAIN, &[])),
            Self::Claim(path, values) => Some((path.as_str(), values)),
            Self::Tenants(_) | Self::EmailDomains(_) | Self::RequiredTenants(_) | Self::Groups(_) => None,
        }
    }

    /// What is said of that claim.
    fn said<'w>(&self, who: &'w VerifiedIdentity<'_>) -> Option<&'w Value> {
        match self {
            Self::HostedDomains(_) => who.claims.signed.get(HOSTED_DOMAIN),
            Self::Claim(path, _) => who.claims.lookup(path),
            Self::Tenants(_) | Self::EmailDomains(_) | Self::RequiredTenants(_) | Self::Groups(_) => None,
        }
    }
}

fn email_domain(domains: &[String], who: &VerifiedIdentity<'_>) -> Result<(), EntryRefusal> {
    let domain = who.email.as_deref().and_then(|email| Some(email.rsplit_once('@')?.1));
    let Some(domain) = domain else { return Err(EntryRefusal::EmailMissing) };
    if !is_one_of(domain, domains) {
        return Err(EntryRefusal::EmailDomain(domains.to_vec()));
    }
    if who.email_verified == Some(true) { Ok(()) } else { Err(EntryRefusal::EmailUnverified) }
}

fn is_one_of(domain: &str, domains: &[String]) -> bool {
    domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain))
}
