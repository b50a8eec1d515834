//! Connections for which nobody asks.

use std::time::Duration;

use chancery::{
    ids::ConnectionId,
    vault::{
        refresh::upkeep::{attend, run},
        state::{Loss, State, Trouble},
    },
};
use rstest::rstest;
use wiremock::ResponseTemplate;

use super::{
    crash::{LEASE, crash},
    refresh::{access, start, start_with, until},
};
use crate::support::{Log, On, Server};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const FORGETFUL: &str = "    vendor: { idle_expiry: 10d }";

/// Its tokens are to be refreshed then, though nobody asks.
async fn due_in(server: &Server, id: &ConnectionId, wait: Duration) {
    let at = server.clock.now().plus(wait).as_millis();
    server.execute(format!("UPDATE connections SET refresh_due_at = {at} WHERE id = '{id}'")).await;
}

#[rstest]
#[tokio::test]
async fn tokens_that_nobody_uses_are_refreshed_before_the_vendor_forgets_them(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some((vendor, server)) = start_with(on, FORGETFUL).await else { return };
    let id = server.connected(HOUR).await;
    due_in(&server, &id, HOUR / 2).await;
    attend(&server.app).await.unwrap();
    assert_eq!(vendor.asked().await, 0, "not yet");
    server.later(HOUR / 2);
    let mut when = Vec::new();
    for (round, given, generation) in [(1, 1, 2), (2, 2, 3), (3, 3, 4)] {
        attend(&server.app).await.unwrap();
        attend(&server.app).await.unwrap();
        assert_eq!((vendor.asked().await, vendor.given_and_reused()), (round, (given, 0)));
        let row = server.connection(&id).await;
        assert_eq!((row.state, row.generation), (State::Active, generation));
        let wait = row.refresh_due_at.unwrap().since(server.clock.now());
        assert!((DAY * 5..=DAY * 15 / 2).contains(&wait), "{wait:?}");
        when.push(wait);
        server.later(wait);
    }
    assert!(when[0] != when[1] || when[1] != when[2], "not spread: {when:?}");
}

/// The mark of a crash is settled without anybody asking, once its lease is over.
#[rstest]
#[case::lost("single_use", State::NeedsReconnect(Loss::Interrupted), 1)]
#[case::sent_again("replace", State::Active, 2)]
#[tokio::test]
async fn what_a_crash_left_is_settled(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] rotation: &str,
    #[case] state: State,
    #[case] generation: i64,
) {
    let keys = format!("    vendor: {{ rotation: {rotation} }}");
    let Some((_vendor, server)) = start_with(on, &keys).await else { return };
    let id = server.connected(HOUR).await;
    crash(&server, &id).await;
    attend(&server.app).await.unwrap();
    assert!(server.connection(&id).await.redeeming_since.is_some(), "its holder may be alive");
    server.later(LEASE);
    attend(&server.app).await.unwrap();
    let row = server.connection(&id).await;
    assert_eq!((row.state, row.generation, row.redeeming_since), (state, generation, None));
}

/// What runs beside the server finds it by itself, and tells the log of those that are not as they should be.
#[tokio::test]
async fn nobody_has_to_ask_for_it() {
    let (log, _logged) = Log::listen();
    let (vendor, server) = start_with(On::Sqlite, "    vendor: { rotation: single_use }").await.unwrap();
    server.connected(HOUR).await;
    let id = server.connected(HOUR).await;
    crash(&server, &id).await;
    server.later(LEASE);
    let upkeep = tokio::spawn(run(server.app.clone()));
    until(&server, &id, State::NeedsReconnect(Loss::Interrupted), 1).await;
    let told = || log.text().lines().filter(|line| line.contains(": connections ")).count();
    while told() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    upkeep.abort();
    let line = r#": connections connection="code" state="needs_reconnect:interrupted" count=1"#;
    assert!(log.text().contains(line), "{}", log.text());
    assert_eq!((told(), vendor.asked().await), (1, 0), "nothing of the one that is");
}

#[tokio::test]
async fn a_vendor_that_is_down_is_asked_again_later() {
    let (vendor, server) = start_with(On::Sqlite, FORGETFUL).await.unwrap();
    let id = server.connected(HOUR).await;
    due_in(&server, &id, Duration::ZERO).await;
    vendor.says(ResponseTemplate::new(503));
    for _ in 0..3 {
        attend(&server.app).await.unwrap();
    }
    assert_eq!(vendor.asked().await, 1);
    assert_eq!(server.connection(&id).await.state, State::Degraded(Trouble::Unavailable));
    assert_eq!(access(&server, &id).await, "at-0", "who uses it notices nothing");
    server.later(Duration::from_secs(2));
    attend(&server.app).await.unwrap();
    assert_eq!(server.connection(&id).await.state, State::Active);
    assert_eq!(access(&server, &id).await, "at-1");
}

/// Every instance looks after all of them.
#[tokio::test(flavor = "multi_thread")]
async fn of_several_instances_one_refreshes() {
    let Some((vendor, server)) = start_with(On::Postgres, FORGETFUL).await else { return };
    let (second, third) = (server.twin().await, server.twin().await);
    let id = server.connected(HOUR).await;
    due_in(&server, &id, Duration::ZERO).await;
    vendor.takes(Duration::from_millis(200));
    let all = [attend(&server.app), attend(&second.app), attend(&third.app)];
    let [one, two, three] = all;
    let (one, two, three) = tokio::join!(one, two, three);
    one.and(two).and(three).unwrap();
    assert_eq!((vendor.asked().await, server.connection(&id).await.generation), (1, 2));
}

/// What is not configured any more, or is switched off, waits; and keeps nobody else waiting.
#[tokio::test]
async fn what_nobody_wants_is_left_alone() {
    let (vendor, server) = start(On::Sqlite).await.unwrap();
    let (off, gone, used) =
        (server.connected(HOUR).await, server.connected(HOUR).await, server.connected(HOUR).await);
    for id in [&off, &gone, &used] {
        due_in(&server, id, Duration::ZERO).await;
    }
    server.execute(format!("UPDATE connections SET name = 'gone' WHERE id = '{gone}'")).await;
    server.execute(format!("UPDATE connections SET state = 'disabled' WHERE id = '{off}'")).await;
    attend(&server.app).await.unwrap();
    let generations = [&off, &gone, &used].map(|id| server.connection(id));
    let [off, gone, used] = generations;
    let (off, gone, used) = tokio::join!(off, gone, used);
    assert_eq!((off.generation, gone.generation, used.generation), (1, 1, 2));
    assert_eq!(vendor.asked().await, 1);
}
