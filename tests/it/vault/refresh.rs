//! An access token that is good now: one refresh for everybody, and what the vendor gave is never lost.

use std::time::Duration;

use chancery::{
    ids::ConnectionId,
    secret::Secret,
    store::connections::{self, Renewed},
    vault::{
        refresh::NotFresh,
        safe::{Kept, Place},
        state::{Loss, State},
    },
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use crate::support::{
    On, Server,
    vault::{LIFETIME, Vendor, refused},
};

const HOUR: Duration = Duration::from_secs(3600);
/// Its last half minute is a time in which a token is refreshed before it is handed out.
const NEARLY_OVER: Duration = Duration::from_secs(30);
const OVER: Duration = Duration::ZERO;

pub(crate) async fn start(on: On) -> Option<(Vendor, Server)> {
    start_with(on, "").await
}

/// `keys`: of the connection.
pub(crate) async fn start_with(on: On, keys: &str) -> Option<(Vendor, Server)> {
    let vendor = Vendor::start().await;
    let server = Server::start_with(on, &vendor.sections(keys)).await?;
    Some((vendor, server))
}

/// The access token that is handed out.
pub(crate) async fn access(server: &Server, id: &ConnectionId) -> String {
    server.fresh(id).await.unwrap().access.expose().to_owned()
}

/// Waits until the row is as it should be.
pub(crate) async fn until(server: &Server, id: &ConnectionId, state: State, generation: i64) {
    for _ in 0..500 {
        let row = server.connection(id).await;
        if (row.state, row.generation) == (state, generation) {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("not {state} of generation {generation}: {:?}", server.connection(id).await);
}

#[rstest]
#[tokio::test]
async fn the_vendor_is_asked_when_the_token_nears_its_end_and_then_no_more(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some((vendor, server)) = start(on).await else { return };
    let id = server.connected(HOUR).await;
    assert_eq!(access(&server, &id).await, "at-0");
    assert_eq!(vendor.asked().await, 0);

    server.later(Duration::from_secs(3570));
    assert_eq!(access(&server, &id).await, "at-1");
    let row = server.connection(&id).await;
    let now = server.clock.now();
    assert_eq!((row.generation, row.refreshed_at, row.expires_at), (2, now, Some(now.plus(LIFETIME))));
    assert_eq!((row.redeeming_since, row.leased_until, row.lease_owner), (None, None, None));
    assert_eq!(row.details.0["api"], "https://api.code.example", "what an answer leaves out stays");
    assert_eq!(access(&server, &id).await, "at-1");
    server.later(HOUR);
    assert_eq!(access(&server, &id).await, "at-2", "by the refresh token that came with the one before");
    assert_eq!((vendor.asked().await, vendor.given_and_reused()), (2, (2, 0)));
    assert_eq!(server.recorded("connection.refreshed").await, 2);
    let detail = server.last("connection.refreshed").await;
    assert_eq!(
        (detail.detail("connection"), detail.detail("connection_id")),
        ("code".into(), id.to_string())
    );
    assert_eq!(detail.detail("was"), "", "it has recovered from nothing");
}

#[rstest]
#[tokio::test]
async fn a_token_that_is_still_good_is_served_while_the_next_is_fetched(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some((vendor, server)) = start(on).await else { return };
    let id = server.connected(Duration::from_secs(200)).await;
    vendor.takes(Duration::from_millis(200));
    assert_eq!(access(&server, &id).await, "at-0");
    until(&server, &id, State::Active, 2).await;
    assert_eq!(access(&server, &id).await, "at-1");
    assert_eq!(vendor.asked().await, 1);
}

/// Two hundred ask at once at every instance there is; a second refresh would end the account.
#[rstest]
#[case(On::Sqlite, 1)]
#[case(On::Postgres, 3)]
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_one_refresh(#[case] on: On, #[case] instances: usize) {
    let Some((vendor, server)) = start(on).await else { return };
    let mut all = vec![server];
    while all.len() < instances {
        all.push(all[0].twin().await);
    }
    for (round, left) in [OVER, NEARLY_OVER].into_iter().enumerate() {
        let id = all[0].connected_with(left, Some(&format!("rt-{round}"))).await;
        vendor.takes(Duration::from_millis(300));
        let mut callers = JoinSet::new();
        for caller in 0..200 {
            let server = &all[caller % instances];
            let (app, row) = (server.app.clone(), server.connection(&id).await);
            callers.spawn(async move {
                let configured = app.config.connections.get(&row.name).unwrap();
                chancery::vault::refresh::fresh(&app, configured, row).await
            });
        }
        let new = format!("at-{}", round + 1);
        for outcome in callers.join_all().await {
            let access = outcome.unwrap().access;
            assert!(access.expose() == new || left == NEARLY_OVER && access.expose() == "at-0");
        }
        until(&all[0], &id, State::Active, 2).await;
        assert_eq!((vendor.asked().await, vendor.given_and_reused()), (round + 1, (round as u64 + 1, 0)));
    }
}

#[rstest]
#[tokio::test]
async fn whoever_asked_may_go_away(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start(on).await else { return };
    let id = server.connected(OVER).await;
    vendor.takes(Duration::from_millis(300));
    let gone = tokio::time::timeout(Duration::from_millis(100), server.fresh(&id)).await;
    assert!(gone.is_err());
    until(&server, &id, State::Active, 2).await;
    assert_eq!(access(&server, &id).await, "at-1");
    assert_eq!(vendor.asked().await, 1);
}

/// A server that is told to stop stores what is under way.
#[tokio::test]
async fn stopping_waits_for_what_the_vendor_gives() {
    let (vendor, server) = start(On::Sqlite).await.unwrap();
    let id = server.connected(OVER).await;
    vendor.takes(Duration::from_millis(300));
    assert!(tokio::time::timeout(Duration::from_millis(100), server.fresh(&id)).await.is_err());
    server.app.vault.flights.settle(Duration::from_secs(10)).await;
    assert_eq!(server.connection(&id).await.generation, 2);
}

#[rstest]
#[case::none_returned(json!({ "refresh_token": Value::Null }), "rt-0")]
#[case::empty(json!({ "refresh_token": "" }), "rt-0")]
#[case::another(json!({}), "rt-1")]
#[tokio::test]
async fn the_refresh_token_stays_where_there_is_no_new_one(#[case] also: Value, #[case] expected: &str) {
    let (vendor, server) = start(On::Sqlite).await.unwrap();
    let id = server.connected(OVER).await;
    vendor.says_also(also);
    access(&server, &id).await;
    let row = server.connection(&id).await;
    let kept = server.app.vault.safe.open(&row, server.clock.now()).await.unwrap();
    assert_eq!(kept.refresh.unwrap().expose(), expected);
}

#[rstest]
#[tokio::test]
async fn without_a_refresh_token_a_token_is_good_to_its_end(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start(on).await else { return };
    let id = server.connected_with(NEARLY_OVER, None).await;
    assert_eq!(access(&server, &id).await, "at-0");
    server.later(NEARLY_OVER);
    for _ in 0..2 {
        assert!(matches!(server.fresh(&id).await, Err(NotFresh::Reconnect(Loss::Expired))));
    }
    assert_eq!(
        (vendor.asked().await, server.reasons("connection.lost").await),
        (0, vec!["expired".to_owned()])
    );
}

/// The vendor does not know the token, since a sibling has replaced it meanwhile: that is no reason to give up.
#[rstest]
#[tokio::test]
async fn a_refusal_counts_only_if_the_token_is_still_ours(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start(on).await else { return };
    let id = server.connected(OVER).await;
    vendor.says(refused(400, "invalid_grant").set_delay(Duration::from_millis(500)));
    let sibling = async {
        sleep(Duration::from_millis(200)).await;
        let row = server.connection(&id).await;
        let place = Place { id: &id, user: &row.user_id, name: &row.name, generation: 2 };
        let ready = server.app.vault.safe.prepare(&server.app.entropy, place).await.unwrap();
        let kept = Kept { access: Secret::new("of-the-sibling".to_owned()), refresh: None };
        let now = server.clock.now();
        let renewed = Renewed {
            tokens: kept.seal(ready),
            scope: row.scope,
            details: row.details.0,
            expires_at: Some(now.plus(LIFETIME)),
            refresh_expires_at: None,
            refreshed_at: now,
            refresh_due_at: None,
            state: State::Active,
        };
        let mut tx = server.app.db.begin().await.unwrap();
        assert!(connections::renew(&mut tx, &id, 1, &renewed).await.unwrap());
        tx.commit().await.unwrap();
    };
    let (access, ()) = tokio::join!(access(&server, &id), sibling);
    assert_eq!(access, "of-the-sibling");
    assert_eq!(server.recorded("connection.lost").await, 0);
}

/// This instance was so slow that its lease ended and another one gave the connection up. What it then gets still
/// counts.
#[rstest]
#[tokio::test]
async fn tokens_that_come_late_are_kept(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start(on).await else { return };
    let other = server.twin().await;
    let id = server.connected(OVER).await;
    vendor.takes(Duration::from_millis(800));
    let meanwhile = async {
        sleep(Duration::from_millis(300)).await;
        server.later(Duration::from_secs(60));
        assert!(matches!(other.fresh(&id).await, Err(NotFresh::Reconnect(Loss::Interrupted))));
    };
    let (late, ()) = tokio::join!(access(&server, &id), meanwhile);
    assert_eq!(late, "at-1");
    assert_eq!(access(&other, &id).await, "at-1");
    assert_eq!(server.last("connection.refreshed").await.detail("was"), "needs_reconnect:interrupted");
}

/// The account was disconnected while the vendor made new tokens: they must be ended as well.
#[rstest]
#[tokio::test]
async fn tokens_of_an_account_that_is_gone_are_owed_to_the_vendor(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some((vendor, server)) = start(on).await else { return };
    let id = server.connected(OVER).await;
    vendor.takes(Duration::from_millis(400));
    let leave = async {
        sleep(Duration::from_millis(150)).await;
        let mut tx = server.app.db.begin().await.unwrap();
        connections::delete(&mut tx, &id).await.unwrap().unwrap();
        tx.commit().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(server.fresh(&id), leave);
    assert!(matches!(outcome, Err(NotFresh::Gone)), "{outcome:?}");
    let mut tx = server.app.db.begin().await.unwrap();
    let now = server.clock.now();
    let owed = chancery::store::revocations::take(&mut tx, (now, now.plus(HOUR)), 9).await.unwrap();
    assert_eq!(owed.len(), 1);
    let kept = server.app.vault.safe.open_owed(&owed[0], now).await.unwrap();
    assert_eq!((kept.access.expose(), kept.refresh.unwrap().expose()), ("at-1", "rt-1"));
}

#[rstest]
#[tokio::test]
async fn what_was_switched_off_meanwhile_is_stored_and_not_served(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some((vendor, server)) = start(on).await else { return };
    let id = server.connected(OVER).await;
    vendor.takes(Duration::from_millis(400));
    let switch = async {
        sleep(Duration::from_millis(150)).await;
        let mut tx = server.app.db.begin().await.unwrap();
        connections::set_state(&mut tx, &id, State::Disabled).await.unwrap();
        tx.commit().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(server.fresh(&id), switch);
    assert!(matches!(outcome, Err(NotFresh::Disabled)), "{outcome:?}");
    let row = server.connection(&id).await;
    assert_eq!((row.state, row.generation), (State::Disabled, 2));
}

/// The only token that works is in our hands, and the database is away.
#[rstest]
#[tokio::test]
async fn storing_is_tried_until_the_database_is_back(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start(on).await else { return };
    let id = server.connected(OVER).await;
    vendor.takes(Duration::from_millis(400));
    let outage = async {
        sleep(Duration::from_millis(150)).await;
        server.hide("audit").await;
        sleep(Duration::from_millis(800)).await;
        server.unhide("audit").await;
    };
    let (access, ()) = tokio::join!(access(&server, &id), outage);
    assert_eq!(access, "at-1");
    assert_eq!((vendor.asked().await, server.connection(&id).await.generation), (1, 2));
    assert_eq!(server.recorded("connection.refreshed").await, 1, "the tokens and their row are one");
}
