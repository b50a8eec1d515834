//! Refresh tokens: rotation, one answer for a repeated request, and the end of a family whose token was stolen.

use std::time::Duration;

use rstest::rstest;

use crate::{
    authorization::futures_join,
    support::{Browser, Client, On, Server, client::post},
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[rstest]
#[tokio::test]
async fn every_use_rotates(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    let first = client.obtain(&server, &Browser::new(), "ada").await;
    let second = client.refresh(&server, first.refresh()).await;
    assert_eq!(second.status, 200, "{}", second.body);
    assert_ne!(second.refresh(), first.refresh());
    assert_eq!(second.claims()["sub"], first.claims()["sub"]);
    assert_ne!(second.claims()["jti"], first.claims()["jti"]);
    assert_eq!(server.recorded("token.refreshed").await, 1);
}

#[rstest]
#[tokio::test]
async fn a_request_sent_twice_gets_the_same_successor(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    let first = client.obtain(&server, &Browser::new(), "ada").await;
    let second = client.refresh(&server, first.refresh()).await;
    server.later(MINUTE);
    let again = client.refresh(&server, first.refresh()).await;
    assert_eq!(again.refresh(), second.refresh());
    assert_eq!(client.refresh(&server, second.refresh()).await.status, 200);
}

#[rstest]
#[tokio::test]
async fn a_used_token_whose_successor_was_used_ends_the_family(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    let first = client.obtain(&server, &Browser::new(), "ada").await;
    let second = client.refresh(&server, first.refresh()).await;
    let third = client.refresh(&server, second.refresh()).await;
    assert_eq!(client.refresh(&server, first.refresh()).await.error(), "invalid_grant");
    assert_eq!(
        client.refresh(&server, third.refresh()).await.error(),
        "invalid_grant",
        "the whole family ends"
    );
    assert_eq!(server.recorded("refresh.reused").await, 1);
}

#[rstest]
#[tokio::test]
async fn a_used_token_after_the_window_ends_the_family(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    let first = client.obtain(&server, &Browser::new(), "ada").await;
    let second = client.refresh(&server, first.refresh()).await;
    server.later(MINUTE + Duration::from_millis(1));
    assert_eq!(client.refresh(&server, first.refresh()).await.error(), "invalid_grant");
    assert_eq!(client.refresh(&server, second.refresh()).await.error(), "invalid_grant");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn racing_processes_end_in_one_branch(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    let first = client.obtain(&server, &Browser::new(), "ada").await;
    let answers = futures_join((0..16).map(|_| client.refresh(&server, first.refresh()))).await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.refresh(), answers[0].refresh());
    }
    assert_eq!(client.refresh(&server, answers[0].refresh()).await.status, 200);
}

#[rstest]
#[tokio::test]
async fn an_unused_family_ends_after_its_idle_time(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    let first = client.obtain(&server, &Browser::new(), "ada").await;
    server.later(29 * DAY);
    let second = client.refresh(&server, first.refresh()).await;
    assert_eq!(second.status, 200, "{}", second.body);
    server.later(30 * DAY);
    assert_eq!(client.refresh(&server, second.refresh()).await.error(), "invalid_grant");
}

#[rstest]
#[tokio::test]
async fn a_family_ends_after_its_absolute_time_however_used(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    let mut tokens = client.obtain(&server, &Browser::new(), "ada").await;
    for _ in 0..4 {
        server.later(20 * DAY);
        tokens = client.refresh(&server, tokens.refresh()).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
    }
    server.later(10 * DAY);
    assert_eq!(client.refresh(&server, tokens.refresh()).await.error(), "invalid_grant");
}

#[rstest]
#[case("client_id", "backend", "invalid_client")]
#[case("client_id", "other", "invalid_grant")]
#[case("scope", "tickets:read tickets:write", "invalid_scope")]
#[case("resource", "https://mcp.acme.example/wiki", "invalid_target")]
#[case("refresh_token", "garbage", "invalid_grant")]
#[case("refresh_token", "chy_ac_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "invalid_grant")]
#[tokio::test]
async fn a_wrong_refresh_fails_and_consumes_nothing(
    #[case] name: &'static str,
    #[case] value: &str,
    #[case] error: &str,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let sections = crate::support::PLAIN.replace(
        "clients:\n",
        "clients:\n  other: { name: Other, redirect_uris: [\"http://127.0.0.1/callback\"] }\n",
    );
    let Some(server) = Server::start_with(on, &sections).await else { return };
    let client = Client::desk();
    let tokens = client.obtain(&server, &Browser::new(), "ada").await;
    let mut parameters = vec![
        ("grant_type", "refresh_token".to_owned()),
        ("client_id", client.id.clone()),
        ("refresh_token", tokens.refresh().to_owned()),
    ];
    parameters.retain(|(key, _)| *key != name);
    parameters.push((name, value.to_owned()));
    assert_eq!(post(&server, &parameters).await.error(), error);
    server.later(2 * MINUTE);
    assert_eq!(client.refresh(&server, tokens.refresh()).await.status, 200, "nothing was consumed");
}

#[rstest]
#[tokio::test]
async fn a_refresh_may_ask_for_less_and_later_for_all_again(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk().scope("tickets:read tickets:write");
    let tokens = client.obtain(&server, &Browser::new(), "ada").await;
    let parameters = [
        ("grant_type", "refresh_token".to_owned()),
        ("client_id", client.id.clone()),
        ("refresh_token", tokens.refresh().to_owned()),
        ("scope", "tickets:read offline_access".to_owned()),
    ];
    let narrowed = post(&server, &parameters).await;
    assert_eq!(narrowed.body["scope"], "tickets:read");
    let all = client.refresh(&server, narrowed.refresh()).await;
    assert_eq!(all.body["scope"], "tickets:read tickets:write");
}

#[tokio::test]
async fn a_client_registered_for_codes_alone_gets_no_refresh_token() {
    let sections = crate::support::PLAIN
        .replace("    name: Desk agent\n", "    name: Desk agent\n    grant_types: [authorization_code]\n");
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let tokens = Client::desk().obtain(&server, &Browser::new(), "ada").await;
    assert_eq!(tokens.body.get("refresh_token"), None);
}
