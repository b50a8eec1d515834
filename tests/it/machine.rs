//! Programs that speak for themselves (`client_credentials`), and clients that prove themselves by a signature
//! (`private_key_jwt`).

use std::time::Duration;

use chancery::{
    entropy::Entropy,
    jose::{Signer, signer::SigningAlgorithm},
};
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, path},
};

use crate::{
    authorization::futures_join,
    support::{Browser, Client, On, PLAIN, Server, Tokens, client::post, http},
};

const SECRET: &str = "0123456789-nightly-secret";
const TICKETS: &str = "https://mcp.acme.example/tickets";
const WIKI: &str = "https://mcp.acme.example/wiki";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The usual server with further clients: `nightly` with a secret, and `signer` with keys, of which this is the line.
async fn serve(on: On, keys: &str) -> Option<Server> {
    let clients = format!(
        r#"clients:
  nightly:
    name: Nightly report
    secret: {SECRET}
    grant_types: [client_credentials]
    resources: {{ tickets: ["tickets:read", "tickets:close"] }}
  signer:
    {keys}
    grant_types: [authorization_code, refresh_token, client_credentials]
    redirect_uris: ["http://127.0.0.1/callback"]
    resources: {{ tickets: ["tickets:read"] }}
"#
    );
    Server::start_with(on, &PLAIN.replace("clients:\n", &clients)).await
}

fn new_key(algorithm: SigningAlgorithm) -> Signer {
    Signer::from_pkcs8(algorithm, &algorithm.generate().unwrap()).unwrap()
}

fn key_set(signers: &[&Signer]) -> Value {
    json!({ "keys": signers.iter().map(|signer| signer.public_jwk()).collect::<Vec<_>>() })
}

/// A server that knows the key, and the key.
pub(crate) async fn with_key(on: On) -> Option<(Server, Signer)> {
    let key = new_key(SigningAlgorithm::Es256);
    let server = serve(on, &format!("jwks: '{}'", key_set(&[&key]))).await?;
    Some((server, key))
}

/// The claims of a good assertion of `signer`.
pub(crate) fn claims(server: &Server) -> Value {
    let now = server.app.clock.now().as_secs();
    json!({
        "iss": "signer", "sub": "signer", "aud": server.issuer, "jti": Entropy::System.token(),
        "iat": now, "exp": now + 300,
    })
}

/// A request for the client itself; a value that is empty leaves the parameter out.
async fn ask(server: &Server, parameters: &[(&'static str, &str)]) -> Tokens {
    let mut form = vec![("grant_type", "client_credentials".to_owned()), ("resource", TICKETS.to_owned())];
    for (name, value) in parameters {
        form.retain(|(known, _)| known != name);
        if !value.is_empty() {
            form.push((name, (*value).to_owned()));
        }
    }
    post(server, &form).await
}

/// The same, proved by an assertion.
pub(crate) async fn present(server: &Server, assertion: &str, parameters: &[(&'static str, &str)]) -> Tokens {
    let proof = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)];
    ask(server, &[&proof, parameters].concat()).await
}

pub(crate) fn sign(key: &Signer, claims: &Value) -> String {
    key.sign("JWT", claims).unwrap()
}

#[rstest]
#[tokio::test]
async fn a_program_gets_a_token_for_itself(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on, "secret: 0123456789-signer-secret").await else { return };
    let tokens = ask(&server, &[("client_id", "nightly"), ("client_secret", SECRET)]).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(tokens.body["scope"], "tickets:read");
    assert_eq!(tokens.body.get("refresh_token"), None);
    server.app.keys.verify_own(tokens.access()).expect("signed by us as at+jwt");
    let claims = tokens.claims();
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("nightly"), &json!("nightly")));
    assert_eq!(claims["aud"], TICKETS);
    let mut names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["aud", "client_id", "exp", "iat", "iss", "jti", "scope", "sub"],
        "nothing of a person"
    );
    assert_eq!(server.recorded("token.issued").await, 1);
}

#[rstest]
#[tokio::test]
async fn what_is_asked_for_is_narrowed_to_what_is_listed(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on, "secret: 0123456789-signer-secret").await else { return };
    let scope = ("scope", "tickets:read tickets:write tickets:close offline_access");
    let tokens = ask(&server, &[("client_id", "nightly"), ("client_secret", SECRET), scope]).await;
    assert_eq!(tokens.body["scope"], "tickets:close tickets:read");
    assert_eq!(tokens.claims()["scope"], "tickets:close tickets:read");
    assert_eq!(tokens.body.get("refresh_token"), None);
}

#[rstest]
#[case::public(&[("client_id", "desk"), ("client_secret", "")], "unauthorized_client")]
#[case::without_the_grant(
    &[("client_id", "backend"), ("client_secret", "correct-horse-battery-staple-+%-0123456789")],
    "unauthorized_client"
)]
#[case::unknown(&[("client_id", "nobody")], "invalid_client")]
#[case::wrong_secret(&[("client_secret", "0123456789-nightly-secres")], "invalid_client")]
#[case::no_secret(&[("client_secret", "")], "invalid_client")]
#[case::nobody_at_all(&[("client_id", ""), ("client_secret", "")], "invalid_client")]
#[case::no_resource(&[("resource", "")], "invalid_target")]
#[case::another_resource(&[("resource", "https://mcp.acme.example/other")], "invalid_target")]
#[case::a_resource_that_is_not_listed(&[("resource", WIKI)], "invalid_target")]
#[case::a_scope_that_is_not_listed(&[("scope", "tickets:write")], "invalid_scope")]
#[case::an_unknown_scope(&[("scope", "tickets:fly")], "invalid_scope")]
#[case::no_scope(&[("scope", "\"")], "invalid_scope")]
#[tokio::test]
async fn what_a_program_may_not_have(#[case] changed: &[(&'static str, &str)], #[case] error: &str) {
    let server = serve(On::Sqlite, "secret: 0123456789-signer-secret").await.unwrap();
    let mut parameters = vec![("client_id", "nightly"), ("client_secret", SECRET)];
    parameters.retain(|(name, _)| !changed.iter().any(|(known, _)| known == name));
    parameters.extend(changed);
    let answer = ask(&server, &parameters).await;
    assert_eq!(answer.error(), error, "{}", answer.body);
    assert_eq!((server.recorded("token.issued").await, server.recorded("token.refused").await), (0, 1));
}

#[tokio::test]
async fn a_token_is_for_one_resource() {
    let server = serve(On::Sqlite, "secret: 0123456789-signer-secret").await.unwrap();
    let ask = async |second: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "nightly"),
            ("client_secret", SECRET),
            ("resource", TICKETS),
            ("resource", second),
        ];
        post(&server, &form.map(|(name, value)| (name, value.to_owned()))).await
    };
    assert_eq!(ask(WIKI).await.error(), "invalid_target");
    assert_eq!(ask(TICKETS).await.status, 200, "the same twice is one");
}

#[tokio::test]
async fn a_default_resource_stands_in() {
    let client = "clients:\n  nightly:\n    secret: 0123456789-nightly-secret\n    default_resource: tickets\n    \
                  grant_types: [client_credentials]\n    resources: { tickets: [\"tickets:read\"] }\n";
    let server = Server::start_with(On::Sqlite, &PLAIN.replace("clients:\n", client)).await.unwrap();
    let parameters = [("resource", ""), ("client_id", "nightly"), ("client_secret", SECRET)];
    let tokens = ask(&server, &parameters).await;
    assert_eq!(tokens.claims()["aud"], TICKETS);
}

#[tokio::test]
async fn registration_gives_no_way_to_speak_for_oneself() {
    let server = serve(On::Sqlite, "secret: 0123456789-signer-secret").await.unwrap();
    let register = async |metadata: Value| {
        let url = server.url("/oauth/register");
        let answer = http().post(url).json(&metadata).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let registered = register(json!({
        "redirect_uris": ["http://127.0.0.1/cb"],
        "grant_types": ["authorization_code", "client_credentials"],
        "token_endpoint_auth_method": "client_secret_post",
    }))
    .await;
    assert_eq!(registered["grant_types"], json!(["authorization_code"]));
    let (id, secret) =
        (registered["client_id"].as_str().unwrap(), registered["client_secret"].as_str().unwrap());
    let answer = ask(&server, &[("client_id", id), ("client_secret", secret)]).await;
    assert_eq!(answer.error(), "unauthorized_client");
    let unnamed = register(json!({ "redirect_uris": ["http://127.0.0.1/cb"] })).await;
    assert_eq!(unnamed["grant_types"], json!(["authorization_code", "refresh_token"]));
    let by_key = json!({
        "redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "private_key_jwt",
    });
    assert_eq!(register(by_key).await["error"], "invalid_client_metadata");
}

#[rstest]
#[tokio::test]
async fn an_assertion_counts_once(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((server, key)) = with_key(on).await else { return };
    let assertion = sign(&key, &claims(&server));
    let tokens = present(&server, &assertion, &[]).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(tokens.claims()["sub"], "signer", "without client_id in the body");
    assert_eq!(present(&server, &assertion, &[]).await.error(), "invalid_client");
    server.later(Duration::from_secs(359));
    assert_eq!(present(&server, &assertion, &[]).await.error(), "invalid_client");
    assert_eq!(server.recorded("token.issued").await, 1);
    let another = sign(&key, &claims(&server));
    assert_eq!(present(&server, &another, &[("client_id", "signer")]).await.status, 200);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_present_it_at_once_one_gets_a_token(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((server, key)) = with_key(on).await else { return };
    let assertion = sign(&key, &claims(&server));
    let answers = futures_join((0..16).map(|_| present(&server, &assertion, &[]))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(answers.iter().all(|answer| answer.status == 200 || answer.error() == "invalid_client"));
    assert_eq!(server.recorded("token.issued").await, 1);
}

#[rstest]
#[case::other_issuer("iss", json!("nightly"))]
#[case::other_subject("sub", json!("nightly"))]
#[case::other_audience("aud", json!("https://auth.other.example"))]
#[case::several_audiences("aud", json!(["{issuer}", "https://auth.other.example"]))]
#[case::token_endpoint("aud", json!("{issuer}/oauth/token"))]
#[case::expired("exp", json!(1_795_219_140))]
#[case::for_ever("exp", json!(1_795_222_800))]
#[case::in_milliseconds("exp", json!(1_795_219_300_000_i64))]
#[case::a_text_for_a_date("exp", json!("1795219300"))]
#[case::not_yet("nbf", json!(1_795_219_300))]
#[case::without_jti("jti", json!(null))]
#[tokio::test]
async fn a_wrong_assertion_proves_nothing_and_spends_nothing(#[case] claim: &str, #[case] value: Value) {
    let (server, key) = with_key(On::Sqlite).await.unwrap();
    let good = claims(&server);
    let mut bad = good.clone();
    bad[claim] = serde_json::from_str(&value.to_string().replace("{issuer}", &server.issuer)).unwrap();
    let refused = present(&server, &sign(&key, &bad), &[]).await;
    assert_eq!((refused.status, refused.error()), (401, "invalid_client"));
    assert_eq!(
        refused.body["error_description"], "client authentication failed",
        "nothing about which check"
    );
    assert_eq!(present(&server, &sign(&key, &good), &[]).await.status, 200, "its jti is still good");
}

#[rstest]
#[tokio::test]
async fn a_forged_signature_spends_nothing(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((server, key)) = with_key(on).await else { return };
    let claims = claims(&server);
    let good = sign(&key, &claims);
    let forged = sign(&new_key(SigningAlgorithm::Es256), &claims);
    // The forger's signature under the right key's name.
    let grafted = format!("{}.{}", good.rsplit_once('.').unwrap().0, forged.rsplit_once('.').unwrap().1);
    for bad in [&forged, &grafted] {
        assert_eq!(present(&server, bad, &[]).await.error(), "invalid_client");
    }
    assert_eq!(present(&server, &good, &[]).await.status, 200);
}

#[rstest]
#[tokio::test]
async fn a_request_that_fails_otherwise_leaves_the_assertion_good(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some((server, key)) = with_key(on).await else { return };
    let assertion = sign(&key, &claims(&server));
    for (wrong, error) in [
        (("scope", "tickets:write"), "invalid_scope"),
        (("grant_type", "password"), "unsupported_grant_type"),
    ] {
        assert_eq!(present(&server, &assertion, &[wrong]).await.error(), error);
    }
    assert_eq!(present(&server, &assertion, &[]).await.status, 200);
}

#[rstest]
#[case::two_methods(&[("client_secret", SECRET)], "invalid_request")]
#[case::another_type(&[("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")], "invalid_client")]
#[case::no_type(&[("client_assertion_type", "")], "invalid_request")]
#[case::type_alone(&[("client_assertion", "")], "invalid_request")]
#[case::another_client(&[("client_id", "nightly")], "invalid_client")]
#[case::no_jwt(&[("client_assertion", "x")], "invalid_client")]
#[tokio::test]
async fn how_an_assertion_is_sent(#[case] changed: &[(&'static str, &str)], #[case] error: &str) {
    let (server, key) = with_key(On::Sqlite).await.unwrap();
    let assertion = sign(&key, &claims(&server));
    assert_eq!(present(&server, &assertion, changed).await.error(), error);
}

#[tokio::test]
async fn a_client_proves_itself_by_its_own_method_alone() {
    let key = new_key(SigningAlgorithm::Es256);
    let other = new_key(SigningAlgorithm::EdDsa);
    let keys = format!("assertion_algs: [ES256]\n    jwks: '{}'", key_set(&[&key, &other]));
    let server = serve(On::Sqlite, &keys).await.unwrap();
    assert_eq!(ask(&server, &[("client_id", "signer")]).await.error(), "invalid_client");
    let secret = [("client_id", "signer"), ("client_secret", SECRET)];
    assert_eq!(ask(&server, &secret).await.error(), "invalid_client");
    for client in ["nightly", "desk"] {
        let mut claims = claims(&server);
        (claims["iss"], claims["sub"]) = (json!(client), json!(client));
        assert_eq!(present(&server, &sign(&key, &claims), &[]).await.error(), "invalid_client", "{client}");
    }
    let claims = claims(&server);
    assert_eq!(
        present(&server, &sign(&other, &claims), &[]).await.error(),
        "invalid_client",
        "not its algorithm"
    );
    let typed = |typ| key.sign(typ, &claims).unwrap();
    assert_eq!(present(&server, &typed("at+jwt"), &[]).await.error(), "invalid_client");
    assert_eq!(present(&server, &typed("client-authentication+jwt"), &[]).await.status, 200);
}

#[rstest]
#[tokio::test]
async fn people_s_grants_take_assertions_too_and_spend_them(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((server, key)) = with_key(on).await else { return };
    let client = Client { id: "signer".to_owned(), ..Client::desk() };
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let proved = |parameters: &[(&'static str, String)], assertion: &str| {
        let mut form = parameters.to_vec();
        form.retain(|(name, _)| *name != "client_id");
        form.push(("client_assertion_type", ASSERTION_TYPE.to_owned()));
        form.push(("client_assertion", assertion.to_owned()));
        form
    };
    let exchange = [
        ("grant_type", "authorization_code".to_owned()),
        ("code", code.clone()),
        ("code_verifier", client.verifier.clone()),
    ];
    assert_eq!(
        client.exchange(&server, &code).await.error(),
        "invalid_client",
        "its id alone proves nothing"
    );
    let spent = sign(&key, &claims(&server));
    assert_eq!(present(&server, &spent, &[]).await.status, 200);
    assert_eq!(post(&server, &proved(&exchange, &spent)).await.error(), "invalid_client");
    let fresh = sign(&key, &claims(&server));
    let tokens = post(&server, &proved(&exchange, &fresh)).await;
    assert_eq!(tokens.status, 200, "the code was not consumed: {}", tokens.body);
    assert!(tokens.claims()["auth_time"].is_i64() && tokens.claims()["sub"] != "signer");

    let refresh =
        [("grant_type", "refresh_token".to_owned()), ("refresh_token", tokens.refresh().to_owned())];
    assert_eq!(post(&server, &proved(&refresh, &fresh)).await.error(), "invalid_client");
    let refreshed = post(&server, &proved(&refresh, &sign(&key, &claims(&server)))).await;
    assert_eq!(refreshed.status, 200, "the refresh token was not consumed: {}", refreshed.body);
}

#[rstest]
#[tokio::test]
async fn published_keys_are_fetched_and_an_outage_is_nobody_s_refusal(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let published = MockServer::start().await;
    let answers = async |answer: ResponseTemplate| {
        published.reset().await;
        Mock::given(any()).respond_with(answer).mount(&published).await;
    };
    let Some(server) = serve(on, &format!("jwks_uri: {}/jwks.json", published.uri())).await else { return };
    let (old, new) = (new_key(SigningAlgorithm::Es256), new_key(SigningAlgorithm::EdDsa));

    answers(ResponseTemplate::new(503)).await;
    let assertion = sign(&old, &claims(&server));
    let answer = present(&server, &assertion, &[]).await;
    assert_eq!((answer.status, answer.error()), (503, "temporarily_unavailable"));
    assert!(answer.headers.contains_key("retry-after"));

    answers(ResponseTemplate::new(200).set_body_string("<html>")).await;
    assert_eq!(present(&server, &assertion, &[]).await.error(), "invalid_client");

    answers(ResponseTemplate::new(200).set_body_json(key_set(&[&old]))).await;
    assert_eq!(present(&server, &assertion, &[]).await.status, 200, "sent again as it stands");
    assert_eq!(present(&server, &sign(&old, &claims(&server)), &[]).await.status, 200);
    assert_eq!(published.received_requests().await.unwrap().len(), 1, "kept");

    answers(ResponseTemplate::new(200).set_body_json(key_set(&[&new]))).await;
    server.later(Duration::from_secs(31));
    assert_eq!(
        present(&server, &sign(&new, &claims(&server)), &[]).await.status,
        200,
        "a new key is looked for"
    );
    assert_eq!(present(&server, &sign(&old, &claims(&server)), &[]).await.error(), "invalid_client");
}

/// A client whose document names keys is confidential: a name that everybody knows is not enough.
#[rstest]
#[tokio::test]
async fn a_client_by_document_proves_itself_with_the_keys_that_it_names(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values("jwks", "jwks_uri")] member: &str,
) {
    let Some(server) = serve(on, "secret: 0123456789-signer-secret").await else { return };
    let key = new_key(SigningAlgorithm::EdDsa);
    let host = MockServer::start().await;
    let id = format!("{}/client.json", host.uri());
    let mut document = json!({
        "client_id": id, "client_name": "Agent", "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "token_endpoint_auth_method": "private_key_jwt",
    });
    document[member] =
        if member == "jwks" { key_set(&[&key]) } else { json!(format!("{}/keys", host.uri())) };
    for (at, body) in [("/client.json", document), ("/keys", key_set(&[&key]))] {
        Mock::given(path(at)).respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(&host).await;
    }
    let client = Client { id: id.clone(), ..Client::desk() };
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    assert_eq!(client.exchange(&server, &code).await.error(), "invalid_client");
    let assertion = || {
        let mut claims = claims(&server);
        (claims["iss"], claims["sub"]) = (json!(id), json!(id));
        sign(&key, &claims)
    };
    let mut form = client.exchange_parameters(&code);
    let good = assertion();
    form.extend([("client_assertion_type", ASSERTION_TYPE.to_owned()), ("client_assertion", good.clone())]);
    let tokens = post(&server, &form).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(tokens.claims()["client_id"], id);
    let again = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
    assert_eq!(present(&server, &good, &again).await.error(), "invalid_client", "it was used before");
    assert_eq!(present(&server, &assertion(), &[]).await.error(), "unauthorized_client", "not for itself");
}

#[tokio::test]
async fn the_metadata_says_so() {
    let server = serve(On::Sqlite, "secret: 0123456789-signer-secret").await.unwrap();
    let page = Browser::new().open(&server.url("/.well-known/oauth-authorization-server")).await;
    let metadata: Value = serde_json::from_str(&page.body).unwrap();
    let holds = |name: &str, value: &str| metadata[name].as_array().unwrap().contains(&json!(value));
    assert!(holds("grant_types_supported", "client_credentials"));
    for method in ["client_secret_basic", "client_secret_post", "private_key_jwt"] {
        assert!(holds("token_endpoint_auth_methods_supported", method), "{method}");
    }
    for algorithm in ["ES256", "RS256", "PS256", "EdDSA"] {
        assert!(holds("token_endpoint_auth_signing_alg_values_supported", algorithm), "{algorithm}");
    }
    assert!(!metadata["token_endpoint_auth_signing_alg_values_supported"].to_string().contains("HS"));
}
