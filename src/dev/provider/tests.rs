use axum::{
    body::Body,
    http::{Request, StatusCode, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::BodyExt as _;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use rstest::rstest;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;

mod id_jag;

const ISSUER: &str = "http://127.0.0.1:9010";
const CALLBACK: &str = "http://127.0.0.1:9000/login/test/callback";
/// The agent's credentials.
const AGENT: &str = "agent:agent-secret";
const BROKER: &str = "http://127.0.0.1:9000";
const RESOURCE: &str = "http://127.0.0.1:9020/mcp";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn provider() -> Arc<Provider> {
    Arc::new(Provider {
        issuer: ISSUER.into(),
        broker: TestClient {
            id: "broker".into(),
            secret: Secret::new("s3cret:+ %".into()),
            redirect_uri: RedirectUri::try_from(CALLBACK.to_owned()).unwrap(),
        },
        agent: Some(TestAgent {
            client: TestClient {
                id: "agent".into(),
                secret: Secret::new("agent-secret".into()),
                redirect_uri: RedirectUri::try_from(CALLBACK.to_owned()).unwrap(),
            },
            audience: BROKER.into(),
            client_there: "agent-there".into(),
            resource: ResourceUri::try_from(RESOURCE.to_owned()).unwrap(),
            scope: ScopeSet::parse("notes:read notes:write").unwrap(),
        }),
        vault: None,
        clock: Clock::manual(Timestamp::from_secs(1_795_219_200)),
        entropy: Entropy::seeded(1),
        signer: new_signer().unwrap(),
        codes: Mutex::new(Shelf::lasting(CODE_LIFETIME)),
        access_tokens: Mutex::new(Shelf::lasting(TOKEN_LIFETIME)),
    })
}

/// A good authentication request, with parameters changed; `None` takes one out.
fn request(changes: &[(&str, Option<&str>)]) -> String {
    let mut params = vec![
        ("response_type", "code"),
        ("client_id", "broker"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid email offline_access"),
        ("state", "a b&c"),
        ("nonce", "n-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    form(&mut params, changes)
}

fn form<'a>(params: &mut Vec<(&'a str, &'a str)>, changes: &[(&'a str, Option<&'a str>)]) -> String {
    for (name, value) in changes {
        params.retain(|(known, _)| known != name);
        params.extend(value.map(|value| (*name, value)));
    }
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish()
}

async fn send(provider: &Arc<Provider>, request: Request<Body>) -> Response {
    router(Arc::clone(provider)).oneshot(request).await.unwrap()
}

fn post(path: &str, body: String) -> Request<Body> {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap()
}

async fn authorize(provider: &Arc<Provider>, query: &str) -> Response {
    send(provider, Request::get(format!("/authorize?{query}")).body(Body::empty()).unwrap()).await
}

async fn sign_in(provider: &Arc<Provider>, query: &str, user: &str) -> Response {
    send(provider, post("/sign-in", form(&mut vec![("request", query), ("user", user)], &[]))).await
}

/// The parameters of the redirect to the callback.
fn answer(response: &Response) -> Vec<(String, String)> {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let location = response.headers()[header::LOCATION].to_str().unwrap();
    assert!(location.starts_with(CALLBACK), "{location}");
    url::Url::parse(location).unwrap().query_pairs().into_owned().collect()
}

fn value(answer: &[(String, String)], name: &str) -> String {
    answer.iter().find(|(known, _)| known == name).unwrap().1.clone()
}

async fn code(provider: &Arc<Provider>) -> String {
    value(&answer(&sign_in(provider, &request(&[]), "test-user-ada").await), "code")
}

async fn token(
    provider: &Arc<Provider>,
    code: &str,
    changes: &[(&str, Option<&str>)],
) -> (StatusCode, Value) {
    token_as(provider, "broker:s3cret%3A%2B+%25", code, changes).await
}

async fn token_as(
    provider: &Arc<Provider>,
    credentials: &str,
    code: &str,
    changes: &[(&str, Option<&str>)],
) -> (StatusCode, Value) {
    let mut params = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let mut request = post("/token", form(&mut params, changes));
    let basic = format!("Basic {}", STANDARD.encode(credentials));
    request.headers_mut().insert(header::AUTHORIZATION, basic.parse().unwrap());
    let response = send(provider, request).await;
    (response.status(), json(response).await)
}

async fn json(response: Response) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn a_sign_in_ends_in_a_verifiable_id_token_and_userinfo_of_the_same_subject() {
    let provider = provider();
    let page = authorize(&provider, &request(&[])).await;
    assert_eq!(page.status(), StatusCode::OK);
    let html = page.into_body().collect().await.unwrap().to_bytes();
    let html = String::from_utf8(html.to_vec()).unwrap();
    assert!(html.contains("Ada Lovelace") && html.contains("grace@example.test"), "{html}");

    let answer = answer(&sign_in(&provider, &request(&[]), "test-user-ada").await);
    assert_eq!(value(&answer, "state"), "a b&c");
    assert_eq!(value(&answer, "iss"), ISSUER);
    let (status, tokens) = token(&provider, &value(&answer, "code"), &[]).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    assert_eq!(tokens["scope"], "email openid");

    let jwks = send(&provider, Request::get("/jwks").body(Body::empty()).unwrap()).await;
    let jwks: JwkSet = serde_json::from_value(json(jwks).await).unwrap();
    let id_token = tokens["id_token"].as_str().unwrap();
    let kid = jsonwebtoken::decode_header(id_token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(jwks.find(&kid).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    validation.set_audience(&["broker"]);
    let claims = jsonwebtoken::decode::<Value>(id_token, &key, &validation).unwrap().claims;
    let now = provider.clock.now().as_secs();
    for (claim, expected) in [
        ("iss", json!(ISSUER)),
        ("sub", json!("test-user-ada")),
        ("nonce", json!("n-1")),
        ("auth_time", json!(now)),
        ("exp", json!(now + 3600)),
        ("email", json!("ada@example.test")),
        ("email_verified", json!(true)),
        ("groups", json!(["staff", "support"])),
    ] {
        assert_eq!(claims[claim], expected, "{claim}");
    }

    let bearer = format!("bearer {}", tokens["access_token"].as_str().unwrap());
    let userinfo = || Request::get("/userinfo").header(header::AUTHORIZATION, &bearer);
    let answer = send(&provider, userinfo().body(Body::empty()).unwrap()).await;
    assert_eq!(json(answer).await["sub"], "test-user-ada");
    provider.clock.advance(TOKEN_LIFETIME);
    let answer = send(&provider, userinfo().body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_discovery_document_names_the_issuer_and_only_routes_that_exist() {
    let provider = provider();
    let document = Request::get("/.well-known/openid-configuration").body(Body::empty()).unwrap();
    let document = json(send(&provider, document).await).await;
    assert_eq!(document["issuer"], ISSUER);
    for (name, url) in document.as_object().unwrap() {
        if name.ends_with("_endpoint") || name.ends_with("_uri") {
            let path = url.as_str().unwrap().strip_prefix(ISSUER).unwrap();
            let answer = send(&provider, Request::get(path).body(Body::empty()).unwrap()).await;
            assert_ne!(answer.status(), StatusCode::NOT_FOUND, "{name}");
        }
    }
}

#[tokio::test]
async fn the_hinted_user_comes_first() {
    let query = request(&[("login_hint", Some("grace@example.test")), ("max_age", Some("0"))]);
    let page = authorize(&provider(), &query).await.into_body().collect().await.unwrap().to_bytes();
    let html = String::from_utf8(page.to_vec()).unwrap();
    assert!(html.find("Grace Hopper") < html.find("Ada Lovelace"));
}

#[rstest]
#[case::other_client("client_id", Some("stranger"))]
#[case::no_client("client_id", None)]
#[case::other_redirect_uri("redirect_uri", Some("http://127.0.0.1:9000/login/test/callback/"))]
#[case::other_port("redirect_uri", Some("http://127.0.0.1:9001/login/test/callback"))]
#[case::no_redirect_uri("redirect_uri", None)]
#[tokio::test]
async fn an_unknown_client_or_redirect_uri_ends_on_a_page(#[case] name: &str, #[case] value: Option<&str>) {
    let (provider, query) = (provider(), request(&[(name, value)]));
    for response in [authorize(&provider, &query).await, sign_in(&provider, &query, "test-user-ada").await] {
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(response.headers().get(header::LOCATION).is_none());
    }
}

#[rstest]
#[case("code_challenge", None, "invalid_request")]
#[case("code_challenge", Some("short"), "invalid_request")]
#[case("code_challenge_method", None, "invalid_request")]
#[case("code_challenge_method", Some("plain"), "invalid_request")]
#[case("response_type", Some("token"), "unsupported_response_type")]
#[case("response_type", None, "invalid_request")]
#[case("response_mode", Some("fragment"), "invalid_request")]
#[case("scope", Some("email"), "invalid_scope")]
#[case("scope", None, "invalid_request")]
#[case("prompt", Some("none"), "login_required")]
#[case("request", Some("x.y.z"), "request_not_supported")]
#[case("request_uri", Some("https://h/"), "request_uri_not_supported")]
#[tokio::test]
async fn a_bad_request_is_reported_to_the_client(
    #[case] name: &str,
    #[case] changed: Option<&str>,
    #[case] error: &str,
) {
    let (provider, query) = (provider(), request(&[(name, changed)]));
    for response in [authorize(&provider, &query).await, sign_in(&provider, &query, "test-user-ada").await] {
        let answer = answer(&response);
        assert_eq!(value(&answer, "error"), error);
        assert_eq!(value(&answer, "state"), "a b&c");
        assert_eq!(value(&answer, "iss"), ISSUER);
    }
}

#[tokio::test]
async fn a_user_who_is_not_on_the_page_cannot_sign_in() {
    let response = sign_in(&provider(), &request(&[]), "root").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_code_works_once() {
    let provider = provider();
    let code = code(&provider).await;
    assert_eq!(token(&provider, &code, &[]).await.0, StatusCode::OK);
    let (status, body) = token(&provider, &code, &[]).await;
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
}

#[tokio::test]
async fn a_code_ends_after_its_lifetime() {
    let provider = provider();
    let code = code(&provider).await;
    provider.clock.advance(CODE_LIFETIME);
    assert_eq!(token(&provider, &code, &[]).await.1["error"], "invalid_grant");
}

#[rstest]
#[case("code_verifier", Some("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "invalid_grant")]
#[case("code_verifier", None, "invalid_request")]
#[case("redirect_uri", Some("http://127.0.0.1:9000/other"), "invalid_grant")]
#[case("redirect_uri", None, "invalid_request")]
#[case("code", Some("unknown"), "invalid_grant")]
#[case("grant_type", Some("password"), "unsupported_grant_type")]
#[case("grant_type", None, "invalid_request")]
#[tokio::test]
async fn a_wrong_exchange_is_refused_and_leaves_the_code_alone(
    #[case] name: &str,
    #[case] changed: Option<&str>,
    #[case] error: &str,
) {
    let provider = provider();
    let code = code(&provider).await;
    let (status, body) = token(&provider, &code, &[(name, changed)]).await;
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!(error)));
    assert_eq!(token(&provider, &code, &[]).await.0, StatusCode::OK);
}

#[rstest]
#[case::wrong_secret("broker:wrong")]
#[case::secret_not_encoded("broker:s3cret:+ %")]
#[case::wrong_id("other:s3cret%3A%2B+%25")]
#[case::no_secret("broker")]
#[tokio::test]
async fn a_client_that_does_not_prove_itself_is_refused(#[case] credentials: &str) {
    let provider = provider();
    let code = code(&provider).await;
    let (status, body) = token_as(&provider, credentials, &code, &[]).await;
    assert_eq!((status, &body["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_client")));
    assert_eq!(token(&provider, &code, &[]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_code_is_for_the_client_that_asked_for_it() {
    let provider = provider();
    let code = code(&provider).await;
    assert_eq!(token_as(&provider, AGENT, &code, &[]).await.1["error"], "invalid_grant");
    assert_eq!(token(&provider, &code, &[]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn repeated_parameters_and_foreign_content_types_are_refused() {
    let provider = provider();
    let response = send(&provider, post("/token", "code=1&code=2".into())).await;
    assert_eq!(json(response).await["error"], "invalid_request");
    let mut request = post("/token", "{}".into());
    request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    assert_eq!(send(&provider, request).await.status(), StatusCode::BAD_REQUEST);
    let twice = format!("{}&state=again", super::tests::request(&[]));
    assert_eq!(authorize(&provider, &twice).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn it_listens_on_loopback_alone() {
    let client = provider().broker.clone();
    let bound = TestProvider::bind(0, client, Clock::System, Entropy::System).await.unwrap();
    assert!(bound.listener.local_addr().unwrap().ip().is_loopback());
    assert_eq!(bound.issuer(), format!("http://{}", bound.listener.local_addr().unwrap()));
}
