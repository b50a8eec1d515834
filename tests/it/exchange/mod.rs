//! An MCP server that calls another one for the person whose token it was sent (RFC 8693).

mod request;
mod subject;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    Browser, Client, On, PLAIN, Server, Tokens,
    client::{account, post},
};

const TICKETS: &str = "https://mcp.acme.example/tickets";
const WIKI: &str = "https://mcp.acme.example/wiki";
const SEARCH: &str = "https://mcp.acme.example/search";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const SECRET: &str = "0123456789-server-secret";
/// What one check or another found; the wire tells nobody which.
const UNUSABLE: &str = "the subject token is invalid, expired, ended, or not for this client to exchange";

/// Three resources whose servers call one another in a ring, and one client that serves a resource and exchanges
/// nothing.
const RING: &str = r#"  wiki:
    uri: https://mcp.acme.example/wiki
    name: Wiki
    scopes:
      "wiki:read": { description: Read the wiki, default: true }
      "wiki:edit": { description: Edit the wiki, allow: { groups: [support] } }
    access_token: 1h
  search:
    uri: https://mcp.acme.example/search
    name: Search
    scopes:
      "search:query": { description: Search, default: true }
      "search:index": { description: Index, default: true }
  vault:
    uri: https://mcp.acme.example/vault
    name: Vault
    scopes: { "vault:open": { description: Open, default: true } }
    allow: { clients: [desk] }
clients:
  tickets-server:
    secret: 0123456789-server-secret
    serves: tickets
    exchange:
      wiki: { "tickets:read": ["wiki:read"], "tickets:write": ["wiki:read", "wiki:edit"] }
      vault: { "tickets:read": ["vault:open"] }
  wiki-server:
    secret: 0123456789-server-secret
    serves: wiki
    exchange: { search: { "wiki:read": ["search:query"], "wiki:edit": ["search:index"] } }
  search-server:
    secret: 0123456789-server-secret
    serves: search
    exchange: { tickets: { "search:query": ["tickets:read"] } }
  idle-server: { secret: 0123456789-server-secret, serves: tickets }
"#;

/// The usual configuration with these.
fn sections() -> String {
    let (before, after) = PLAIN.split_once("  wiki:\n").unwrap();
    let (_, after) = after.split_once("clients:\n").unwrap();
    format!("{before}{RING}{after}")
}

async fn serve(on: On) -> Option<Server> {
    Server::start_with(on, &sections()).await
}

/// Ada's token for the tickets, with these scopes.
async fn token(server: &Server, scope: &str) -> Tokens {
    Client::desk().scope(scope).obtain(server, &Browser::new(), "ada").await
}

/// A request of `client` to exchange a token for one at `target`; an empty value leaves the parameter out.
async fn exchange_with(
    server: &Server,
    client: &str,
    subject: &str,
    target: &str,
    changed: &[(&'static str, &str)],
) -> Tokens {
    let mut form = vec![
        ("grant_type", GRANT),
        ("client_id", client),
        ("client_secret", SECRET),
        ("subject_token", subject),
        ("subject_token_type", ACCESS_TOKEN),
        ("resource", target),
    ];
    form.retain(|(name, _)| !changed.iter().any(|(known, _)| known == name));
    form.extend(changed);
    form.retain(|(_, value)| !value.is_empty());
    let form: Vec<_> = form.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    post(server, &form).await
}

async fn exchange(server: &Server, client: &str, subject: &str, target: &str) -> Tokens {
    exchange_with(server, client, subject, target, &[]).await
}

/// A token of ours that says something else.
fn altered(server: &Server, token: &str, change: impl FnOnce(&mut Value)) -> String {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let mut claims: Value = serde_json::from_slice(&payload).unwrap();
    change(&mut claims);
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    server.app.keys.signer().sign("at+jwt", &claims).unwrap()
}

#[rstest]
#[tokio::test]
async fn a_server_gets_a_token_for_the_person_at_another_one(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let sent = token(&server, "tickets:read tickets:close").await;
    server.later(Duration::from_secs(60));
    let got = exchange(&server, "tickets-server", sent.access(), WIKI).await;
    assert_eq!(got.status, 200, "{}", got.body);
    assert_eq!(got.body["issued_token_type"], ACCESS_TOKEN);
    assert_eq!((&got.body["token_type"], &got.body["scope"]), (&json!("Bearer"), &json!("wiki:read")));
    assert_eq!(got.body.get("refresh_token"), None);
    assert_eq!(got.headers["cache-control"], "no-store");
    server.app.keys.verify_own(got.access()).expect("signed by us as at+jwt");

    let (claims, before) = (got.claims(), sent.claims());
    assert_eq!((&claims["aud"], &claims["scope"]), (&json!(WIKI), &json!("wiki:read")));
    assert_eq!(
        (&claims["client_id"], &claims["act"]),
        (&json!("tickets-server"), &json!({ "sub": "tickets-server" }))
    );
    for same in ["iss", "sub", "grant_id", "auth_time", "acr", "amr", "org_id"] {
        assert_eq!(claims[same], before[same], "{same}");
    }
    assert_ne!(claims["jti"], before["jti"]);
    assert!(before.get("act").is_none());

    for (column, value) in [
        ("user_id", &before["sub"]),
        ("grant_id", &before["grant_id"]),
        ("client_id", &json!("tickets-server")),
        ("resource", &json!(WIKI)),
        ("scope", &json!("wiki:read")),
    ] {
        assert_eq!(json!(server.on_record("token.exchanged", column).await), json!([value]), "{column}");
    }
    let details = json!({
        "jti": claims["jti"], "actors": "tickets-server", "subject_jti": before["jti"], "subject_client": "desk",
        "subject_resource": TICKETS, "subject_scope": "tickets:close tickets:read",
    });
    assert_eq!(server.details("token.exchanged").await, [details]);
}

/// The target's own lifetime is an hour; the token that was sent ends in nine minutes.
#[tokio::test]
async fn what_is_got_ends_no_later_than_what_was_sent() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, "tickets:read").await;
    server.later(Duration::from_millis(60_500));
    let got = exchange(&server, "tickets-server", sent.access(), WIKI).await;
    assert_eq!(got.claims()["exp"], sent.claims()["exp"]);
    assert_eq!(got.body["expires_in"], 540);

    let long = altered(&server, sent.access(), |claims| claims["exp"] = json!(i64::MAX >> 32));
    let got = exchange(&server, "tickets-server", &long, WIKI).await;
    assert_eq!(got.body["expires_in"], 3600, "nor later than its own resource says");
}

#[rstest]
#[case::all_that_it_is_worth("tickets:read tickets:write", "", "wiki:edit wiki:read")]
#[case::less_for_less("tickets:read", "", "wiki:read")]
#[case::what_is_asked_for("tickets:read tickets:write", "wiki:edit", "wiki:edit")]
#[case::no_more_than_declared("tickets:read", "wiki:read wiki:edit wiki:own tickets:read", "wiki:read")]
#[case::protocol_scopes_ask_for_nothing("tickets:read", "openid offline_access", "wiki:read")]
#[tokio::test]
async fn scopes_never_widen(#[case] held: &str, #[case] asked: &str, #[case] granted: &str) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, held).await;
    let got = exchange_with(&server, "tickets-server", sent.access(), WIKI, &[("scope", asked)]).await;
    assert_eq!((got.status, &got.body["scope"]), (200, &json!(granted)), "{}", got.body);
    assert_eq!((&got.claims()["scope"], got.body.get("refresh_token")), (&json!(granted), None));
}

#[rstest]
#[case::worth_nothing("tickets:close", WIKI, "", "invalid_scope")]
#[case::not_worth_that("tickets:read", WIKI, "wiki:edit", "invalid_scope")]
#[case::no_scope_at_all("tickets:read", WIKI, "\"", "invalid_scope")]
#[case::a_resource_that_does_not_admit_the_server(
    "tickets:read",
    "https://mcp.acme.example/vault",
    "",
    "invalid_target"
)]
#[case::a_pair_that_is_not_declared("tickets:read", SEARCH, "", "invalid_target")]
#[case::its_own_resource("tickets:read", TICKETS, "", "invalid_target")]
#[tokio::test]
async fn what_was_not_declared_is_not_to_be_had(
    #[case] held: &str,
    #[case] target: &str,
    #[case] asked: &str,
    #[case] error: &str,
) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, held).await;
    let got = exchange_with(&server, "tickets-server", sent.access(), target, &[("scope", asked)]).await;
    assert_eq!((got.status, got.error()), (400, error), "{}", got.body);
    assert_eq!((server.recorded("token.exchanged").await, server.recorded("token.refused").await), (0, 1));
}

/// Grace is no supporter, and only those edit the wiki.
#[rstest]
#[tokio::test]
async fn the_rules_of_the_target_are_asked_for_the_person(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let client = Client::desk().scope("tickets:write");
    let sent = client.obtain(&server, &Browser::new(), "grace").await;
    let got = exchange(&server, "tickets-server", sent.access(), WIKI).await;
    assert_eq!(got.body["scope"], "wiki:read", "{}", got.body);
    let got = exchange_with(&server, "tickets-server", sent.access(), WIKI, &[("scope", "wiki:edit")]).await;
    assert_eq!(got.error(), "invalid_scope");
    let refused = server.details("token.refused").await;
    assert_eq!(refused[0]["rules"], "resources.wiki.scopes.wiki:edit.allow.groups (group)");
    for (column, value) in [
        ("reason", "invalid_scope"),
        ("client_id", "tickets-server"),
        ("user_id", sent.claims()["sub"].as_str().unwrap()),
        ("grant_id", sent.claims()["grant_id"].as_str().unwrap()),
        ("resource", WIKI),
        ("scope", "wiki:edit"),
    ] {
        assert_eq!(server.on_record("token.refused", column).await, [value], "{column}");
    }
}

#[rstest]
#[tokio::test]
async fn who_acts_for_whom_is_written_in_the_token_and_the_way_is_short(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(server) = serve(on).await else { return };
    let way = [
        ("tickets-server", WIKI),
        ("wiki-server", SEARCH),
        ("search-server", TICKETS),
        ("tickets-server", WIKI),
        ("wiki-server", SEARCH),
    ];
    let mut held = token(&server, "tickets:read").await;
    let grant = held.claims()["grant_id"].clone();
    let mut act = Value::Null;
    for (client, target) in &way[..4] {
        server.later(Duration::from_millis(1));
        held = exchange(&server, client, held.access(), target).await;
        act = if act.is_null() { json!({ "sub": client }) } else { json!({ "sub": client, "act": act }) };
        assert_eq!((&held.claims()["act"], &held.claims()["client_id"]), (&act, &json!(client)));
        assert_eq!(held.claims()["grant_id"], grant);
    }
    let (client, target) = way[4];
    let refused = exchange(&server, client, held.access(), target).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_request"));
    let rows = server.details("token.exchanged").await;
    assert_eq!(rows[3]["actors"], "tickets-server search-server wiki-server tickets-server");
}

#[rstest]
#[tokio::test]
async fn ending_the_grant_ends_what_came_of_it(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let browser = Browser::new();
    let sent = Client::desk().scope("tickets:read").obtain(&server, &browser, "ada").await;
    let at_wiki = exchange(&server, "tickets-server", sent.access(), WIKI).await;
    assert_eq!(exchange(&server, "wiki-server", at_wiki.access(), SEARCH).await.status, 200);
    let page = account(&server, &browser, "ada").await;
    browser.submit(&page.form("/account/applications/end")).await;
    for (client, held, target) in [("tickets-server", &sent, WIKI), ("wiki-server", &at_wiki, SEARCH)] {
        let refused = exchange(&server, client, held.access(), target).await;
        assert_eq!(
            (refused.error(), &refused.body["error_description"]),
            ("invalid_request", &json!(UNUSABLE))
        );
    }
}

/// Beside each scope: what it is worth elsewhere, to whichever server serves the resource.
#[rstest]
#[case::one_server("", "Read tickets Ticket desk may then use Wiki for you: Read the wiki")]
#[case::two_servers(
    "  twin-server:\n    secret: 0123456789-server-secret\n    serves: tickets\n    \
     exchange: { wiki: { \"tickets:read\": [\"wiki:edit\"] } }\n",
    "Read tickets Ticket desk may then use Wiki for you: Edit the wiki , Read the wiki"
)]
#[tokio::test]
async fn the_person_is_told_before_she_allows_it(#[case] twin: &str, #[case] told: &str) {
    let sections = sections().replace("clients:\n", &format!("clients:\n{twin}"));
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let client = Client::desk().scope("tickets:read tickets:close");
    let text = client.begin(&server, &Browser::new(), "ada").await.text();
    assert!(text.contains(told), "{text}");
    assert_eq!(
        text.matches("may then use Wiki").count(),
        1,
        "closing tickets is worth nothing there: {text}"
    );
}

/// A scope of the same name is worth nothing where it belongs to another resource.
#[tokio::test]
async fn the_person_is_told_of_nobody_elses_servers() {
    let index = r#""search:index": {"#;
    let same = format!("\"tickets:read\": {{ description: Find tickets }}\n      {index}");
    let server = Server::start_with(On::Sqlite, &sections().replace(index, &same)).await.unwrap();
    let client = Client { resource: Some(SEARCH.to_owned()), ..Client::desk() };
    let text = client.scope("search:query tickets:read").begin(&server, &Browser::new(), "ada").await.text();
    assert!(text.contains("Find tickets"), "{text}");
    assert!(text.contains("Search may then use Ticket desk for you: Read tickets"), "{text}");
    assert_eq!(text.matches("may then use").count(), 1, "{text}");
}

#[tokio::test]
async fn the_metadata_says_so() {
    let server = serve(On::Sqlite).await.unwrap();
    let metadata = server.json("/.well-known/oauth-authorization-server").await;
    assert!(metadata["grant_types_supported"].as_array().unwrap().contains(&json!(GRANT)));
}
