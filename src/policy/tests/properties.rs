//! What holds of every decision, whatever the rules.

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::subsequence};

use super::*;
use crate::config::{
    claims::ClaimPath,
    provider::id_jag::{AssertionRule, IdJag},
    resource::ScopeRule,
};

const SCOPES: [&str; 4] = ["a", "b", "c", "d"];

/// A few of these words, rarely none.
fn some(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    subsequence(of, 0..=of.len()).prop_map(|words| words.into_iter().map(str::to_owned).collect())
}

fn scopes() -> impl Strategy<Value = ScopeSet> {
    some(&SCOPES).prop_map(|words| words.into_iter().map(|word| word.try_into().unwrap()).collect())
}

/// A list of an `allow`: mostly absent, so that something is granted now and then.
fn list(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop_oneof![3 => Just(Vec::new()), 2 => some(of)]
}

fn allow() -> impl Strategy<Value = Allow> {
    (list(&["acme", "beta"]), list(&["p", "q"]), list(&["g", "h"]), list(&["c1", "c2"])).prop_map(
        |(organizations, providers, groups, clients)| Allow {
            organizations,
            providers: providers.into_iter().map(|name| name.try_into().unwrap()).collect(),
            groups,
            clients: clients.into_iter().map(|name| name.try_into().unwrap()).collect(),
        },
    )
}

fn resource() -> impl Strategy<Value = Resource> {
    let scope = (any::<bool>(), allow()).prop_map(|(default, allow)| ScopeRule {
        description: "x".into(),
        default,
        allow,
    });
    let scopes = proptest::collection::vec(scope, 3);
    (scopes, allow()).prop_map(|(scopes, allow)| Resource {
        id: slug("r"),
        uri: "https://r.acme.com".to_owned().try_into().unwrap(),
        name: "R".into(),
        scopes: SCOPES.iter().map(|name| (*name).to_owned().try_into().unwrap()).zip(scopes).collect(),
        allow,
        token_claims: Vec::new(),
        access_token: None,
        dpop_required: false,
        host_metadata: false,
    })
}

fn id_jag() -> impl Strategy<Value = IdJag> {
    let rule = (some(&["c1", "c2"]), scopes(), list(&["g", "h"]), any::<bool>());
    proptest::option::weighted(0.9, rule).prop_map(|rule| {
        let rule = rule.map(|(clients, scopes, groups, strong)| AssertionRule {
            clients: clients.into_iter().map(|name| name.try_into().unwrap()).collect(),
            scopes,
            groups,
            claims: strong
                .then(|| {
                    (crate::config::claims::ClaimPath::try_from("acr".to_owned()).unwrap(), vec![json!(1)])
                })
                .into_iter()
                .collect(),
        });
        let mut id_jag = config().providers[&slug("google")].id_jag.clone().unwrap();
        id_jag.allow = rule.map(|rule| (slug("r"), rule)).into_iter().collect();
        id_jag
    })
}

fn subject() -> impl Strategy<Value = Subject> {
    let organization = proptest::option::of("acme|beta");
    ("p|q", organization, some(&["g", "h"])).prop_map(|(provider, organization, groups)| Subject {
        provider: slug(&provider),
        organization,
        groups,
    })
}

/// The answer that the findings alone lead to.
fn concluded(trace: &Trace) -> (bool, BTreeSet<Scope>) {
    let barred = trace.findings.iter().any(|finding| finding.scope.is_none() && !finding.admits);
    let asked = trace.findings.iter().filter_map(|finding| finding.scope.clone());
    let refused: BTreeSet<_> = trace
        .findings
        .iter()
        .filter(|finding| !finding.admits)
        .filter_map(|finding| finding.scope.clone())
        .collect();
    (barred, asked.filter(|scope| !barred && !refused.contains(scope)).collect())
}

proptest! {
    /// Nobody gets what was not asked for, not listed or not asserted, and the trace tells what was decided.
    #[test]
    fn what_is_granted_is_within_every_bound(
        resource in resource(), subject in subject(), client in "c1|c2", asked in scopes(),
        id_jag in id_jag(), asserted in proptest::option::of(scopes()), strong in any::<bool>(), own in scopes(),
    ) {
        let client = ClientId::try_from(client).unwrap();
        let asked = Asked { client: &client, resource: &resource, scope: &asked };
        let claims = json!({ "acr": i32::from(strong) });
        let assertion = Assertion { worth: Some(&id_jag), claims: claims.as_object().unwrap(), scope: asserted.as_ref() };
        let own = IndexMap::from([(slug("r"), own)]);

        let by_user = Question::of_user(&subject, asked);
        let by_assertion = Question::of_assertion(&subject, assertion, asked);
        let by_client = Question::of_client(&own, asked);
        for question in [by_user, by_assertion, by_client] {
            let trace = question.trace();
            let decision = question.decide();
            prop_assert_eq!(&trace.decision, &decision);
            let (barred, granted) = concluded(&trace);
            prop_assert_eq!(barred, decision.barred.is_some());
            prop_assert_eq!(&granted.into_iter().collect::<ScopeSet>(), &decision.granted);
            let bound = if asked.scope.is_empty() { default_scope(&resource.scopes).union(&asserted.clone().unwrap_or_default()) } else { asked.scope.clone() };
            prop_assert!(decision.granted.is_subset(&bound));
            prop_assert!(decision.granted.iter().all(|scope| resource.scopes.contains_key(scope)));
        }
        let listed = id_jag.allow.get(&slug("r"));
        let granted = by_assertion.decide().granted;
        prop_assert!(granted.is_subset(&by_user_of_all(&subject, asked, &granted)), "consent would give no less");
        prop_assert!(listed.map_or(granted.is_empty(), |rule| granted.is_subset(&rule.scopes)));
        prop_assert!(listed.is_none_or(|rule| granted.is_empty() || rule.clients.contains(&client)));
        prop_assert!(asserted.as_ref().is_none_or(|asserted| granted.is_subset(asserted)));
        prop_assert!(by_client.decide().granted.is_subset(&own[&slug("r")]));
    }
}

/// What the resource's own rules alone leave of these scopes.
fn by_user_of_all(subject: &Subject, asked: Asked<'_>, scope: &ScopeSet) -> ScopeSet {
    if scope.is_empty() { ScopeSet::default() } else { decide(subject, Asked { scope, ..asked }).granted }
}

/// Takes one kind of rule away.
type Loosen = fn(&mut Resource, &mut IdJag);

fn at(resource: &mut Resource) -> &mut Allow {
    &mut resource.scopes[0].allow
}

fn rule(id_jag: &mut IdJag) -> &mut AssertionRule {
    &mut id_jag.allow[0]
}

/// Each kind of rule, as one that keeps everybody out, and without it.
const KINDS: [(&str, Loosen, Loosen); 12] = [
    ("organizations", |r, _| r.allow.organizations.push("acme".into()), |r, _| r.allow.organizations.clear()),
    ("providers", |r, _| r.allow.providers.push(slug("q")), |r, _| r.allow.providers.clear()),
    ("groups", |r, _| r.allow.groups.push("h".into()), |r, _| r.allow.groups.clear()),
    ("clients", |r, _| r.allow.clients.push(client("c2")), |r, _| r.allow.clients.clear()),
    (
        "organizations of a scope",
        |r, _| at(r).organizations.push("acme".into()),
        |r, _| at(r).organizations.clear(),
    ),
    ("providers of a scope", |r, _| at(r).providers.push(slug("q")), |r, _| at(r).providers.clear()),
    ("groups of a scope", |r, _| at(r).groups.push("h".into()), |r, _| at(r).groups.clear()),
    ("clients of a scope", |r, _| at(r).clients.push(client("c2")), |r, _| at(r).clients.clear()),
    ("clients of assertions", |_, j| rule(j).clients.clear(), |_, j| rule(j).clients.push(client("c1"))),
    ("scopes of assertions", |_, j| rule(j).scopes = words("b"), |_, j| rule(j).scopes = words("a b")),
    ("groups of assertions", |_, j| rule(j).groups.push("h".into()), |_, j| rule(j).groups.clear()),
    (
        "claims of assertions",
        |_, j| drop(rule(j).claims.insert(acr(), vec![json!(2)])),
        |_, j| rule(j).claims.clear(),
    ),
];

/// Each kind of rule alone stands between this user and the scope: whoever forgets to ask one lets her in.
#[test]
fn every_kind_of_rule_decides_something() {
    let config = config();
    let mut resource = config.resources[&slug("blog")].clone();
    let scope_rule = resource.scopes.shift_remove_index(0).unwrap().1;
    resource.scopes.insert("a".to_owned().try_into().unwrap(), scope_rule);
    let mut id_jag = config.providers[&slug("google")].id_jag.clone().unwrap();
    let (clients, scopes) = (vec![client("c1")], words("a"));
    let bare = AssertionRule { clients, scopes, groups: Vec::new(), claims: IndexMap::new() };
    id_jag.allow = IndexMap::from([(slug("blog"), bare)]);

    let granted = |resource: &Resource, id_jag: &IdJag| {
        let subject = Subject { provider: slug("p"), organization: None, groups: vec!["g".into()] };
        let (client, scope) = (client("c1"), words("a"));
        let claims = serde_json::Map::from_iter([("acr".to_owned(), json!(1))]);
        let assertion = Assertion { worth: Some(id_jag), claims: &claims, scope: None };
        let asked = Asked { client: &client, resource, scope: &scope };
        Question::of_assertion(&subject, assertion, asked).decide().granted.to_string()
    };
    assert_eq!(granted(&resource, &id_jag), "a");
    for (kind, tighten, loosen) in KINDS {
        tighten(&mut resource, &mut id_jag);
        assert_eq!(granted(&resource, &id_jag), "", "{kind}");
        loosen(&mut resource, &mut id_jag);
        assert_eq!(granted(&resource, &id_jag), "a", "{kind}");
    }
}

fn words(text: &str) -> ScopeSet {
    ScopeSet::parse(text).unwrap()
}

fn acr() -> ClaimPath {
    "acr".to_owned().try_into().unwrap()
}

fn client(id: &str) -> ClientId {
    id.to_owned().try_into().unwrap()
}
