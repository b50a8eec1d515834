//! Documents good and bad, and when they are asked for.

use jsonwebtoken::Algorithm;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::method};

use super::*;
use crate::{
    config::registration::HostPattern,
    jose::{Signer, signer::SigningAlgorithm},
    oauth::issuer::Issuer,
};

fn id(text: &str) -> ClientId {
    ClientId::try_from(text.to_owned()).unwrap()
}

#[rstest]
#[case("https://app.example/client.json", true)]
#[case("https://app.example:8443/c?v=1", true)]
#[case("https://app.example/", true)]
#[case("https://app.example", false)]
#[case("http://app.example/c", false)]
#[case("HTTPS://app.example/c", false)]
#[case("https://APP.example/c", false)]
#[case("https://app.example:443/c", false)]
#[case("https://app.example/a/../c", false)]
#[case("https://app.example/a/%2e%2e/c", false)]
#[case("https://app.example/./c", false)]
#[case("https://app.example/c#x", false)]
#[case("https://u@app.example/c", false)]
#[case("https://app.example\\c", false)]
#[case("https://127.1/c", false)]
fn an_address_is_written_in_one_way(#[case] text: &str, #[case] accepted: bool) {
    assert_eq!(address(&id(text), false).is_some(), accepted);
}

fn public_keys() -> Value {
    let algorithm = SigningAlgorithm::Es256;
    let signer = Signer::from_pkcs8(algorithm, &algorithm.generate().unwrap()).unwrap();
    json!({ "keys": [signer.public_jwk()] })
}

#[test]
fn a_client_that_signs_names_its_keys_once() {
    let client = |change: Value| {
        let mut document = json!({
            "client_id": "https://a.example/c", "redirect_uris": ["https://a.example/cb"],
            "token_endpoint_auth_method": "private_key_jwt", "grant_types": ["client_credentials"],
        });
        document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let document = serde_json::from_value(document).unwrap();
        client_of(document, &id("https://a.example/c"), "a.example".to_owned(), true).unwrap()
    };
    let inline = client(json!({ "jwks": public_keys(), "token_endpoint_auth_signing_alg": "ES256" }));
    assert!(inline.grant_types.is_empty(), "nobody gives himself the right to speak for himself");
    let keys = inline.keys.unwrap();
    assert!(matches!(keys.source, KeySource::Inline(_)));
    assert_eq!(keys.algorithms, [Algorithm::ES256]);
    let keys = client(json!({ "jwks_uri": "https://a.example/k" })).keys.unwrap();
    assert!(matches!(keys.source, KeySource::Published(_)), "asked under guard");
    assert_eq!(keys.algorithms.len(), ASSERTION_ALGS.len());
}

fn read(change: &Value) -> DocumentClient {
    let mut document = json!({
        "client_id": "https://a.example/c", "client_name": "A",
        "redirect_uris": ["https://a.example/cb", "http://localhost/cb"],
    });
    document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let document = serde_json::from_value(document).unwrap();
    client_of(document, &id("https://a.example/c"), "a.example".to_owned(), true).unwrap()
}

/// A consent relies on where answers go and on what proves the client, and on nothing else.
#[test]
fn what_a_consent_relies_on_changes_with_addresses_and_keys_alone() {
    let keys = [public_keys(), public_keys()].map(|set| set["keys"][0].clone());
    let signing =
        |keys: Value| json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": keys } });
    let plain = read(&json!({})).fingerprint;
    for same in [
        json!({ "client_name": "B", "dpop_bound_access_tokens": true, "response_types": ["code"] }),
        json!({ "redirect_uris": ["http://localhost/cb", "https://a.example/cb", "http://localhost/cb"] }),
    ] {
        assert_eq!(read(&same).fingerprint, plain, "{same}");
    }
    let mut others = vec![plain];
    for other in [
        json!({ "redirect_uris": ["https://a.example/cb"] }),
        json!({ "redirect_uris": ["https://a.example/cb", "http://localhost/cb", "https://a.example/2"] }),
        json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://a.example/k" }),
        json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://a.example/l" }),
        signing(json!([keys[0]])),
        signing(json!([keys[1]])),
        signing(json!([keys[0], keys[1]])),
    ] {
        let fingerprint = read(&other).fingerprint;
        assert!(!others.contains(&fingerprint), "{other}");
        others.push(fingerprint);
    }
    let turned = read(&signing(json!([keys[1], keys[0]]))).fingerprint;
    assert_eq!(others.last(), Some(&turned));
}

/// RFC 7591 §2.1: whoever never comes to the authorization endpoint needs no answer from it.
#[test]
fn a_client_without_codes_needs_no_response_type() {
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let client = read(&json!({ "grant_types": [grant], "response_types": [] }));
    assert!(!client.grant_types.contains(&GrantType::AuthorizationCode));
}

/// A server with one document, and a cache that may ask it.
async fn serving(answer: ResponseTemplate) -> (MockServer, DocumentCache, ClientId) {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(answer).mount(&server).await;
    let issuer = Issuer::try_from("http://127.0.0.1:9000".to_owned()).unwrap();
    let policy = Documents { allow_hosts: vec![HostPattern::Any] };
    let cache = DocumentCache::new(Guarded::new(&issuer).unwrap(), policy, true);
    let client = id(&format!("{}/client.json", server.uri()));
    (server, cache, client)
}

fn json_answer(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

#[tokio::test]
async fn a_document_becomes_a_client_and_is_fetched_once_while_fresh() {
    let clock = Clock::manual(Timestamp::from_secs(0));
    let server = MockServer::start().await;
    let address = format!("{}/client.json", server.uri());
    let document = json!({ "client_id": address, "client_name": " Agent ", "redirect_uris": ["http://localhost/cb"],
        "grant_types": ["authorization_code", "refresh_token", "urn:x"], "unknown": { "a": 1 } });
    let answer = json_answer(&document).insert_header("cache-control", "public, max-age=600");
    Mock::given(method("GET")).respond_with(answer).mount(&server).await;
    let issuer = Issuer::try_from("http://127.0.0.1:9000".to_owned()).unwrap();
    let policy = Documents { allow_hosts: vec![HostPattern::Any] };
    let cache = DocumentCache::new(Guarded::new(&issuer).unwrap(), policy, true);

    let client = cache.get(&id(&address), &clock).await.unwrap();
    assert_eq!(client.name.as_deref(), Some("Agent"));
    assert_eq!(client.grant_types, [GrantType::AuthorizationCode, GrantType::RefreshToken]);
    assert!(!client.assured, "a wildcard vouches for nobody");
    clock.advance(Duration::from_secs(599));
    cache.get(&id(&address), &clock).await.unwrap();
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
    clock.advance(Duration::from_secs(1));
    cache.get(&id(&address), &clock).await.unwrap();
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[rstest]
#[case::another_client(json!({ "client_id": "https://other.example/c" }))]
#[case::a_secret(json!({ "client_secret": "x" }))]
#[case::a_secrets_date(json!({ "client_secret_expires_at": 0 }))]
#[case::shared_secret_method(json!({ "token_endpoint_auth_method": "client_secret_basic" }))]
#[case::unknown_method(json!({ "token_endpoint_auth_method": "tls_client_auth" }))]
#[case::no_keys(json!({ "token_endpoint_auth_method": "private_key_jwt" }))]
#[case::keys_of_no_use(json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [] } }))]
#[case::keys_twice(json!({
    "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://a.example/k", "jwks": public_keys(),
}))]
#[case::keys_nowhere(json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "/k" }))]
#[case::symmetric(json!({
    "token_endpoint_auth_method": "private_key_jwt", "jwks": public_keys(), "token_endpoint_auth_signing_alg": "HS256",
}))]
#[case::answered_without_a_code(json!({ "response_types": ["token", "id_token"] }))]
#[case::answered_not_at_all(json!({ "response_types": [], "grant_types": ["authorization_code"] }))]
#[case::no_redirect(json!({ "redirect_uris": [] }))]
#[case::script(json!({ "redirect_uris": ["https://a.example/cb", "javascript:alert(1)"] }))]
#[case::many(json!({ "redirect_uris": vec!["https://a.example/cb"; 51] }))]
#[case::wrong_type(json!({ "redirect_uris": "https://a.example/cb" }))]
#[tokio::test]
async fn a_wrong_document_is_refused_and_not_remembered(#[case] change: Value) {
    let server = MockServer::start().await;
    let address = format!("{}/client.json", server.uri());
    let mut document =
        json!({ "client_id": address, "client_name": "A", "redirect_uris": ["https://a.example/cb"] });
    for (name, value) in change.as_object().unwrap() {
        document[name] = value.clone();
    }
    Mock::given(method("GET")).respond_with(json_answer(&document)).mount(&server).await;
    let issuer = Issuer::try_from("http://127.0.0.1:9000".to_owned()).unwrap();
    let policy = Documents { allow_hosts: vec![HostPattern::Any] };
    let cache = DocumentCache::new(Guarded::new(&issuer).unwrap(), policy, true);
    for _ in 0..2 {
        assert!(cache.get(&id(&address), &Clock::System).await.is_err());
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[rstest]
#[case::not_json(ResponseTemplate::new(200).set_body_raw("{}", "text/html"))]
#[case::no_object(json_answer(&json!([1])))]
#[case::error(ResponseTemplate::new(404))]
#[case::created(ResponseTemplate::new(201).set_body_json(json!({})))]
#[case::redirect(ResponseTemplate::new(302).insert_header("location", "/other"))]
#[case::large(json_answer(&json!({ "x": "y".repeat(MAX_DOCUMENT_BYTES) })))]
#[tokio::test]
async fn an_answer_that_is_no_document_is_refused(#[case] answer: ResponseTemplate) {
    let (_server, cache, client) = serving(answer).await;
    assert!(cache.get(&client, &Clock::System).await.is_err());
}

#[tokio::test]
async fn a_host_that_is_not_admitted_is_not_asked() {
    let (server, mut cache, client) = serving(ResponseTemplate::new(500)).await;
    cache.policy = Documents { allow_hosts: vec![HostPattern::try_from("claude.ai".to_owned()).unwrap()] };
    let error = cache.get(&client, &Clock::System).await.unwrap_err();
    assert!(matches!(*error, DocumentError::Host(_)));
    assert!(server.received_requests().await.unwrap().is_empty());
}
