//! Programs that work for themselves (`client_credentials`, SEP-1046), by SDKs that we did not write, each from the
//! sample server's challenge to a tool call.

use std::process::Command;

use jsonwebtoken::Algorithm;
use rmcp::{
    ServiceExt as _,
    model::CallToolRequestParams,
    transport::{
        AuthClient, StreamableHttpClientTransport,
        auth::{ClientCredentialsConfig, JwtSigningAlgorithm, OAuthState},
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    House, Plan, claims,
    house::{
        PROGRAM, PROGRAM_SECRET, http,
        peer::{node, play, python},
        schema::fresh_schema,
    },
    key::Key,
};

/// A program that signs instead of telling a secret.
const SIGNER: &str = "signing-report";

/// A house that knows the signer by this key.
fn knowing(key: &Key) -> Plan {
    let signer = json!({
        "jwks": key.set().to_string(),
        "grant_types": ["client_credentials"],
        "resources": { "sample": ["notes:read"] },
    });
    Plan { config: json!({ "clients": { SIGNER: signer } }), ..Plan::default() }
}

/// Lets the SDK call a tool with what proves it, and says what it was given.
fn calls_a_tool(house: &House, sdk: &mut Command, proof: &Value) -> Value {
    let mut program = json!({
        "server": house.sample,
        "issuer": house.issuer,
        "call": { "name": "read_notes", "arguments": {} },
    });
    program.as_object_mut().unwrap().extend(proof.as_object().unwrap().clone());
    let mut said = play(sdk.env("PROGRAM", program.to_string()), "");
    assert_eq!(said[0]["granted"], "notes:read");
    assert_eq!(said[0]["refresh_token"], Value::Null);
    let claims = claims(said[0]["access_token"].as_str().unwrap());
    assert_eq!((&claims["sub"], &claims["client_id"]), (&program["client_id"], &program["client_id"]));
    said.remove(0)
}

#[rstest]
#[case::typescript(node("program.mjs"), json!({}))]
#[case::python_basic(python("program.py"), json!({ "method": "client_secret_basic" }))]
#[case::python_post(python("program.py"), json!({ "method": "client_secret_post" }))]
#[case::python_with_a_scope(python("program.py"), json!({ "scope": "notes:read" }))]
#[tokio::test(flavor = "multi_thread")]
async fn a_program_tells_its_secret(#[case] mut sdk: Command, #[case] options: Value) {
    let house = House::build(Plan::default()).await;
    let mut proof = json!({ "client_id": PROGRAM, "client_secret": PROGRAM_SECRET });
    proof.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    calls_a_tool(&house, &mut sdk, &proof);
}

#[rstest]
#[case::typescript(node("program.mjs"), Algorithm::ES256)]
#[case::typescript_by_rsa(node("program.mjs"), Algorithm::RS256)]
#[case::python(python("program.py"), Algorithm::ES256)]
#[case::python_by_rsa(python("program.py"), Algorithm::RS256)]
#[case::python_on_another_curve(python("program.py"), Algorithm::EdDSA)]
#[tokio::test(flavor = "multi_thread")]
async fn a_program_signs(#[case] mut sdk: Command, #[case] algorithm: Algorithm) {
    let key = Key::of(algorithm);
    let house = House::build(knowing(&key)).await;
    let proof = json!({ "client_id": SIGNER, "private_key": key.pem, "algorithm": key.jwk["alg"] });
    calls_a_tool(&house, &mut sdk, &proof);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_signs_and_postgresql_remembers() {
    let Some(database) = fresh_schema().await else { return };
    let key = Key::of(Algorithm::ES256);
    let house = House::build(Plan { database, ..knowing(&key) }).await;
    let proof = json!({ "client_id": SIGNER, "private_key": key.pem, "algorithm": "ES256" });
    calls_a_tool(&house, &mut node("program.mjs"), &proof);
    calls_a_tool(&house, &mut python("program.py"), &proof);
}

/// The SDK finds out by itself where the server's tokens come from, and is given one.
async fn rmcp(house: &House, config: ClientCredentialsConfig) -> Result<OAuthState, String> {
    let mut state = OAuthState::new(&house.sample, None).await.unwrap();
    state.authenticate_client_credentials(config).await.map_err(|error| error.to_string())?;
    Ok(state)
}

async fn rmcp_calls_a_tool(house: &House, config: ClientCredentialsConfig) {
    let manager = rmcp(house, config).await.unwrap().into_authorization_manager().unwrap();
    let transport = StreamableHttpClientTransport::with_client(
        AuthClient::new(http(), manager),
        StreamableHttpClientTransportConfig::with_uri(house.sample.clone()),
    );
    let client = ().serve(transport).await.unwrap();
    let read = client.call_tool(CallToolRequestParams::new("read_notes")).await.unwrap();
    assert_ne!(read.is_error, Some(true), "{read:?}");
    client.cancel().await.unwrap();
}

fn secret(house: &House, secret: &str) -> ClientCredentialsConfig {
    ClientCredentialsConfig::ClientSecret {
        client_id: PROGRAM.into(),
        client_secret: secret.into(),
        scopes: vec!["notes:read".into()],
        resource: Some(house.sample.clone()),
    }
}

fn signature(house: &House, key: &Key, audience: Option<&str>) -> ClientCredentialsConfig {
    ClientCredentialsConfig::PrivateKeyJwt {
        client_id: SIGNER.into(),
        signing_key: key.pem.clone().into(),
        signing_algorithm: JwtSigningAlgorithm::ES256,
        token_endpoint_audience: audience.map(str::to_owned),
        scopes: Vec::new(),
        resource: Some(house.sample.clone()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rmcp_proves_itself_and_calls_a_tool() {
    let key = Key::of(Algorithm::ES256);
    let house = House::build(knowing(&key)).await;
    rmcp_calls_a_tool(&house, secret(&house, PROGRAM_SECRET)).await;
    rmcp_calls_a_tool(&house, signature(&house, &key, None)).await;
}

/// What an SDK can be made to do wrong, and how it understands what it is told.
#[tokio::test(flavor = "multi_thread")]
async fn rmcp_is_told_that_it_proved_nothing() {
    let key = Key::of(Algorithm::ES256);
    let house = House::build(knowing(&key)).await;
    let elsewhere = house.url("/oauth/token");
    let wrong = [
        secret(&house, "what another program would say"),
        signature(&house, &Key::of(Algorithm::ES256), None),
        signature(&house, &key, Some(&elsewhere)),
    ];
    for config in wrong {
        let told = rmcp(&house, config).await.err().unwrap();
        assert!(told.contains("invalid_client"), "{told}");
    }
}
