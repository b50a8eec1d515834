//! Mistakes under `idp:`.

use rstest::rstest;

use super::{super::*, problems};

#[rstest]
#[case("idp: {}", &["c.yaml:1:6: idp.clients: is missing: the applications that sign people in here"])]
#[case("idp: { clientss: {} }", &[
    "c.yaml:1:6: idp.clients: is missing: the applications that sign people in here",
    "c.yaml:1:8: idp.clientss: unknown key; did you mean clients?",
])]
#[case("idp: { clients: { a: {} } }", &["c.yaml:1:22: idp.clients.a.redirect_uris: is missing: where codes are sent"])]
#[case("idp: { clients: { chy_a: {} } }", &[
    "c.yaml:1:19: idp.clients.chy_a: begins with chy_, as the ids that Chancery itself gives",
])]
#[case("idp: { clients: { 'https://a.com/c': { redirect_uris: [https://a.com/cb] } } }", &[
    r#"c.yaml:1:40: idp.clients."https://a.com/c".redirect_uris: unknown key"#,
])]
#[case("idp: { clients: { a: { redirect_uris: [https://a.com/cb], secret: hunter2, jwks_uri: https://a.com/k } } }", &[
    "c.yaml:1:67: idp.clients.a.secret: must be a secret of at least 16 random characters",
    "c.yaml:1:86: idp.clients.a.jwks_uri: a client proves itself in one way, and here is secret too",
])]
#[case(
    "idp: { clients: { a: { redirect_uris: [https://a.com/cb], grant_types: [client_credentials], scopes: [profil] } } }",
    &[
        "c.yaml:1:72: idp.clients.a.grant_types: lacks authorization_code, without which nobody is signed in",
        "c.yaml:1:73: idp.clients.a.grant_types[0]: no grant_type has this name here; known are authorization_code, refresh_token",
        "c.yaml:1:102: idp.clients.a.scopes: lacks openid, without which nobody is signed in",
        "c.yaml:1:103: idp.clients.a.scopes[0]: no scope of sign-in has this name; did you mean profile?",
    ]
)]
fn clients(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(problems(text, &Environment::of([])), expected.join("\n"));
}

/// A client to go with the targets.
const CLIENT: &str = "clients: { a: { redirect_uris: [https://a.com/cb] } }";
/// A good target's resources.
const RESOURCES: &str = "resources: { r: { uri: https://r.com, scopes: { x: {} } } }";

#[rstest]
#[case("t: {}", &[
    "idp.targets.t.audience: is missing: the issuer of the other authorization server, as its metadata has it",
    "idp.targets.t.client_ids: is missing: who may ask, each with its client_id there",
    "idp.targets.t.resources: is missing: what may be asked for there",
])]
#[case("t: { audience: https://auth.acme.com/idp, client_ids: { a: b }, RESOURCES }", &[
    "idp.targets.t.audience: is this server itself; a grant of its own is for the authorization servers of others \
     (draft-ietf-oauth-identity-assertion-authz-grant §9.3)",
])]
#[case("t: { audience: https://auth.acme.com/, client_ids: { a: b }, RESOURCES }", &[
    "idp.targets.t.audience: is this server itself; a grant of its own is for the authorization servers of others \
     (draft-ietf-oauth-identity-assertion-authz-grant §9.3)",
])]
#[case("t: { audience: http://b.com, client_ids: { a: b }, RESOURCES }", &[
    "idp.targets.t.audience: must begin with https://; plain http is for development, while server.issuer is loopback",
])]
#[case("t: { audience: 'https://b.com/?x', client_ids: { a: b }, RESOURCES }", &[
    "idp.targets.t.audience: an issuer has no query",
])]
#[case("t: { audience: https://b.com, client_ids: { a: b }, RESOURCES }, u: { audience: https://b.com, client_ids: { a: b }, RESOURCES }", &[
    "idp.targets.u.audience: is that of t as well",
])]
#[case("t: { audience: https://b.com, client_ids: { c: b, 'https://c.com/d': e }, RESOURCES }", &[
    "idp.targets.t.client_ids.c: no client here has this name; did you mean a?",
    "idp.targets.t.client_ids.\"https://c.com/d\": no client here has this name; known are a",
])]
#[case(
    "t: { audience: https://b.com, client_ids: { a: b }, subject: name, token_claims: [name], max_age: 0s, acr_values: [], allow: { groups: [], clients: [b] }, RESOURCES }",
    &[
        "idp.targets.t.subject: unknown value; known are user_id, pairwise, email, upstream_subject",
        "idp.targets.t.token_claims[0]: unknown value; known are groups, email",
        "idp.targets.t.max_age: must be between 1s and 366d",
        "idp.targets.t.acr_values: an empty list could mean nobody or everybody; name somebody or remove the key",
        "idp.targets.t.allow.groups: an empty list could mean nobody or everybody; name somebody or remove the key",
        "idp.targets.t.allow.clients[0]: no client has this name, and it is not the URL of a document; did you mean a?",
    ]
)]
#[case("t: { audience: https://b.com, client_ids: { a: b }, acr_values: ['a b'], resources: { r: { uri: r }, s: { uri: https://r.com, scopes: { 'a b': {} } } } }", &[
    "idp.targets.t.acr_values[0]: is one value, without spaces",
    "idp.targets.t.resources.r.uri: a resource is an absolute URI such as https://mcp.example.com/mcp",
    "idp.targets.t.resources.r.scopes: is missing: what can be asked for",
    "idp.targets.t.resources.s.scopes.\"a b\": a scope is 1 to 128 printable ASCII characters without spaces, quotes and backslashes",
])]
fn targets(#[case] text: &str, #[case] expected: &[&str]) {
    let text = format!("idp: {{ {CLIENT}, targets: {{ {text} }} }}").replace("RESOURCES", RESOURCES);
    let problems = problems(&text, &Environment::of([]));
    let without_place = |line: &str| line.splitn(4, ':').nth(3).unwrap_or(line).trim().to_owned();
    let mut found: Vec<_> = problems.lines().map(without_place).collect();
    let mut expected: Vec<_> = expected.iter().map(|line| (*line).to_owned()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}
