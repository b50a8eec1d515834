use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::*;
use crate::{
    clock::{Clock, Timestamp},
    config::provider::fixture::{multi_tenant, provider},
    net::kept::{FRESH_FOR, RETRY_AFTER, USABLE_FOR},
    oauth::issuer::Issuer,
};

const SECOND: Duration = Duration::from_secs(1);

fn upstream(issuer: &str) -> Upstream {
    Upstream::new(&Issuer::try_from(issuer.to_owned()).unwrap()).unwrap()
}

fn document() -> Value {
    json!({
        "issuer": "https://idp.acme.com",
        "authorization_endpoint": "https://login.acme.com/authorize",
        "token_endpoint": "https://idp.acme.com/token",
        "jwks_uri": "https://keys.acme.com/jwks",
        "response_types_supported": ["code", "something_new"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "XY999", "ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "new_method"],
        "a_field_of_theirs": { "deep": [1, 2] },
    })
}

fn judged(document: &Value) -> Result<Metadata, DiscoveryError> {
    judge(document.to_string().as_bytes(), &provider().issuer, &upstream("https://us.example"))
}

fn with(name: &str, value: Value) -> Value {
    let mut document = document();
    document[name] = value;
    document
}

fn without(name: &str) -> Value {
    let mut document = document();
    document.as_object_mut().unwrap().remove(name);
    document
}

#[test]
fn a_document_with_things_unknown_to_us_is_read() {
    let metadata = judged(&document()).unwrap();
    assert_eq!(metadata.authorization_endpoint.as_str(), "https://login.acme.com/authorize");
    assert_eq!(metadata.id_token_algs, ["RS256", "ES256"]);
    assert_eq!(metadata.auth_methods, ["client_secret_basic", "new_method"]);
    assert_eq!((metadata.announces_iss, metadata.s256, metadata.userinfo_endpoint), (false, None, None));
    assert!(
        judged(&with("authorization_response_iss_parameter_supported", json!(true))).unwrap().announces_iss
    );
    assert_eq!(
        judged(&with("code_challenge_methods_supported", json!(["plain"]))).unwrap().s256,
        Some(false)
    );
}

#[rstest]
#[case("calls itself \"https://evil.example\"", with("issuer", json!("https://evil.example")))]
#[case("calls itself \"https://idp.acme.com/\"", with("issuer", json!("https://idp.acme.com/")))]
#[case("missing field `issuer`", without("issuer"))]
#[case("missing field `authorization_endpoint`", without("authorization_endpoint"))]
#[case("has no token_endpoint", without("token_endpoint"))]
#[case("missing field `jwks_uri`", without("jwks_uri"))]
#[case("says that its token_endpoint is", with("token_endpoint", json!("http://idp.acme.com/token")))]
#[case("says that its jwks_uri is", with("jwks_uri", json!("http://keys.acme.com/jwks")))]
#[case("says that its userinfo_endpoint is", with("userinfo_endpoint", json!("https://127.0.0.1/me")))]
#[case("says that its authorization_endpoint is", with("authorization_endpoint", json!("javascript:alert(1)")))]
#[case("says that its authorization_endpoint is", with("authorization_endpoint", json!("file:///etc/passwd")))]
#[case("is not one", with("token_endpoint", json!("/token")))]
#[case("is not one", with("token_endpoint", json!(["https://idp.acme.com/token"])))]
#[case("is not one", json!([]))]
#[case("is not one", json!("https://idp.acme.com"))]
fn a_lying_document_is_refused_and_the_lie_named(#[case] lie: &str, #[case] document: Value) {
    let error = judged(&document).unwrap_err();
    assert!(error.to_string().contains(lie), "{error}");
    assert!(!matches!(error, DiscoveryError::Fetch(_)));
}

#[test]
fn repeated_members_and_other_than_json_are_refused() {
    let rule = &provider().issuer;
    let doubled = document().to_string().replacen('{', r#"{"issuer":"https://evil.example","#, 1);
    for body in [doubled.as_str(), "<html>", "", "{", &"[".repeat(100_000)] {
        assert!(judge(body.as_bytes(), rule, &upstream("https://us.example")).is_err(), "{body:.40}");
    }
}

/// The document of Entra's `organizations` names a template as its issuer; the token's own decides (providers differ
/// in how they spell it).
#[test]
fn a_template_is_not_compared() {
    let document = with("issuer", json!("https://login.example/{tenantid}/v2.0"));
    let rule = multi_tenant().issuer;
    assert!(judge(document.to_string().as_bytes(), &rule, &upstream("https://us.example")).is_ok());
}

/// A provider on this machine whose answers can be changed.
struct Stage {
    server: MockServer,
    provider: Provider,
    upstream: Upstream,
    clock: Clock,
    discovery: Discovery,
}

impl Stage {
    async fn new() -> Self {
        let server = MockServer::start().await;
        let mut provider = provider();
        provider.discovery_url = Url::parse(&server.uri()).unwrap();
        let clock = Clock::manual(Timestamp::from_secs(1_795_219_200));
        let upstream = upstream("http://127.0.0.1:9000");
        Self { server, provider, upstream, clock, discovery: Discovery::default() }
    }

    async fn answers(&self, answer: ResponseTemplate) {
        self.server.reset().await;
        Mock::given(any()).respond_with(answer).mount(&self.server).await;
    }

    async fn get(&self) -> Result<Arc<Metadata>, DiscoveryError> {
        let fetch = fetch(&self.provider, &self.upstream);
        self.discovery.get(self.provider.id.as_str(), &self.clock, fetch).await
    }

    /// How often the provider was asked since its answer was last set.
    async fn asked(&self) -> usize {
        self.server.received_requests().await.unwrap().len()
    }
}

fn good() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(document())
}

#[tokio::test]
async fn a_document_is_kept_for_an_hour() {
    let stage = Stage::new().await;
    stage.answers(good()).await;
    for _ in 0..3 {
        stage.get().await.unwrap();
    }
    stage.clock.advance(FRESH_FOR.saturating_sub(SECOND));
    stage.get().await.unwrap();
    assert_eq!(stage.asked().await, 1);
    stage.clock.advance(SECOND);
    stage.get().await.unwrap();
    assert_eq!(stage.asked().await, 2);
}

#[rstest]
#[case::down(ResponseTemplate::new(503))]
#[case::redirected(ResponseTemplate::new(302).insert_header("location", "https://evil.example"))]
#[case::not_found(ResponseTemplate::new(404).set_body_json(document()))]
#[case::lying(ResponseTemplate::new(200).set_body_json(with("issuer", json!("https://evil.example"))))]
#[case::huge(ResponseTemplate::new(200).set_body_string("x".repeat(MAX_DOCUMENT_BYTES + 1)))]
#[tokio::test]
async fn the_last_good_document_bridges_a_day(#[case] trouble: ResponseTemplate) {
    let stage = Stage::new().await;
    stage.answers(good()).await;
    let last = stage.get().await.unwrap();
    stage.answers(trouble).await;
    stage.clock.advance(FRESH_FOR);
    for _ in 0..5 {
        assert_eq!(stage.get().await.unwrap(), last);
    }
    assert_eq!(stage.asked().await, 1, "a failure is believed for a while");
    stage.clock.advance(RETRY_AFTER);
    stage.get().await.unwrap();
    assert_eq!(stage.asked().await, 2);
    stage.clock.advance(USABLE_FOR);
    assert!(stage.get().await.is_err(), "a document of yesterday is no longer believed");
    stage.answers(good()).await;
    stage.clock.advance(RETRY_AFTER);
    stage.get().await.unwrap();
}

#[tokio::test]
async fn a_provider_that_was_never_reached_is_asked_again_ten_seconds_later() {
    let stage = Stage::new().await;
    stage.answers(ResponseTemplate::new(500)).await;
    let error = stage.get().await.unwrap_err();
    assert!(matches!(error, DiscoveryError::Fetch(error) if error.is_transient()));
    stage.answers(good()).await;
    assert!(stage.get().await.is_err());
    stage.clock.advance(RETRY_AFTER);
    stage.get().await.unwrap();
    assert_eq!(stage.asked().await, 1);
}

#[tokio::test]
async fn many_who_wait_cause_one_request() {
    let stage = Arc::new(Stage::new().await);
    stage.answers(good().set_delay(Duration::from_millis(100))).await;
    let waiting: Vec<_> = (0..16)
        .map(|_| {
            let stage = stage.clone();
            tokio::spawn(async move { stage.get().await.map(|_| ()) })
        })
        .collect();
    for one in waiting {
        one.await.unwrap().unwrap();
    }
    assert_eq!(stage.asked().await, 1);
}

#[tokio::test]
async fn nobody_waits_for_a_refresh_who_can_do_with_the_last_document() {
    let stage = Arc::new(Stage::new().await);
    stage.answers(good()).await;
    stage.get().await.unwrap();
    stage.clock.advance(FRESH_FOR);
    stage.answers(good().set_delay(Duration::from_secs(3))).await;
    let refreshing = tokio::spawn({
        let stage = stage.clone();
        async move { stage.get().await.map(|_| ()) }
    });
    while stage.asked().await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let others = tokio::time::timeout(SECOND, stage.get()).await;
    assert!(others.expect("answered from memory").is_ok());
    refreshing.abort();
}
