//! People whom an operator shuts out, for a while or because they leave, and the receipt of it.

use std::time::Duration;

use chancery::{
    admin::{Act, Operator},
    entropy::Entropy,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    authorization::futures_join,
    support::{
        Agent, Browser, Client, On, Server, Upstream,
        agent::{WIKI, present_at},
        client::account,
    },
};

const ADA: &str = "ada@example.test";

/// The declared web client, whose consent is remembered.
fn web() -> Client {
    Client { redirect_uri: "https://desk.acme.example/callback".into(), ..Client::desk() }
}

fn counts(receipt: &Value) -> [u64; 5] {
    let of = |name: &str| {
        receipt[name].as_array().map_or_else(|| receipt[name].as_u64().unwrap(), |all| all.len() as u64)
    };
    ["sessions", "grants", "refresh_tokens", "codes", "consents"].map(of)
}

#[rstest]
#[tokio::test]
async fn whoever_is_disabled_is_out_until_she_is_enabled(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (laptop, phone, his) = (Browser::new(), Browser::new(), Browser::new());
    let client = web();
    let hers = client.obtain(&server, &laptop, "ada").await;
    account(&server, &phone, "ada").await;
    let back = client.begin(&server, &phone, "ada").await;
    let code = client.code(&server, &back);
    let grace = client.obtain(&server, &his, "grace").await;

    let receipt = server.operator(&["user", "disable", ADA]);
    assert_eq!(counts(&receipt), [2, 1, 1, 1, 0], "{receipt}");
    assert_eq!(client.refresh(&server, hers.refresh()).await.error(), "invalid_grant");
    assert_eq!(client.exchange(&server, &code).await.error(), "invalid_grant");
    for browser in [&laptop, &phone] {
        let page = browser.open(&server.url("/account")).await;
        assert!(page.url.as_str().starts_with(&server.provider), "not signed in: {}", page.url);
        let page = browser.submit(&page.form("/").set("user", "test-user-ada")).await;
        assert_eq!(page.status, 403);
        assert!(page.text().contains("Your access to this service has been switched off"), "{}", page.text());
    }
    assert_eq!(server.reasons("sign_in.refused").await, ["user_disabled", "user_disabled"]);
    assert_eq!(server.reasons("session.ended").await, ["by_operator", "by_operator"]);
    assert_eq!(server.reasons("grant.revoked").await, ["by_operator"]);
    assert_eq!(client.refresh(&server, grace.refresh()).await.status, 200, "his goes on");

    let user = receipt["user"].as_str().unwrap();
    let enabled = server.operator(&["user", "enable", user]);
    assert_eq!(enabled["changed"], true);
    assert_eq!(server.operator(&["user", "enable", user])["changed"], false);
    assert_eq!(server.recorded("user.enabled").await, 1);
    assert_eq!(
        client.refresh(&server, hers.refresh()).await.error(),
        "invalid_grant",
        "what ended has ended"
    );
    let back = client.begin(&server, &laptop, "ada").await;
    let code = client.code(&server, &back);
    assert_eq!(client.exchange(&server, &code).await.status, 200, "what she allowed is remembered");
}

#[rstest]
#[tokio::test]
async fn whoever_leaves_leaves_nothing_but_a_receipt(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    let (server, client) = (&agent.server, web());
    let browser = Browser::new();
    let hers = |claims: &mut Value| claims["sub"] = json!("ada-1");
    agent.upstream.sign_in(server, &browser, hers).await;
    let page = browser.open_until(&client.authorize_url(server), &client.redirect_uri).await;
    let allow = page.form("/interaction/").set("decision", "allow");
    let back = browser.submit_until(&allow, &client.redirect_uri).await;
    let tokens = client.exchange(server, &client.code(server, &back)).await;
    assert_eq!(agent.trade(&agent.claims()).await.status, 200);

    let receipt = server.operator(&["user", "offboard", "--provider", "acme", "ada-1"]);
    assert_eq!(counts(&receipt), [1, 2, 1, 0, 1], "{receipt}");
    assert_eq!(receipt["act"], "offboard");
    assert_eq!((&receipt["name"], &receipt["email"]), (&json!("Ada Lovelace"), &json!("ada@acme.example")));
    assert_eq!(receipt["accounts_refused"][0]["subject"], "ada-1");
    assert_eq!(receipt["accounts_refused"][0]["provider"], "acme");
    assert_eq!(receipt["consents"][0], json!({ "client": "desk", "resource": "tickets" }));
    let by_assertion: Vec<_> = receipt["grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["client"], &one["by_assertion"]))
        .collect();
    assert!(by_assertion.contains(&(&json!("agent"), &json!(true))), "{receipt}");
    assert!(by_assertion.contains(&(&json!("desk"), &json!(false))), "{receipt}");
    let reference = receipt["reference"].as_str().unwrap();
    for (event, times) in
        [("user.offboarded", 1), ("session.ended", 1), ("grant.revoked", 2), ("consent.withdrawn", 1)]
    {
        assert_eq!(server.on_record(event, "reference").await, vec![reference; times], "{event}");
    }
    assert_eq!(server.details("user.offboarded").await[0]["refresh_tokens"], "1");

    assert_eq!(client.refresh(server, tokens.refresh()).await.error(), "invalid_grant");
    server.later(Duration::from_millis(1));
    assert_eq!(agent.trade(&agent.claims()).await.error(), "invalid_grant");
    assert_eq!(server.reasons("token.refused").await.last().unwrap(), "user_disabled");
    let page = agent.upstream.sign_in(server, &Browser::new(), hers).await;
    assert_eq!(page.status, 403);
    assert_eq!(server.rows("users").await, 1, "and no new user was made of her");

    let again = server.operator(&["user", "offboard", receipt["user"].as_str().unwrap()]);
    assert_eq!(counts(&again), [0; 5], "{again}");
    assert_eq!(again["disabled_since"], receipt["disabled_since"]);
    assert_eq!(again["accounts_refused"], receipt["accounts_refused"]);

    server.operator(&["user", "enable", "ada@acme.example"]);
    agent.upstream.sign_in(server, &browser, hers).await;
    let page = browser.open_until(&client.authorize_url(server), &client.redirect_uri).await;
    assert!(page.find_form("/interaction/").is_some(), "what she had allowed is asked anew: {}", page.url);
}

/// What a person reads of it.
#[tokio::test]
async fn the_receipt_says_all_of_it_in_words() {
    let server = Server::start(On::Sqlite).await.unwrap();
    web().obtain(&server, &Browser::new(), "ada").await;
    let told = server.admin(&["user", "offboard", ADA]);
    assert_eq!(told.code, 0, "{}", told.err);
    for words in [
        "offboarded user ",
        "(Ada Lovelace, ada@example.test)",
        "in the audit record",
        "accounts refused, for sign-in and assertions: 1\n  test-user-ada at test (",
        "sessions ended: 1\n",
        "grants ended: 1\n",
        "  desk at tickets: tickets:read",
        "refresh tokens ended: 1\n",
        "codes taken away: 0\n",
        "consents withdrawn: 1\n  desk at tickets\n",
        "access tokens already handed out run out by ",
    ] {
        assert!(told.out.contains(words), "{words}: {}", told.out);
    }
    assert!(!told.out.contains("not touched"), "{}", told.out);
}

/// A person shown as she is now.
#[rstest]
#[tokio::test]
async fn a_person_is_shown_with_what_she_has(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    web().obtain(&server, &Browser::new(), "ada").await;
    let (config, db) = (&server.app.config, &server.app.db);
    let entropy = Entropy::System;
    let operator = Operator::new(config, db, (&server.clock, &entropy));
    let ada = operator.find(None, "ADA@example.test").await.unwrap();
    let profile = operator.show(&ada).await.unwrap();
    assert_eq!((profile.accounts.len(), profile.sessions.len(), profile.grants.len()), (1, 1, 1));
    assert_eq!((profile.grants[0].client.as_str(), profile.disabled_since), ("desk", None));
    operator.shut_out(&ada, Act::Disable).await.unwrap();
    let profile = operator.show(&ada).await.unwrap();
    assert_eq!((profile.accounts.len(), profile.sessions.len(), profile.grants.len()), (1, 0, 0));
    assert!(profile.disabled_since.is_some());
    let told = server.admin(&["user", "show", ADA]);
    assert!(told.out.contains("shut out  since 2026-11-21T00:00:00Z\naccounts: 1\n"), "{}", told.out);
}

/// A name that is not surely hers shuts nobody out.
#[rstest]
#[tokio::test]
async fn nobody_is_shut_out_by_a_name_that_may_be_anothers(#[values(On::Sqlite, On::Postgres)] on: On) {
    let (acme, other) = (Upstream::start().await, Upstream::start().await);
    let keys = "client_auth: none, organization: acme, userinfo: never, sign_in: { anyone: true }";
    let entries = acme.entry("acme", keys) + &other.entry("other", keys);
    let plain = crate::support::PLAIN;
    let rest = &plain[plain.find("resources:").unwrap()..];
    let Some(server) = Server::start_with(on, &format!("providers:\n{entries}{rest}")).await else { return };
    let claimed = |claims: &mut Value| claims["email_verified"] = json!(false);
    acme.sign_in(&server, &Browser::new(), claimed).await;
    let refused = |arguments: &[&str], words: &str| {
        let told = server.admin(&[&["user", "disable"], arguments].concat());
        assert_eq!((told.code, told.out.as_str()), (1, ""), "{arguments:?}");
        assert!(told.err.contains(words), "{arguments:?}: {}", told.err);
        told.err
    };
    let email = "ada@acme.example";
    let err = refused(&[email], "no provider vouches that ada@acme.example is hers");
    assert!(err.contains("(ada-1 at acme)"), "{err}");
    acme.sign_in(&server, &Browser::new(), |_| ()).await;
    other.sign_in_as("other", &server, &Browser::new(), |_| ()).await;
    let err = refused(&[email], "several people have the address ada@acme.example; say which by her id:");
    assert!(err.contains("(ada-1 at acme)") && err.contains("(ada-1 at other)"), "{err}");
    refused(&["eve@acme.example"], "nobody who came here has the address eve@acme.example");
    refused(&["ada-1"], "ada-1 is neither a user's id nor an e-mail address");
    refused(&["--provider", "acme", "eve-1"], "nobody has come through acme whose subject there is eve-1");
    refused(
        &["01938f5e-8c00-7000-8000-000000000000"],
        "there is no user 01938f5e-8c00-7000-8000-000000000000",
    );
    assert_eq!(server.recorded("user.disabled").await, 0);

    let receipt = server.operator(&["user", "disable", "--provider", "other", "ada-1"]);
    assert_eq!(receipt["others"][0]["subject"], "ada-1");
    assert_eq!(receipt["others"][0]["provider"], "acme", "whom the operator may have meant too");
    assert_eq!(receipt["others"].as_array().unwrap().len(), 1);
}

/// Whichever comes first: nothing that was being born lives on.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_slips_through_while_she_is_shut_out(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    let server = &agent.server;
    let entropy = Entropy::System;
    for _ in 0..4 {
        let browser = Browser::new();
        agent.upstream.sign_in(server, &browser, |_| ()).await;
        let (client, tab) = (web().with("prompt", "consent"), browser.copy());
        let mut codes = Vec::new();
        for _ in 0..2 {
            let page = tab.open_until(&client.authorize_url(server), &client.redirect_uri).await;
            let allow = page.form("/interaction/").set("decision", "allow");
            codes.push(client.code(server, &tab.submit_until(&allow, &client.redirect_uri).await));
        }
        let page = tab.open_until(&client.authorize_url(server), &client.redirect_uri).await;
        let allow = page.form("/interaction/").set("decision", "allow");
        let assertion = agent.sign(&agent.claims());
        let mut wiki = agent.claims_with("resource", json!(WIKI));
        wiki["scope"] = json!("wiki:read");
        let wiki = agent.sign(&wiki);
        let late = Browser::new();
        let operator = Operator::new(&server.app.config, &server.app.db, (&server.clock, &entropy));
        let ada = operator.find(None, "ada@acme.example").await.unwrap();
        let (exchanged, answered, _, _, _, receipt) = tokio::join!(
            futures_join(codes.iter().map(|code| client.exchange(server, code))),
            tab.submit_until(&allow, &client.redirect_uri),
            present_at(server, &assertion, &[]),
            present_at(server, &wiki, &[]),
            agent.upstream.sign_in(server, &late, |_| ()),
            operator.shut_out(&ada, Act::Disable),
        );
        receipt.unwrap();
        let mut tokens = exchanged;
        if answered.url.as_str().starts_with(&client.redirect_uri) {
            tokens.push(client.exchange(server, &client.code(server, &answered)).await);
        }
        for tokens in tokens.iter().filter(|tokens| tokens.status == 200) {
            assert_eq!(client.refresh(server, tokens.refresh()).await.error(), "invalid_grant");
        }
        let left = operator.show(&ada).await.unwrap();
        assert_eq!((left.sessions.len(), left.grants.len()), (0, 0), "{left:?}");
        assert!(operator.let_in(&ada).await.unwrap());
        server.later(Duration::from_secs(1));
    }
}
