//! Decisions case by case, and what holds of all of them.

mod properties;

use std::sync::LazyLock;

use rstest::rstest;
use serde_json::{Value, json};

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
    grant_types: [client_credentials, "urn:ietf:params:oauth:grant-type:jwt-bearer"]
    resources: { tickets: [read, close, purge], wiki: [read] }
  other: { secret: 0123456789abcdef, grant_types: ["urn:ietf:params:oauth:grant-type:jwt-bearer"] }
providers:
  google:
    preset: google
    client_id: c
    client_secret: s
    organization: acme
    claims: { groups: groups }
    sign_in: { anyone: true }
    id_jag:
      allow:
        tickets: { clients: [other], scopes: [read, close], groups: [agents], claims: { acr: [mfa, 2], amr: hwk } }
        wiki: { clients: [nightly], scopes: [read] }
"#;

fn config() -> &'static Config {
    static CONFIG: LazyLock<Config> = LazyLock::new(|| {
        Config::parse(FILE, "c.yaml", &Environment::of([])).unwrap_or_else(|p| panic!("{p}"))
    });
    &CONFIG
}

fn slug(name: &str) -> ResourceId {
    name.to_owned().try_into().unwrap()
}

fn user(groups: &[&str]) -> Subject {
    Subject {
        provider: slug("google"),
        organization: Some("acme".into()),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
    }
}

/// What was granted, and why the rest was not.
fn told(decision: &Decision) -> (String, String) {
    let reasons = decision.barred.iter().chain(decision.refused.iter().map(|(_, reason)| reason));
    let reasons: Vec<_> = reasons.map(ToString::to_string).collect();
    assert_eq!(decision.is_allowed(), !decision.granted.is_empty() || reasons.is_empty());
    (decision.granted.to_string(), reasons.join(", "))
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
    let config = config();
    let client = ClientId::try_from("nightly".to_owned()).unwrap();
    let scope = ScopeSet::parse(scope).unwrap();
    let asked = Asked { client: &client, resource: &config.resources[&slug(resource)], scope: &scope };
    let decision = decide_own(&config.clients[&client].resources, asked);
    assert_eq!(told(&decision), (granted.into(), why.into()));
}

/// The longest scopes, as many as a parameter holds.
#[test]
fn the_log_line_of_a_refusal_is_bounded() {
    let config = config();
    let client = ClientId::try_from("nightly".to_owned()).unwrap();
    let line = |count: usize| {
        let scopes: Vec<_> = (0..count).map(|n| format!("{n:x>128}")).collect();
        let scope = ScopeSet::parse(&scopes.join(" ")).unwrap();
        let asked = Asked { client: &client, resource: &config.resources[&slug("tickets")], scope: &scope };
        decide(&user(&["staff"]), asked).to_string()
    };
    assert_eq!(line(16).matches("(unknown_scope)").count(), 16);
    assert!(!line(16).contains("more"));
    let bounded = line(127);
    assert!(bounded.ends_with(" and 111 more") && bounded.len() < 4096, "{} bytes", bounded.len());
}

/// An assertion as it comes: who presents it, where, with which `scope` claim and which claims.
struct Jag {
    client: &'static str,
    resource: &'static str,
    groups: &'static [&'static str],
    asserted: Option<&'static str>,
    asked: &'static str,
    claims: Value,
}

const GOOD: fn() -> Jag = || Jag {
    client: "other",
    resource: "tickets",
    groups: &["staff", "agents", "support"],
    asserted: Some("read close"),
    asked: "",
    claims: json!({ "acr": "mfa", "amr": ["pwd", "hwk"] }),
};

impl Jag {
    fn ask(&self) -> Trace {
        let config = config();
        let subject = user(self.groups);
        let client = ClientId::try_from(self.client.to_owned()).unwrap();
        let asserted = self.asserted.map(|scope| ScopeSet::parse(scope).unwrap());
        let scope = ScopeSet::parse(self.asked).unwrap();
        let assertion = Assertion {
            worth: config.providers[&slug("google")].id_jag.as_ref(),
            claims: self.claims.as_object().unwrap(),
            scope: asserted.as_ref(),
        };
        let resource = &config.resources[&slug(self.resource)];
        let asked = Asked { client: &client, resource, scope: &scope };
        Question::of_assertion(&subject, assertion, asked).trace()
    }
}

#[rstest]
#[case::all_that_it_holds(GOOD(), "close read", "")]
#[case::what_is_asked_for(Jag { asked: "read", ..GOOD() }, "read", "")]
#[case::more_than_it_holds(
    Jag { asserted: Some("read"), asked: "close read", ..GOOD() }, "read", "the assertion's scope (not_asserted)"
)]
#[case::nothing_of_what_it_holds(
    Jag { asserted: Some("read"), asked: "close", ..GOOD() }, "", "the assertion's scope (not_asserted)"
)]
#[case::an_empty_scope_gives_nothing_and_no_defaults(Jag { asserted: Some(""), ..GOOD() }, "", "")]
#[case::without_a_scope_the_defaults_that_are_listed(
    Jag { asserted: None, ..GOOD() }, "read", "providers.google.id_jag.allow.tickets.scopes (scope)"
)]
#[case::a_scope_that_is_not_listed(
    Jag { asserted: Some("read write"), ..GOOD() }, "read", "providers.google.id_jag.allow.tickets.scopes (scope)"
)]
#[case::a_resource_that_is_not_listed(
    Jag { resource: "blog", ..GOOD() }, "", "providers.google.id_jag.allow (resource)"
)]
#[case::a_client_that_is_not_listed(
    Jag { client: "nightly", ..GOOD() }, "", "providers.google.id_jag.allow.tickets.clients (client)"
)]
#[case::a_group_is_missing(
    Jag { groups: &["staff"], ..GOOD() }, "", "providers.google.id_jag.allow.tickets.groups (group)"
)]
#[case::a_claim_has_another_value(
    Jag { claims: json!({ "acr": "pwd", "amr": "hwk" }), ..GOOD() }, "",
    "providers.google.id_jag.allow.tickets.claims.acr (claim)"
)]
#[case::a_claim_is_another_type(
    Jag { claims: json!({ "acr": "2", "amr": "hwk" }), ..GOOD() }, "",
    "providers.google.id_jag.allow.tickets.claims.acr (claim)"
)]
#[case::every_claim_is_asked(
    Jag { claims: json!({ "acr": 2 }), ..GOOD() }, "", "providers.google.id_jag.allow.tickets.claims.amr (claim)"
)]
#[case::the_resource_has_its_say(
    Jag { groups: &["agents"], ..GOOD() }, "", "resources.tickets.allow.groups (group)"
)]
#[case::the_scope_has_its_say(
    Jag { groups: &["staff", "agents"], ..GOOD() }, "read", "resources.tickets.scopes.close.allow.groups (group)"
)]
#[case::the_resource_has_its_say_about_clients(
    Jag { resource: "wiki", client: "nightly", ..GOOD() }, "", "resources.wiki.allow.clients (client)"
)]
#[case::a_scope_that_the_resource_does_not_know(
    Jag { asserted: Some("fly"), ..GOOD() }, "", "resources.tickets.scopes.fly (unknown_scope)"
)]
fn an_assertion_gives_what_provider_and_resource_allow(
    #[case] jag: Jag,
    #[case] granted: &str,
    #[case] why: &str,
) {
    let decision = jag.ask().decision;
    assert_eq!(told(&decision), (granted.into(), why.into()));
}

/// The same question once the assertion is gone: its claims do not count, everything else does.
#[rstest]
#[case::all_that_was_given(Jag { asked: "close read", ..GOOD() }, "close read", "")]
#[case::whatever_it_claimed(Jag { asked: "read", claims: json!({}), ..GOOD() }, "read", "")]
#[case::a_scope_that_is_no_longer_listed(
    Jag { asked: "read write", ..GOOD() }, "read", "providers.google.id_jag.allow.tickets.scopes (scope)"
)]
#[case::a_resource_that_is_no_longer_listed(
    Jag { resource: "blog", asked: "read", ..GOOD() }, "", "providers.google.id_jag.allow (resource)"
)]
#[case::a_client_that_is_no_longer_listed(
    Jag { client: "nightly", asked: "read", ..GOOD() }, "", "providers.google.id_jag.allow.tickets.clients (client)"
)]
#[case::a_group_was_left(
    Jag { groups: &["staff"], asked: "read", ..GOOD() }, "", "providers.google.id_jag.allow.tickets.groups (group)"
)]
#[case::the_resource_has_its_say(
    Jag { groups: &["agents"], asked: "read", ..GOOD() }, "", "resources.tickets.allow.groups (group)"
)]
fn what_an_assertion_gave_lasts_while_the_rules_do(
    #[case] jag: Jag,
    #[case] granted: &str,
    #[case] why: &str,
) {
    let config = config();
    let (subject, client) = (user(jag.groups), ClientId::try_from(jag.client.to_owned()).unwrap());
    let scope = ScopeSet::parse(jag.asked).unwrap();
    let worth = config.providers[&slug("google")].id_jag.as_ref();
    let asked = Asked { client: &client, resource: &config.resources[&slug(jag.resource)], scope: &scope };
    let decision = Question::of_accepted(&subject, worth, asked).decide();
    assert_eq!(told(&decision), (granted.into(), why.into()));
    let barred = Question::of_accepted(&subject, None, asked).decide().barred.unwrap();
    assert_eq!(
        barred.to_string(),
        "providers.google.id_jag (resource)",
        "its provider's word counts no more"
    );
}

#[test]
fn a_provider_without_the_section_gives_nothing() {
    let config = config();
    let (subject, client) = (user(&["staff"]), ClientId::try_from("other".to_owned()).unwrap());
    let scope = ScopeSet::parse("read").unwrap();
    let assertion = Assertion { worth: None, claims: &serde_json::Map::new(), scope: None };
    let asked = Asked { client: &client, resource: &config.resources[&slug("blog")], scope: &scope };
    let decision = Question::of_assertion(&subject, assertion, asked).decide();
    assert_eq!(told(&decision), (String::new(), "providers.google.id_jag (resource)".into()));
}

#[test]
fn a_trace_is_what_every_rule_said() {
    let jag = Jag { groups: &["agents"], asserted: Some("close read write"), ..GOOD() };
    let trace = jag.ask();
    assert_eq!(
        trace.decision.barred.as_ref().map(ToString::to_string).as_deref(),
        Some("resources.tickets.allow.groups (group)")
    );
    let lines: Vec<_> = trace
        .findings
        .iter()
        .map(|finding| {
            let Finding { scope, rule, kind: _, wants, admits } = finding;
            let scope = scope.as_ref().map_or("-", Scope::as_str);
            format!("{scope} {} {rule}: {wants}", if *admits { '+' } else { '!' })
        })
        .collect();
    let expected = "- + providers.google.id_jag.allow.tickets.clients: other
- + providers.google.id_jag.allow.tickets.groups: agents
- + providers.google.id_jag.allow.tickets.claims.acr: \"mfa\", 2
- + providers.google.id_jag.allow.tickets.claims.amr: \"hwk\"
- + resources.tickets.allow.organizations: acme
- + resources.tickets.allow.providers: google
- ! resources.tickets.allow.groups: staff
close + resources.tickets.scopes.close: \nclose + the assertion's scope: close, read, write
close + providers.google.id_jag.allow.tickets.scopes: close, read
close ! resources.tickets.scopes.close.allow.groups: support
read + resources.tickets.scopes.read: \nread + the assertion's scope: close, read, write
read + providers.google.id_jag.allow.tickets.scopes: close, read
write + resources.tickets.scopes.write: \nwrite + the assertion's scope: close, read, write
write ! providers.google.id_jag.allow.tickets.scopes: close, read";
    assert_eq!(lines.join("\n"), expected);
}
