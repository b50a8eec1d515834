//! What a request must look like, and whose it may be.

use chancery::{
    entropy::Entropy,
    jose::{Signer, signer::SigningAlgorithm},
};
use rstest::rstest;
use serde_json::json;

use super::*;

#[rstest]
#[case::by_uri(&[("resource", WIKI)])]
#[case::by_uri_in_another_spelling(&[("resource", "HTTPS://mcp.acme.example:443/wiki")])]
#[case::by_name(&[("resource", ""), ("audience", "wiki")])]
#[case::by_uri_as_audience(&[("resource", ""), ("audience", WIKI)])]
#[case::in_every_way(&[("resource", WIKI), ("resource", WIKI), ("audience", "wiki"), ("audience", WIKI), ("audience", "wiki")])]
#[case::with_the_type_it_has_anyway(&[("requested_token_type", ACCESS_TOKEN)])]
#[tokio::test]
async fn how_the_target_is_named(#[case] changed: &[(&'static str, &str)]) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, "tickets:read").await;
    let got = exchange_with(&server, "tickets-server", sent.access(), WIKI, changed).await;
    assert_eq!(got.claims()["aud"], WIKI, "{}", got.body);
}

#[rstest]
#[case::no_target(&[("resource", "")], "invalid_target")]
#[case::an_unknown_resource(&[("resource", "https://mcp.acme.example/other")], "invalid_target")]
#[case::an_unknown_audience(&[("audience", "nowhere")], "invalid_target")]
#[case::no_uri(&[("resource", "wiki")], "invalid_target")]
#[case::two_resources(&[("resource", WIKI), ("resource", SEARCH)], "invalid_target")]
#[case::two_audiences(&[("resource", ""), ("audience", "wiki"), ("audience", "search")], "invalid_target")]
#[case::a_resource_and_another_audience(&[("audience", "search")], "invalid_target")]
#[case::one_known_and_one_unknown(&[("resource", WIKI), ("resource", "https://elsewhere.example")], "invalid_target")]
#[case::no_subject(&[("subject_token", "")], "invalid_request")]
#[case::no_subject_type(&[("subject_token_type", "")], "invalid_request")]
#[case::an_unknown_subject_type(&[("subject_token_type", "access_token")], "invalid_request")]
#[case::said_to_be_an_id_token(&[("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")], "invalid_request")]
#[case::said_to_be_a_refresh_token(&[("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token")], "invalid_request")]
#[case::said_to_be_any_jwt(&[("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")], "invalid_request")]
#[case::a_refresh_token_wanted(&[("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")], "invalid_request")]
#[case::an_id_jag_wanted(&[("requested_token_type", "urn:ietf:params:oauth:token-type:id-jag")], "invalid_request")]
#[case::any_jwt_wanted(&[("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")], "invalid_request")]
#[case::something_unknown_wanted(&[("requested_token_type", "urn:x")], "invalid_request")]
#[case::another_actor(&[("actor_token", "x"), ("actor_token_type", ACCESS_TOKEN)], "invalid_request")]
#[case::half_an_actor(&[("actor_token", "x")], "invalid_request")]
#[case::details(&[("authorization_details", "[]")], "invalid_request")]
#[case::two_subjects(&[("subject_token", "x"), ("subject_token", "x")], "invalid_request")]
#[case::two_subject_types(&[("subject_token_type", ACCESS_TOKEN), ("subject_token_type", ACCESS_TOKEN)], "invalid_request")]
#[case::two_scopes(&[("scope", "wiki:read"), ("scope", "wiki:read")], "invalid_request")]
#[case::two_grants(&[("grant_type", GRANT), ("grant_type", GRANT)], "invalid_request")]
#[case::two_wanted(&[("requested_token_type", ACCESS_TOKEN), ("requested_token_type", ACCESS_TOKEN)], "invalid_request")]
#[tokio::test]
async fn what_is_refused_aloud(#[case] changed: &[(&'static str, &str)], #[case] error: &str) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, "tickets:read").await;
    let got = exchange_with(&server, "tickets-server", sent.access(), WIKI, changed).await;
    assert_eq!((got.status, got.error()), (400, error), "{}", got.body);
    assert_eq!((server.recorded("token.exchanged").await, server.recorded("token.refused").await), (0, 1));
}

#[rstest]
#[case::a_public_client("desk", "", "unauthorized_client")]
#[case::a_client_that_serves_nothing(
    "backend",
    "correct-horse-battery-staple-+%-0123456789",
    "unauthorized_client"
)]
#[case::a_server_without_pairs("idle-server", SECRET, "unauthorized_client")]
#[case::a_wrong_secret("tickets-server", "0123456789-server-secres", "invalid_client")]
#[case::no_secret("tickets-server", "", "invalid_client")]
#[case::nobody("", "", "invalid_client")]
#[tokio::test]
async fn whose_request_it_may_be(#[case] client: &str, #[case] secret: &str, #[case] error: &str) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, "tickets:read").await;
    let changed = [("client_id", client), ("client_secret", secret)];
    let got = exchange_with(&server, "tickets-server", sent.access(), WIKI, &changed).await;
    assert_eq!(got.error(), error, "{}", got.body);
    assert_eq!(server.recorded("token.exchanged").await, 0);
}

/// Who registers himself serves nothing.
#[tokio::test]
async fn nobody_gives_himself_the_right_to_exchange() {
    let server = serve(On::Sqlite).await.unwrap();
    let metadata = json!({
        "redirect_uris": ["http://127.0.0.1/cb"], "grant_types": ["authorization_code", GRANT],
        "token_endpoint_auth_method": "client_secret_post",
    });
    let answer =
        server.request(reqwest::Method::POST, "/oauth/register").json(&metadata).send().await.unwrap();
    let registered: Value = answer.json().await.unwrap();
    assert_eq!(registered["grant_types"], json!(["authorization_code"]));
    let sent = token(&server, "tickets:read").await;
    let known = |name| registered[name].as_str().unwrap();
    let changed = [("client_id", known("client_id")), ("client_secret", known("client_secret"))];
    let got = exchange_with(&server, "tickets-server", sent.access(), WIKI, &changed).await;
    assert_eq!(got.error(), "unauthorized_client");
}

/// A refused exchange leaves the server's assertion good; one that is answered spends it.
#[rstest]
#[tokio::test]
async fn a_server_may_prove_itself_by_its_key(#[values(On::Sqlite, On::Postgres)] on: On) {
    let algorithm = SigningAlgorithm::Es256;
    let key = Signer::from_pkcs8(algorithm, &algorithm.generate().unwrap()).unwrap();
    let jwks = json!({ "keys": [key.public_jwk()] });
    let sections = sections().replacen(&format!("secret: {SECRET}"), &format!("jwks: '{jwks}'"), 1);
    let Some(server) = Server::start_with(on, &sections).await else { return };
    let sent = token(&server, "tickets:read").await;
    let now = server.app.clock.now().as_secs();
    let claims = json!({
        "iss": "tickets-server", "sub": "tickets-server", "aud": server.issuer, "jti": Entropy::System.token(),
        "iat": now, "exp": now + 60,
    });
    let assertion = key.sign("JWT", &claims).unwrap();
    let proof = [
        ("client_secret", ""),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion),
    ];
    let ask = async |target| exchange_with(&server, "tickets-server", sent.access(), target, &proof).await;
    assert_eq!(ask(SEARCH).await.error(), "invalid_target");
    assert_eq!(ask(WIKI).await.status, 200);
    assert_eq!(ask(WIKI).await.error(), "invalid_client");
}

#[rstest]
#[tokio::test]
async fn an_outage_is_nobodys_refusal(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values("grants", "identities", "audit")] table: &str,
) {
    let Some(server) = serve(on).await else { return };
    let sent = token(&server, "tickets:read").await;
    server.hide(table).await;
    let got = exchange(&server, "tickets-server", sent.access(), WIKI).await;
    assert_eq!((got.status, got.error()), (503, "temporarily_unavailable"));
    assert!(got.headers.contains_key("retry-after"));
    server.unhide(table).await;
    assert_eq!(exchange(&server, "tickets-server", sent.access(), WIKI).await.status, 200);
    assert_eq!(server.recorded("token.refused").await, 0);
}
