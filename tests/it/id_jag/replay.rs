//! An assertion counts once, whoever is asked and however many ask at once; or again for the same client, where the
//! operator says so.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use crate::{
    authorization::futures_join,
    support::{
        Agent, On,
        agent::{SECRET, present_at},
    },
};

#[rstest]
#[tokio::test]
async fn it_counts_once_until_it_would_not_be_accepted_any_more(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    let assertion = agent.sign(&agent.claims());
    assert_eq!(agent.present(&assertion, &[]).await.status, 200);
    let refused = agent.present(&assertion, &[]).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_grant"));
    agent.server.later(Duration::from_secs(359));
    chancery::store::sweep::sweep(&agent.server.app.db, agent.server.clock.now()).await.unwrap();
    assert_eq!(agent.present(&assertion, &[]).await.status, 400);
    agent.server.later(Duration::from_secs(1));
    assert_eq!(agent.present(&assertion, &[]).await.status, 400);
    assert_eq!(
        agent.server.reasons("token.refused").await,
        ["assertion_expired", "assertion_replayed", "assertion_replayed"]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_at_once_one_wins(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    let assertion = agent.sign(&agent.claims());
    let answers = futures_join((0..16).map(|_| agent.present(&assertion, &[]))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(
        answers.iter().filter(|answer| answer.status != 200).all(|other| other.error() == "invalid_grant")
    );
    assert_eq!((agent.server.rows("grants").await, agent.server.recorded("token.issued").await), (1, 1));
}

/// Two instances of the product on one database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_at_two_instances_one_wins() {
    let Some(agent) = Agent::start(On::Postgres).await else { return };
    let twin = agent.server.twin().await;
    let assertion = agent.sign(&agent.claims());
    let instances = [&agent.server, &twin];
    let answers = futures_join((0..16).map(|turn| present_at(instances[turn % 2], &assertion, &[]))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(
        answers.iter().filter(|answer| answer.status != 200).all(|other| other.error() == "invalid_grant")
    );
}

/// Different assertions for the same agent, user and server do not get in each other's way.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_different_ones_all_win(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    let assertions: Vec<_> = (0..16).map(|_| agent.sign(&agent.claims())).collect();
    let answers = futures_join(assertions.iter().map(|assertion| agent.present(assertion, &[]))).await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.claims()["grant_id"], answers[0].claims()["grant_id"]);
    }
    assert_eq!((agent.server.rows("grants").await, agent.server.rows("users").await), (1, 1));
}

/// A request that is refused for any other reason, or fails by our fault, leaves the assertion as good as it was.
#[rstest]
#[tokio::test]
async fn what_is_refused_or_fails_uses_nothing_up(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    let assertion = agent.sign(&agent.claims());
    let elsewhere = agent.present(&assertion, &[("resource", "https://mcp.acme.example/wiki")]).await;
    assert_eq!(elsewhere.error(), "invalid_target");
    assert_eq!(agent.present(&assertion, &[("scope", "tickets:close")]).await.error(), "invalid_scope");
    for table in ["replays", "identities", "grants", "audit"] {
        agent.server.hide(table).await;
        let failed = agent.present(&assertion, &[]).await;
        assert_eq!(failed.status, 503, "{table}: {}", failed.body);
        assert!(failed.headers.contains_key("retry-after"));
        agent.server.unhide(table).await;
    }
    let tokens = agent.present(&assertion, &[]).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
}

#[rstest]
#[tokio::test]
async fn it_may_come_again_from_the_same_client_where_the_operator_says_so(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(agent) = Agent::start_with(on, "replay: same_client").await else { return };
    let claims = agent.claims();
    let assertion = agent.sign(&claims);
    for _ in 0..3 {
        let tokens = agent.present(&assertion, &[]).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
    }
    let mut others = claims.clone();
    others["client_id"] = json!("other");
    let as_other = [("client_id", "other"), ("client_secret", SECRET)];
    let refused = agent.present(&agent.sign(&others), &as_other).await;
    assert_eq!(refused.error(), "invalid_grant", "one identifier, two clients");
    assert_eq!(agent.server.reasons("token.refused").await, ["assertion_replayed"]);
    agent.server.later(Duration::from_secs(360));
    assert_eq!(agent.present(&assertion, &[]).await.error(), "invalid_grant", "while it is good");
}

/// Anybody can say that he is a client that proves nothing.
#[tokio::test]
async fn it_counts_once_for_a_client_that_proves_nothing() {
    let keys = r#"replay: same_client, public_clients: true,
        allow: { tickets: { clients: [open], scopes: ["tickets:read"] } }"#;
    let agent = Agent::start_with(On::Sqlite, keys).await.unwrap();
    let assertion = agent.sign(&agent.claims_with("client_id", json!("open")));
    let open = [("client_id", "open"), ("client_secret", "")];
    assert_eq!(agent.present(&assertion, &open).await.status, 200);
    assert_eq!(agent.present(&assertion, &open).await.error(), "invalid_grant");
}
