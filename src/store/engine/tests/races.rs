//! Many at once, on both engines.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use rstest::rstest;
use tokio::task::JoinSet;

use super::super::{Db, StoreError};
use crate::store::{fixture::On, on};

/// A table of numbers, and a counter that starts at zero.
pub(super) async fn numbers(db: &Db) {
    let mut tx = db.begin().await.unwrap();
    for sql in [
        "CREATE TABLE numbers (n BIGINT PRIMARY KEY)",
        "CREATE TABLE counter (total BIGINT NOT NULL)",
        "INSERT INTO counter (total) VALUES (0)",
    ] {
        on!(tx, |executor| sqlx::query(sql).execute(executor).await.map(|_| ())).unwrap();
    }
    tx.commit().await.unwrap();
}

/// Adds a number and counts it: two statements that must not come apart.
pub(super) async fn add(db: &Db, n: i64) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    on!(tx, |executor| {
        sqlx::query("INSERT INTO numbers (n) VALUES ($1)").bind(n).execute(executor).await.map(|_| ())
    })?;
    on!(tx, |executor| sqlx::query("UPDATE counter SET total = total + 1")
        .execute(executor)
        .await
        .map(|_| ()))?;
    tx.commit().await
}

/// All numbers, and what the counter says of them.
pub(super) async fn read(db: &Db) -> (Vec<i64>, i64) {
    let numbers = on!(db, |executor| {
        sqlx::query_scalar("SELECT n FROM numbers ORDER BY n").fetch_all(executor).await
    });
    let total = on!(db, |executor| sqlx::query_scalar("SELECT total FROM counter").fetch_one(executor).await);
    (numbers.unwrap(), total.unwrap())
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_acknowledged_is_there(#[values(On::Sqlite, On::Postgres)] engine: On) {
    const TASKS: i64 = 64;
    const EACH: i64 = 10;
    let Some(fresh) = engine.fresh().await else { return };
    numbers(&fresh.db).await;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let db = fresh.db.clone();
        tasks.spawn(async move {
            for i in 0..EACH {
                add(&db, task * EACH + i).await.unwrap();
                // Acknowledged means visible, at once and to everybody.
                assert!(read(&db).await.0.contains(&(task * EACH + i)));
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(read(&fresh.db).await, ((0..TASKS * EACH).collect(), TASKS * EACH));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_want_one_number_one_gets_it(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(fresh) = engine.fresh().await else { return };
    numbers(&fresh.db).await;
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let db = fresh.db.clone();
        tasks.spawn(async move { add(&db, 7).await });
    }
    let results = tasks.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().all(|result| matches!(result, Ok(()) | Err(StoreError::Conflict))), "{results:?}");
    assert_eq!(read(&fresh.db).await, (vec![7], 1));
}

/// A future that is dropped when it has been polled so many times: a client that goes away at that point.
struct DroppedAfter<F> {
    polls: usize,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for DroppedAfter<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            self.future = None;
        }
        self.polls = self.polls.saturating_sub(1);
        match &mut self.future {
            Some(future) => future.as_mut().poll(cx).map(Some),
            None => Poll::Ready(None),
        }
    }
}

/// Wherever the client goes away: its transaction is whole or not there, and the others notice nothing.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_may_go_away_at_every_await(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(fresh) = engine.fresh().await else { return };
    numbers(&fresh.db).await;
    let db = &fresh.db;
    let (mut acknowledged, mut indeterminate) = (Vec::new(), Vec::new());
    let (mut n, mut midway) = (0, 0);
    // On a machine that is busy every answer may be there when it is looked for: then all of it is tried again.
    for _ in 0..50 {
        for polls in 0.. {
            let mut finished = 0;
            for _ in 0..8 {
                n += 3;
                let leaving = DroppedAfter { polls, future: Some(Box::pin(add(db, n))) };
                let (left, first, second) = tokio::join!(leaving, add(db, n + 1), add(db, n + 2));
                first.unwrap();
                second.unwrap();
                acknowledged.extend([n + 1, n + 2]);
                if let Some(result) = left {
                    result.unwrap();
                    acknowledged.push(n);
                    finished += 1;
                } else {
                    indeterminate.push(n);
                    midway += usize::from(polls > 0);
                }
            }
            if finished == 8 {
                break;
            }
        }
        if midway > 0 {
            break;
        }
    }
    assert!(midway > 0, "the transaction was not interrupted often enough to mean anything");
    let (there, total) = read(db).await;
    assert_eq!(there.len(), usize::try_from(total).unwrap(), "a transaction came apart");
    assert!(acknowledged.iter().all(|n| there.binary_search(n).is_ok()));
    assert!(there.iter().all(|n| acknowledged.contains(n) || indeterminate.contains(n)));
}

/// A holder that panics lets go as well.
#[rstest]
#[tokio::test]
async fn a_panic_rolls_back(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(fresh) = engine.fresh().await else { return };
    numbers(&fresh.db).await;
    let db = fresh.db.clone();
    let panicked = tokio::spawn(async move {
        let mut tx = db.begin().await.unwrap();
        on!(tx, |executor| sqlx::query("INSERT INTO numbers (n) VALUES (1)")
            .execute(executor)
            .await
            .map(|_| ()))
        .unwrap();
        panic!("in the midst of a transaction");
    });
    assert!(panicked.await.is_err());
    add(&fresh.db, 2).await.unwrap();
    assert_eq!(read(&fresh.db).await, (vec![2], 1));
}
