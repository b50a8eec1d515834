//! An MCP server that gets the token of its person's account at a vendor.

mod checks;
mod connect_first;
mod consent;
mod cut_off;
mod offline;
mod service;
mod tables;
mod wiped;

use std::time::Duration;

use chancery::{
    clock::Timestamp,
    ids::{ConnectionId, UserId},
    oauth::scope::ScopeSet,
    store::{connection_uses, connections::Connection},
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    authorization::futures_join,
    support::{Browser, Client, On, PLAIN, Server, Tokens, client::post, vault::kept::keep_for},
};

const TICKETS: &str = "https://mcp.acme.example/tickets";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const SECRET: &str = "0123456789-server-secret";
/// What the vendor gave.
const ACCESS: &str = "vendor-access-token-0123456789";
const REFRESH: &str = "vendor-refresh-token-0123456789";

/// Two resources and their servers, and connections that the first, both or none of them use.
const SECTIONS: &str = r"clients:
  tickets-server:
    secret: 0123456789-server-secret
    serves: tickets
  wiki-server: { secret: 0123456789-server-secret, serves: wiki }
";
const CONNECTIONS: &str = r#"connections:
  github:
    preset: oauth2
    name: GitHub
    authorize_url: https://vendor.example/authorize
    token_url: https://vendor.example/token
    identity_url: https://vendor.example/me
    client_id: us
    client_secret: what-proves-us-at-the-vendor
    api: ["https://api.vendor.example"]
    use:
      tickets:
        "tickets:read": []
        "tickets:write": [repo]
        "tickets:close": [repo, "admin:org"]
    account: { several: true, require: { tenants: [acme, acme-labs] } }
    vendor: { identity: { tenant: team } }
  crm:
    preset: oauth2
    authorize_url: https://crm.example/authorize
    token_url: https://crm.example/token
    identity_url: https://crm.example/me
    client_id: us
    client_secret: what-proves-us-at-the-vendor
    use: { tickets: { "tickets:write": [contacts] } }
    vendor:
      answer: { details: { host: instance_url } }
      api_base: "https://{host}/v1"
      inject: { header: X-Key, format: "key {token}" }
  payroll:
    preset: oauth2
    authorize_url: https://payroll.example/authorize
    token_url: https://payroll.example/token
    identity_url: https://payroll.example/me
    client_id: us
    client_secret: what-proves-us-at-the-vendor
    api: ["https://api.payroll.example"]
    use: { wiki: { "wiki:read": [salaries] } }
"#;

fn sections() -> String {
    format!("{}{CONNECTIONS}", PLAIN.replace("clients:\n", SECTIONS))
}

async fn serve(on: On) -> Option<Server> {
    Server::start_with(on, &sections()).await
}

/// A person's token for the tickets, with these scopes.
async fn token(server: &Server, user: &str, scope: &str) -> Tokens {
    Client::desk().scope(scope).obtain(server, &Browser::new(), user).await
}

/// Ada's, that reads and writes.
async fn adas(server: &Server) -> Tokens {
    token(server, "ada", "tickets:read tickets:write").await
}

/// An account at GitHub that the one whose token this is has connected: with the scope `repo`, its token good for an
/// hour, and changed as the story wants.
async fn connected(server: &Server, whose: &Tokens, change: impl FnOnce(&mut Connection)) -> ConnectionId {
    connected_at(server, whose, "github", change).await
}

/// The same at another vendor.
async fn connected_at(
    server: &Server,
    whose: &Tokens,
    name: &str,
    change: impl FnOnce(&mut Connection),
) -> ConnectionId {
    let user = UserId::parse(whose.claims()["sub"].as_str().unwrap()).unwrap();
    let end = server.clock.now().plus(Duration::from_secs(3600));
    keep_for(&server.app, &user, name, (ACCESS, Some(REFRESH)), |connection| {
        connection.tenant = Some("acme".to_owned());
        connection.scope = ScopeSet::parse("repo read:org").unwrap();
        connection.details.0 = [].into();
        connection.expires_at = Some(end);
        change(connection);
    })
    .await
}

/// A request for the token of GitHub; a parameter that is empty is left out.
async fn vend_with(server: &Server, subject: &str, changed: &[(&'static str, &str)]) -> Tokens {
    let mut form = vec![
        ("grant_type", GRANT),
        ("client_id", "tickets-server"),
        ("client_secret", SECRET),
        ("subject_token", subject),
        ("subject_token_type", ACCESS_TOKEN),
        ("audience", "github"),
    ];
    form.retain(|(name, _)| !changed.iter().any(|(known, _)| known == name));
    form.extend(changed);
    form.retain(|(_, value)| !value.is_empty());
    let form: Vec<_> = form.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    post(server, &form).await
}

async fn vend(server: &Server, subject: &str) -> Tokens {
    vend_with(server, subject, &[]).await
}

#[rstest]
#[tokio::test]
async fn a_server_gets_the_token_of_its_persons_account(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let sent = adas(&server).await;
    let id = connected(&server, &sent, |_| ()).await;
    server.later(Duration::from_millis(60_500));
    let got = vend(&server, sent.access()).await;
    assert_eq!(got.status, 200, "{}", got.body);
    let whole = json!({
        "access_token": ACCESS, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 3539,
        "scope": "read:org repo", "connection": "github",
        "account": { "connection_id": id.as_str(), "id": "583231", "name": "octocat", "tenant": "acme" },
    });
    assert_eq!(got.body, whole);
    assert_eq!(got.headers["cache-control"], "no-store");

    let claims = sent.claims();
    for (column, value) in [
        ("user_id", &claims["sub"]),
        ("grant_id", &claims["grant_id"]),
        ("client_id", &json!("tickets-server")),
        ("resource", &json!(TICKETS)),
        ("scope", &json!("read:org repo")),
    ] {
        assert_eq!(json!(server.on_record("connection.vended", column).await), json!([value]), "{column}");
    }
    let details = json!({
        "connection": "github", "connection_id": id.as_str(), "account": "583231", "needed": "repo",
        "subject_jti": claims["jti"], "subject_client": "desk",
    });
    assert_eq!(server.details("connection.vended").await, [details]);
    let uses = connection_uses::of_connection(&server.app.db, &id).await.unwrap();
    let uses: Vec<_> =
        uses.iter().map(|used| (used.client_id.as_str(), &*used.resource, used.count)).collect();
    assert_eq!(uses, [("tickets-server", "tickets", 1)]);
    let touched = server.app.clock.now().as_millis();
    let query = format!("UPDATE grants SET revoked_at = 1 WHERE last_used_at <> {touched}");
    server.execute(query).await;
    assert_eq!(vend(&server, sent.access()).await.status, 200, "the grant was used just now");
}

/// What the vendor does not say, we do not say.
#[tokio::test]
async fn a_token_whose_end_nobody_knows_is_said_to_have_none() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    connected(&server, &sent, |connection| {
        connection.expires_at = None;
        connection.account = String::new();
        connection.account_name = None;
    })
    .await;
    let got = vend(&server, sent.access()).await;
    assert_eq!((got.status, got.body.get("expires_in")), (200, None), "{}", got.body);
    assert_eq!((got.body["account"].get("id"), got.body["account"].get("name")), (None, None));
}

#[tokio::test]
async fn how_and_where_the_token_is_sent_is_said() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    connected_at(&server, &sent, "crm", |connection| {
        connection.scope = ScopeSet::parse("contacts").unwrap();
        connection.details.0 = [("host".to_owned(), "eu7.crm.example".to_owned())].into();
    })
    .await;
    let got = vend_with(&server, sent.access(), &[("audience", "crm")]).await;
    assert_eq!(got.status, 200, "{}", got.body);
    assert_eq!(got.body["inject"], json!({ "header": "X-Key", "format": "key {token}" }));
    assert_eq!(got.body["api_base"], "https://eu7.crm.example/v1");
    assert_eq!(got.body["details"], json!({ "host": "eu7.crm.example" }));
}

#[rstest]
#[case::by_name(&[], 200)]
#[case::by_the_address_of_its_api(&[("audience", ""), ("resource", "https://api.vendor.example/")], 200)]
#[case::as_an_audience(&[("audience", "https://api.vendor.example")], 200)]
#[case::by_both(&[("resource", "https://api.vendor.example"), ("audience", "github")], 200)]
#[case::two_connections(&[("resource", "https://api.vendor.example"), ("audience", "crm")], 400)]
#[case::a_connection_and_a_resource(&[("resource", TICKETS), ("audience", "github")], 400)]
#[case::two_accounts(&[("resource", "https://api.vendor.example"), ("audience", "github/octocat")], 400)]
#[case::below_its_api(&[("audience", ""), ("resource", "https://api.vendor.example/repos")], 400)]
#[tokio::test]
async fn a_connection_is_named(#[case] by: &[(&'static str, &str)], #[case] status: u16) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    let got = vend_with(&server, sent.access(), by).await;
    assert_eq!(got.status, status, "{}", got.body);
    if status == 400 {
        assert_eq!((got.error(), server.app.vault.safe.opened()), ("invalid_target", 0));
    }
}

#[rstest]
#[tokio::test]
async fn ten_at_once_get_it_and_each_is_counted(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let sent = adas(&server).await;
    let id = connected(&server, &sent, |_| ()).await;
    let all = futures_join((0..10).map(|_| vend(&server, sent.access()))).await;
    for got in all {
        assert_eq!((got.status, &got.body["access_token"]), (200, &json!(ACCESS)), "{}", got.body);
    }
    let uses = connection_uses::of_connection(&server.app.db, &id).await.unwrap();
    assert_eq!((uses.len(), uses[0].count), (1, 10));
    assert_eq!(server.recorded("connection.vended").await, 10);
}

#[rstest]
#[case::the_preferred_one("github", json!("octocat"))]
#[case::by_label("github/Work", json!("hubber"))]
#[case::by_name("github/octocat", json!("octocat"))]
#[case::by_id_there("github/2", json!("hubber"))]
#[case::not_connected("github/other", json!(null))]
#[tokio::test]
async fn one_of_several_accounts_is_meant(#[case] audience: &str, #[case] name: Value) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    connected(&server, &sent, |second| {
        (second.is_default, second.label) = (false, Some("Work".to_owned()));
        (second.account, second.account_name) = ("2".to_owned(), Some("hubber".to_owned()));
        second.tenant = Some("acme-labs".to_owned());
    })
    .await;
    let got = vend_with(&server, sent.access(), &[("audience", audience)]).await;
    assert_eq!(got.body["account"]["name"], name, "{}", got.body);
    if name.is_null() {
        assert_eq!((got.error(), &got.body["reason"]), ("interaction_required", &json!("not_connected")));
    }
}

/// A client that asks on and on; others, and other people, do not feel it.
#[tokio::test]
async fn one_client_has_so_much_for_one_person() {
    let limited = sections().replace(
        "    vendor: { identity: { tenant: team } }\n",
        "    vendor: { identity: { tenant: team } }\n    limits: { vends_per_minute: 3 }\n",
    );
    let server = Server::start_with(On::Sqlite, &limited).await.unwrap();
    let (sent, other) = (adas(&server).await, token(&server, "grace", "tickets:write").await);
    connected(&server, &sent, |_| ()).await;
    connected(&server, &other, |_| ()).await;
    for _ in 0..3 {
        assert_eq!(vend(&server, sent.access()).await.status, 200);
        server.later(Duration::from_millis(100));
    }
    let got = vend(&server, sent.access()).await;
    assert_eq!((got.status, got.error()), (429, "temporarily_unavailable"));
    assert_eq!(got.headers["retry-after"], "60");
    assert_eq!(server.app.vault.safe.opened(), 3);
    assert_eq!(vend(&server, other.access()).await.status, 200);
    server.later(Duration::from_millis(59_700));
    assert_eq!(vend(&server, sent.access()).await.status, 200);
    assert_eq!(server.clock.now(), Timestamp::from_secs(1_795_219_260));
}
