//! What an operator does about the accounts that people have connected, beside running servers.

use std::time::Duration;

use chancery::{
    app::removed::{self, CONNECTION_GRACE, Configured},
    config::{Config, connection::Connections},
    entropy::Entropy,
    store::connections,
    vault::{
        refresh::{self, NotFresh},
        state::{Loss, State},
    },
};
use rstest::rstest;
use serde_json::json;

use super::house::{House, connected, user};
use crate::support::{Browser, On, Server, client::account};

/// Whether a token of this account is handed out by this instance.
async fn is_handed_out(server: &Server, one: &connections::Connection) -> bool {
    let Some(found) = connections::find(&server.app.db, &one.id).await.unwrap() else { return false };
    let Some(configured) = server.app.config.connections.get(&found.name) else { return false };
    match refresh::fresh(&server.app, configured, found).await {
        Ok(_) => true,
        Err(NotFresh::Disabled) => false,
        Err(error) => panic!("{error}"),
    }
}

#[rstest]
#[tokio::test]
async fn the_kill_switch_counts_for_every_instance(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(house) = House::start(on).await else { return };
    let (server, browser) = (&house.server, Browser::new());
    let twin = server.twin().await;
    let ada = house.ada(&browser).await;
    let one = connected(server, &ada, "a-1", State::Active).await;
    assert!(is_handed_out(server, &one).await && is_handed_out(&twin, &one).await);

    let off = server.operator(&["connection", "disable", "crm"]);
    assert_eq!(
        (&off["kind"], &off["enabled"], &off["changed"]),
        (&json!("connection"), &json!(false), &json!(true))
    );
    assert!(!is_handed_out(server, &one).await && !is_handed_out(&twin, &one).await);
    let page = account(server, &browser, "ada").await;
    assert!(page.text().contains("Your administrators have switched Acme CRM off."), "{}", page.text());
    assert!(page.find_form("/account/connections/end").is_some(), "she can end it");
    assert_eq!(server.details("connection.disabled").await, [json!({ "connection": "crm" })]);
    assert_eq!(
        server.on_record("connection.disabled", "reference").await,
        [off["reference"].as_str().unwrap()]
    );
    let listed = server.operator(&["connection", "list"]);
    assert_eq!(listed["connections"][0]["enabled"], false);
    assert_eq!(server.operator(&["connection", "disable", "crm"])["changed"], false);

    server.operator(&["connection", "enable", "crm"]);
    assert!(is_handed_out(server, &one).await && is_handed_out(&twin, &one).await, "nothing is lost");
    assert_eq!(server.recorded("connection.enabled").await, 1);
}

/// Nobody who has connected nothing is offered what is off.
#[tokio::test]
async fn what_is_off_is_not_offered() {
    let house = House::start(On::Sqlite).await.unwrap();
    let (server, browser) = (&house.server, Browser::new());
    assert!(account(server, &browser, "ada").await.text().contains("Connect Acme CRM"));
    server.operator(&["connection", "disable", "crm"]);
    assert!(!account(server, &browser, "ada").await.text().contains("Acme CRM"));
}

#[rstest]
#[tokio::test]
async fn one_persons_accounts_are_switched_off_alone(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(house) = House::start(on).await else { return };
    let (server, browser) = (&house.server, Browser::new());
    let ada = house.ada(&browser).await;
    let grace = user(server, &Browser::new(), "grace").await;
    let hers = connected(server, &ada, "a-1", State::NeedsReconnect(Loss::Revoked)).await;
    let his = connected(server, &grace, "g-1", State::Active).await;
    let off = server.operator(&["connection", "disable", "crm", "--user", "ada@example.test"]);
    assert_eq!((&off["enabled"], &off["changed"]), (&json!(false), &json!(1)));
    assert!(!is_handed_out(server, &hers).await && is_handed_out(server, &his).await);
    let page = account(server, &browser, "ada").await;
    assert!(page.text().contains("Your administrators have switched this account off."), "{}", page.text());
    let recorded = server.details("connection.disabled").await;
    assert_eq!(
        (&recorded[0]["connection_id"], &recorded[0]["was"]),
        (&json!(hers.id), &json!("needs_reconnect:revoked"))
    );
    assert_eq!(server.on_record("connection.disabled", "user_id").await, [ada.as_str()]);
    let again = server.operator(&["connection", "disable", "crm", "--user", "ada@example.test"]);
    assert_eq!((&again["changed"], again.get("reference")), (&json!(0), None));

    server.operator(&["connection", "enable", "crm", "--user", "ada@example.test"]);
    assert!(is_handed_out(server, &hers).await);
    let told = server.admin(&["connection", "list", "--user", "ada@example.test"]);
    assert!(told.out.starts_with("accounts connected: 1\n"), "{}", told.out);
    assert!(told.out.contains("ada at a-1 at crm, active, not used: contacts deals"), "{}", told.out);
}

#[rstest]
#[tokio::test]
async fn an_operator_disconnects(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(house) = House::start(on).await else { return };
    let server = &house.server;
    let ada = house.ada(&Browser::new()).await;
    let grace = user(server, &Browser::new(), "grace").await;
    for account in ["a-1", "a-2"] {
        connected(server, &ada, account, State::Active).await;
    }
    connected(server, &grace, "g-1", State::NeedsReconnect(Loss::Expired)).await;
    let listed = server.operator(&["connection", "list", "--name", "crm"]);
    let counted = json!([{ "name": "crm", "configured": true, "enabled": true,
        "accounts": { "active": 2, "needs_reconnect:expired": 1 } }]);
    assert_eq!((&listed["connections"], &listed["revocations_owed"]), (&counted, &json!(0)));

    let done = server.operator(&["connection", "disconnect", "--user", "ada@example.test", "--name", "crm"]);
    assert_eq!(done["ended"], 2);
    let reference = done["reference"].as_str().unwrap();
    assert_eq!(server.on_record("connection.ended", "reference").await, [reference, reference]);
    assert_eq!(server.reasons("connection.ended").await, ["by_operator", "by_operator"]);
    let told = server.admin(&["connection", "list"]);
    assert_eq!(told.out, "crm  1 needs_reconnect:expired\nrevocations owed to vendors: 2\n");
    // The command goes by the clock of the machine.
    server.later(Duration::from_secs(86_400));
    house.turn().await;
    assert_eq!(house.revoked().await.len(), 4);
    let done = server.operator(&["connection", "disconnect", "--name", "crm"]);
    assert_eq!((&done["ended"], server.rows("connections").await), (&json!(1), 0));
    let again = server.operator(&["connection", "disconnect", "--name", "crm"]);
    assert_eq!(again, json!({ "ended": 0 }));

    for (arguments, words) in [
        (&["connection", "disconnect"][..], "say whose accounts end with --user"),
        (
            &["connection", "disconnect", "--name", "crn"],
            "connection crn is not in the configuration; there is crm",
        ),
        (&["connection", "disable", "crn"], "connection crn is not in the configuration; there is crm"),
        (
            &["connection", "disable", "crn", "--user", "ada@example.test"],
            "connection crn is not in the configuration",
        ),
        (&["connection", "list", "--user", "eve@example.test"], "nobody who came here has the address"),
    ] {
        let told = server.admin(arguments);
        assert_eq!((told.code, told.out.as_str()), (1, ""), "{arguments:?}");
        assert!(told.err.contains(words), "{arguments:?}: {}", told.err);
    }
}

#[rstest]
#[tokio::test]
async fn whoever_leaves_leaves_no_account_behind(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(house) = House::start(on).await else { return };
    let server = &house.server;
    let ada = house.ada(&Browser::new()).await;
    let grace = user(server, &Browser::new(), "grace").await;
    connected(server, &ada, "a-1", State::Active).await;
    connected(server, &ada, "a-2", State::NeedsReconnect(Loss::Revoked)).await;
    connected(server, &grace, "g-1", State::Active).await;
    let shown = server.operator(&["user", "show", "ada@example.test"]);
    assert_eq!(shown["connections"].as_array().unwrap().len(), 2, "{shown}");
    let receipt = server.operator(&["user", "disable", "ada@example.test"]);
    assert_eq!(
        (&receipt["connections"], server.rows("connections").await),
        (&json!([]), 3),
        "it is for a while"
    );

    let receipt = server.operator(&["user", "offboard", "ada@example.test"]);
    let ended: Vec<_> =
        receipt["connections"].as_array().unwrap().iter().map(|one| &one["account"]).collect();
    assert!(
        ended.len() == 2 && ended.contains(&&json!("a-1")) && ended.contains(&&json!("a-2")),
        "{receipt}"
    );
    assert_eq!((&receipt["revocations_owed"], server.rows("connections").await), (&json!(2), 1));
    let reference = receipt["reference"].as_str().unwrap();
    assert_eq!(server.on_record("connection.ended", "reference").await, [reference, reference]);
    assert_eq!(server.details("user.offboarded").await[0]["connections"], "2");
    // The command goes by the clock of the machine.
    server.later(Duration::from_secs(86_400));
    house.turn().await;
    assert_eq!(house.revoked().await.len(), 4);
    let again = server.admin(&["user", "offboard", "ada@example.test"]);
    assert!(
        again.out.contains("accounts disconnected: 0\nrevocations owed to vendors: 0\n"),
        "{}",
        again.out
    );
}

/// The configuration without its connections.
fn without(server: &Server) -> Config {
    Config { connections: Connections::default(), ..server.app.config.clone() }
}

/// One turn of what an instance does every minute.
async fn turn(server: &Server) {
    let configured = Configured::of(&server.app.config);
    removed::look_after(&server.app.db, &configured, (&server.clock, &Entropy::System)).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn what_no_instance_has_any_more_ends_for_good(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values(true, false)] at_a_start: bool,
) {
    let Some(house) = House::start(on).await else { return };
    let server = &house.server;
    let ada = house.ada(&Browser::new()).await;
    let one = connected(server, &ada, "a-1", State::Active).await;
    let newer = server.twin_with(without(server)).await;
    assert!(is_handed_out(server, &one).await && !is_handed_out(&newer, &one).await);
    // The one that has it goes on for as long as it likes.
    server.later(CONNECTION_GRACE);
    turn(server).await;
    turn(&newer).await;
    assert_eq!(server.rows("connections").await, 1);

    server.later(CONNECTION_GRACE.checked_sub(Duration::from_secs(1)).unwrap());
    turn(&newer).await;
    assert_eq!(server.rows("connections").await, 1, "not before the time");
    server.later(Duration::from_secs(1));
    if at_a_start {
        server.twin_with(without(server)).await;
    } else {
        turn(&newer).await;
    }
    assert_eq!((server.rows("connections").await, server.rows("revocations").await), (0, 1));
    assert_eq!(server.reasons("connection.ended").await, ["connection_removed"]);
    turn(&newer).await;
    assert_eq!(server.recorded("connection.ended").await, 1, "once");

    // Whoever has the entry has the secret to revoke with; whoever has not leaves it to others for a while.
    chancery::vault::revoke::turn(&newer.app).await.unwrap();
    assert_eq!((house.revoked().await.len(), server.rows("revocations").await), (0, 1));
    server.later(Duration::from_secs(60));
    if at_a_start {
        house.turn().await;
        assert_eq!(house.revoked().await.len(), 2);
    } else {
        server.later(chancery::vault::revoke::GIVE_UP);
        chancery::vault::revoke::turn(&newer.app).await.unwrap();
        assert_eq!(server.reasons("connection.not_revoked").await, ["not_configured"]);
    }
    assert_eq!(server.rows("revocations").await, 0);
}

/// A database of before these notes: nobody knows how long the connection has been gone.
#[tokio::test]
async fn without_a_note_the_time_begins_with_the_start() {
    let house = House::start(On::Sqlite).await.unwrap();
    let server = &house.server;
    let ada = house.ada(&Browser::new()).await;
    connected(server, &ada, "a-1", State::Active).await;
    server.execute("DELETE FROM configured").await;
    let newer = server.twin_with(without(server)).await;
    turn(&newer).await;
    assert_eq!(server.rows("connections").await, 1);
    server.later(CONNECTION_GRACE);
    turn(&newer).await;
    assert_eq!(server.rows("connections").await, 0);
}

#[rstest]
#[tokio::test]
async fn the_admin_port_has_the_figures(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(house) = House::start(on).await else { return };
    let server = &house.server;
    let ada = house.ada(&Browser::new()).await;
    let one = connected(server, &ada, "a-1", State::Active).await;
    connected(server, &ada, "a-2", State::NeedsReconnect(Loss::Revoked)).await;
    let gone = connected(server, &ada, "a-3", State::Active).await;
    is_handed_out(server, &one).await;
    let answer = server.figures().await;
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await.unwrap();
    for line in [
        "# TYPE chancery_connections gauge",
        "chancery_connections{connection=\"crm\",state=\"active\",reason=\"\"} 2",
        "chancery_connections{connection=\"crm\",state=\"needs_reconnect\",reason=\"revoked\"} 1",
        "chancery_connection_enabled{connection=\"crm\"} 1",
        "chancery_revocations_owed 0",
        "chancery_vault_opens_total 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    server.operator(&["connection", "disable", "crm"]);
    server.operator(&["connection", "disconnect", "--user", ada.as_str()]);
    assert!(connections::find(&server.app.db, &gone.id).await.unwrap().is_none());
    let text = server.figures().await.text().await.unwrap();
    for line in ["chancery_connection_enabled{connection=\"crm\"} 0", "chancery_revocations_owed 3"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!text.contains("chancery_connections{"), "{text}");
    let public = server.request(reqwest::Method::GET, "/metrics").send().await.unwrap();
    assert_eq!(public.status(), 404, "not for strangers");
    server.hide("revocations").await;
    assert_eq!(server.figures().await.status(), 503);
}
