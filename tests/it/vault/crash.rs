//! What an instance leaves that stopped in the midst of a refresh.

use std::time::Duration;

use chancery::{
    ids::ConnectionId,
    store::connections,
    vault::{
        refresh::NotFresh,
        state::{Loss, State},
    },
};
use rstest::rstest;

use super::refresh::{access, start_with};
use crate::support::{On, Server};

/// How long a lease is.
pub(crate) const LEASE: Duration = Duration::from_secs(20);

/// Another instance takes the lease, writes that it is about to send the token, and is gone.
pub(crate) async fn crash(server: &Server, id: &ConnectionId) {
    let row = server.connection(id).await;
    let now = server.clock.now();
    let mut tx = server.app.db.begin().await.unwrap();
    let lease = connections::begin_redeeming(&mut tx, &row, "gone", (now, now.plus(LEASE))).await.unwrap();
    assert!(lease.is_some());
    tx.commit().await.unwrap();
}

/// Before the vendor sees a token the row says since when, and until when nobody else sends it.
#[rstest]
#[tokio::test]
async fn what_is_about_to_be_sent_is_written_before(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start_with(on, "").await else { return };
    let id = server.connected(Duration::ZERO).await;
    vendor.takes(Duration::from_millis(500));
    let look = async {
        while vendor.asked().await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (row, now) = (server.connection(&id).await, server.clock.now());
        assert_eq!((row.redeeming_since, row.leased_until), (Some(now), Some(now.plus(LEASE))));
        assert!(row.lease_owner.is_some());
    };
    let (token, ()) = tokio::join!(access(&server, &id), look);
    assert_eq!(token, "at-1");
}

#[rstest]
#[case::good_once("single_use", 0, 20, false)]
#[case::within_the_window("single_use", 60, 20, true)]
#[case::after_the_window("single_use", 60, 60, false)]
#[case::old_one_works("replace", 0, 3000, true)]
#[case::stays("none", 0, 3000, true)]
#[tokio::test]
async fn the_token_is_sent_again_where_the_vendor_bears_that(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] rotation: &str,
    #[case] window: u64,
    #[case] ago: u64,
    #[case] again: bool,
) {
    let keys = format!("    vendor: {{ rotation: {rotation}, reuse_window: {window}s }}");
    let Some((vendor, server)) = start_with(on, &keys).await else { return };
    let id = server.connected(Duration::ZERO).await;
    crash(&server, &id).await;
    server.later(Duration::from_secs(ago));
    if again {
        assert_eq!(access(&server, &id).await, "at-1");
        let row = server.connection(&id).await;
        assert_eq!((row.state, row.redeeming_since), (State::Active, None));
    } else {
        for _ in 0..2 {
            assert!(matches!(server.fresh(&id).await, Err(NotFresh::Reconnect(Loss::Interrupted))));
        }
        assert_eq!(vendor.asked().await, 0);
        assert_eq!(server.reasons("connection.lost").await, ["interrupted"]);
        assert_eq!(server.connection(&id).await.redeeming_since, None, "it is settled");
    }
}

/// Two crashes do not make the window longer: it began when the vendor may have seen the token first.
#[tokio::test]
async fn the_window_is_that_of_the_first_crash() {
    let keys = "    vendor: { rotation: single_use, reuse_window: 30s }";
    let (vendor, server) = start_with(On::Sqlite, keys).await.unwrap();
    let id = server.connected(Duration::ZERO).await;
    crash(&server, &id).await;
    server.later(LEASE);
    crash(&server, &id).await;
    server.later(LEASE);
    assert!(matches!(server.fresh(&id).await, Err(NotFresh::Reconnect(Loss::Interrupted))));
    assert_eq!(vendor.asked().await, 0);
}

/// While the lease lasts its holder may be alive: what is good is served, and nobody sends the token again.
#[rstest]
#[tokio::test]
async fn a_holder_who_may_be_alive_is_waited_for(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start_with(on, "    vendor: { rotation: none }").await else { return };
    let id = server.connected(Duration::from_secs(25)).await;
    crash(&server, &id).await;
    server.later(Duration::from_secs(15));
    assert_eq!(access(&server, &id).await, "at-0");
    server.later(Duration::from_secs(1));
    let waits = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(vendor.asked().await, 0);
        server.later(LEASE);
    };
    let (token, ()) = tokio::join!(access(&server, &id), waits);
    assert_eq!(token, "at-1");
    assert_eq!(vendor.asked().await, 1);
}
