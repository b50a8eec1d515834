//! The entry rules: who of a provider's people may come in. Pure, and asked whenever a provider vouches for somebody.
//!
//! Every kind of rule that the operator wrote must be met; the first that is not becomes the page that the person
//! reads.

use std::fmt;

use serde_json::Value;

use super::verified::{Groups, VerifiedIdentity};
use crate::config::{
    claims::ClaimPath,
    provider::{EntryRules, IssuerRule, Requirements},
};

/// How many of the names that would let a person in a page lists.
const NAMES_SHOWN: usize = 3;

/// The rule that kept a person out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryRefusal {
    /// The account's tenant is not among those of this rule.
    Tenant(&'static str),
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
            Self::Tenant(rule) => (*rule).to_owned(),
            Self::EmailMissing | Self::EmailUnverified | Self::EmailDomain(_) => {
                "sign_in.email_domains".into()
            }
            Self::HostedDomain(_) => "sign_in.require.hosted_domains".into(),
            Self::Groups(_) | Self::GroupsUnknown => "sign_in.require.groups".into(),
            Self::Claim(path) => format!("sign_in.require.claims.{path}"),
        }
    }

    /// A stable code for the record.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Tenant(_) => "entry_tenant",
            Self::EmailMissing | Self::EmailUnverified | Self::EmailDomain(_) => "entry_email_domain",
            Self::HostedDomain(_) => "entry_hosted_domain",
            Self::Groups(_) | Self::GroupsUnknown => "entry_groups",
            Self::Claim(_) => "entry_claim",
        }
    }

    /// What the person is told.
    pub fn in_words(&self) -> String {
        match self {
            Self::Tenant(_) => "Your account belongs to an organization that is not let in here.".into(),
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
            Self::Tenant(_) => "tenant not listed",
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

impl std::error::Error for EntryRefusal {}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>();
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown.join(" or "),
        more => format!("{} or {more} more", shown.join(", ")),
    }
}

/// Whether this person may come in.
pub(super) fn admit(who: &VerifiedIdentity<'_>) -> Result<(), EntryRefusal> {
    if let IssuerRule::Template { tenants, .. } = &who.provider.issuer
        && !who.tenant.as_ref().is_some_and(|tenant| tenants.contains(tenant))
    {
        return Err(EntryRefusal::Tenant("tenants"));
    }
    match &who.provider.sign_in {
        EntryRules::Anyone => Ok(()),
        EntryRules::Require(rules) => require(rules, who),
    }
}

fn require(rules: &Requirements, who: &VerifiedIdentity<'_>) -> Result<(), EntryRefusal> {
    if !rules.email_domains.is_empty() {
        email_domain(&rules.email_domains, who)?;
    }
    if !rules.hosted_domains.is_empty() {
        let hosted = who.claims.signed.get("hd").and_then(Value::as_str);
        if !hosted.is_some_and(|hosted| is_one_of(hosted, &rules.hosted_domains)) {
            return Err(EntryRefusal::HostedDomain(rules.hosted_domains.clone()));
        }
    }
    if !rules.tenants.is_empty() && !who.tenant.as_ref().is_some_and(|t| rules.tenants.contains(t)) {
        return Err(EntryRefusal::Tenant("sign_in.require.tenants"));
    }
    if !rules.groups.is_empty() {
        match &who.groups {
            Groups::TooMany => return Err(EntryRefusal::GroupsUnknown),
            Groups::Known(names) if rules.groups.iter().any(|group| names.contains(group)) => {}
            Groups::Known(_) | Groups::Unsaid => return Err(EntryRefusal::Groups(rules.groups.clone())),
        }
    }
    for (path, values) in &rules.claims {
        let fits = |value: &Value| values.contains(value);
        let met = who.claims.lookup(path).is_some_and(|value| match value {
            Value::Array(elements) => elements.iter().any(fits),
            one => fits(one),
        });
        if !met {
            return Err(EntryRefusal::Claim(path.clone()));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use rstest::rstest;
    use serde_json::{Map, json};

    use super::*;
    use crate::{
        config::provider::{
            Provider,
            fixture::{multi_tenant, path, provider},
        },
        identity::{
            claims::{Claims, of_sign_in},
            verified::Authentication,
        },
    };

    fn ask(provider: &Provider, id_token: &Value) -> Result<(), EntryRefusal> {
        let mut signed = json!({ "sub": "ada", "oid": "o1" }).as_object().unwrap().clone();
        signed.extend(id_token.as_object().unwrap().clone());
        let claims = Claims { signed, userinfo: None };
        let issuer = "https://idp.acme.com".to_owned();
        admit(&of_sign_in(provider, issuer, Authentication::default(), claims).unwrap())
    }

    fn requiring(rules: Requirements) -> Provider {
        Provider { sign_in: EntryRules::Require(rules), ..provider() }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[rstest]
    #[case("at the domain", json!({ "email": "a@acme.com", "email_verified": true }), None)]
    #[case("whatever its case", json!({ "email": "A@ACME.com", "email_verified": true }), None)]
    #[case("at a subdomain", json!({ "email": "a@x.acme.com", "email_verified": true }), Some("entry_email_domain"))]
    #[case("at a domain that ends alike", json!({ "email": "a@evilacme.com", "email_verified": true }), Some("entry_email_domain"))]
    #[case("with a dot behind", json!({ "email": "a@acme.com.", "email_verified": true }), Some("entry_email_domain"))]
    #[case("in two parts", json!({ "email": "a@evil.example@acme.com", "email_verified": true }), Some("entry_email_domain"))]
    #[case("not confirmed", json!({ "email": "a@acme.com", "email_verified": false }), Some("entry_email_domain"))]
    #[case("none", json!({ "email_verified": true }), Some("entry_email_domain"))]
    fn only_confirmed_addresses_of_the_domain(
        #[case] why: &str,
        #[case] claims: Value,
        #[case] refused: Option<&str>,
    ) {
        let rules = Requirements { email_domains: names(&["acme.com"]), ..Requirements::default() };
        assert_eq!(ask(&requiring(rules), &claims).err().map(|refusal| refusal.code()), refused, "{why}");
    }

    #[rstest]
    #[case(json!({ "hd": "acme.com" }), true)]
    #[case(json!({ "hd": "ACME.com" }), true)]
    #[case(json!({ "hd": "evil.example" }), false)]
    #[case(json!({ "hd": ["acme.com"] }), false)]
    #[case(json!({}), false)]
    fn the_hosted_domain_is_a_claim(#[case] claims: Value, #[case] passes: bool) {
        let rules = Requirements { hosted_domains: names(&["acme.com"]), ..Requirements::default() };
        assert_eq!(ask(&requiring(rules), &claims).is_ok(), passes);
    }

    #[rstest]
    #[case(json!({ "groups": ["other", "mcp"] }), None)]
    #[case(json!({ "groups": ["MCP"] }), Some(EntryRefusal::Groups(vec!["mcp".into()])))]
    #[case(json!({}), Some(EntryRefusal::Groups(vec!["mcp".into()])))]
    #[case(json!({ "hasgroups": true }), Some(EntryRefusal::GroupsUnknown))]
    fn one_of_the_groups_is_enough(#[case] claims: Value, #[case] refused: Option<EntryRefusal>) {
        let rules = Requirements { groups: names(&["mcp"]), ..Requirements::default() };
        assert_eq!(ask(&requiring(rules), &claims).err(), refused);
    }

    #[rstest]
    #[case(json!({ "tid": "t1" }), true)]
    #[case(json!({ "tid": "t9" }), false)]
    #[case(json!({}), false)]
    fn a_templated_issuer_lets_in_its_tenants_alone(#[case] claims: Value, #[case] passes: bool) {
        assert_eq!(ask(&multi_tenant(), &claims).is_ok(), passes);
    }

    #[test]
    fn a_required_tenant_narrows_further() {
        let rules = Requirements { tenants: names(&["t2"]), ..Requirements::default() };
        let provider = Provider { sign_in: EntryRules::Require(rules), ..multi_tenant() };
        assert_eq!(
            ask(&provider, &json!({ "tid": "t1" })),
            Err(EntryRefusal::Tenant("sign_in.require.tenants"))
        );
        assert_eq!(ask(&provider, &json!({ "tid": "t2" })), Ok(()));
    }

    #[rstest]
    #[case(json!({ "department": "support" }), true)]
    #[case(json!({ "department": ["sales", "support"] }), true)]
    #[case(json!({ "department": 7 }), true)]
    #[case(json!({ "department": "7" }), false)]
    #[case(json!({ "department": { "support": true } }), false)]
    #[case(json!({ "department": ["Support"] }), false)]
    #[case(json!({ "department": [["support"]] }), false)]
    #[case(json!({}), false)]
    fn any_claim_may_be_required(#[case] claims: Value, #[case] passes: bool) {
        let wanted = IndexMap::from([(path("department"), vec![json!("support"), json!(7)])]);
        let rules = Requirements { claims: wanted, ..Requirements::default() };
        assert_eq!(ask(&requiring(rules), &claims).is_ok(), passes);
    }

    #[test]
    fn every_kind_of_rule_must_be_met() {
        let rules = Requirements {
            email_domains: names(&["acme.com"]),
            groups: names(&["mcp"]),
            ..Requirements::default()
        };
        let provider = requiring(rules);
        let address = json!({ "email": "a@acme.com", "email_verified": true });
        let mut both = address.clone();
        both["groups"] = json!(["mcp"]);
        assert!(ask(&provider, &address).is_err());
        assert!(ask(&provider, &json!({ "groups": ["mcp"] })).is_err());
        assert!(ask(&provider, &both).is_ok());
    }

    /// The page names what would let a person in; the log and the record name the rule and nothing of the person's.
    #[test]
    fn a_refusal_speaks_two_languages() {
        let refusal = EntryRefusal::EmailDomain(names(&["a.com", "b.com", "c.com", "d.com"]));
        assert_eq!(
            refusal.in_words(),
            "Only e-mail addresses at a.com, b.com, c.com or 1 more are let in here."
        );
        assert_eq!(refusal.to_string(), "sign_in.email_domains (other e-mail domain)");
    }

    #[test]
    fn anyone_means_anyone() {
        assert_eq!(ask(&provider(), &Value::Object(Map::new())), Ok(()));
    }
}
