//! Proofs of possession at the token endpoint (DPoP, RFC 9449 §4, §5 and §8): what a proof must be, that it counts
//! once, and the nonce in it. What is bound to its key is told in `dpop_binding`.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery::jose::{Signer, signer::SigningAlgorithm};
use jsonwebtoken::Algorithm;
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::{
    authorization::futures_join,
    support::{
        Browser, Client, DpopKey, On, PLAIN, Server, Setup, Tokens,
        dpop::{claims, post_with},
    },
};

const MINUTE: Duration = Duration::from_secs(60);
const SECRET: &str = "0123456789-nightly-secret";

/// The usual sections with a program that may speak for itself.
fn with_nightly() -> String {
    let nightly = format!(
        "clients:\n  nightly:\n    secret: {SECRET}\n    grant_types: [client_credentials]\n    \
         resources: {{ tickets: [\"tickets:read\"] }}\n"
    );
    PLAIN.replace("clients:\n", &nightly)
}

async fn start(on: On) -> Option<Server> {
    Server::start_with(on, &with_nightly()).await
}

/// What `nightly` sends.
fn form() -> [(&'static str, String); 4] {
    [
        ("grant_type", "client_credentials"),
        ("client_id", "nightly"),
        ("client_secret", SECRET),
        ("resource", "https://mcp.acme.example/tickets"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
}

async fn ask(server: &Server, proofs: &[&str]) -> Tokens {
    post_with(server, &form(), proofs).await
}

/// One text for every proof that is refused: which check failed is for the record.
fn is_refused(answer: &Tokens) {
    assert_eq!((answer.status, answer.error()), (400, "invalid_dpop_proof"), "{}", answer.body);
    assert_eq!(answer.body["error_description"], "a DPoP proof is missing, or cannot be accepted");
}

#[rstest]
#[case::no_type("/header/typ", json!(null), "of another kind")]
#[case::another_type("/header/typ", json!("JWT"), "of another kind")]
#[case::a_client_assertion("/header/typ", json!("client-authentication+jwt"), "of another kind")]
#[case::unsigned("/header/alg", json!("none"), "algorithm is not accepted")]
#[case::symmetric("/header/alg", json!("HS256"), "algorithm is not accepted")]
#[case::another_algorithm("/header/alg", json!("ES384"), "signature does not hold")]
#[case::critical("/header/crit", json!(["b64"]), "header member crit")]
#[case::no_key("/header/jwk", json!(null), "header member jwk")]
#[case::a_text_for_a_key("/header/jwk", json!("key"), "header member jwk")]
#[case::a_private_key("/header/jwk/d", json!("AAAA"), "gives its own secret key away")]
#[case::a_symmetric_key("/header/jwk", json!({ "kty": "oct", "k": "AAAA" }), "gives its own secret key away")]
#[case::somebody_elses_key("/header/jwk", DpopKey::new().jwk(), "signature does not hold")]
#[case::half_a_key("/header/jwk/y", json!(null), "own key cannot be used")]
#[case::a_short_key("/header", short_rsa(), "own key cannot be used")]
#[case::a_key_to_encrypt("/header/jwk/use", json!("enc"), "own key cannot be used")]
#[case::another_method("/claims/htm", json!("GET"), "htm is not the method")]
#[case::no_method("/claims/htm", json!(null), "claim htm is missing")]
#[case::another_path("/claims/htu", json!("{issuer}/oauth/revoke"), "htu is not the address")]
#[case::another_server("/claims/htu", json!("https://auth.acme.example/oauth/token"), "htu is not the address")]
#[case::no_address("/claims/htu", json!(null), "claim htu is missing")]
#[case::no_date("/claims/iat", json!(null), "claim iat is missing")]
#[case::a_text_for_a_date("/claims/iat", json!("1795219200"), "claim iat cannot be understood")]
#[case::in_milliseconds("/claims/iat", json!(1_795_219_200_000_i64), "claim iat cannot be understood")]
#[case::from_the_future("/claims/iat", json!(1_795_219_261), "not valid yet")]
#[case::old("/claims/iat", json!(1_795_219_079), "too long ago")]
#[case::expired("/claims/exp", json!(1_795_219_140), "has expired")]
#[case::not_yet("/claims/nbf", json!(1_795_219_261), "not valid yet")]
#[case::no_id("/claims/jti", json!(null), "claim jti is missing")]
#[case::an_empty_id("/claims/jti", json!(""), "jti cannot be accepted")]
#[case::an_overlong_id("/claims/jti", json!("j".repeat(257)), "jti cannot be accepted")]
#[case::a_zero_in_the_id("/claims/jti", json!("a\u{0}"), "jti cannot be accepted")]
#[case::a_number_for_a_nonce("/claims/nonce", json!(7), "claim nonce cannot be understood")]
#[tokio::test]
async fn a_wrong_proof_is_refused_and_consumes_nothing(
    #[case] at: &str,
    #[case] value: Value,
    #[case] why: &str,
) {
    let server = start(On::Sqlite).await.unwrap();
    let (client, key) = (Client::desk(), DpopKey::new());
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let good = json!({ "header": key.header(), "claims": claims(&server) });
    let mut bad = good.clone();
    let (parent, name) = at.rsplit_once('/').unwrap();
    let parent = bad.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.insert(name.to_owned(), with_issuer(value, &server));
    parent.retain(|_, value| !value.is_null());
    let present = async |proof: &Value| {
        let proof = key.sign(&proof["header"], &proof["claims"]);
        post_with(&server, &client.exchange_parameters(&code), &[&proof]).await
    };
    let answer = present(&bad).await;
    is_refused(&answer);
    assert!(answer.headers.contains_key("dpop-nonce"));
    assert_eq!(server.reasons("token.refused").await, ["invalid_dpop_proof"]);
    let recorded = server.details("token.refused").await.remove(0);
    assert!(recorded["why"].as_str().unwrap().contains(why), "{recorded}");
    let tokens = present(&good).await;
    assert_eq!(tokens.body["token_type"], "DPoP", "neither the code nor the jti was spent: {}", tokens.body);
}

/// A header with an RSA key of 1,024 bits.
fn short_rsa() -> Value {
    let n = URL_SAFE_NO_PAD.encode([0xff; 128]);
    json!({ "typ": "dpop+jwt", "alg": "RS256", "jwk": { "kty": "RSA", "n": n, "e": "AQAB" } })
}

fn with_issuer(value: Value, server: &Server) -> Value {
    match value {
        Value::String(text) => json!(text.replace("{issuer}", &server.issuer)),
        value => value,
    }
}

#[tokio::test]
async fn a_forged_signature_does_not_burn_the_id() {
    let server = start(On::Sqlite).await.unwrap();
    let good = DpopKey::new().proof(&server);
    let other = DpopKey::new().proof(&server);
    let forged = format!("{}.{}", good.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1);
    is_refused(&ask(&server, &[&forged]).await);
    assert_eq!(ask(&server, &[&good]).await.status, 200);
}

#[rstest]
#[case::nothing("")]
#[case::no_jwt("x")]
#[case::dots("....................")]
#[case::two_in_one("{good}, {good}")]
#[case::padded("{good}==")]
#[case::a_scheme("DPoP {good}")]
#[tokio::test]
async fn what_is_no_proof_is_refused(#[case] written: &str) {
    let server = start(On::Sqlite).await.unwrap();
    let good = DpopKey::new().proof(&server);
    is_refused(&ask(&server, &[&written.replace("{good}", &good)]).await);
    assert_eq!(ask(&server, &[&good]).await.status, 200);
}

#[tokio::test]
async fn there_is_one_header() {
    let server = start(On::Sqlite).await.unwrap();
    let key = DpopKey::new();
    let [one, other] = [key.proof(&server), key.proof(&server)];
    is_refused(&ask(&server, &[&one, &other]).await);
    is_refused(&ask(&server, &[&one, &one]).await);
    is_refused(&ask(&server, &[&one, ""]).await);
    assert_eq!(ask(&server, &[&one]).await.status, 200);
}

/// Work is bounded before anything is decoded; what is too long for any header ends the request before it is ours.
#[tokio::test]
async fn an_overlong_proof_is_not_read() {
    let server = start(On::Sqlite).await.unwrap();
    let key = DpopKey::new();
    let padded = |bytes: usize| {
        let mut header = key.header();
        header["x5c"] = json!(["A".repeat(bytes)]);
        key.sign(&header, &claims(&server))
    };
    assert_eq!(ask(&server, &[&padded(4_000)]).await.status, 200);
    is_refused(&ask(&server, &[&padded(6_500)]).await);
    let recorded = server.details("token.refused").await.remove(0);
    assert_eq!(recorded["why"], "DPoP proof: it is longer than 8192 bytes");
    let huge = "A".repeat(100_000);
    let answer = server.raw(&format!("POST /oauth/token HTTP/1.1\r\nhost: x\r\ndpop: {huge}\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(ask(&server, &[&key.proof(&server)]).await.status, 200);
}

/// The key is the one in `jwk`; names and addresses of others lead nowhere (RFC 8725 §3.10).
#[tokio::test]
async fn other_keys_in_the_header_are_ignored() {
    let server = start(On::Sqlite).await.unwrap();
    let (key, decoy) = (DpopKey::new(), MockServer::start().await);
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&decoy).await;
    let mut header = key.header();
    for (name, value) in [
        ("jku", json!(decoy.uri())),
        ("x5u", json!(decoy.uri())),
        ("x5c", json!(["MIIB"])),
        ("kid", json!("another")),
    ] {
        header[name] = value.clone();
        header["jwk"][name] = value;
    }
    let tokens = ask(&server, &[&key.sign(&header, &claims(&server))]).await;
    assert_eq!(tokens.claims()["cnf"]["jkt"], key.thumbprint(), "{}", tokens.body);
    assert!(decoy.received_requests().await.unwrap().is_empty());
}

#[rstest]
#[tokio::test]
async fn other_kinds_of_keys_prove_as_well(
    #[values(Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256, Algorithm::PS512)] algorithm: Algorithm,
) {
    let server = start(On::Sqlite).await.unwrap();
    let key = DpopKey::of(algorithm);
    let tokens = ask(&server, &[&key.proof(&server)]).await;
    assert_eq!(tokens.claims()["cnf"]["jkt"], key.thumbprint(), "{}", tokens.body);
    let offered = server.json("/.well-known/oauth-authorization-server").await;
    assert!(offered["dpop_signing_alg_values_supported"].as_array().unwrap().contains(&json!(algorithm)));
}

#[tokio::test]
async fn the_metadata_offers_no_symmetric_algorithm() {
    let server = start(On::Sqlite).await.unwrap();
    let document = server.json("/.well-known/oauth-authorization-server").await;
    let offered = document["dpop_signing_alg_values_supported"].as_array().unwrap();
    let names: Vec<_> = offered.iter().map(|name| name.as_str().unwrap()).collect();
    assert!(names.contains(&"ES256") && names.contains(&"RS256"), "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("HS") || *name == "none"), "{names:?}");
}

/// RFC 9449 §11.1.
#[rstest]
#[tokio::test]
async fn a_proof_counts_once_for_as_long_as_it_is_good(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = start(on).await else { return };
    let key = DpopKey::new();
    let claims = claims(&server);
    let proof = key.sign(&key.header(), &claims);
    assert_eq!(ask(&server, &[&proof]).await.status, 200);
    is_refused(&ask(&server, &[&proof]).await);
    is_refused(&ask(&server, &[&key.sign(&key.header(), &claims)]).await);
    server.later(2 * MINUTE);
    chancery::store::sweep::sweep(&server.app.db, server.app.clock.now()).await.unwrap();
    is_refused(&ask(&server, &[&proof]).await);
    let recorded = server.details("token.refused").await;
    assert!(
        recorded.iter().all(|refused| refused["why"] == "DPoP proof: it was used before"),
        "{recorded:?}"
    );
    assert_eq!(server.recorded("token.issued").await, 1);
    let other = DpopKey::new();
    let fresh = crate::support::dpop::claims(&server);
    assert_eq!(ask(&server, &[&other.sign(&other.header(), &fresh)]).await.status, 200);
    let namesake = key.sign(&key.header(), &fresh);
    assert_eq!(ask(&server, &[&namesake]).await.status, 200, "the same jti by another key is another proof");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_send_it_at_once_one_gets_a_token(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = start(on).await else { return };
    let proof = DpopKey::new().proof(&server);
    let proofs = [proof.as_str()];
    let answers = futures_join((0..16).map(|_| ask(&server, &proofs))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    answers.iter().filter(|answer| answer.status != 200).for_each(is_refused);
    assert_eq!(server.recorded("token.issued").await, 1);
}

#[rstest]
#[tokio::test]
async fn a_request_that_fails_otherwise_leaves_the_proof_good(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = start(on).await else { return };
    let proof = DpopKey::new().proof(&server);
    for (name, value, error) in [
        ("client_secret", "wrong", "invalid_client"),
        ("grant_type", "password", "unsupported_grant_type"),
        ("scope", "tickets:write", "invalid_scope"),
        ("resource", "https://mcp.acme.example/wiki", "invalid_target"),
    ] {
        let mut form = form().to_vec();
        form.retain(|(known, _)| *known != name);
        form.push((name, value.to_owned()));
        assert_eq!(post_with(&server, &form, &[&proof]).await.error(), error);
    }
    server.hide("replays").await;
    let fault = ask(&server, &[&proof]).await;
    assert_eq!((fault.status, fault.error()), (503, "temporarily_unavailable"));
    server.unhide("replays").await;
    assert_eq!(ask(&server, &[&proof]).await.status, 200);
}

/// RFC 9449 §8: one answer, in the form that clients retry at once.
#[tokio::test]
async fn a_proof_without_a_nonce_is_told_the_nonce() {
    let server = start(On::Sqlite).await.unwrap();
    let (client, key) = (Client::desk(), DpopKey::new());
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let mut claims = claims(&server);
    claims.as_object_mut().unwrap().remove("nonce");
    let proof = key.sign(&key.header(), &claims);
    let challenge = post_with(&server, &client.exchange_parameters(&code), &[&proof]).await;
    assert_eq!((challenge.status, challenge.error()), (400, "use_dpop_nonce"), "{}", challenge.body);
    assert_eq!(challenge.headers["cache-control"], "no-store");
    assert_eq!(server.recorded("token.refused").await, 0, "a challenge is a step and no decision");
    claims["nonce"] = json!(challenge.headers["dpop-nonce"].to_str().unwrap());
    let tokens =
        post_with(&server, &client.exchange_parameters(&code), &[&key.sign(&key.header(), &claims)]).await;
    assert_eq!(tokens.status, 200, "neither code nor jti were spent: {}", tokens.body);
    assert!(tokens.headers.contains_key("dpop-nonce"), "for the next proof");
}

/// A client that signs is told the nonce, too, and its assertion is still good.
#[tokio::test]
async fn the_challenge_costs_no_assertion() {
    let pkcs8 = SigningAlgorithm::Es256.generate().unwrap();
    let signer = Signer::from_pkcs8(SigningAlgorithm::Es256, &pkcs8).unwrap();
    let jwks = json!({ "keys": [signer.public_jwk()] }).to_string();
    let sections = with_nightly().replace(&format!("secret: {SECRET}"), &format!("jwks: '{jwks}'"));
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let key = DpopKey::new();
    let now = server.app.clock.now().as_secs();
    let assertion = json!({
        "iss": "nightly", "sub": "nightly", "aud": server.issuer, "iat": now, "exp": now + 300,
    });
    let form = |jti: &str| {
        let mut assertion = assertion.clone();
        assertion["jti"] = json!(jti);
        [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &signer.sign("JWT", &assertion).unwrap()),
            ("resource", "https://mcp.acme.example/tickets"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
    };
    let mut without = claims(&server);
    without.as_object_mut().unwrap().remove("nonce");
    let challenge = post_with(&server, &form("1"), &[&key.sign(&key.header(), &without)]).await;
    assert_eq!(challenge.error(), "use_dpop_nonce");
    let proof = key.proof(&server);
    assert_eq!(post_with(&server, &form("1"), &[&proof]).await.status, 200);
    is_refused(&post_with(&server, &form("2"), &[&proof]).await);
    let tokens = post_with(&server, &form("2"), &[&key.proof(&server)]).await;
    assert_eq!(tokens.status, 200, "nor does a proof that was used: {}", tokens.body);
    assert_eq!(post_with(&server, &form("1"), &[&key.proof(&server)]).await.error(), "invalid_client");
}

#[tokio::test]
async fn a_nonce_is_good_for_minutes() {
    let server = start(On::Sqlite).await.unwrap();
    let key = DpopKey::new();
    let nonce = claims(&server)["nonce"].clone();
    let with = |nonce: &Value| {
        let mut claims = claims(&server);
        claims["nonce"] = nonce.clone();
        key.sign(&key.header(), &claims)
    };
    server.later(9 * MINUTE);
    assert_eq!(ask(&server, &[&with(&nonce)]).await.status, 200);
    server.later(MINUTE);
    let challenge = ask(&server, &[&with(&nonce)]).await;
    assert_eq!(challenge.error(), "use_dpop_nonce", "{}", challenge.body);
    let next = json!(challenge.headers["dpop-nonce"].to_str().unwrap());
    assert_eq!(ask(&server, &[&with(&next)]).await.status, 200);
    for bad in ["x", "", &"A".repeat(43)] {
        assert_eq!(ask(&server, &[&with(&json!(bad))]).await.error(), "use_dpop_nonce", "{bad:?}");
    }
}

#[tokio::test]
async fn an_operator_may_do_without_nonces() {
    let sections = format!("{}dpop: {{ nonce: optional }}\n", with_nightly());
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let key = DpopKey::new();
    let with = |nonce: Option<&str>| {
        let mut claims = claims(&server);
        claims["nonce"] = json!(nonce);
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        key.sign(&key.header(), &claims)
    };
    assert_eq!(ask(&server, &[&with(None)]).await.status, 200);
    assert_eq!(
        ask(&server, &[&with(Some("x"))]).await.error(),
        "use_dpop_nonce",
        "one that is there is checked"
    );
}

/// What counts is the address that clients know, whatever it is that they reach us at.
#[rstest]
#[case(Setup::on(On::Sqlite).below("/t1"))]
#[case(Setup::on(On::Sqlite).known_as("https://auth.acme.example"))]
#[case(Setup::on(On::Sqlite).known_as("https://acme.example:8443/t1").below("/t1"))]
#[tokio::test]
async fn the_address_is_the_issuers(#[case] setup: Setup) {
    let sections = with_nightly().replace("${PROVIDER}", "https://idp.acme.example");
    let server = setup.sections(&sections).start().await.unwrap();
    let key = DpopKey::new();
    let at = |url: String| {
        let mut claims = claims(&server);
        claims["htu"] = json!(url);
        key.sign(&key.header(), &claims)
    };
    for wrong in [server.root_url("/oauth/token"), "https://t1/oauth/token".to_owned()] {
        is_refused(&ask(&server, &[&at(wrong)]).await);
    }
    let written = format!("{}/./oauth/%74oken?x=1#y", server.issuer).replacen("http", "HTTP", 1);
    assert_eq!(ask(&server, &[&at(written)]).await.status, 200, "RFC 3986 §6.2.2");
    assert_eq!(ask(&server, &[&key.proof(&server)]).await.status, 200);
}

#[tokio::test]
async fn scripts_of_other_sites_may_send_proofs_and_read_nonces() {
    let server = start(On::Sqlite).await.unwrap();
    let preflight = server
        .request(Method::OPTIONS, "/oauth/token")
        .header("origin", "https://inspector.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "dpop");
    let preflight = preflight.send().await.unwrap();
    assert!(preflight.headers()["access-control-allow-headers"].to_str().unwrap().contains("dpop"));
    let asked = server.request(Method::POST, "/oauth/token").header("origin", "https://inspector.example");
    let answer = asked.form(&form()).send().await.unwrap();
    assert!(answer.headers()["access-control-expose-headers"].to_str().unwrap().contains("dpop-nonce"));
    assert!(answer.headers().contains_key("dpop-nonce"));
}
