//! Accounts that are disconnected: by the person herself, and at the vendor.

use std::time::Duration;

use chancery::{
    store::connections::{self, Connection},
    vault::{
        revoke::{self, GIVE_UP, LEASE},
        state::{Loss, State, Trouble},
    },
};
use reqwest::Method;
use rstest::rstest;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::house::{END, House, connected, named, sections, user};
use crate::support::{
    Browser, On, Server, Upstream,
    browser::{Form, Page},
    client::account,
};

const DEFAULT: &str = "/account/connections/default";
const LABEL: &str = "/account/connections/label";

/// The forms of one kind, by the account whose they are.
fn form_of(page: &Page, action: &str, one: &Connection) -> Form {
    let all = page.forms(action);
    let found = all.into_iter().find(|form| form.values("connection") == [one.id.as_str()]);
    found.unwrap_or_else(|| panic!("no {action} for {}: {}", one.id, page.text()))
}

#[rstest]
#[tokio::test]
async fn disconnecting_ends_the_tokens_here_and_there(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(house) = House::start(on).await else { return };
    let (server, browser) = (&house.server, Browser::new());
    let ada = house.ada(&browser).await;
    let one = connected(server, &ada, "a-1", State::Active).await;
    let page = account(server, &browser, "ada").await;
    assert!(page.text().contains("Acme CRM as ada at a-1 Connected. Allowed there: contacts , deals"));
    let after = browser.submit(&form_of(&page, END, &one)).await;
    assert!(after.text().contains("The account is disconnected"), "{}", after.text());
    assert!(after.text().contains("You have connected no account"), "{}", after.text());
    assert_eq!((server.rows("connections").await, server.rows("revocations").await), (0, 1));
    assert_eq!(server.reasons("connection.ended").await, ["by_owner"]);
    assert_eq!(server.on_record("connection.ended", "user_id").await, [ada.as_str()]);
    let details = server.details("connection.ended").await;
    assert_eq!((&details[0]["connection"], &details[0]["account"]), (&json!("crm"), &json!("ada at a-1")));

    house.turn().await;
    assert_eq!(house.revoked().await, ["rt-a-1", "at-a-1"], "the refresh token first");
    assert_eq!(server.rows("revocations").await, 0);
    assert_eq!(server.details("connection.revoked").await[0]["connection_id"], one.id.as_str());
    server.later(GIVE_UP);
    house.turn().await;
    assert_eq!(house.revoked().await.len(), 2, "once");
}

/// What runs beside the server is told, and does not wait for its turn.
#[tokio::test]
async fn the_vendor_is_asked_soon_after() {
    let house = House::start(On::Sqlite).await.unwrap();
    let worker = tokio::spawn(revoke::run(house.server.app.clone()));
    house.turn().await;
    house.disconnected().await;
    let begun = tokio::time::Instant::now();
    while house.revoked().await.len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(4), "sooner than the next look");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.abort();
}

#[rstest]
#[tokio::test]
async fn a_vendor_that_fails_is_asked_again(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(house) = House::start(on).await else { return };
    let server = &house.server;
    house.vendor.answers("/revoke", ResponseTemplate::new(500));
    house.disconnected().await;
    house.turn().await;
    assert_eq!(house.revoked().await.len(), 1);
    house.turn().await;
    assert_eq!(house.revoked().await.len(), 1, "not at once");
    server.later(Duration::from_secs(10));
    let asks_for_more = ResponseTemplate::new(503).insert_header("retry-after", "600");
    house.vendor.answers("/revoke", asks_for_more);
    house.turn().await;
    assert_eq!(house.revoked().await.len(), 2);
    house.vendor.answers("/revoke", ResponseTemplate::new(200));
    server.later(Duration::from_secs(599));
    house.turn().await;
    assert_eq!(house.revoked().await.len(), 2, "the vendor wanted to be left alone");
    server.later(Duration::from_secs(1));
    house.turn().await;
    assert_eq!(house.revoked().await.len(), 4);
    assert_eq!(server.details("connection.revoked").await[0]["attempts"], "3");
    assert_eq!(server.rows("revocations").await, 0);
}

/// In the end there is a line that says that they live on, and nothing of them is left here.
#[rstest]
#[case::it_cannot(200, "", "not_offered", false)]
#[case::it_will_not(401, "revoke_url: {}/revoke\n    ", "given_up", true)]
#[tokio::test]
async fn what_the_vendor_does_not_end_is_on_record(
    #[case] status: u16,
    #[case] revoke: &str,
    #[case] reason: &str,
    #[case] later: bool,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let vendor = Upstream::start().await;
    let answer = ResponseTemplate::new(status).set_body_json(json!({ "error": "invalid_client" }));
    vendor.answers("/revoke", answer);
    let sections = sections(&vendor, &revoke.replace("{}", &vendor.issuer()));
    let Some(server) = Server::start_with(on, &sections).await else { return };
    let house = House { server, vendor };
    house.disconnected().await;
    house.turn().await;
    assert_eq!(house.server.recorded("connection.not_revoked").await, i64::from(!later));
    if later {
        house.server.later(GIVE_UP.checked_sub(Duration::from_secs(1)).unwrap());
        house.turn().await;
        assert_eq!(house.server.recorded("connection.not_revoked").await, 0);
        house.server.later(Duration::from_secs(3600));
        house.turn().await;
        assert_eq!(house.server.details("connection.not_revoked").await[0]["attempts"], "3");
    }
    assert_eq!(house.server.reasons("connection.not_revoked").await, [reason]);
    assert_eq!(house.server.recorded("connection.revoked").await, 0);
    assert_eq!(house.server.rows("revocations").await, 0);
}

/// RFC 7009 §2.2.1. Asking again would change nothing.
#[tokio::test]
async fn a_vendor_that_cannot_end_such_tokens_is_asked_once() {
    let house = House::start(On::Sqlite).await.unwrap();
    let answer = ResponseTemplate::new(400).set_body_json(json!({ "error": "unsupported_token_type" }));
    house.vendor.answers("/revoke", answer);
    house.disconnected().await;
    house.turn().await;
    assert_eq!(house.revoked().await, ["rt-a-1", "at-a-1"]);
    assert_eq!(house.server.reasons("connection.not_revoked").await, ["not_offered"]);
    assert_eq!(house.server.rows("revocations").await, 0);
}

/// Whoever took it and died has not settled it.
#[rstest]
#[tokio::test]
async fn what_was_taken_and_left_is_taken_again(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(house) = House::start(on).await else { return };
    let server = &house.server;
    house.vendor.answers("/revoke", ResponseTemplate::new(200).set_delay(Duration::from_secs(3)));
    house.disconnected().await;
    let dies = tokio::time::timeout(Duration::from_millis(500), revoke::turn(&server.app)).await;
    assert!(dies.is_err(), "it was in the midst of it");
    assert_eq!((house.revoked().await.len(), server.rows("revocations").await), (1, 1));
    house.vendor.answers("/revoke", ResponseTemplate::new(200));
    server.later(LEASE.checked_sub(Duration::from_secs(1)).unwrap());
    house.turn().await;
    assert_eq!(house.revoked().await.len(), 1, "it may be at it yet");
    server.later(Duration::from_secs(1));
    let twin = server.twin().await;
    tokio::try_join!(revoke::turn(&twin.app), revoke::turn(&server.app)).unwrap();
    assert_eq!(house.revoked().await.len(), 3, "by one of two");
    assert_eq!(server.recorded("connection.revoked").await, 1);
}

/// Tokens that were changed behind our back are sent to nobody.
#[rstest]
#[tokio::test]
async fn what_cannot_be_opened_is_given_up(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(house) = House::start(on).await else { return };
    house.disconnected().await;
    house.server.execute("UPDATE revocations SET generation = 2").await;
    house.turn().await;
    assert_eq!(house.server.reasons("connection.not_revoked").await, ["unreadable"]);
    assert_eq!(house.server.last("seal.refused").await.detail("table"), "revocations");
    assert_eq!((house.revoked().await.len(), house.server.rows("revocations").await), (0, 0));
}

/// Of what is another's it is not even said that it exists.
#[rstest]
#[case(END)]
#[case(DEFAULT)]
#[case(LABEL)]
#[tokio::test]
async fn nobody_touches_what_is_anothers(#[case] action: &str, #[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(house) = House::start(on).await else { return };
    let (server, hers, his) = (&house.server, Browser::new(), Browser::new());
    let ada = house.ada(&hers).await;
    let grace = user(server, &his, "grace").await;
    let one = connected(server, &ada, "a-1", State::Active).await;
    for account in ["g-1", "g-2"] {
        connected(server, &grace, account, State::Active).await;
    }
    let page = account(server, &his, "grace").await;
    let form = page.forms(action).pop().unwrap();
    for id in [one.id.as_str(), "01938f5e-8c00-7000-8000-000000000000", "'; DROP TABLE connections; --", ""] {
        let answer = his.submit(&form.clone().set("connection", id).set("label", "His")).await;
        assert_eq!(answer.status, 404, "{id}");
    }
    // Nor does another site, in her own browser.
    let form = account(server, &hers, "ada").await.form(END);
    let form = Form { action: server.url(action).parse().unwrap(), ..form };
    for csrf in ["", "x"] {
        assert_eq!(hers.submit(&form.clone().set("csrf", csrf)).await.status, 403);
    }
    for (header, value) in [("sec-fetch-site", "cross-site"), ("origin", "null"), ("x", "y")] {
        let request = server.request(Method::POST, action).header("cookie", hers.cookie(&server.base));
        let answer = request.header(header, value).form(&form.fields).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{header}: {value}");
    }
    assert_eq!(server.request(Method::GET, action).send().await.unwrap().status(), 405);
    let found = connections::find(&server.app.db, &one.id).await.unwrap().unwrap();
    assert_eq!((found.label, found.is_default), (None, true));
    assert_eq!((server.rows("connections").await, server.rows("revocations").await), (3, 0));
    assert_eq!(server.recorded("connection.changed").await, 0);
}

#[rstest]
#[tokio::test]
async fn one_of_several_accounts_is_used_first(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(house) = House::start(on).await else { return };
    let (server, browser) = (&house.server, Browser::new());
    let ada = house.ada(&browser).await;
    let first = connected(server, &ada, "a-1", State::Active).await;
    let page = account(server, &browser, "ada").await;
    assert!(page.find_form(DEFAULT).is_none() && !page.text().contains("Used first"), "there is no choice");
    server.later(Duration::from_secs(1));
    let second = connected(server, &ada, "a-2", State::Active).await;
    server.later(Duration::from_secs(1));
    let third = connected(server, &ada, "a-3", State::Active).await;
    let default = async || {
        let all = connections::of_user_named(&server.app.db, &ada, &named("crm")).await.unwrap();
        assert!(all.iter().filter(|one| one.is_default).count() < 2, "{all:?}");
        all.into_iter().find(|one| one.is_default).map(|one| one.id)
    };
    assert_eq!(default().await, Some(first.id.clone()));
    let page = account(server, &browser, "ada").await;
    let page = browser.submit(&form_of(&page, DEFAULT, &third)).await;
    assert!(page.text().contains("Acme CRM as ada at a-3 Used first"), "{}", page.text());
    assert_eq!(default().await, Some(third.id.clone()));

    let page = browser.submit(&form_of(&page, LABEL, &second).set("label", " Sales\u{7} <b> ")).await;
    assert!(page.text().contains("Acme CRM as ada at a-2 ( Sales <b> )"), "{}", page.text());
    let page = browser.submit(&form_of(&page, LABEL, &first).set("label", &"x".repeat(100))).await;
    assert!(page.text().contains(&format!("( {} )", "x".repeat(60))), "{}", page.text());
    let page = browser.submit(&form_of(&page, LABEL, &first).set("label", " ")).await;
    assert!(!page.text().contains("xx"), "{}", page.text());
    assert_eq!(server.reasons("connection.changed").await, ["default", "label", "label", "label"]);

    let page = browser.submit(&form_of(&page, END, &third)).await;
    assert_eq!(default().await, None, "nobody guesses which she means");
    assert_eq!(page.forms(DEFAULT).len(), 2);
    browser.submit(&form_of(&page, END, &first)).await;
    assert_eq!(default().await, Some(second.id), "there is no choice");
}

/// The page says what is wrong, and whether she is the one to mend it.
#[rstest]
#[case(
    State::NeedsReconnect(Loss::Revoked),
    "Acme CRM has ended the access. Connect it again to go on.",
    true
)]
#[case(State::NeedsReconnect(Loss::Interrupted), "A renewal of the access was interrupted", true)]
#[case(
    State::Degraded(Trouble::Unavailable),
    "Acme CRM did not answer the last time. We go on asking; you need not do anything.",
    false
)]
#[case(State::Disabled, "Your administrators have switched this account off.", false)]
#[tokio::test]
async fn the_page_says_how_an_account_stands(
    #[case] state: State,
    #[case] words: &str,
    #[case] hers_to_mend: bool,
) {
    let house = House::start(On::Sqlite).await.unwrap();
    let (server, browser) = (&house.server, Browser::new());
    let ada = house.ada(&browser).await;
    let one = connected(server, &ada, "a-1", state).await;
    for (client, resource, at) in [("desk", "tickets", 5_000), ("nightly", "", 9_000)] {
        server
            .execute(format!(
                "INSERT INTO connection_uses VALUES ('{}', '{client}', '{resource}', 1000, {at}, 2)",
                one.id
            ))
            .await;
    }
    let page = account(server, &browser, "ada").await;
    assert!(page.text().contains(words), "{}", page.text());
    let link = format!("href=\"{}?account={}\"", server.path("/connect/crm"), one.id);
    assert_eq!(page.body.contains(&link), hers_to_mend, "{}", page.body);
    let used = "Used by nightly while you were away, last 1 January 1970, 00:00 UTC , 2 times \
                Used by Desk agent for Ticket desk , last 1 January 1970, 00:00 UTC , 2 times";
    assert!(page.text().contains(used), "{}", page.text());
}

#[tokio::test]
async fn what_may_be_connected_is_offered() {
    let house = House::start(On::Sqlite).await.unwrap();
    let (server, browser) = (&house.server, Browser::new());
    let ada = house.ada(&browser).await;
    let page = account(server, &browser, "ada").await;
    let link = format!("href=\"{}\"", server.path("/connect/crm"));
    assert!(page.text().contains("Connect another Connect Acme CRM"), "{}", page.text());
    assert!(page.body.contains(&link), "{}", page.body);
    connected(server, &ada, "a-1", State::Active).await;
    let page = account(server, &browser, "ada").await;
    assert!(!page.body.contains(&link), "one is enough where several are not allowed: {}", page.body);
}
