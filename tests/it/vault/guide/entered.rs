//! "API keys", and "User name and password".

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery::vault::revoke;
use rstest::rstest;
use wiremock::ResponseTemplate;

use super::*;
use crate::support::client::account;

const KEYS: &str = "### API keys";
const KEY: &str = "key-of-the-guide-0123456789";

/// The vendor, and a server with this entry.
async fn start(on: On, entry: &str) -> Option<(Upstream, Server)> {
    let vendor = Upstream::start().await;
    let hers = json!({ "user": { "id": 7, "email": "ada@acme.com" } });
    vendor.answers("/me", json_of(&hers));
    let sections = written(&[tickets(), entry])
        .replace("https://api.status.example/me", &format!("{}/me", vendor.issuer()));
    Some((vendor, Server::start_with(on, &sections).await?))
}

/// Enters something on a page.
async fn enter(browser: &Browser, url: &str, fields: &[(&str, &str)]) -> Page {
    let form = browser.open(url).await.form("/connect/");
    browser.submit(&fields.iter().fold(form, |form, (name, value)| form.set(name, value))).await
}

#[rstest]
#[tokio::test]
async fn the_guide_to_api_keys_can_be_followed_word_for_word(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start(on, block(KEYS, "yaml")).await else { return };
    let ada = Browser::new();
    let sent = app("tickets:read").obtain(&server, &ada, "ada").await;
    // The page to which a link leads as for any other connection, and her account page.
    let needed = vend(&server, &sent, "status").await;
    let link = link(&needed);
    assert!(link.starts_with(&format!("{}/connect/status?link=", server.issuer)), "{link}");
    let page = account(&server, &ada, "ada").await;
    assert!(page.body.contains("href=\"/connect/status\""), "{}", page.body);

    // One that the vendor does not take is not kept.
    vendor.answers("/me", ResponseTemplate::new(401));
    let page = enter(&ada, link, &[("key", KEY)]).await;
    assert_eq!((page.status, server.rows("connections").await), (403, 0), "{}", page.text());
    let hers = json!({ "user": { "id": 7, "email": "ada@acme.com" } });
    vendor.answers("/me", json_of(&hers));
    let done = enter(&ada, link, &[("key", KEY)]).await;
    assert!(done.text().contains("Your Status page account is connected"), "{}", done.text());
    let asked = vendor.requests("/me").await;
    assert_eq!(asked[1].headers["authorization"], format!("OAuth {KEY}").as_str());

    let got = vend(&server, &sent, "status").await;
    let id = server.last("connection.made").await.detail("connection_id");
    let whole = json!({
        "access_token": KEY, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "N_A", "scope": "", "connection": "status",
        "account": { "connection_id": id, "id": "7", "name": "ada@acme.com" },
        "inject": { "header": "Authorization", "format": "OAuth {token}" },
    });
    assert_eq!((got.status, &got.body), (200, &whole));
    let by_its_api = [
        ("$TOKEN_FROM_THE_CALLER", sent.access()),
        ("audience=github", "resource=https://api.status.example"),
    ];
    assert_eq!(curl(&server, block(HANDING_OUT, "console"), &by_its_api).await.body, whole);

    // Never shown again, to her neither; sealed like any token.
    let page = account(&server, &ada, "ada").await;
    let again = ada.open(&server.url("/connect/status")).await;
    assert!(page.text().contains("Status page as ada@acme.com"), "{}", page.text());
    assert!([&done, &page, &again].iter().all(|page| !page.body.contains(KEY)));
    assert!(!server.holds("connections", KEY).await);

    // The account is pinned.
    vendor.answers("/me", json_of(&json!({ "user": { "id": 8, "email": "eve@acme.com" } })));
    let other = enter(&ada, &server.url("/connect/status"), &[("key", "another")]).await;
    assert_eq!(other.status, 403, "{}", other.text());
    assert_eq!(vend(&server, &sent, "status").await.body["access_token"], KEY);

    // Chancery cannot end a key.
    ada.submit(&page.form("/account/connections/end")).await;
    revoke::turn(&server.app).await.unwrap();
    assert_eq!(server.reasons("connection.not_revoked").await, ["not_offered"]);
    assert_eq!(vend(&server, &sent, "status").await.body["reason"], "not_connected");
}

/// Without `identity_url` every key is kept as it is.
#[tokio::test]
async fn a_key_that_nobody_can_try_takes_the_place_of_the_one_before() {
    let (vendor, server) = start(On::Sqlite, &without_optional(block(KEYS, "yaml"))).await.unwrap();
    let ada = Browser::new();
    let sent = app("tickets:read").obtain(&server, &ada, "ada").await;
    for key in ["first", "second"] {
        enter(&ada, &server.url("/connect/status"), &[("key", key)]).await;
        let got = vend(&server, &sent, "status").await;
        assert_eq!(got.body["access_token"], key);
        // What nobody told is left out.
        let told = got.body["account"].as_object().unwrap();
        assert_eq!(told.keys().collect::<Vec<_>>(), ["connection_id"]);
        let page = ada.open(&server.url("/connect/status")).await.text();
        assert!(!page.contains("Use the account"), "{page}");
    }
    assert_eq!((server.rows("connections").await, vendor.requests("/me").await.len()), (1, 0));
}

/// The preset `basic` is the same with two fields.
#[rstest]
#[tokio::test]
async fn the_guide_to_passwords_can_be_followed_word_for_word(#[values(On::Sqlite, On::Postgres)] on: On) {
    let entry = replaced(&without_optional(block(KEYS, "yaml")), "preset: api-key", "preset: basic");
    let entry = entry.split("    vendor:").next().unwrap();
    let Some((_vendor, server)) = start(on, entry).await else { return };
    let ada = Browser::new();
    let sent = app("tickets:read").obtain(&server, &ada, "ada").await;
    let page = server.url("/connect/status");
    let done = enter(&ada, &page, &[("user", "ada"), ("password", "p:w")]).await;
    assert!(done.text().contains("is connected"), "{}", done.text());
    let got = vend(&server, &sent, "status").await;
    assert_eq!(got.body["access_token"], STANDARD.encode("ada:p:w"), "{}", got.body);
    assert_eq!(got.body["inject"], json!({ "header": "Authorization", "format": "Basic {token}" }));
    assert_eq!((&got.body["token_type"], &got.body["account"]["id"]), (&json!("N_A"), &json!("ada")));
    assert!(!server.holds("connections", "p:w").await);

    // Without `identity_url` the user name is the account that is pinned.
    let other = enter(&ada, &page, &[("user", "eve"), ("password", "p")]).await;
    assert_eq!(other.status, 403, "{}", other.text());
    enter(&ada, &page, &[("user", "ada"), ("password", "new")]).await;
    assert_eq!(vend(&server, &sent, "status").await.body["access_token"], STANDARD.encode("ada:new"));
}
