//! The product among software that we did not write: an OpenID provider behind it, MCP clients before it, and resource
//! servers that must believe its tokens, and only those that are theirs.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::duplicate_mod,
    reason = "a peer that does not play along ends the test; what the house and the stories share comes with both"
)]

#[path = "../house/mod.rs"]
mod house;

#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the stories, which need more of it")]
mod support;

mod account;
mod bound;
mod conformance;
mod connect;
mod desk;
mod dev;
mod disconnect;
mod key;
mod keycloak;
mod leaving;
mod managed;
mod notes;
mod openbao;
mod person;
mod program;
mod recheck;
mod service;
mod storm;
mod upstream;
mod vault;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rstest::rstest;
use serde_json::{Value, json};

use desk::Desk;
use house::{
    DECLARED, House, LOGIN, Plan, SAMPLE_SECRET, SAMPLE_SERVER, http,
    peer::{Peer, node, play, python},
    schema::fresh_schema,
};
use support::browser;

/// The journey of `client.mjs` and `mcp_client.py` at a server with our sample's two tools.
fn client(script: &str, options: &Value) -> Vec<Value> {
    let mut command = if script == "mcp_client.py" { python(script) } else { node(script) };
    play(command.env("CLIENT", options.to_string()), "")
}

fn options(server: &str, registration: &Value) -> Value {
    json!({
        "server": server,
        "registration": registration,
        "person": { "login": LOGIN, "untick": ["notes:write"] },
        "call": { "name": "read_notes", "arguments": {} },
        "step_up": { "name": "write_note", "arguments": { "text": "hello" } },
    })
}

fn step<'a>(steps: &'a [Value], name: &str) -> &'a Value {
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no step {name}: {steps:?}"))
}

/// The claims of a token, as any reader can see them.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_discovers_registers_signs_in_refreshes_and_steps_up(
    #[values("sdk1.mjs", "sdk2.mjs", "mcp_client.py")] script: &str,
    #[values(json!(null), json!({ "client_id": DECLARED }))] registration: Value,
) {
    let house = House::build(Plan::default()).await;
    let steps = client(script, &options(&house.sample, &registration));
    assert_eq!(step(&steps, "authorize")["granted"], "notes:read");
    assert_eq!(step(&steps, "step-up")["granted"], "notes:read notes:write");
    if let Some(declared) = registration["client_id"].as_str() {
        assert_eq!(step(&steps, "authorize")["client_id"], declared);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_known_by_its_metadata_document(
    #[values("sdk1.mjs", "sdk2.mjs", "mcp_client.py")] script: &str,
) {
    let document = json!({
        "client_name": "Documented peer",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    let website = Peer::start(python("metadata_document.py").env("DOCUMENT", document.to_string()));
    let trust = Some(website.said("certificate").into());
    let house = House::build(Plan { trust, ..Plan::default() }).await;
    let registration = json!({ "metadata_url": website.said("client_id") });
    let steps = client(script, &options(&house.sample, &registration));
    assert_eq!(step(&steps, "authorize")["client_id"], website.said("client_id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_binary_serves_from_postgresql() {
    let Some(database) = fresh_schema().await else { return };
    let house = House::build(Plan { database, ..Plan::default() }).await;
    let steps = client("sdk2.mjs", &options(&house.sample, &json!(null)));
    assert_eq!(step(&steps, "step-up")["granted"], "notes:read notes:write");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mcp_server_by_fastmcp_believes_our_tokens() {
    let desk = Desk::choose();
    let resource = desk.url.clone();
    let house = House::build(Plan { resources: vec![resource.clone()], ..Plan::default() }).await;
    let _server = desk.open(&house.issuer, &house.url("/.well-known/jwks.json"), &json!({}));
    let mut options = options(&resource, &json!(null));
    options["call"]["name"] = "read_note".into();
    options["step_up"] = json!(null);
    let steps = client("sdk2.mjs", &options);
    let token = step(&steps, "done")["access_token"].as_str().unwrap().to_owned();

    let call = |url: String| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
        let request = http().post(url).bearer_auth(&token).json(&body);
        request.header("accept", "application/json, text/event-stream").send()
    };
    assert_eq!(call(resource).await.unwrap().status(), 200);
    assert_eq!(
        call(house.sample.clone()).await.unwrap().status(),
        401,
        "the token is for the other server alone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn authplanes_verifier_accepts_our_tokens_and_refuses_those_for_another_audience() {
    let other = "http://127.0.0.1:9/mcp".to_owned();
    let house = House::build(Plan { resources: vec![other.clone()], ..Plan::default() }).await;
    let mut options = options(&house.sample, &json!(null));
    options["step_up"] = json!(null);
    let steps = client("sdk2.mjs", &options);
    let token = step(&steps, "done")["access_token"].as_str().unwrap();
    let altered = format!("{}A{}", &token[..token.len() - 10], &token[token.len() - 9..]);
    let verify = |resource: &str| {
        let verifier = json!({ "issuer": house.issuer, "resource": resource });
        play(
            python("authplane_verify.py").env("VERIFIER", verifier.to_string()),
            &format!("{token}\n{altered}\n"),
        )
    };
    let ours = verify(&house.sample);
    assert!(ours[0]["accepted"].is_string(), "{ours:?}");
    assert_eq!(ours[0]["scopes"], json!(["notes:read"]));
    assert!(ours[1]["refused"].is_string(), "{ours:?}");
    let others = verify(&other);
    assert!(others[0]["refused"].is_string(), "{others:?}");
}

/// The sample server is sent a token and calls the other server for the person, each step by the SDK.
#[tokio::test(flavor = "multi_thread")]
async fn authplanes_token_exchange_gets_what_its_verifier_accepts_at_the_other_server() {
    let [other, third] = ["http://127.0.0.1:9/mcp", "http://127.0.0.1:9/third"].map(str::to_owned);
    let house = House::build(Plan { resources: vec![other.clone(), third.clone()], ..Plan::default() }).await;
    let mut options = options(&house.sample, &json!(null));
    options["step_up"] = json!(null);
    let steps = client("sdk2.mjs", &options);
    let token = step(&steps, "done")["access_token"].as_str().unwrap();
    let exchange = json!({
        "issuer": house.issuer, "client_id": SAMPLE_SERVER, "client_secret": SAMPLE_SECRET, "resource": other,
    });
    let asked = [
        json!({ "subject_token": token, "resources": [other], "audiences": ["server-0"], "scope": "notes:read" }),
        json!({ "subject_token": token, "resources": [other, third] }),
        json!({ "subject_token": token, "resources": [third] }),
        json!({ "subject_token": token, "resources": [other], "scope": "notes:write" }),
        json!({ "subject_token": format!("{token}A"), "resources": [other] }),
        json!({ "subject_token": token, "actor_token": token, "resources": [other] }),
    ];
    let lines: String = asked.iter().map(|options| options.to_string() + "\n").collect();
    let answers = play(python("authplane_exchange.py").env("EXCHANGE", exchange.to_string()), &lines);
    let [got, refused @ ..] = answers.as_slice() else { panic!("no answer") };
    assert_eq!(got["issued"]["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token", "{got}");
    assert_eq!(
        (&got["issued"]["scope"], &got["issued"]["refresh_token"]),
        (&json!("notes:read"), &json!(""))
    );
    assert_eq!(got["accepted"]["scopes"], json!(["notes:read"]));
    assert_eq!(got["accepted"]["actor"], SAMPLE_SERVER);
    let refused: Vec<_> = refused.iter().map(|answer| answer["refused"].as_str().unwrap()).collect();
    let [target, scope, request] = ["InvalidTargetError", "InvalidScopeError", "InvalidRequestError"];
    assert_eq!(refused, [target, target, scope, request, request]);
}
