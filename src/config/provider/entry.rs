//! `sign_in:` who may come in through a provider, and who is sent there.

use indexmap::IndexMap;
use serde_json::Value;

use crate::config::{
    claims::{ClaimPath, ClaimPaths},
    form::{mail_domain, one_of, text},
    reader::Section,
};

/// Who may come in.
#[derive(Debug, Clone)]
pub enum EntryRules {
    /// Whoever the provider lets in. Said aloud (`anyone: true`), never assumed.
    Anyone,
    /// Those who meet this.
    Require(Requirements),
}

/// Every kind that is present must be met; within a kind any value will do. At least one kind is present.
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    /// Domains of a verified e-mail address, lower case, subdomains not included.
    pub email_domains: Vec<String>,
    /// Values of the `hd` claim.
    pub hosted_domains: Vec<String>,
    /// Values of the tenant claim.
    pub tenants: Vec<String>,
    /// Groups, by the groups claim.
    pub groups: Vec<String>,
    /// Values of any other claim; a claim that is a list meets the rule by any of its elements.
    pub claims: IndexMap<ClaimPath, Vec<Value>>,
}

impl Requirements {
    pub(in crate::config) fn is_empty(&self) -> bool {
        let Self { email_domains, hosted_domains, tenants, groups, claims } = self;
        [email_domains, hosted_domains, tenants, groups].iter().all(|kind| kind.is_empty())
            && claims.is_empty()
    }
}

/// Where it ends when a person signs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Logout {
    /// Here: at the provider she stays signed in, with all that she uses by it.
    #[default]
    Here,
    /// At the provider, which her browser is sent on to (OpenID Connect RP-Initiated Logout 1.0).
    Provider,
}

const LOGOUTS: [(&str, Logout); 2] = [("here", Logout::Here), ("provider", Logout::Provider)];

/// Whom a refresh asks whether a person still stands as she did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recheck {
    /// Ourselves: the rules of today, by what her provider said of her last.
    #[default]
    Here,
    /// Her provider as well, by the tokens of her sign-in.
    Upstream,
}

const RECHECKS: [(&str, Recheck); 2] = [("here", Recheck::Here), ("upstream", Recheck::Upstream)];

/// The section, read.
pub(super) struct SignIn {
    pub(super) rules: EntryRules,
    pub(super) route_domains: Vec<String>,
    pub(super) logout: Logout,
    pub(super) recheck: Recheck,
}

impl SignIn {
    /// `already`: what the preset's parameters demand on their own.
    pub(super) fn read(provider: &Section<'_>, already: Requirements, claims: &ClaimPaths) -> Option<Self> {
        provider.section("sign_in", |section| {
            let anyone = section.flag("anyone");
            let email_domains = section.restriction("email_domains", mail_domain);
            let route_domains = section.list("route_domains", mail_domain);
            let logout = section.optional("logout", one_of(&LOGOUTS)).unwrap_or_default();
            let recheck = section.optional("recheck", one_of(&RECHECKS)).unwrap_or_default();
            let (requirements, stricter) = section.section("require", |require| {
                let stricter = require.has_any();
                (read_requirements(require, email_domains, already, claims), stricter)
            });
            let stricter = stricter || section.has("email_domains");
            if anyone == Some(true) && stricter {
                section
                    .problem("anyone", "stands beside rules that not anyone meets; remove one or the other");
            } else if anyone != Some(true) && requirements.is_empty() && !stricter {
                let what = if provider.has("sign_in") { "lets nobody in" } else { "is missing" };
                section.problem_here(format!("{what}: {WHO}"));
            }
            let route_domains = route_domains.unwrap_or_else(|| {
                requirements.email_domains.iter().chain(&requirements.hosted_domains).cloned().collect()
            });
            let rules = if requirements.is_empty() {
                (anyone == Some(true)).then_some(EntryRules::Anyone)
            } else {
                Some(EntryRules::Require(requirements))
            };
            Some(Self { rules: rules?, route_domains, logout, recheck })
        })
    }
}

const WHO: &str = "say who may come in by email_domains or require, or write anyone: true";

fn read_requirements(
    section: &Section<'_>,
    email_domains: Vec<String>,
    already: Requirements,
    claims: &ClaimPaths,
) -> Requirements {
    let hosted_domains = section.restriction("hosted_domains", mail_domain);
    let tenants = section.restriction("tenants", text);
    let groups = section.restriction("groups", text);
    let mut wanted = already.claims;
    wanted.extend(read_claims(section));
    if section.has("tenants") && claims.tenant.is_none() {
        section.problem(
            "tenants",
            "can never be met: no claim is known to hold the tenant; name it in claims.tenant",
        );
    }
    if section.has("groups") && claims.groups.is_none() {
        section.problem(
            "groups",
            "can never be met: no claim is known to hold groups; name it in claims.groups",
        );
    }
    let either = |said: Vec<String>, already| if said.is_empty() { already } else { said };
    Requirements {
        email_domains,
        hosted_domains: either(hosted_domains, already.hosted_domains),
        tenants,
        groups,
        claims: wanted,
    }
}

/// `claims:` the values that a claim may have, by its name or path.
pub(super) fn read_claims(section: &Section<'_>) -> IndexMap<ClaimPath, Vec<Value>> {
    let claims = section.json_lists("claims", ClaimPath::try_from);
    for (path, _) in claims.iter().filter(|(_, values)| values.is_empty()) {
        section.problem("claims", format!("{path} has no values, so nobody could meet it"));
    }
    claims
}
