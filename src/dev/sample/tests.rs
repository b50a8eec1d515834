mod bound;

use std::{
    sync::{Mutex, atomic::AtomicUsize, atomic::Ordering},
    time::Duration,
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::{
    body::Body,
    extract::State,
    http::{Request, StatusCode},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http_body_util::BodyExt as _;
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet},
};
use rstest::rstest;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tower::ServiceExt as _;

use super::*;
use crate::clock::Timestamp;

const NOW: i64 = 1_795_219_200;

/// An issuer that we are not: metadata and keys over HTTP, and tokens of any shape.
struct FakeIssuer {
    issuer: Issuer,
    key: EncodingKey,
    served: Arc<Served>,
}

#[derive(Default)]
struct Served {
    keys: Mutex<Vec<Jwk>>,
    fetches: AtomicUsize,
}

impl FakeIssuer {
    async fn start() -> Self {
        let (listener, origin) = crate::dev::bind_loopback(0).await.unwrap();
        let served = Arc::new(Served::default());
        let metadata = Json(json!({ "issuer": origin, "jwks_uri": format!("{origin}/jwks") }));
        let router = Router::new()
            .route("/.well-known/oauth-authorization-server", get(async || metadata))
            .route("/jwks", get(jwks))
            .with_state(Arc::clone(&served));
        tokio::spawn(async { axum::serve(listener, router).await });
        let issuer = Self { issuer: Issuer::try_from(origin).unwrap(), key: new_key(), served };
        issuer.publish("k1", &issuer.key);
        issuer
    }

    fn publish(&self, kid: &str, key: &EncodingKey) {
        let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(kid.into());
        self.served.keys.lock().unwrap().push(jwk);
    }

    fn claims(&self, sample: &Sample) -> Value {
        json!({
            "iss": self.issuer, "aud": sample.guard.verifier.resource, "sub": "user-1", "client_id": "c",
            "jti": "1", "iat": NOW, "exp": NOW + 600, "scope": READ,
        })
    }

    fn token(&self, claims: &Value) -> String {
        jsonwebtoken::encode(&header("k1"), claims, &self.key).unwrap()
    }
}

async fn jwks(State(served): State<Arc<Served>>) -> Json<JwkSet> {
    served.fetches.fetch_add(1, Ordering::SeqCst);
    Json(JwkSet { keys: served.keys.lock().unwrap().clone() })
}

fn new_key() -> EncodingKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref())
}

fn header(kid: &str) -> Header {
    Header { typ: Some("at+jwt".into()), kid: Some(kid.into()), ..Header::new(Algorithm::ES256) }
}

/// The sample server in process, before an issuer over HTTP.
struct Sample {
    guard: Arc<Guard>,
    router: Router,
    clock: Clock,
}

impl Sample {
    async fn trusting(issuer: &Issuer) -> Self {
        let clock = Clock::manual(Timestamp::from_secs(NOW));
        let server = SampleServer::bind(0, issuer, clock.clone()).await.unwrap();
        let guard = server.guard;
        Self { router: router(Arc::clone(&guard), &CancellationToken::new()), guard, clock }
    }

    async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn post(&self, token: Option<&str>, message: impl Into<Body>) -> Response {
        let authorization = token.map(|token| (header::AUTHORIZATION, format!("Bearer {token}")));
        self.post_with(authorization, message).await
    }

    async fn post_with(
        &self,
        headers: impl IntoIterator<Item = (header::HeaderName, String)>,
        message: impl Into<Body>,
    ) -> Response {
        let mut request = Request::post(PATH)
            .header(header::HOST, "127.0.0.1:9020")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.send(request.body(message.into()).unwrap()).await
    }

    /// What a tool answers.
    async fn call(&self, token: &str, tool: &str, arguments: Value) -> String {
        let response = self.post(Some(token), call(tool, &arguments).to_string()).await;
        assert_eq!(response.status(), StatusCode::OK);
        body(response).await.pointer("/result/content/0/text").unwrap().as_str().unwrap().to_owned()
    }
}

fn call(tool: &str, arguments: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": tool, "arguments": arguments } })
}

fn list() -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string()
}

async fn body(response: Response) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

fn challenge(response: &Response) -> &str {
    response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap()
}

async fn pair() -> (FakeIssuer, Sample) {
    let issuer = FakeIssuer::start().await;
    let sample = Sample::trusting(&issuer.issuer).await;
    (issuer, sample)
}

#[tokio::test]
async fn without_a_token_the_challenge_leads_to_the_metadata() {
    let (issuer, sample) = pair().await;
    let response = sample.post(None, list()).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let metadata_url = &sample.guard.metadata_url;
    let expected = format!(r#"Bearer resource_metadata="{metadata_url}", scope="notes:read""#);
    assert_eq!(challenge(&response), expected);

    let path = Url::parse(metadata_url).unwrap().path().to_owned();
    let metadata = body(sample.send(Request::get(path).body(Body::empty()).unwrap()).await).await;
    assert_eq!(metadata["resource"], json!(sample.guard.verifier.resource));
    assert_eq!(metadata["authorization_servers"], json!([issuer.issuer]));
    assert_eq!(metadata["scopes_supported"], json!(["notes:read", "notes:write"]));
}

#[tokio::test]
async fn a_tool_that_the_token_does_not_reach_asks_for_the_union() {
    let (issuer, sample) = pair().await;
    let mut claims = issuer.claims(&sample);
    claims["scope"] = json!("profile notes:read");
    let write = call("write_note", &json!({ "text": "x" }));
    let response = sample.post(Some(&issuer.token(&claims)), write.to_string()).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(challenge(&response).starts_with(r#"Bearer error="insufficient_scope""#));
    assert!(challenge(&response).ends_with(r#"scope="notes:read notes:write profile""#));

    claims["scope"] = json!("notes:read notes:write");
    assert_eq!(sample.call(&issuer.token(&claims), "write_note", json!({ "text": "x" })).await, "Noted.");
}

#[tokio::test]
async fn each_person_sees_her_own_notes() {
    let (issuer, sample) = pair().await;
    let mut claims = issuer.claims(&sample);
    claims["scope"] = json!("notes:read notes:write");
    let one = issuer.token(&claims);
    claims["sub"] = json!("user-2");
    let other = issuer.token(&claims);
    sample.call(&one, "write_note", json!({ "text": "mine" })).await;
    assert_eq!(sample.call(&one, "read_notes", json!({})).await, "mine");
    assert_eq!(sample.call(&other, "read_notes", json!({})).await, "You have no notes yet.");
}

#[rstest]
#[case::batch(|write: Value| json!([{ "jsonrpc": "2.0", "id": 0, "method": "tools/list" }, write]).to_string())]
#[case::method_twice(|write: Value| write.to_string().replacen('{', r#"{"method":"tools/list","#, 1))]
#[case::method_twice_the_other_way(|write: Value| {
    let list_last = r#""method":"tools/call","method":"tools/list""#;
    write.to_string().replacen(r#""method":"tools/call""#, list_last, 1)
})]
#[case::escaped(|write: Value| write.to_string().replacen("tools/call", r"tools\u002fcall", 1))]
#[tokio::test]
async fn no_spelling_of_a_call_slips_past_the_scopes(#[case] spell: fn(Value) -> String) {
    let (issuer, sample) = pair().await;
    let mut claims = issuer.claims(&sample);
    let message = spell(call("write_note", &json!({ "text": "smuggled" })));
    let response = sample.post(Some(&issuer.token(&claims)), message).await;
    claims["scope"] = json!("notes:read");
    let notes = sample.call(&issuer.token(&claims), "read_notes", json!({})).await;
    assert_eq!(notes, "You have no notes yet.", "{}", response.status());
}

#[rstest]
#[case::other_audience("aud", json!("http://127.0.0.1:1/mcp"))]
#[case::audience_with_a_slash("aud", json!("slash"))]
#[case::two_audiences("aud", json!("two"))]
#[case::no_audience("aud", Value::Null)]
#[case::other_issuer("iss", json!("http://127.0.0.1:1"))]
#[case::no_issuer("iss", Value::Null)]
#[case::expired("exp", json!(NOW - 30))]
#[case::expiry_as_text("exp", json!("1795220000"))]
#[case::no_expiry("exp", Value::Null)]
#[case::not_yet_valid("nbf", json!(NOW + 31))]
#[case::no_subject("sub", Value::Null)]
#[case::bound_to_a_key("cnf", json!({ "jkt": "x" }))]
#[tokio::test]
async fn a_claim_that_does_not_fit_is_refused(#[case] claim: &str, #[case] mut value: Value) {
    let (issuer, sample) = pair().await;
    let resource = &sample.guard.verifier.resource;
    match value.as_str() {
        Some("slash") => value = json!(format!("{resource}/")),
        Some("two") => value = json!([resource, "http://127.0.0.1:1/mcp"]),
        _ => {}
    }
    let mut claims = issuer.claims(&sample);
    assert_eq!(sample.post(Some(&issuer.token(&claims)), list()).await.status(), StatusCode::OK);
    claims[claim] = value;
    let response = sample.post(Some(&issuer.token(&claims)), list()).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(challenge(&response).starts_with(r#"Bearer error="invalid_token""#));
}

#[rstest]
#[case::id_token(Header { typ: Some("JWT".into()), ..header("k1") })]
#[case::no_type(Header { typ: None, ..header("k1") })]
#[case::unknown_key(Header { kid: Some("k9".into()), ..header("k1") })]
#[case::critical_extension(Header { crit: Some(vec!["b64".into()]), ..header("k1") })]
#[tokio::test]
async fn a_header_that_does_not_fit_is_refused(#[case] header: Header) {
    let (issuer, sample) = pair().await;
    let token = jsonwebtoken::encode(&header, &issuer.claims(&sample), &issuer.key).unwrap();
    assert_eq!(sample.post(Some(&token), list()).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn forged_signatures_are_refused() {
    let (issuer, sample) = pair().await;
    let claims = issuer.claims(&sample);
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());

    let none =
        format!("{}.{}.", encode(&json!({ "alg": "none", "typ": "at+jwt", "kid": "k1" })), encode(&claims));
    let strangers = jsonwebtoken::encode(&header("k1"), &claims, &new_key()).unwrap();
    let public = serde_json::to_vec(&issuer.served.keys.lock().unwrap()[0]).unwrap();
    let hmac_header = Header { alg: Algorithm::HS256, ..header("k1") };
    let hmac = jsonwebtoken::encode(&hmac_header, &claims, &EncodingKey::from_secret(&public)).unwrap();
    let good = issuer.token(&claims);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = head.split_once('.').unwrap();
    let mut raised = claims.clone();
    raised["scope"] = json!("notes:write");
    let spliced = format!("{head}.{}.{signature}", encode(&raised));
    for (what, token) in [
        ("none", none),
        ("stranger's", strangers),
        ("hmac", hmac),
        ("spliced", spliced),
        ("junk", "x".into()),
    ] {
        assert_eq!(sample.post(Some(&token), list()).await.status(), StatusCode::UNAUTHORIZED, "{what}");
    }
}

#[tokio::test]
async fn unknown_keys_fetch_once_in_thirty_seconds_and_new_ones_are_found() {
    let (issuer, sample) = pair().await;
    let claims = issuer.claims(&sample);
    let new_key = new_key();
    let rotated = jsonwebtoken::encode(&header("k2"), &claims, &new_key).unwrap();
    assert_eq!(sample.post(Some(&issuer.token(&claims)), list()).await.status(), StatusCode::OK);
    for _ in 0..3 {
        assert_eq!(sample.post(Some(&rotated), list()).await.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(issuer.served.fetches.load(Ordering::SeqCst), 2);
    issuer.publish("k2", &new_key);
    sample.clock.advance(Duration::from_secs(30));
    assert_eq!(sample.post(Some(&rotated), list()).await.status(), StatusCode::OK);
    assert_eq!(issuer.served.fetches.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_withdrawn_key_is_forgotten() {
    let (issuer, sample) = pair().await;
    let mut claims = issuer.claims(&sample);
    claims["exp"] = json!(NOW + 3600);
    let token = issuer.token(&claims);
    assert_eq!(sample.post(Some(&token), list()).await.status(), StatusCode::OK);
    issuer.served.keys.lock().unwrap().clear();
    issuer.publish("k2", &new_key());
    sample.clock.advance(Duration::from_secs(600));
    assert_eq!(sample.post(Some(&token), list()).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_not_the_tokens_fault() {
    let issuer = FakeIssuer::start().await;
    let nobody = Issuer::try_from("http://127.0.0.1:9".to_owned()).unwrap();
    let sample = Sample::trusting(&nobody).await;
    let response = sample.post(Some(&issuer.token(&issuer.claims(&sample))), list()).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn a_refused_message_leaves_the_connection_open() {
    let issuer = Issuer::try_from("http://127.0.0.1:9".to_owned()).unwrap();
    let server = SampleServer::bind(0, &issuer, Clock::System).await.unwrap();
    let address = server.origin().trim_start_matches("http://").to_owned();
    tokio::spawn(server.serve(CancellationToken::new()));
    let mut connection = TcpStream::connect(&address).await.unwrap();
    let mut answer = [0; 1024];
    for _ in 0..2 {
        let head = format!("POST /mcp HTTP/1.1\r\nhost: {address}\r\ncontent-length: 2\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        connection.write_all(b"{}").await.unwrap();
        let read = connection.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer[..read]));
    }
}

#[tokio::test]
async fn oversized_broken_and_deep_messages_are_refused() {
    let (issuer, sample) = pair().await;
    let token = issuer.token(&issuer.claims(&sample));
    let post = async |message: String| sample.post(Some(&token), message).await.status();
    assert_eq!(post(format!("\"{}\"", "x".repeat(64 * 1024))).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(post("{".into()).await, StatusCode::BAD_REQUEST);
    assert_eq!(post("[".repeat(10_000)).await, StatusCode::BAD_REQUEST);
}

#[rstest]
#[case("2025-03-26")]
#[case("2025-06-18")]
#[case("2025-11-25")]
#[tokio::test]
async fn clients_of_2025_initialize_without_a_session(#[case] version: &str) {
    let (issuer, sample) = pair().await;
    let token = issuer.token(&issuer.claims(&sample));
    let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
    let response = sample.post(Some(&token), initialize.to_string()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("mcp-session-id"));
    let answer = body(response).await;
    assert_eq!(answer.pointer("/result/protocolVersion"), Some(&json!(version)));
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(sample.post(Some(&token), initialized.to_string()).await.status(), StatusCode::ACCEPTED);
    let listed = body(sample.post(Some(&token), list()).await).await;
    assert_eq!(listed.pointer("/result/tools/1/name"), Some(&json!("write_note")));
}

#[tokio::test]
async fn clients_of_2026_call_without_initializing() {
    let (issuer, sample) = pair().await;
    let token = issuer.token(&issuer.claims(&sample));
    let mut message = call("read_notes", &json!({}));
    message["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "t", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let request = Request::post(PATH)
        .header(header::HOST, "127.0.0.1:9020")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "read_notes")
        .body(Body::from(message.to_string()))
        .unwrap();
    let response = sample.send(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        body(response).await.pointer("/result/content/0/text"),
        Some(&json!("You have no notes yet."))
    );
}

#[tokio::test]
async fn a_browser_client_may_ask_from_this_machine_and_a_website_may_not() {
    let (issuer, sample) = pair().await;
    let preflight = |path: &str, origin: &str, asks: &str| {
        Request::options(path)
            .header(header::HOST, "127.0.0.1:9020")
            .header(header::ORIGIN, origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", asks)
            .body(Body::empty())
            .unwrap()
    };
    let allowed = |response: &Response, name: &str| {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    };

    let inspector = preflight(PATH, "http://localhost:6274", "authorization,mcp-protocol-version");
    let response = sample.send(inspector).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(allowed(&response, "access-control-allow-origin").as_deref(), Some("http://localhost:6274"));
    assert_eq!(
        allowed(&response, "access-control-allow-headers").as_deref(),
        Some("authorization,mcp-protocol-version")
    );
    let website = sample.send(preflight(PATH, "https://evil.example", "authorization")).await;
    assert_eq!(allowed(&website, "access-control-allow-origin"), None);

    let metadata = "/.well-known/oauth-protected-resource/mcp";
    let response = sample.send(preflight(metadata, "https://client.example", "mcp-protocol-version")).await;
    assert_eq!(allowed(&response, "access-control-allow-origin").as_deref(), Some("*"));
    assert_eq!(allowed(&response, "access-control-allow-headers").as_deref(), Some("*"));

    // A 401 must be readable by the browser's script, with its challenge.
    let request =
        Request::post(PATH).header(header::ORIGIN, "http://localhost:6274").body(Body::empty()).unwrap();
    let refused = sample.send(request).await;
    assert!(allowed(&refused, "access-control-expose-headers").unwrap().contains("www-authenticate"));

    // A rebound name that points at this machine is turned away by the transport.
    let token = issuer.token(&issuer.claims(&sample));
    let rebound = Request::post(PATH)
        .header(header::HOST, "evil.example")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(list()))
        .unwrap();
    assert_eq!(sample.send(rebound).await.status(), StatusCode::FORBIDDEN);
}
