//! A provider that we did not write is asked again about its people before each token: npm `oidc-provider`, which
//! replaces the refresh token of a sign-in each time.

use std::time::Duration;

use chancery::clock::Clock;
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    LOGIN,
    connect::{Browser, On, Server, fill},
    house::{
        free_port, http,
        peer::{Peer, node},
    },
    support::{Client, PLAIN},
};

/// How long an access token of ours lives.
const LIFE: Duration = Duration::from_secs(600);

/// A server that asks it.
async fn server(on: On, port: u16) -> Option<Server> {
    let own = format!("preset: oidc, issuer: \"http://127.0.0.1:{port}\", client_id: us, client_auth: none");
    let resources = PLAIN.split_once("\nresources:").unwrap().1;
    let sections = format!(
        "providers:\n  acme: {{ {own}, organization: acme, sign_in: {{ anyone: true, recheck: upstream }}, \
         vault: {{ keep_sign_in_tokens: true, connection: files }} }}\nresources:{resources}\
         connections:\n  files: {{ {own}, name: Files, scopes: [openid, offline_access] }}\n"
    );
    Server::start_with(on, &sections).await
}

fn provider(port: u16, server: &Server) -> Peer {
    let callbacks = ["/login/acme/callback", "/connect/files/callback"].map(|path| server.url(path));
    let config = json!({
        "port": port,
        "clients": [{ "client_id": "us", "redirect_uris": callbacks, "application_type": "native",
                      "token_endpoint_auth_method": "none", "response_types": ["code"],
                      "grant_types": ["authorization_code", "refresh_token"] }],
        "users": { LOGIN: { "name": "Alice", "email": "alice@acme.test", "email_verified": true } },
        "resources": { "https://api.files.test": "files:read" },
    });
    Peer::start(node("oidc-provider.mjs").env("PROVIDER", config.to_string()))
}

async fn told(provider: &Peer, command: &str, body: Value) -> Value {
    let url = format!("{}/{command}", provider.said("control"));
    let answer = http().post(url).json(&body).send().await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn whom_it_disables_is_out_with_the_next_token(#[values(On::Sqlite, On::Postgres)] on: On) {
    let port = free_port();
    let Some(ours) = server(on, port).await else { return };
    // The provider's word is dated by the clock of the machine.
    ours.later(Clock::System.now().since(ours.clock.now()));
    let provider = provider(port, &ours);
    let (browser, app) = (Browser::new(), Client::desk());
    let mut page = browser.open(&ours.url("/login/acme")).await;
    while !page.url.as_str().starts_with(&ours.base) {
        page = browser.submit(&fill(&page)).await;
    }
    assert_eq!(page.url.path(), "/account", "{}", page.text());
    let mut tokens = app.obtain(&ours, &browser, LOGIN).await;

    for round in 1..=3 {
        ours.later(LIFE);
        tokens = app.refresh(&ours, tokens.refresh()).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        let grants = told(&provider, "grants", json!({})).await;
        assert_eq!(grants["given"]["refresh_token"], round, "{grants}");
    }

    told(&provider, "fail", json!({ "status": 503 })).await;
    ours.later(LIFE);
    tokens = app.refresh(&ours, tokens.refresh()).await;
    assert_eq!(tokens.status, 200, "its silence is no refusal: {}", tokens.body);
    told(&provider, "fail", json!({})).await;

    told(&provider, &format!("users/{LOGIN}"), json!({ "disabled": true })).await;
    ours.later(LIFE);
    let refused = app.refresh(&ours, tokens.refresh()).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_grant"), "{}", refused.body);
    assert_eq!(ours.reasons("session.ended").await, ["upstream_refused"]);
    let page = browser.open(&ours.url("/account")).await;
    assert_eq!(page.url.path(), "/login/acme/callback", "it does not let her in either: {}", page.text());
}
