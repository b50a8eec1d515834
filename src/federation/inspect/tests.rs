use std::time::Duration;

use indexmap::IndexMap;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use super::*;
use crate::{
    config::provider::{
        IssuerRule, Workload,
        fixture::{id_jag, path as path_of, provider},
        id_jag::{IdJag, IdJagIssuer, Replay},
    },
    jose::{Signer, signer::SigningAlgorithm},
    secret::Secret,
};

/// What is found at a provider whose document, keys and token endpoint answer so.
async fn found(
    change: impl FnOnce(&mut Value, &mut Provider),
    keys: Option<Value>,
    token: (u16, Value),
) -> Vec<Finding> {
    let server = MockServer::start().await;
    let at = server.uri();
    let mut provider = provider();
    provider.issuer = IssuerRule::Exact(at.clone());
    provider.discovery_url = format!("{at}/d").parse().unwrap();
    let mut document = json!({
        "issuer": at, "authorization_endpoint": format!("{at}/a"), "token_endpoint": format!("{at}/t"),
        "userinfo_endpoint": format!("{at}/u"), "jwks_uri": format!("{at}/k"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["none"],
    });
    change(&mut document, &mut provider);
    let own = SigningAlgorithm::Es256.generate().unwrap();
    let own = Signer::from_pkcs8(SigningAlgorithm::Es256, &own).unwrap().public_jwk();
    let keys = keys.unwrap_or_else(|| json!({ "keys": [own] }));
    let other = json!({ "issuer": format!("{at}/other"), "jwks_uri": format!("{at}/k") });
    for (place, status, answer) in [
        ("/d", 200, document),
        ("/k", 200, keys),
        ("/t", token.0, token.1),
        ("/.well-known/oauth-authorization-server/other", 200, other),
    ] {
        let answer = ResponseTemplate::new(status).set_body_json(answer);
        Mock::given(path(place)).respond_with(answer).mount(&server).await;
    }
    let issuer = Issuer::try_from("http://127.0.0.1:9000".to_owned()).unwrap();
    let upstream = Upstream::new(&issuer).unwrap();
    let findings = inspect(&provider, &issuer, &upstream, (&Clock::System, &Entropy::System)).await;
    findings
        .into_iter()
        .map(|finding| Finding { text: finding.text.replace(&at, "IDP"), ..finding })
        .collect()
}

fn spent() -> (u16, Value) {
    (400, json!({ "error": "invalid_grant" }))
}

#[tokio::test]
async fn all_is_well() {
    let texts = found(|_, _| (), None, spent()).await;
    assert_eq!(
        texts,
        [
            good("IDP/d answers, and its issuer is as configured"),
            good("people are sent to IDP/a"),
            good("IDP/k has keys for ES256"),
            good("IDP/t accepts us as us"),
        ]
    );
}

#[tokio::test]
async fn the_way_out_is_named_with_the_way_back() {
    let leads_there = |document: &mut Value, provider: &mut Provider| {
        provider.logout = Logout::Provider;
        document["end_session_endpoint"] = json!("https://idp.acme.com/logout");
    };
    let texts = found(leads_there, None, spent()).await;
    let way = "people who sign out are sent to https://idp.acme.com/logout, and must be let back to \
               http://127.0.0.1:9000/login/acme/signed-out";
    assert!(texts.contains(&good(way)), "{texts:?}");
}

/// Others than those who people sign in by, one of whom says nowhere where its keys are.
#[tokio::test]
async fn whoever_signs_assertions_is_asked_for_keys() {
    let named = |issuer: &str, keys: IssuerKeys| IdJagIssuer {
        trusted: TrustedIssuer { issuer: issuer.to_owned(), keys },
        known_as: issuer.to_owned(),
        subject: vec![path_of("sub")],
        tenants: None,
    };
    let trusting = |document: &mut Value, provider: &mut Provider| {
        let at = document["issuer"].as_str().unwrap();
        let keys = |place: &str| IssuerKeys::At(format!("{at}/{place}").parse().unwrap());
        provider.id_jag = Some(IdJag {
            issuers: vec![
                named(at, IssuerKeys::OfSignIn),
                named("https://custom.example", keys("k")),
                named("https://gone.example", keys("gone")),
                named(&format!("{at}/other"), IssuerKeys::Announced),
                named(&format!("{at}/nowhere"), IssuerKeys::Announced),
            ],
            ..id_jag()
        });
        provider.workload = Some(Workload {
            issuer: TrustedIssuer { issuer: at.to_owned(), keys: IssuerKeys::OfSignIn },
            audience: None,
            algorithms: vec![IdTokenAlg::Rs256],
            replay: Replay::SingleUse,
            max_lifetime: Duration::from_secs(60),
            subjects: IndexMap::new(),
        });
    };
    let found = found(trusting, None, spent()).await;
    let of_assertions = found.iter().filter(|finding| finding.text.contains("assertions"));
    let expected = [
        good("IDP/k has keys for ES256, for the assertions of https://custom.example"),
        wrong("https://gone.example, whose assertions are taken, answered with the status 404 (IDP/gone)"),
        good("IDP/k has keys for ES256, for the assertions of IDP/other"),
        wrong("IDP/nowhere, whose assertions are taken, answered with the status 404"),
        wrong(
            "IDP, whose assertions are taken, has no key at IDP/k that fits an algorithm that workload.algorithms allows",
        ),
    ];
    assert_eq!(of_assertions.cloned().collect::<Vec<_>>(), expected);
}

/// One may be up while the other is down.
#[tokio::test]
async fn they_are_asked_whatever_becomes_of_sign_in() {
    let down = |document: &mut Value, provider: &mut Provider| {
        let at = document["issuer"].as_str().unwrap();
        let keys = IssuerKeys::At(format!("{at}/k").parse().unwrap());
        provider.workload = Some(Workload {
            issuer: TrustedIssuer { issuer: "https://ci.example".to_owned(), keys },
            audience: None,
            algorithms: vec![IdTokenAlg::Es256],
            replay: Replay::SingleUse,
            max_lifetime: Duration::from_secs(60),
            subjects: IndexMap::new(),
        });
        document["issuer"] = json!("https://evil.example");
    };
    let found = found(down, None, spent()).await;
    assert_eq!(
        found.iter().map(|finding| finding.verdict).collect::<Vec<_>>(),
        [Verdict::Wrong, Verdict::Good]
    );
    assert_eq!(found[1], good("IDP/k has keys for ES256, for the assertions of https://ci.example"));
}

#[rstest]
#[case::another_issuer(|document: &mut Value, _: &mut Provider| document["issuer"] = json!("https://evil.example"), None, spent(), Verdict::Wrong, "calls itself")]
#[case::slash(|document: &mut Value, _: &mut Provider| document["issuer"] = json!(format!("{}/", document["issuer"].as_str().unwrap())), None, spent(), Verdict::Wrong, "to the last character")]
#[case::no_endpoint(|document: &mut Value, _: &mut Provider| document["token_endpoint"] = Value::Null, None, spent(), Verdict::Wrong, "has no token_endpoint")]
#[case::plain_http(|document: &mut Value, _: &mut Provider| document["jwks_uri"] = json!("http://idp.acme.com/k"), None, spent(), Verdict::Wrong, "jwks_uri is http://idp.acme.com/k")]
#[case::no_keys(|_: &mut Value, _: &mut Provider| (), Some(json!({ "keys": [] })), spent(), Verdict::Wrong, "no signing key that can be used")]
#[case::other_keys(|_: &mut Value, provider: &mut Provider| provider.id_token_algs = vec![IdTokenAlg::Rs256], None, spent(), Verdict::Wrong, "no key at IDP/k that fits an algorithm that id_token_algs allows")]
#[case::wrong_secret(|_: &mut Value, provider: &mut Provider| provider.client_auth = UpstreamClientAuth::Post(Secret::new("x".into())), None, (401, json!({ "error": "invalid_client" })), Verdict::Wrong, "does not accept us as a client")]
#[case::gullible(|_: &mut Value, _: &mut Provider| (), None, (200, json!({ "access_token": "a", "token_type": "bearer", "id_token": "x" })), Verdict::Wrong, "a code that nobody issued")]
#[case::silent(|_: &mut Value, _: &mut Provider| (), None, (500, json!({})), Verdict::Doubtful, "not certain")]
#[case::other_algorithms(|document: &mut Value, _: &mut Provider| document["id_token_signing_alg_values_supported"] = json!(["RS512"]), None, spent(), Verdict::Doubtful, "signs ID tokens with RS512")]
#[case::other_method(|document: &mut Value, _: &mut Provider| document["token_endpoint_auth_methods_supported"] = json!(["tls_client_auth"]), None, spent(), Verdict::Doubtful, "does not name none")]
#[case::plain_pkce(|document: &mut Value, _: &mut Provider| document["code_challenge_methods_supported"] = json!(["plain"]), None, spent(), Verdict::Doubtful, "PKCE S256")]
#[case::no_userinfo(|document: &mut Value, _: &mut Provider| document["userinfo_endpoint"] = Value::Null, None, spent(), Verdict::Doubtful, "no userinfo endpoint")]
#[case::no_way_out(|_: &mut Value, provider: &mut Provider| provider.logout = Logout::Provider, None, spent(), Verdict::Doubtful, "no end_session_endpoint")]
#[case::no_usable_way_out(|document: &mut Value, provider: &mut Provider| { provider.logout = Logout::Provider; document["end_session_endpoint"] = json!("javascript:alert(1)") }, None, spent(), Verdict::Doubtful, "no end_session_endpoint")]
#[case::no_text_for_a_way_out(|document: &mut Value, provider: &mut Provider| { provider.logout = Logout::Provider; document["end_session_endpoint"] = json!([7]) }, None, spent(), Verdict::Doubtful, "no end_session_endpoint")]
#[tokio::test]
async fn trouble_is_named(
    #[case] change: fn(&mut Value, &mut Provider),
    #[case] keys: Option<Value>,
    #[case] token: (u16, Value),
    #[case] verdict: Verdict,
    #[case] words: &str,
) {
    let findings = found(change, keys, token).await;
    let named = |finding: &&Finding| finding.verdict == verdict && finding.text.contains(words);
    assert!(findings.iter().find(named).is_some(), "{findings:#?}");
}
