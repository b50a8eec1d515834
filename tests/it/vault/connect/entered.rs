//! Where there is no OAuth, people enter a key, or a user name and a password.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::support::{
    Browser, Client, On, PLAIN, Server, Tokens, Upstream,
    browser::Page,
    client::{account, trade},
    upstream::json_of,
};

const KEY: &str = "key-0123456789-canary";
const CLIENTS: &str = "clients:
  tickets-server:
    secret: 0123456789-server-secret
    serves: tickets
";

/// A server with these connections; `AT` in them is the vendor.
async fn start(on: On, connections: &str) -> Option<(Upstream, Server)> {
    let vendor = Upstream::start().await;
    let connections = connections.replace("AT", &vendor.issuer());
    let sections = format!("{}connections:\n{connections}", PLAIN.replace("clients:\n", CLIENTS));
    let server = Server::start_with(on, &sections).await?;
    vendor.answers("/me", json_of(&json!({ "id": 7, "name": "ada", "team": "acme" })));
    Some((vendor, server))
}

const CHECKED: &str = r#"  status:
    preset: api-key
    name: Status page
    identity_url: "AT/me"
    use: { tickets: { "tickets:read": [] } }
    account: { require: { tenants: [acme] } }
    vendor: { identity: { id: [id], label: name, tenant: team }, inject: { header: X-Key, format: "k {token}" } }
"#;
const UNCHECKED: &str = r#"  status:
    preset: api-key
    name: Status page
    use: { tickets: { "tickets:read": [] } }
"#;
const BASIC: &str = r#"  ci:
    preset: basic
    name: Build server
    use: { tickets: { "tickets:read": [] } }
"#;

/// Fills in the page of a connection.
async fn enter(server: &Server, browser: &Browser, name: &str, fields: &[(&str, &str)]) -> Page {
    let page = browser.open(&server.url(&format!("/connect/{name}"))).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let form = page.form("/connect/");
    browser.submit(&fields.iter().fold(form, |form, (field, value)| form.set(field, value))).await
}

/// What the server of the tickets gets for Ada.
async fn vend(server: &Server, name: &str) -> Tokens {
    let sent = Client::desk().scope("tickets:read").obtain(server, &Browser::new(), "ada").await;
    trade(server, ("tickets-server", "0123456789-server-secret"), sent.access(), ("audience", name)).await
}

#[rstest]
#[tokio::test]
async fn a_key_is_tried_kept_and_handed_out(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start(on, CHECKED).await else { return };
    let browser = Browser::new();
    account(&server, &browser, "ada").await;
    let first = vend(&server, "status").await;
    assert_eq!((first.error(), &first.body["reason"]), ("interaction_required", &json!("not_connected")));
    let link = first.body["interaction_uri"].as_str().unwrap();
    let page = browser.open(link).await;
    assert!(page.text().contains("Your key for Status page"), "{}", page.text());
    let done = browser.submit(&page.form("/connect/").set("key", &format!(" {KEY}\n"))).await;
    assert!(done.text().contains("Your Status page account is connected"), "{}", done.text());
    assert!(!done.body.contains(KEY));
    assert_eq!(vendor.requests("/me").await[0].headers["x-key"], format!("k {KEY}").as_str());
    assert!(browser.open(link).await.text().contains("This is done already"));

    let got = vend(&server, "status").await;
    assert_eq!(got.status, 200, "{}", got.body);
    let id = server.last("connection.made").await.detail("connection_id");
    let whole = json!({
        "access_token": KEY, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "N_A", "scope": "", "connection": "status",
        "account": { "connection_id": id, "id": "7", "name": "ada", "tenant": "acme" },
        "inject": { "header": "X-Key", "format": "k {token}" },
    });
    assert_eq!(got.body, whole);
    let account = browser.open(&server.url("/account")).await;
    assert!(account.text().contains("Status page") && !account.body.contains(KEY), "{}", account.text());
    assert!(!server.holds("connections", KEY).await && server.holds("connections", "ada").await);
    let recorded = [server.details("connection.made").await, server.details("connection.vended").await];
    assert!(!format!("{recorded:?}").contains(KEY), "{recorded:?}");

    // She makes another key of the same account; that of another one is refused.
    enter(&server, &browser, "status", &[("key", "second-key")]).await;
    assert_eq!(vend(&server, "status").await.body["access_token"], "second-key");
    vendor.answers("/me", json_of(&json!({ "id": 8, "team": "acme" })));
    let other = enter(&server, &browser, "status", &[("key", "third-key")]).await;
    assert_eq!(other.status, 403);
    assert!(other.text().contains("This is another Status page account"), "{}", other.text());
    assert_eq!(vend(&server, "status").await.body["access_token"], "second-key");
    assert_eq!(server.rows("connections").await, 1);
}

#[rstest]
#[case::not_taken(
    ResponseTemplate::new(401),
    403,
    "Status page does not take that",
    Some("credential_refused")
)]
#[case::forbidden(ResponseTemplate::new(403).set_body_json(json!({ "error": "forbidden" })), 403, "does not take that", Some("credential_refused"))]
#[case::another_team(json_of(&json!({ "id": 7, "team": "home" })), 403, "may not be connected", Some("account_rule"))]
#[case::nobody(json_of(&json!({})), 502, "that we cannot trust", Some("vendor_untrustworthy"))]
#[case::html(ResponseTemplate::new(200).set_body_raw("<html>", "text/html"), 502, "that we cannot trust", Some("vendor_untrustworthy"))]
#[case::down(ResponseTemplate::new(503), 503, "does not answer", None)]
#[tokio::test]
async fn a_key_that_opens_nothing_is_not_kept(
    #[case] answer: ResponseTemplate,
    #[case] status: u16,
    #[case] words: &str,
    #[case] reason: Option<&str>,
) {
    let (vendor, server) = start(On::Sqlite, CHECKED).await.unwrap();
    let browser = Browser::new();
    account(&server, &browser, "ada").await;
    vendor.answers("/me", answer);
    let page = enter(&server, &browser, "status", &[("key", KEY)]).await;
    assert_eq!(page.status, status, "{}", page.text());
    assert!(page.text().contains(words) && !page.body.contains(KEY), "{}", page.text());
    assert_eq!(server.reasons("connection.refused").await, Vec::from_iter(reason));
    assert_eq!((server.rows("connections").await, server.rows("revocations").await), (0, 0));
}

#[rstest]
#[case::nothing(&[])]
#[case::blank(&[("key", " ")])]
#[case::two_lines(&[("key", "a\nb")])]
#[case::not_ascii(&[("key", "schl\u{fc}ssel\u{7f}")])]
#[case::the_other_fields(&[("user", "ada"), ("password", "x")])]
#[tokio::test]
async fn what_can_be_no_key_is_none(#[case] fields: &[(&str, &str)]) {
    let (vendor, server) = start(On::Sqlite, CHECKED).await.unwrap();
    let browser = Browser::new();
    account(&server, &browser, "ada").await;
    let page = enter(&server, &browser, "status", fields).await;
    assert_eq!(page.status, 403, "{}", page.text());
    assert!(vendor.requests("/me").await.is_empty());
    assert_eq!(server.rows("connections").await, 0);
}

/// Nobody says whose key it is, so the next one takes its place.
#[rstest]
#[tokio::test]
async fn a_key_that_cannot_be_tried_is_kept(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((_vendor, server)) = start(on, UNCHECKED).await else { return };
    let browser = Browser::new();
    account(&server, &browser, "ada").await;
    for key in ["first", "second"] {
        enter(&server, &browser, "status", &[("key", key)]).await;
        let got = vend(&server, "status").await;
        assert_eq!((&got.body["access_token"], &got.body["token_type"]), (&json!(key), &json!("Bearer")));
        assert_eq!((got.body.get("inject"), got.body.get("expires_in")), (None, None));
    }
    assert_eq!(server.rows("connections").await, 1);

    let account = browser.open(&server.url("/account")).await;
    browser.submit(&account.form("/account/connections/end")).await;
    assert_eq!(server.rows("connections").await, 0);
    assert_eq!(vend(&server, "status").await.body["reason"], "not_connected");
}

#[rstest]
#[tokio::test]
async fn a_user_name_and_a_password_are_handed_out_as_the_header_has_them(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some((_vendor, server)) = start(on, BASIC).await else { return };
    let browser = Browser::new();
    account(&server, &browser, "ada").await;
    for fields in [
        [("user", "ada:x"), ("password", "p")],
        [("user", "ada"), ("password", "a\u{7}b")],
        [("user", " "), ("password", "p")],
        [("user", "ada"), ("password", "")],
    ] {
        assert_eq!(enter(&server, &browser, "ci", &fields).await.status, 403, "{fields:?}");
    }
    let done = enter(&server, &browser, "ci", &[("user", "ada"), ("password", " p:\u{e4}ss ")]).await;
    assert!(
        done.text().contains("The account ada") || done.text().contains("disconnect ada"),
        "{}",
        done.text()
    );
    let got = vend(&server, "ci").await;
    let pair = STANDARD.decode(got.body["access_token"].as_str().unwrap()).unwrap();
    assert_eq!(String::from_utf8(pair).unwrap(), "ada: p:\u{e4}ss ", "{}", got.body);
    assert_eq!(got.body["inject"], json!({ "header": "Authorization", "format": "Basic {token}" }));
    assert_eq!((&got.body["token_type"], &got.body["account"]["id"]), (&json!("N_A"), &json!("ada")));

    let other = enter(&server, &browser, "ci", &[("user", "eve"), ("password", "p")]).await;
    assert!(other.text().contains("You have the account ada connected"), "{}", other.text());
    let last: Value = vend(&server, "ci").await.body;
    assert_eq!(last["account"]["id"], "ada");
}

/// Nobody connects what is the operator's, and nobody is offered to.
#[tokio::test]
async fn a_service_account_is_nobodys_to_connect() {
    let service = r#"  billing:
    preset: client-credentials
    name: Billing
    token_url: "AT/token"
    client_id: us
    client_secret: what-proves-us-at-the-vendor
    use: { tickets: { "tickets:read": [] } }
"#;
    let (_vendor, server) = start(On::Sqlite, &format!("{service}{UNCHECKED}")).await.unwrap();
    let browser = Browser::new();
    let page = account(&server, &browser, "ada").await;
    assert!(page.text().contains("Status page") && !page.text().contains("Billing"), "{}", page.text());
    assert_eq!(browser.open(&server.url("/connect/billing")).await.status, 404);
    assert_eq!(browser.open(&server.url("/connect/billing/callback?state=x&code=y")).await.status, 404);
}
