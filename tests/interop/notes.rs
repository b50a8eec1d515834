//! A remote MCP server as upstream, by software that we did not write: PyPI `fastmcp`, or `mcp` in its first
//! generation, is the server, and npm `oidc-provider` issues the tokens for it and registers us.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use super::{
    LOGIN,
    connect::{self, Ada, On, fill},
    house::{
        free_port, http,
        peer::{Peer, node, python, python_mcp1},
    },
};

/// Who made the MCP server.
#[derive(Debug, Clone, Copy)]
enum By {
    Fastmcp,
    Sdk1,
}

impl By {
    fn open(self, port: u16, issuer: &str) -> Peer {
        let server = json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/jwks"), "port": port, "scope": "notes:read",
        });
        let mut script = match self {
            Self::Fastmcp => python("fastmcp_server.py"),
            Self::Sdk1 => python_mcp1("sdk1_server.py"),
        };
        Peer::start(script.env("SERVER", server.to_string()))
    }
}

/// The authorization server, which knows nobody before it is asked. One that is started again knows nobody again.
fn issuer(port: u16, resource: &str) -> Peer {
    let config = json!({
        "port": port,
        "users": { LOGIN: { "name": "Alice" } },
        "resources": { resource: "notes:read" },
    });
    Peer::start(node("oidc-provider.mjs").env("PROVIDER", config.to_string()))
}

/// What the MCP server makes of a token.
async fn opens(server: &str, token: &str) -> u16 {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
    let request = http().post(server).bearer_auth(token).json(&body);
    let request = request.header("accept", "application/json, text/event-stream");
    request.send().await.unwrap().status().as_u16()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_server_is_found_and_used_and_registers_us_anew_when_it_has_forgotten_us(
    #[values(By::Fastmcp, By::Sdk1)] by: By,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let (place, port) = (free_port(), free_port());
    let url = format!("http://127.0.0.1:{place}/mcp");
    let first = issuer(port, &url);
    let server = by.open(place, first.said("issuer"));
    assert_eq!(server.said("url"), url);
    let entry = format!(
        "{{ preset: mcp, name: Notes, url: \"{url}\", use: {{ tickets: {{ \"tickets:write\": [\"notes:read\"] }} }} }}"
    );
    let Some(ours) = connect::server(on, &entry).await else { return };
    let mut ada = Ada::comes(&ours).await;

    ada.connects("not_connected", fill).await;
    let got = ada.vend().await;
    assert_eq!((got.status, &got.body["scope"]), (200, &json!("notes:read")), "{}", got.body);
    assert_eq!(opens(&url, got.access()).await, 200);
    assert_eq!(opens(&url, &format!("{}x", got.access())).await, 401);
    let until = got.body["expires_in"].as_u64().unwrap();
    ours.later(Duration::from_secs(until));
    let next = ada.vend().await;
    assert_eq!((next.status, opens(&url, next.access()).await), (200, 200), "{}", next.body);
    assert_ne!(next.access(), got.access());

    // It comes back with an empty memory.
    let known_as = ours.last("connection.registered").await.detail("client_id");
    drop(first);
    let _second = issuer(port, &url);
    ours.later(Duration::from_secs(until));
    assert_eq!(ada.vend().await.status, 503);
    assert_eq!(ours.last("connection.unregistered").await.detail("client_id"), known_as);
    ours.later(Duration::from_secs(60));
    ada.connects("needs_reconnect:revoked", fill).await;
    assert_ne!(ours.last("connection.registered").await.detail("client_id"), known_as);
    assert_eq!(ada.vend().await.status, 200);

    ada.disconnects().await;
    assert_eq!(ada.vend().await.body["reason"], "not_connected");
}
