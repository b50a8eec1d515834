//! Which clients may present assertions: those that the operator declared for it, those whose own metadata document
//! says so, and of those that cannot prove who they are only where the operator says that too.

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{Agent, On, agent::JWT_BEARER};

/// A client as an assistant in the cloud is one: public, by its document, and without `resource`.
#[rstest]
#[tokio::test]
async fn a_public_client_by_document_where_the_operator_says_so(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values(true, false)] allowed: bool,
) {
    let host = MockServer::start().await;
    let id = format!("{}/client.json", host.uri());
    answers(&host, &id, &["authorization_code", JWT_BEARER]).await;
    let keys = format!(
        "public_clients: {allowed}, default_resource: tickets, \
         allow: {{ tickets: {{ clients: [\"{id}\"], scopes: [\"tickets:read\"] }} }}"
    );
    let Some(agent) = Agent::start_with(on, &keys).await else { return };
    let mut claims = agent.claims_with("resource", Value::Null);
    claims["client_id"] = json!(id);
    let id: &'static str = id.leak();
    let public = [("client_id", id), ("client_secret", ""), ("scope", "openid profile")];
    let tokens = agent.present(&agent.sign(&claims), &public).await;
    if allowed {
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        assert_eq!(tokens.claims()["client_id"], id);
    } else {
        assert_eq!((tokens.status, tokens.error()), (400, "unauthorized_client"));
        assert_eq!(agent.server.reasons("token.refused").await, ["public_client"]);
    }
}

/// Whether public clients may come is told to nobody who brings no good assertion: it would tell whom we trust.
#[tokio::test]
async fn a_public_client_learns_nothing_from_a_forgery() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let claims = agent.claims_with("client_id", json!("open"));
    let open = [("client_id", "open"), ("client_secret", "")];
    let forged = crate::support::upstream::signer().sign(crate::support::agent::ID_JAG, &claims).unwrap();
    assert_eq!(agent.present(&forged, &open).await.error(), "invalid_grant");
    assert_eq!(agent.present(&agent.sign(&claims), &open).await.error(), "unauthorized_client");
}

/// Nobody gets the grant who was not given it.
#[tokio::test]
async fn a_client_that_does_not_list_the_grant() {
    let agent = Agent::start_with(On::Sqlite, "public_clients: true").await.unwrap();
    let host = MockServer::start().await;
    let id: &'static str = format!("{}/client.json", host.uri()).leak();
    answers(&host, id, &["authorization_code"]).await;
    let metadata = json!({
        "redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", JWT_BEARER],
    });
    let registered =
        agent.server.request(Method::POST, "/oauth/register").json(&metadata).send().await.unwrap();
    let registered: Value = registered.json().await.unwrap();
    assert_eq!(registered["grant_types"], json!(["authorization_code"]));
    let dynamic: &'static str = registered["client_id"].as_str().unwrap().to_owned().leak();
    for client in [id, dynamic, "desk"] {
        let assertion = agent.sign(&agent.claims_with("client_id", json!(client)));
        let refused = agent.present(&assertion, &[("client_id", client), ("client_secret", "")]).await;
        assert_eq!((refused.status, refused.error()), (400, "unauthorized_client"), "{client}");
    }
}

async fn answers(host: &MockServer, id: &str, grant_types: &[&str]) {
    let document = json!({
        "client_id": id, "client_name": "Assistant", "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": grant_types,
    });
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(document)).mount(host).await;
}
