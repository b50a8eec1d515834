//! Assertions that are no assertions, floods of them, and issuers whose keys are a trap: each costs bounded work and is
//! answered like any other.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::support::{
    Agent, On,
    agent::{ID_JAG, JWT_BEARER},
    upstream::{json_of, signer},
};

const HEADER: &str = r#"{"alg":"ES256","typ":"oauth-id-jag+jwt","kid":"k"}"#;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Three parts as written; the signature is zeros.
fn raw(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    format!("{}.{}.{}", b64(header), b64(claims), b64([0; 64]))
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

#[tokio::test]
async fn what_is_no_assertion_is_refused_alike() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let claims = agent.claims().to_string();
    let good = agent.sign(&agent.claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let deep =
        format!(r#"{{"iss":"{}","a":{}{}}}"#, agent.upstream.issuer(), "[".repeat(5000), "]".repeat(5000));
    let twice = claims.replacen('{', r#"{"iss":"https://evil.example","#, 1);
    let bad = [
        ("no parts", "x".to_owned()),
        ("dots", ".".repeat(16_000)),
        ("two parts", signed.to_owned()),
        ("four parts", format!("{good}.x")),
        ("five parts, encrypted", format!("{}.a.b.c.d", b64(r#"{"alg":"dir","enc":"A128GCM"}"#))),
        ("no signature", format!("{signed}.")),
        ("padding", format!("{good}==")),
        ("a space in it", good.replacen('.', ". ", 1)),
        ("standard base64", format!("{signed}.+{}", &signature[1..])),
        ("no algorithm", raw(r#"{"alg":"none","typ":"oauth-id-jag+jwt"}"#, &claims)),
        ("a shared secret", raw(r#"{"alg":"HS256","typ":"oauth-id-jag+jwt"}"#, &claims)),
        ("a critical extension", raw(r#"{"alg":"ES256","typ":"oauth-id-jag+jwt","crit":["x"]}"#, &claims)),
        ("two algorithms", raw(r#"{"alg":"ES256","alg":"none","typ":"oauth-id-jag+jwt"}"#, &claims)),
        ("two issuers", raw(HEADER, twice)),
        ("nesting", raw(HEADER, deep)),
        ("a list", raw(HEADER, "[]")),
        ("UTF-16", raw(HEADER, utf16(&claims))),
        ("a UTF-16 header", raw(utf16(HEADER), &claims)),
        ("a byte order mark", raw(HEADER, [&[0xef, 0xbb, 0xbf], claims.as_bytes()].concat())),
        ("broken UTF-8", raw(HEADER, b"{\"iss\":\"\xff\"}")),
        ("a second value", raw(HEADER, format!("{claims}{{}}"))),
        ("a number for a key's name", raw(r#"{"alg":"ES256","typ":"oauth-id-jag+jwt","kid":7}"#, &claims)),
    ];
    for (what, assertion) in &bad {
        let refused = agent.present(assertion, &[]).await;
        assert_eq!((refused.status, refused.error()), (400, "invalid_grant"), "{what}: {}", refused.body);
        let same = json!({ "error": "invalid_grant", "error_description": "the assertion is not accepted: get a new one" });
        assert_eq!(refused.body, same, "{what}");
    }
    assert_eq!(agent.present(&good, &[]).await.status, 200);
    assert_eq!(agent.server.recorded("token.refused").await, i64::try_from(bad.len()).unwrap());
}

/// Longer than any assertion is: not even read.
#[rstest]
#[case::seventeen_kilobytes("x".repeat(17 * 1024))]
#[case::dots(".".repeat(100_000))]
#[case::none_at_all(String::new())]
#[tokio::test]
async fn what_cannot_be_one(#[case] assertion: String) {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let refused = agent.present(&assertion, &[]).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_request"));
    assert!(!refused.body.to_string().contains("xxx"));
}

/// Padded with a claim to the last byte that is read, and one more.
#[tokio::test]
async fn sixteen_kilobytes_are_enough() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let of_length = |length: usize| {
        let padded = |by: usize| agent.sign(&agent.claims_with("padding", json!("x".repeat(by))));
        let by = (0..length).rev().find(|by| by % 3 == 0 && padded(*by).len() <= length).unwrap();
        padded(by)
    };
    let close = of_length(16 * 1024);
    assert!(close.len() > 16 * 1024 - 8, "{}", close.len());
    assert_eq!(agent.present(&close, &[]).await.status, 200);
}

#[tokio::test]
async fn what_narrows_the_request_in_unknown_ways_is_refused() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let assertion = agent.sign(&agent.claims());
    let refused = agent.present(&assertion, &[("authorization_details", "[]")]).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_request"));
    assert_eq!(agent.present(&assertion, &[]).await.status, 200);
}

#[tokio::test]
async fn where_no_provider_is_trusted_no_assertion_counts() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let sections = crate::support::PLAIN.replace(
        "clients:\n",
        &format!(
            "clients:\n  agent: {{ secret: {}, grant_types: [\"{JWT_BEARER}\"] }}\n",
            crate::support::agent::SECRET
        ),
    );
    let server = crate::support::Server::start_with(On::Sqlite, &sections).await.unwrap();
    let refused = crate::support::agent::present_at(&server, &agent.sign(&agent.claims()), &[]).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_grant"));
    assert_eq!(server.reasons("token.refused").await, ["assertion_issuer"]);
}

/// Names of keys that nobody has, in the name of an issuer that is trusted and of one that is not.
#[tokio::test]
async fn a_flood_of_key_names_makes_two_fetches() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    assert_eq!(agent.trade(&agent.claims()).await.status, 200);
    for turn in 0..40 {
        let issuer = if turn % 2 == 0 { agent.upstream.issuer() } else { "https://evil.example".to_owned() };
        let forged = signer().sign(ID_JAG, &agent.claims_with("iss", json!(issuer))).unwrap();
        assert_eq!(agent.present(&forged, &[]).await.error(), "invalid_grant");
    }
    assert_eq!(agent.upstream.requests("/keys").await.len(), 2);
    assert_eq!(agent.upstream.requests("/.well-known/openid-configuration").await.len(), 1);
    assert_eq!(agent.trade(&agent.claims()).await.status, 200);
}

/// A key that comes with the assertion, or stands where the assertion says, is nobody's.
#[tokio::test]
async fn keys_in_the_header_are_not_looked_at() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let forger = signer();
    agent.upstream.answers("/evil", json_of(&json!({ "keys": [forger.public_jwk()] })));
    let forged = forger.sign(ID_JAG, &agent.claims()).unwrap();
    let (_, rest) = forged.split_once('.').unwrap();
    let (claims, _) = rest.split_once('.').unwrap();
    let header = json!({
        "alg": "ES256", "typ": ID_JAG, "jwk": forger.public_jwk(),
        "jku": format!("{}/evil", agent.upstream.issuer()), "x5u": format!("{}/evil", agent.upstream.issuer()),
    });
    let forged = format!("{}.{claims}.{}", b64(header.to_string()), b64([1; 64]));
    assert_eq!(agent.present(&forged, &[]).await.error(), "invalid_grant");
    assert_eq!(agent.upstream.requests("/evil").await.len(), 0);
}

/// An issuer that cannot be asked is our trouble, not the agent's: it keeps its assertion.
#[rstest]
#[case::down("/keys", ResponseTemplate::new(500))]
#[case::slow("/keys", ResponseTemplate::new(200).set_delay(Duration::from_secs(30)))]
#[case::no_keys("/keys", json_of(&json!({ "keys": [] })))]
#[case::no_key_set("/keys", ResponseTemplate::new(200).set_body_string("<html>"))]
#[case::too_many_keys("/keys", json_of(&json!({ "keys": vec![Value::Null; 101] })))]
#[case::endless("/keys", ResponseTemplate::new(200).set_body_string(" ".repeat(65 * 1024)))]
#[case::elsewhere("/keys", ResponseTemplate::new(302).insert_header("location", "/evil"))]
#[case::symmetric("/keys", json_of(&json!({ "keys": [{ "kty": "oct", "k": "AAAA", "alg": "HS256" }] })))]
#[case::gone("/.well-known/openid-configuration", ResponseTemplate::new(404))]
#[case::another("/.well-known/openid-configuration", json_of(&json!({ "issuer": "https://evil.example" })))]
#[tokio::test]
async fn an_issuer_without_keys(#[case] path: &str, #[case] answer: ResponseTemplate) {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let assertion = agent.sign(&agent.claims());
    agent.upstream.answers(path, answer);
    let failed = agent.present(&assertion, &[]).await;
    assert_eq!((failed.status, failed.error()), (503, "temporarily_unavailable"), "{}", failed.body);
    assert!(failed.headers.contains_key("retry-after"));
    assert_eq!(agent.server.recorded("token.refused").await, 0, "a fault is no decision");
    agent.upstream.answers("/.well-known/openid-configuration", json_of(&agent.upstream.document()));
    agent.upstream.publishes(&[&agent.upstream.signer]);
    agent.server.later(Duration::from_secs(31));
    let tokens = agent.present(&assertion, &[]).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
}

/// Keys that are known serve on while the issuer is away.
#[tokio::test]
async fn an_outage_of_the_issuer_is_bridged() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    assert_eq!(agent.trade(&agent.claims()).await.status, 200);
    agent.upstream.answers("/keys", ResponseTemplate::new(500));
    agent.upstream.answers("/.well-known/openid-configuration", ResponseTemplate::new(500));
    agent.server.later(Duration::from_secs(3 * 3600));
    assert_eq!(agent.trade(&agent.claims()).await.status, 200);
}
