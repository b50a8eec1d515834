//! The entry rules: who of a provider's people may come in. Pure, and asked at every sign-in.
//!
//! Every kind of rule that the operator wrote must be met; the first that is not becomes the page that the person
//! reads.

use std::fmt;

use serde_json::Value;

use super::claims::Claims;
use crate::{
    config::{
        claims::ClaimPath,
        provider::{EntryRules, IssuerRule, Provider, Requirements},
    },
    identity::verified::{Groups, VerifiedIdentity},
};

/// How many of the names that would let a person in a page lists.
const NAMES_SHOWN: usize = 3;

/// The rule that kept a person out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryRefusal {
    /// The token's tenant is not among the provider's.
    Tenant,
    /// The account has no e-mail address.
    EmailMissing,
    /// The provider does not vouch for the address.
    EmailUnverified,
    /// The address is of another domain than these.
    EmailDomain(Vec<String>),
    /// The account belongs to another hosted domain (`hd`) than these, or to none.
    HostedDomain(Vec<String>),
    /// The person is in none of these groups.
    Groups(Vec<String>),
    /// The provider did not tell the groups, because there are too many.
    GroupsUnknown,
    /// This claim has none of the values asked for.
    Claim(ClaimPath),
}

impl EntryRefusal {
    /// The rule's path below the provider in the configuration.
    pub fn rule(&self) -> String {
        match self {
            Self::Tenant => "tenants".into(),
            Self::EmailMissing | Self::EmailUnverified | Self::EmailDomain(_) => "sign_in.email_domains".into(),
            Self::HostedDomain(_) => "sign_in.hosted_domains".into(),
            Self::Groups(_) | Self::GroupsUnknown => "sign_in.require.groups".into(),
            Self::Claim(path) => format!("sign_in.require.claims.{path}"),
        }
    }

    /// What the person is told.
    pub fn in_words(&self) -> String {
        match self {
            Self::Tenant => "Your account belongs to an organization that is not let in here.".into(),
            Self::EmailMissing => {
                "Only certain e-mail addresses are let in here, and your account has none.".into()
            }
            Self::EmailUnverified => {
                "Only confirmed e-mail addresses are let in here, and yours is not confirmed.".into()
            }
            Self::EmailDomain(domains) => {
                format!("Only e-mail addresses at {} are let in here.", listed(domains))
            }
            Self::HostedDomain(domains) => format!("Only accounts of {} are let in here.", listed(domains)),
            Self::Groups(groups) => format!("Only members of {} are let in here.", listed(groups)),
            Self::GroupsUnknown => {
                "Only members of certain groups are let in here, and you are in more groups than can be checked."
                    .into()
            }
            Self::Claim(path) => {
                format!("Your account does not have what is required here (its “{path}” is not one that is let in).")
            }
        }
    }
}

/// The rule and what did not fit, for the log and the record: no address, no group of the person's.
impl fmt::Display for EntryRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Tenant => "tenant not listed",
            Self::EmailMissing => "no e-mail address",
            Self::EmailUnverified => "e-mail address not verified",
            Self::EmailDomain(_) => "other e-mail domain",
            Self::HostedDomain(_) => "other hosted domain",
            Self::Groups(_) => "in none of the groups",
            Self::GroupsUnknown => "groups not told",
            Self::Claim(_) => "other value",
        };
        write!(f, "{} ({what})", self.rule())
    }
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>();
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown.join(" or "),
        more => format!("{} or {more} more", shown.join(", ")),
    }
}

/// Whether this person may come in.
pub(super) fn admit(
    provider: &Provider,
    identity: &VerifiedIdentity,
    claims: &Claims<'_>,
) -> Result<(), EntryRefusal> {
    if let IssuerRule::Template { tenants, .. } = &provider.issuer
        && !identity.tenant.as_ref().is_some_and(|tenant| tenants.contains(tenant))
    {
        return Err(EntryRefusal::Tenant);
    }
    match &provider.sign_in {
        EntryRules::Anyone => Ok(()),
        EntryRules::Require(rules) => require(rules, identity, claims),
    }
}

fn require(
    rules: &Requirements,
    identity: &VerifiedIdentity,
    claims: &Claims<'_>,
) -> Result<(), EntryRefusal> {
    if !rules.email_domains.is_empty() {
        email_domain(&rules.email_domains, identity)?;
    }
    if !rules.hosted_domains.is_empty() {
        let hosted = claims.id_token.get("hd").and_then(Value::as_str);
        if !hosted.is_some_and(|hosted| is_one_of(hosted, &rules.hosted_domains)) {
            return Err(EntryRefusal::HostedDomain(rules.hosted_domains.clone()));
        }
    }
    if !rules.tenants.is_empty() && !identity.tenant.as_ref().is_some_and(|t| rules.tenants.contains(t)) {
        return Err(EntryRefusal::Tenant);
    }
    if !rules.groups.is_empty() {
        match &identity.groups {
            Groups::TooMany => return Err(EntryRefusal::GroupsUnknown),
            Groups::Known(names) if !rules.groups.iter().any(|group| names.contains(group)) => {
                return Err(EntryRefusal::Groups(rules.groups.clone()));
            }
            Groups::Known(_) => {}
        }
    }
    for (path, values) in &rules.claims {
        let fits = |value: &Value| values.contains(value);
        let met = claims.lookup(path).is_some_and(|value| match value {
            Value::Array(elements) => elements.iter().any(fits),
            one => fits(one),
        });
        if !met {
            return Err(EntryRefusal::Claim(path.clone()));
        }
    }
    Ok(())
}

fn email_domain(domains: &[String], identity: &VerifiedIdentity) -> Result<(), EntryRefusal> {
    let domain = identity.email.as_deref().and_then(|email| Some(email.rsplit_once('@')?.1));
    let Some(domain) = domain else { return Err(EntryRefusal::EmailMissing) };
    if !is_one_of(domain, domains) {
        return Err(EntryRefusal::EmailDomain(domains.to_vec()));
    }
    if identity.email_verified { Ok(()) } else { Err(EntryRefusal::EmailUnverified) }
}

fn is_one_of(domain: &str, domains: &[String]) -> bool {
    domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain))
}
