//! A provider that is down, slow, lying or changing keys: bounded time, a page that names it, nothing half-created.

use std::time::{Duration, Instant};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chancery::{
    clock::Timestamp,
    jose::{KeySet, Signer, Unverified, signer::SigningAlgorithm, verifier::Kind},
};
use jsonwebtoken::Algorithm;
use reqwest::header;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::support::{
    Browser, On, Server, Upstream,
    browser::Page,
    setup::BEGINNING,
    upstream::{json_of, signer},
};

const DISCOVERY: &str = "/.well-known/openid-configuration";
const ANYONE: &str = "client_auth: none, sign_in: { anyone: true }";

async fn server(upstream: &Upstream, keys: &str) -> Server {
    let sections = format!("providers:\n{}", upstream.entry("acme", keys));
    Server::start_with(On::Sqlite, &sections).await.unwrap()
}

async fn one() -> (Upstream, Server) {
    let upstream = Upstream::start().await;
    let server = server(&upstream, ANYONE).await;
    (upstream, server)
}

fn status(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status)
}

/// The page names the provider, and neither it nor the database has anything of what the provider said.
async fn came_to_nothing(page: &Page, expected: u16, server: &Server) {
    let text = page.text();
    assert_eq!(page.status, expected, "{text}");
    assert!(text.contains("acme sign-in") && text.contains("Reference"), "{text}");
    for secret in ["at-1", "eyJ", "evil.example", "ada@"] {
        assert!(!page.body.contains(secret), "{secret}: {}", page.body);
    }
    assert_eq!(page.headers.contains_key(header::RETRY_AFTER), expected == 503);
    for table in ["users", "identities", "sessions"] {
        assert_eq!(server.rows(table).await, 0, "{table}");
    }
}

#[rstest]
#[case::down(status(503), 503)]
#[case::throttling(status(429), 503)]
#[case::gone(status(404), 502)]
#[case::moved(status(301).insert_header("location", "https://evil.example/"), 502)]
#[case::no_json(status(200).set_body_string("<html>evil.example</html>"), 502)]
#[case::no_object(status(200).set_body_json(json!(["evil.example"])), 502)]
#[case::huge(status(200).set_body_string("x".repeat(200_000)), 502)]
#[case::deep(status(200).set_body_string("[".repeat(100_000)), 502)]
#[case::another_issuer(status(200).set_body_json(json!({
    "issuer": "https://evil.example", "authorization_endpoint": "https://evil.example/a", "token_endpoint": "https://evil.example/t",
    "jwks_uri": "https://evil.example/k", "response_types_supported": ["code"], "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["ES256"],
})), 502)]
#[tokio::test]
async fn without_a_good_discovery_document_nobody_is_sent_anywhere(
    #[case] answer: ResponseTemplate,
    #[case] expected: u16,
) {
    let (upstream, server) = one().await;
    upstream.answers(DISCOVERY, answer);
    let page = Browser::new().open(&server.url("/login/acme")).await;
    came_to_nothing(&page, expected, &server).await;
    assert_eq!(server.rows("logins").await, 0);
    upstream.answers(DISCOVERY, json_of(&upstream.document()));
    server.later(Duration::from_secs(10));
    upstream.receives(&server, &Browser::new(), "/login/acme").await;
}

#[tokio::test]
async fn a_provider_that_nobody_answers_for_keeps_nobody_else_out() {
    let upstream = Upstream::start().await;
    let sections = format!(
        "providers:\n{}  dead: {{ preset: oidc, name: Dead, issuer: \"http://127.0.0.1:1\", client_id: us, {ANYONE} }}\n",
        upstream.entry("acme", ANYONE)
    );
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let page = Browser::new().open(&server.url("/login/dead")).await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("Dead does not answer"), "{}", page.text());
    assert!(page.text().contains("but it could not be reached"), "{}", page.text());
    assert_eq!(upstream.sign_in(&server, &Browser::new(), |_| ()).await.status, 200);
}

/// An outage between leaving and coming back uses nothing up: reloading the page is enough.
#[tokio::test]
async fn an_outage_of_the_document_costs_no_state() {
    let (upstream, server) = one().await;
    let browser = Browser::new();
    let away = upstream.receives(&server, &browser, "/login/acme").await;
    upstream.issues(&upstream.claims(&away));
    let restarted = json!({ "issuer": "https://evil.example" });
    upstream.answers(DISCOVERY, json_of(&restarted));
    assert_eq!(
        browser.open(&away.back(&[("code", "c")])).await.status,
        200,
        "the last good document serves on"
    );
}

#[rstest]
#[case::server_error(status(500), 503)]
#[case::unavailable_in_form(status(503).set_body_json(json!({ "error": "invalid_grant" })), 503)]
#[case::spent_code(status(400).set_body_json(json!({ "error": "invalid_grant", "error_description": "evil.example" })), 400)]
#[case::unknown_client(status(401).set_body_json(json!({ "error": "invalid_client" })), 502)]
#[case::unknown_error(status(400).set_body_json(json!({ "error": "evil.example" })), 502)]
#[case::redirect(status(302).insert_header("location", "https://evil.example/"), 502)]
#[case::html(status(200).set_body_raw("<html>evil.example</html>", "text/html"), 502)]
#[case::empty(status(200), 502)]
#[case::garbage(status(200).set_body_raw("{", "application/json"), 502)]
#[case::no_id_token(json_of(&json!({ "access_token": "at-1", "token_type": "Bearer" })), 502)]
#[case::id_token_is_no_text(json_of(&json!({ "access_token": "at-1", "token_type": "Bearer", "id_token": { "x": 1 } })), 502)]
#[case::no_bearer(json_of(&json!({ "access_token": "at-1", "token_type": "mac", "id_token": "eyJ" })), 502)]
#[case::endless(status(200).set_body_raw(vec![b'x'; 2_000_000], "application/json"), 502)]
#[tokio::test]
async fn a_token_endpoint_in_trouble(#[case] answer: ResponseTemplate, #[case] expected: u16) {
    let (upstream, server) = one().await;
    let browser = Browser::new();
    let away = upstream.receives(&server, &browser, "/login/acme").await;
    upstream.answers("/token", answer);
    came_to_nothing(&browser.open(&away.back(&[("code", "c")])).await, expected, &server).await;
    assert_eq!(upstream.requests("/token").await.len(), 1, "a code is sent once");
}

#[tokio::test]
async fn a_provider_that_hangs_is_given_up() {
    let (upstream, server) = one().await;
    let browser = Browser::new();
    let away = upstream.receives(&server, &browser, "/login/acme").await;
    upstream.answers("/token", status(200).set_delay(Duration::from_secs(60)));
    let begun = Instant::now();
    came_to_nothing(&browser.open(&away.back(&[("code", "c")])).await, 503, &server).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// Each part alone is quick enough, all of them together are not.
#[tokio::test]
async fn a_provider_that_is_slow_at_every_step_is_given_up() {
    let (upstream, server) = one().await;
    let browser = Browser::new();
    let away = upstream.receives(&server, &browser, "/login/acme").await;
    let mut claims = upstream.claims(&away);
    claims.as_object_mut().unwrap().remove("email");
    let slow = Duration::from_millis(4500);
    let token = upstream.signer.sign("JWT", &claims).unwrap();
    let answer = json!({ "access_token": "at-1", "token_type": "Bearer", "id_token": token });
    upstream.answers("/token", json_of(&answer).set_delay(slow));
    upstream.answers("/keys", json_of(&json!({ "keys": [upstream.signer.public_jwk()] })).set_delay(slow));
    upstream.answers("/userinfo", json_of(&json!({ "sub": "ada-1" })).set_delay(slow));
    let begun = Instant::now();
    came_to_nothing(&browser.open(&away.back(&[("code", "c")])).await, 503, &server).await;
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}

#[rstest]
#[case::issuer(&[("iss", json!("https://evil.example"))])]
#[case::audience(&[("aud", json!("evil.example"))])]
#[case::authorized_party(&[("azp", json!("evil.example"))])]
#[case::expired(&[("exp", json!(BEGINNING.as_secs() - 60))])]
#[case::expiry_as_text(&[("exp", json!((BEGINNING.as_secs() + 60).to_string()))])]
#[case::future(&[("iat", json!(BEGINNING.as_secs() + 61))])]
#[case::nonce(&[("nonce", json!("evil.example"))])]
#[case::no_nonce(&[("nonce", Value::Null)])]
#[case::access_token_hash(&[("at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ"))])]
#[case::no_subject(&[("sub", Value::Null)])]
#[tokio::test]
async fn a_token_with_a_wrong_claim_signs_nobody_in(#[case] changes: &[(&str, Value)]) {
    let (upstream, server) = one().await;
    let page = upstream
        .sign_in(&server, &Browser::new(), |claims| {
            for (name, value) in changes {
                claims[*name] = value.clone();
            }
        })
        .await;
    came_to_nothing(&page, 502, &server).await;
    assert_eq!(server.reasons("sign_in.refused").await, ["provider_untrustworthy"]);
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Tokens that only look signed.
#[rstest]
#[case::none(|_: &Signer, claims: &Value| format!("{}.{}.", part(&json!({ "alg": "none" })), part(claims)))]
#[case::none_with_rest(|_: &Signer, claims: &Value| format!("{}.{}.AAAA", part(&json!({ "alg": "none" })), part(claims)))]
#[case::another_key(|_: &Signer, claims: &Value| signer().sign("JWT", claims).unwrap())]
#[case::an_access_token(|own: &Signer, claims: &Value| own.sign("at+jwt", claims).unwrap())]
#[case::changed_claims(|own: &Signer, claims: &Value| {
    let token = own.sign("JWT", claims).unwrap();
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    let mut other = claims.clone();
    other["sub"] = json!("eve");
    parts[1] = part(&other);
    parts.join(".")
})]
#[case::public_key_as_secret(|own: &Signer, claims: &Value| {
    let header = jsonwebtoken::Header::new(Algorithm::HS256);
    let secret = own.public_jwk().to_string();
    jsonwebtoken::encode(&header, claims, &jsonwebtoken::EncodingKey::from_secret(secret.as_bytes())).unwrap()
})]
#[case::its_own_key(|_: &Signer, claims: &Value| {
    let mallory = signer();
    let header = json!({ "alg": "ES256", "jwk": mallory.public_jwk(), "jku": "https://evil.example/keys" });
    let token = mallory.sign("JWT", claims).unwrap();
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", part(&header))
})]
#[case::nothing(|_: &Signer, _: &Value| String::new())]
#[case::endless(|_: &Signer, _: &Value| format!("{0}.{0}.{0}", "A".repeat(60_000)))]
#[tokio::test]
async fn a_token_that_only_looks_signed_signs_nobody_in(#[case] forge: fn(&Signer, &Value) -> String) {
    let (upstream, server) = one().await;
    let browser = Browser::new();
    let away = upstream.receives(&server, &browser, "/login/acme").await;
    upstream.issues_token(&forge(&upstream.signer, &upstream.claims(&away)));
    came_to_nothing(&browser.open(&away.back(&[("code", "c")])).await, 502, &server).await;
}

#[tokio::test]
async fn new_keys_are_learnt_and_old_ones_forgotten() {
    let (mut upstream, server) = one().await;
    assert_eq!(upstream.sign_in(&server, &Browser::new(), |_| ()).await.status, 200);
    let retired = std::mem::replace(&mut upstream.signer, signer());
    upstream.publishes(&[&upstream.signer]);
    let later = |claims: &mut Value, by: i64| claims["iat"] = json!(BEGINNING.as_secs() + by);
    server.later(Duration::from_secs(31));
    assert_eq!(upstream.sign_in(&server, &Browser::new(), |claims| later(claims, 31)).await.status, 200);

    server.later(Duration::from_secs(31));
    upstream.signer = retired;
    assert_eq!(upstream.sign_in(&server, &Browser::new(), |claims| later(claims, 62)).await.status, 502);
}

#[rstest]
#[case::down(status(503), 503)]
#[case::gone(status(404), 502)]
#[case::html(status(200).set_body_string("<html>"), 502)]
#[case::no_keys(status(200).set_body_json(json!({ "keys": [] })), 502)]
#[case::huge(status(200).set_body_string("x".repeat(100_000)), 502)]
#[tokio::test]
async fn without_keys_no_token_is_believed(#[case] answer: ResponseTemplate, #[case] expected: u16) {
    let (upstream, server) = one().await;
    upstream.answers("/keys", answer);
    came_to_nothing(&upstream.sign_in(&server, &Browser::new(), |_| ()).await, expected, &server).await;
}

fn without_email(claims: &mut Value) {
    claims.as_object_mut().unwrap().remove("email");
}

#[tokio::test]
async fn userinfo_fills_what_the_token_lacks() {
    let (upstream, server) = one().await;
    upstream.answers("/userinfo", json_of(&json!({ "sub": "ada-1", "email": "ada@acme.example" })));
    let page = upstream.sign_in(&server, &Browser::new(), without_email).await;
    assert!(page.text().contains("ada@acme.example"), "{}", page.text());
    let asked = upstream.requests("/userinfo").await;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].headers["authorization"], "Bearer at-1");
    assert!(asked[0].url.query().is_none());
    upstream.sign_in(&server, &Browser::new(), |_| ()).await;
    assert_eq!(upstream.requests("/userinfo").await.len(), 1, "nothing was missing");
}

#[rstest]
#[case::another_person(json_of(&json!({ "sub": "eve", "email": "ada@acme.example" })), 502)]
#[case::nobody(json_of(&json!({ "email": "ada@acme.example" })), 502)]
#[case::two_people(status(200).set_body_string(r#"{"sub":"ada-1","sub":"eve"}"#), 502)]
#[case::signed(status(200).set_body_raw("eyJ.eyJ.x", "application/jwt"), 502)]
#[case::down(status(500), 503)]
#[case::refused(status(401), 502)]
#[tokio::test]
async fn userinfo_of_no_use_signs_nobody_in(#[case] answer: ResponseTemplate, #[case] expected: u16) {
    let (upstream, server) = one().await;
    upstream.answers("/userinfo", answer);
    came_to_nothing(&upstream.sign_in(&server, &Browser::new(), without_email).await, expected, &server)
        .await;
}

#[rstest]
#[case("access_denied", 403, "did not sign you in")]
#[case("login_required", 400, "sign in once more")]
#[case("interaction_required", 400, "sign in once more")]
#[case("temporarily_unavailable", 503, "does not answer")]
#[case("server_error", 503, "does not answer")]
#[case("invalid_scope", 502, "not set up correctly")]
#[case("<script>evil.example", 502, "not set up correctly")]
#[tokio::test]
async fn an_error_of_the_providers_becomes_words(
    #[case] error: &str,
    #[case] expected: u16,
    #[case] words: &str,
) {
    let (upstream, server) = one().await;
    let browser = Browser::new();
    let away = upstream.receives(&server, &browser, "/login/acme").await;
    let back = away.back(&[("error", error), ("error_description", "evil.example says hello")]);
    let page = browser.open(&back).await;
    came_to_nothing(&page, expected, &server).await;
    assert!(page.text().contains(words), "{}", page.text());
    assert_eq!(browser.open(&away.back(&[("code", "c")])).await.status, 400, "the state is used up");
}

#[tokio::test]
async fn a_return_with_neither_code_nor_error_is_refused() {
    let (upstream, server) = one().await;
    let browser = Browser::new();
    let away = upstream.receives(&server, &browser, "/login/acme").await;
    came_to_nothing(&browser.open(&away.back(&[])).await, 502, &server).await;
    let away = upstream.receives(&server, &browser, "/login/acme").await;
    came_to_nothing(&browser.open(&away.back(&[("code", &"x".repeat(5000))])).await, 502, &server).await;
}

#[tokio::test]
async fn an_age_that_was_asked_for_must_be_proved() {
    let upstream = Upstream::start().await;
    let server = server(&upstream, &format!("max_age: 5m, {ANYONE}")).await;
    let stated = |at: Option<Timestamp>| {
        move |claims: &mut Value| {
            if let Some(at) = at {
                claims["auth_time"] = json!(at.as_secs());
            }
        }
    };
    let minutes = |n: u64| Some(BEGINNING.minus(Duration::from_secs(60 * n)));
    for (at, expected) in [(None, 403), (minutes(7), 403), (minutes(4), 200)] {
        let page = upstream.sign_in(&server, &Browser::new(), stated(at)).await;
        assert_eq!(page.status, expected, "{}", page.text());
    }
    assert_eq!(server.reasons("sign_in.refused").await, ["authentication_too_old"; 2]);
}

/// What the token endpoint gets, by each way of proving who we are.
#[rstest]
#[case::none("client_auth: none", None, Some("us"), None)]
#[case::post(
    "client_auth: client_secret_post, client_secret: \"a b+c%2\"",
    None,
    Some("us"),
    Some("a b+c%2")
)]
#[case::basic(
    "client_auth: client_secret_basic, client_secret: \"a b+c%2\"",
    Some("us:a+b%2Bc%252"),
    None,
    None
)]
#[tokio::test]
async fn we_prove_ourselves_as_configured(
    #[case] keys: &str,
    #[case] basic: Option<&str>,
    #[case] client_id: Option<&str>,
    #[case] secret: Option<&str>,
) {
    let upstream = Upstream::start().await;
    let server = server(&upstream, &format!("{keys}, sign_in: {{ anyone: true }}")).await;
    assert_eq!(upstream.sign_in(&server, &Browser::new(), |_| ()).await.status, 200);
    let request = &upstream.requests("/token").await[0];
    let header = request.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let expected = basic.map(|pair| format!("Basic {}", STANDARD.encode(pair)));
    assert_eq!(header, expected);
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let get = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!((get("client_id"), get("client_secret")), (client_id, secret));
    assert_eq!((get("grant_type"), get("code")), (Some("authorization_code"), Some("c-1")));
    assert_eq!(get("redirect_uri"), Some(server.url("/login/acme/callback").as_str()));
    assert!(get("code_verifier").is_some_and(|verifier| verifier.len() == 43));
    assert_eq!(get("resource"), None);
}

#[rstest]
#[case::older_upstreams("", "/token")]
#[case::newer_upstreams("assertion_audience: issuer, ", "")]
#[tokio::test]
async fn we_prove_ourselves_by_a_signature(#[case] keys: &str, #[case] audience: &str) {
    let pkcs8 = SigningAlgorithm::Es256.generate().unwrap();
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----", STANDARD.encode(&*pkcs8));
    let keys = format!(
        "client_auth: private_key_jwt, private_key: \"{pem}\", private_key_alg: ES256, {keys}sign_in: {{ anyone: true }}"
    );
    let upstream = Upstream::start().await;
    let server = server(&upstream, &keys).await;
    assert_eq!(upstream.sign_in(&server, &Browser::new(), |_| ()).await.status, 200);

    let request = &upstream.requests("/token").await[0];
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let get = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(get("client_assertion_type"), Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    assert_eq!((get("client_secret"), request.headers.get("authorization")), (None, None));
    let assertion = Unverified::parse(get("client_assertion").unwrap(), Kind::IdToken, &[Algorithm::ES256]);
    let ours = Signer::from_pkcs8(SigningAlgorithm::Es256, &pkcs8).unwrap();
    let ours = KeySet::parse(json!({ "keys": [ours.public_jwk()] }).to_string().as_bytes()).unwrap();
    let verified = assertion.unwrap().verify(&ours.find(None, Algorithm::ES256).unwrap()).unwrap();
    assert_eq!((verified.text("iss").unwrap(), verified.text("sub").unwrap()), ("us", "us"));
    assert_eq!(verified.text("aud").unwrap(), format!("{}{audience}", upstream.issuer()));
}
