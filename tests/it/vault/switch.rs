//! What the kill switch stops besides handing out: nothing of a connection that is off moves.

use std::time::Duration;

use chancery::{
    admin::Operator,
    entropy::Entropy,
    store::switched_off::Switch,
    vault::{
        refresh::{NotFresh, upkeep::attend},
        state::State,
    },
};
use rstest::rstest;
use tokio::time::sleep;

use super::{
    house::named,
    refresh::{access, start, start_with, until},
};
use crate::support::{On, Server, vault::CODE};

const HOUR: Duration = Duration::from_secs(3600);

async fn switch(server: &Server, on: bool) {
    let name = named(CODE);
    let operator = Operator::new(&server.app.config, &server.app.db, (&server.clock, &Entropy::System));
    let switch = Switch::Connection(&name);
    let done = if on { operator.enable(switch).await } else { operator.disable(switch).await };
    assert!(done.unwrap().changed);
}

/// Somebody who waits for a vendor that is slow gets nothing once an operator was told that nobody does; and nothing is
/// lost by that.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_gets_nothing_any_more(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start(on).await else { return };
    let twin = server.twin().await;
    let id = server.connected(Duration::ZERO).await;
    vendor.takes(Duration::from_secs(3));
    let (here, there, ()) = tokio::join!(server.fresh(&id), twin.fresh(&id), async {
        while vendor.asked().await == 0 {
            sleep(Duration::from_millis(20)).await;
        }
        switch(&server, false).await;
    });
    assert!(matches!(here, Err(NotFresh::Disabled)), "{here:?}");
    assert!(matches!(there, Err(NotFresh::Disabled)), "{there:?}");
    until(&server, &id, State::Active, 2).await;
    switch(&server, true).await;
    assert_eq!((access(&twin, &id).await, vendor.asked().await), ("at-1".to_owned(), 1));
}

/// Neither for whoever asks nor to keep tokens alive: the vendor may be in the wrong hands.
#[rstest]
#[tokio::test]
async fn the_vendor_is_not_asked(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start_with(on, "    vendor: { idle_expiry: 10d }").await else { return };
    let id = server.connected(HOUR).await;
    let due = server.clock.now().as_millis();
    server.execute(format!("UPDATE connections SET refresh_due_at = {due}")).await;
    switch(&server, false).await;
    server.later(HOUR);
    let outcome = server.fresh(&id).await;
    assert!(matches!(outcome, Err(NotFresh::Disabled)), "{outcome:?}");
    attend(&server.app).await.unwrap();
    assert_eq!((vendor.asked().await, server.connection(&id).await.generation), (0, 1));
    switch(&server, true).await;
    attend(&server.app).await.unwrap();
    assert_eq!((vendor.asked().await, server.connection(&id).await.generation), (1, 2));
}
