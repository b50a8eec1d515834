//! A provider that is taken out of the configuration, by instances that take the change up one after the other.

use std::time::Duration;

use chancery::{
    app::removed::{self, Configured},
    config::Config,
    entropy::Entropy,
};
use rstest::rstest;
use serde_json::json;

use crate::support::{Agent, Browser, Client, On, Server, Tokens, agent::present_at};

const MINUTE: Duration = Duration::from_secs(60);

fn web() -> Client {
    Client { redirect_uri: "https://desk.acme.example/callback".into(), ..Client::desk() }
}

/// The configuration without its provider.
fn without(server: &Server) -> Config {
    let mut config = server.app.config.clone();
    config.providers.clear();
    config
}

/// One turn of what an instance does every minute.
async fn turn(server: &Server) {
    let configured = Configured::of(&server.app.config);
    let entropy = Entropy::System;
    removed::look_after(&server.app.db, &configured, (&server.clock, &entropy)).await.unwrap();
}

/// Ada, signed in, with an application connected and an agent that her provider approves.
async fn ada(agent: &Agent) -> (Browser, Tokens) {
    let (server, browser, client) = (&agent.server, Browser::new(), web());
    agent.upstream.sign_in(server, &browser, |_| ()).await;
    let page = browser.open_until(&client.authorize_url(server), &client.redirect_uri).await;
    let allow = page.form("/interaction/").set("decision", "allow");
    let back = browser.submit_until(&allow, &client.redirect_uri).await;
    let tokens = client.exchange(server, &client.code(server, &back)).await;
    assert_eq!(agent.trade(&agent.claims()).await.status, 200);
    (browser, tokens)
}

async fn ended(server: &Server) -> [i64; 2] {
    [server.recorded("session.ended").await, server.recorded("grant.revoked").await]
}

#[rstest]
#[tokio::test]
async fn an_instance_without_it_refuses_at_once_and_ends_nothing_of_the_others(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(agent) = Agent::start(on).await else { return };
    let (server, client) = (&agent.server, web());
    let (browser, mut tokens) = ada(&agent).await;
    let newer = server.twin_with(without(server)).await;
    assert_eq!(client.refresh(&newer, tokens.refresh()).await.error(), "invalid_grant");
    assert_eq!(present_at(&newer, &agent.sign(&agent.claims()), &[]).await.error(), "invalid_grant");
    let cookie = browser.cookie(&server.base);
    let account =
        newer.request(reqwest::Method::GET, "/account").header("cookie", cookie).send().await.unwrap();
    assert_eq!(account.status(), 303, "not signed in there");

    // The roll-out takes its time; the older one goes on, and is even asked by a start with the new configuration.
    for _ in 0..20 {
        server.later(MINUTE);
        turn(server).await;
        turn(&newer).await;
    }
    server.twin_with(without(server)).await;
    assert_eq!(ended(server).await, [0, 0]);
    tokens = client.refresh(server, tokens.refresh()).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
}

#[rstest]
#[tokio::test]
async fn what_no_instance_has_any_more_ends_for_good(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values(true, false)] at_a_start: bool,
) {
    let Some(agent) = Agent::start(on).await else { return };
    let (server, client) = (&agent.server, web());
    let (browser, tokens) = ada(&agent).await;
    let newer = server.twin_with(without(server)).await;
    server.later(removed::GRACE.checked_sub(Duration::from_millis(1)).unwrap());
    turn(&newer).await;
    assert_eq!(ended(server).await, [0, 0], "not before the time");
    server.later(Duration::from_millis(1));
    if at_a_start {
        server.twin_with(without(server)).await;
    } else {
        turn(&newer).await;
    }
    assert_eq!(ended(server).await, [1, 2]);
    assert_eq!(server.reasons("session.ended").await, ["provider_removed"]);
    assert_eq!(server.reasons("grant.revoked").await, ["provider_removed"; 2]);
    server.later(MINUTE);
    turn(&newer).await;
    assert_eq!(ended(server).await, [1, 2], "once");

    // Put back, it finds its people and none of their access.
    assert_eq!(client.refresh(server, tokens.refresh()).await.error(), "invalid_grant");
    turn(server).await;
    agent.upstream.sign_in(server, &browser, |claims| claims["exp"] = json!(2_000_000_000)).await;
    assert_eq!((server.rows("users").await, server.rows("sessions").await), (1, 1));
    server.later(removed::GRACE);
    turn(&newer).await;
    assert_eq!(ended(server).await, [2, 2], "and when it is removed again, that ends too");
}

#[rstest]
#[tokio::test]
async fn a_change_that_is_taken_back_costs_nothing(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    let (server, client) = (&agent.server, web());
    let (_, tokens) = ada(&agent).await;
    let newer = server.twin_with(without(server)).await;
    server.later(9 * MINUTE);
    turn(&newer).await;
    turn(server).await;
    server.later(9 * MINUTE);
    turn(&newer).await;
    assert_eq!(client.refresh(server, tokens.refresh()).await.status, 200);
    assert_eq!(ended(server).await, [0, 0]);
}

/// A database of before these notes: nobody knows how long the provider has been gone.
#[tokio::test]
async fn without_a_note_the_time_begins_with_the_start() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let server = &agent.server;
    ada(&agent).await;
    server.execute("DELETE FROM configured").await;
    let newer = server.twin_with(without(server)).await;
    turn(&newer).await;
    assert_eq!(ended(server).await, [0, 0]);
    server.later(removed::GRACE);
    turn(&newer).await;
    assert_eq!(ended(server).await, [1, 2]);
}
