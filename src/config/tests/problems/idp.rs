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
