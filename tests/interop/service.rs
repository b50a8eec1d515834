//! A service account at a vendor that we did not write: npm `oidc-provider` gives our client tokens for itself, which
//! whoever may use it is handed.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use super::{
    claims,
    connect::{Ada, On, server},
    house::{
        free_port,
        peer::{Peer, node},
    },
};

const API: &str = "https://api.files.test";

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_our_own_account_is_for_all_who_may_use_it(#[values(On::Sqlite, On::Postgres)] on: On) {
    let port = free_port();
    let entry = format!(
        "{{ preset: client-credentials, name: Files, token_url: \"http://127.0.0.1:{port}/token\", client_id: us, \
         client_secret: \"what proves us there: 100%\", use: {{ tickets: {{ \"tickets:write\": [\"files:read\"] }} }}, \
         vendor: {{ token_params: {{ resource: \"{API}\" }} }} }}"
    );
    let Some(ours) = server(on, &entry).await else { return };
    let config = json!({
        "port": port,
        "clients": [{ "client_id": "us", "client_secret": "what proves us there: 100%", "redirect_uris": [],
                      "response_types": [], "grant_types": ["client_credentials"] }],
        "resources": { API: "files:read files:write" },
        "client_credentials": true,
    });
    let vendor = Peer::start(node("oidc-provider.mjs").env("PROVIDER", config.to_string()));
    let mut ada = Ada::comes(&ours).await;
    let got = ada.vend().await;
    assert_eq!((got.status, &got.body["scope"]), (200, &json!("files:read")), "{}", got.body);
    let told = claims(got.access());
    assert_eq!(
        (&told["iss"], &told["aud"], &told["client_id"], &told["scope"]),
        (&json!(vendor.said("issuer")), &json!(API), &json!("us"), &json!("files:read"))
    );
    assert_eq!(ada.vend().await.access(), got.access(), "it is good yet");
    ours.later(Duration::from_secs(got.body["expires_in"].as_u64().unwrap()));
    let next = ada.vend().await;
    assert!(next.status == 200 && next.access() != got.access(), "{}", next.body);
}
