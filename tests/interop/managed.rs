//! An agent that its enterprise manages, with software that we did not write at every end: npm `oidc-provider` issues
//! the identity assertion (ID-JAG), and the SDKs carry it here and call a tool with what they get for it.

use std::{collections::HashSet, process::Command};

use oauth2::ClientSecret;
use rmcp::{
    ServiceExt as _,
    model::CallToolRequestParams,
    transport::{
        StreamableHttpClientTransport,
        auth::{
            default_oauth_http_client,
            enterprise::{EmaAuthorizationServer, EmaClientAuthentication, EmaExchangeRequest},
        },
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    House, LOGIN, Plan,
    house::{
        AGENT, AGENT_AT_UPSTREAM, AGENT_REDIRECT_URI, AGENT_SECRET, http,
        peer::{node, play, python},
        schema::fresh_schema,
    },
};

/// What an application, named by its id and secret at the provider, holds after a person has signed in to it there.
pub(super) fn id_token(provider: &str, (client_id, secret): (&str, Option<&str>), person: &Value) -> String {
    let sign_in = json!({
        "issuer": provider,
        "client_id": client_id,
        "client_secret": secret,
        "redirect_uri": AGENT_REDIRECT_URI,
        "person": person,
    });
    let said = play(node("id_token.mjs").env("SIGN_IN", sign_in.to_string()), "");
    said[0]["id_token"].as_str().unwrap().to_owned()
}

/// What the agent holds.
fn alices(house: &House) -> String {
    id_token(house.upstream(), (AGENT_AT_UPSTREAM, Some(AGENT_SECRET)), &json!({ "login": LOGIN }))
}

fn agent(house: &House, id_token: &str) -> Value {
    json!({
        "server": house.sample,
        "issuer": house.issuer,
        "idp": house.upstream(),
        "id_token": id_token,
        "at_idp": { "client_id": AGENT_AT_UPSTREAM, "client_secret": AGENT_SECRET },
        "at_issuer": { "client_id": AGENT, "client_secret": AGENT_SECRET },
        "call": { "name": "read_notes", "arguments": {} },
    })
}

/// The provider would give writing too; the rules here give reading.
#[rstest]
#[case::typescript(node("enterprise.mjs"), json!({}))]
#[case::python_post(python("enterprise.py"), json!({ "method": "client_secret_post" }))]
#[case::python_basic(python("enterprise.py"), json!({ "method": "client_secret_basic" }))]
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_calls_a_tool_and_nobody_sees_a_page(#[case] mut sdk: Command, #[case] options: Value) {
    let house = House::build(Plan { managed: true, ..Plan::default() }).await;
    let mut agent = agent(&house, &alices(&house));
    agent.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let said = play(sdk.env("AGENT", agent.to_string()), "");
    assert_eq!(said[0]["granted"], "notes:read");
    assert_eq!(said[0]["refresh_token"], Value::Null);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn rmcp_trades_an_id_token_and_calls_a_tool(
    #[values(EmaClientAuthentication::ClientSecretPost, EmaClientAuthentication::ClientSecretBasic)]
    prove: fn(ClientSecret) -> EmaClientAuthentication,
) {
    let Some(database) = fresh_schema().await else { return };
    let house = House::build(Plan { managed: true, database, ..Plan::default() }).await;
    let id_token = alices(&house);
    let secret = || ClientSecret::new(AGENT_SECRET.to_owned());
    let at_upstream = EmaAuthorizationServer::new(
        house.upstream(),
        token_endpoint(&format!("{}/.well-known/openid-configuration", house.upstream())).await,
        AGENT_AT_UPSTREAM,
    )
    .with_client_authentication(EmaClientAuthentication::ClientSecretPost(secret()));
    let here = EmaAuthorizationServer::new(
        &house.issuer,
        token_endpoint(&house.url("/.well-known/oauth-authorization-server")).await,
        AGENT,
    )
    .with_client_authentication(prove(secret()));
    let outbound = default_oauth_http_client().unwrap();
    let token = EmaExchangeRequest::new_with_id_token(at_upstream, here, &house.sample, &id_token)
        .exchange(&outbound, &outbound)
        .await
        .unwrap();
    assert_eq!(token.scopes, HashSet::from(["notes:read".to_owned()]), "narrowed, and said so");

    let config = StreamableHttpClientTransportConfig::with_uri(house.sample.clone())
        .auth_header(token.access_token.secret());
    let client = ().serve(StreamableHttpClientTransport::from_config(config)).await.unwrap();
    let read = client.call_tool(CallToolRequestParams::new("read_notes")).await.unwrap();
    assert_ne!(read.is_error, Some(true), "{read:?}");
    client.cancel().await.unwrap();
}

async fn token_endpoint(metadata: &str) -> String {
    let document: Value = http().get(metadata).send().await.unwrap().json().await.unwrap();
    document["token_endpoint"].as_str().unwrap().to_owned()
}
