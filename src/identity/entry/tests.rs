//! Each rule case by case.

use indexmap::IndexMap;
use rstest::rstest;
use serde_json::{Map, json};

use super::*;
use crate::{
    clock::Clock,
    config::provider::{
        Provider,
        fixture::{multi_tenant, path, provider},
    },
    entropy::Entropy,
    identity::{
        authentication::Authentication,
        claims::{Claims, of_sign_in},
        users::first_seen,
        verified::Voucher,
    },
    ids::{IdentityId, UserId},
};

fn said<'p>(provider: &'p Provider, id_token: &Value) -> VerifiedIdentity<'p> {
    let mut signed = json!({ "sub": "ada", "oid": "o1" }).as_object().unwrap().clone();
    signed.extend(id_token.as_object().unwrap().clone());
    let claims = Claims { signed, userinfo: None };
    let issuer = "https://idp.acme.com".to_owned();
    of_sign_in(provider, issuer, Authentication::default(), claims).unwrap()
}

fn ask(provider: &Provider, id_token: &Value) -> Result<(), EntryRefusal> {
    admit(&said(provider, id_token))
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
    assert_eq!(ask(&provider, &json!({ "tid": "t1" })), Err(EntryRefusal::Tenant("sign_in.require.tenants")));
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
    assert_eq!(refusal.in_words(), "Only e-mail addresses at a.com, b.com, c.com or 1 more are let in here.");
    assert_eq!(refusal.to_string(), "sign_in.email_domains (other e-mail domain)");
}

#[test]
fn anyone_means_anyone() {
    assert_eq!(ask(&provider(), &Value::Object(Map::new())), Ok(()));
}

/// What is kept of a person suffices to ask every rule again, with the same answer.
#[rstest]
#[case(json!({ "hd": "acme.com", "department": "sales", "realm": { "roles": ["a", "b"] }, "noise": "x" }))]
#[case(json!({ "hd": "evil.example", "department": 7 }))]
#[case(json!({ "hd": ["acme.com"], "department": { "sales": true }, "realm": { "roles": "a" } }))]
#[case(json!({ "email": "a@acme.com", "email_verified": true, "groups": ["mcp"], "hd": null }))]
#[case(json!({ "email": "a@acme.com", "groups": ["other"], "department": [["sales"], "sales"] }))]
#[case(json!({}))]
fn what_is_kept_answers_every_rule_again(#[case] claims: Value) {
    let claim = |name: &str, values: Vec<Value>| Requirements {
        claims: IndexMap::from([(path(name), values)]),
        ..Requirements::default()
    };
    let kinds = [
        Requirements { email_domains: names(&["acme.com"]), ..Requirements::default() },
        Requirements { hosted_domains: names(&["acme.com"]), ..Requirements::default() },
        Requirements { groups: names(&["mcp"]), ..Requirements::default() },
        claim("department", vec![json!("sales"), json!(7)]),
        claim("realm.roles", vec![json!("b")]),
    ];
    let mut met = 0;
    for rules in kinds {
        let provider = requiring(rules);
        let who = said(&provider, &claims);
        let again = VerifiedIdentity::remembered(&provider, &as_stored(&who));
        assert_eq!(admit(&again).is_ok(), admit(&who).is_ok(), "{:?}", provider.sign_in);
        met += usize::from(admit(&who).is_ok());
        assert_eq!(bar(&provider, &as_stored(&who)).is_none(), admit(&who).is_ok());
        assert!(!kept(&who).contains_key("noise"), "no more than the rules read");
    }
    assert!(met < 5);
}

#[test]
fn a_claim_that_is_too_much_is_kept_as_far_as_a_rule_names_it() {
    let wanted = IndexMap::from([(path("roles"), vec![json!("r-9999")])]);
    let provider = requiring(Requirements { claims: wanted, ..Requirements::default() });
    let roles: Vec<_> = (0..10_000).map(|n| format!("r-{n}")).collect();
    let who = said(&provider, &json!({ "roles": roles }));
    assert_eq!(kept(&who)["roles"], json!(["r-9999"]));
    for useless in [json!("x".repeat(513)), json!("a\0b"), json!({ "r-9999": true })] {
        assert!(kept(&said(&provider, &json!({ "roles": useless }))).is_empty());
    }
    assert_eq!(kept(&said(&provider, &json!({ "roles": ["a\0b", {}, [], null, 1] })))["roles"], json!([1]));
}

/// An assertion seldom repeats what the provider says at sign-in; how somebody signed in, it must say itself.
#[rstest]
#[case::department("department", json!({}), true)]
#[case::said_otherwise("department", json!({ "department": "sales" }), false)]
#[case::acr("acr", json!({}), false)]
#[case::said("acr", json!({ "acr": "x" }), true)]
fn what_an_assertion_leaves_out_is_as_it_was(
    #[case] claim: &str,
    #[case] asserted: Value,
    #[case] passes: bool,
) {
    let wanted = IndexMap::from([(path(claim), vec![json!("x")])]);
    let provider = requiring(Requirements { claims: wanted, ..Requirements::default() });
    let known = as_stored(&said(&provider, &json!({ "acr": "x", "department": "x" })));
    let mut who = said(&provider, &asserted);
    who.voucher = Voucher::Assertion { aud_sub: None };
    assert_eq!(admit(&who.completed(Some(&known))).is_ok(), passes);
    let anew = said(&provider, &asserted);
    assert_eq!(admit(&anew.completed(Some(&known))).is_ok(), claim == "acr" && passes, "a sign-in says all");
}

fn as_stored(who: &VerifiedIdentity<'_>) -> Identity {
    let (clock, entropy) = (Clock::System, Entropy::System);
    first_seen(who, (IdentityId::new(&clock, &entropy), UserId::new(&clock, &entropy)), clock.now())
}
