//! SQLite's group commit: who shares a batch, and what one member's fate means for the others.

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::sqlite::SqliteConnectOptions;
use tokio::{task::JoinHandle, time::timeout};

use super::{
    super::{Db, StoreError, Tx, writer::Writer},
    races::{add, numbers, read},
};
use crate::store::{
    fixture::{Fresh, On},
    on,
};

/// Long enough for anything here that is not blocked to come about.
const SOON: Duration = Duration::from_millis(300);

/// Far too long for anything here that is not blocked for good.
const NEVER: Duration = Duration::from_secs(30);

async fn fresh() -> Fresh {
    let fresh = On::Sqlite.fresh().await.unwrap();
    numbers(&fresh.db).await;
    fresh
}

async fn insert(tx: &mut Tx, n: i64) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("INSERT INTO numbers (n) VALUES ($1)").bind(n).execute(executor).await.map(|_| ())
    })
}

async fn there(db: &Db) -> Vec<i64> {
    read(db).await.0
}

/// Three transactions in one batch: the first begun, the others already waiting behind it.
async fn three(db: &Db) -> (Tx, [JoinHandle<Tx>; 2]) {
    let first = db.begin().await.unwrap();
    let waiting = [(); 2].map(|()| {
        let db = db.clone();
        tokio::spawn(async move { db.begin().await.unwrap() })
    });
    tokio::task::yield_now().await;
    (first, waiting)
}

#[tokio::test]
async fn who_waits_is_committed_together_and_answered_together() {
    let fresh = fresh().await;
    let (mut first, [second, third]) = three(&fresh.db).await;
    insert(&mut first, 1).await.unwrap();
    let first = tokio::spawn(first.commit());

    let mut second = second.await.unwrap();
    insert(&mut second, 2).await.unwrap();
    let second = tokio::spawn(second.commit());

    let mut third = third.await.unwrap();
    insert(&mut third, 3).await.unwrap();
    tokio::time::sleep(SOON).await;
    assert!(!first.is_finished() && !second.is_finished(), "answered before the commit");
    assert_eq!(there(&fresh.db).await, [0; 0], "visible before the commit");

    third.commit().await.unwrap();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(there(&fresh.db).await, [1, 2, 3]);
}

#[tokio::test]
async fn nobody_is_waited_for() {
    let fresh = fresh().await;
    timeout(NEVER, add(&fresh.db, 1)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_member_that_fails_or_leaves_takes_nobody_along() {
    let fresh = fresh().await;
    let (mut first, [second, third]) = three(&fresh.db).await;
    insert(&mut first, 1).await.unwrap();
    let first = tokio::spawn(first.commit());

    let mut second = second.await.unwrap();
    insert(&mut second, 2).await.unwrap();
    assert!(matches!(insert(&mut second, 1).await, Err(StoreError::Conflict)));
    drop(second);

    let mut third = third.await.unwrap();
    insert(&mut third, 3).await.unwrap();
    drop(third);
    first.await.unwrap().unwrap();
    assert_eq!(there(&fresh.db).await, [1]);
}

#[tokio::test]
async fn the_first_to_fail_leaves_the_batch_to_the_others() {
    let fresh = fresh().await;
    let (mut first, [second, third]) = three(&fresh.db).await;
    insert(&mut first, 1).await.unwrap();
    drop(first);
    let mut second = second.await.unwrap();
    insert(&mut second, 2).await.unwrap();
    let second = tokio::spawn(second.commit());
    drop(third.await.unwrap());
    second.await.unwrap().unwrap();
    assert_eq!(there(&fresh.db).await, [2]);
}

#[tokio::test]
async fn who_stops_waiting_is_passed_over() {
    let fresh = fresh().await;
    let (first, [second, third]) = three(&fresh.db).await;
    second.abort();
    assert!(second.await.is_err());
    drop(first);
    let mut third = timeout(NEVER, third).await.unwrap().unwrap();
    insert(&mut third, 3).await.unwrap();
    third.commit().await.unwrap();
    assert_eq!(there(&fresh.db).await, [3]);
}

/// A deferred constraint, which no table of ours has, is the way to make `COMMIT` itself fail.
#[tokio::test]
async fn a_failed_commit_fails_every_member_and_the_next_batch_works() {
    let fresh = fresh().await;
    let mut tx = fresh.db.begin().await.unwrap();
    on!(tx, |executor| {
        sqlx::query("CREATE TABLE late (n BIGINT REFERENCES numbers (n) DEFERRABLE INITIALLY DEFERRED)")
            .execute(executor)
            .await
            .map(|_| ())
    })
    .unwrap();
    tx.commit().await.unwrap();

    let (mut first, [second, third]) = three(&fresh.db).await;
    insert(&mut first, 1).await.unwrap();
    let first = tokio::spawn(first.commit());
    let mut second = second.await.unwrap();
    on!(second, |executor| sqlx::query("INSERT INTO late (n) VALUES (99)")
        .execute(executor)
        .await
        .map(|_| ()))
    .unwrap();
    let second = tokio::spawn(second.commit());
    let mut third = third.await.unwrap();
    insert(&mut third, 3).await.unwrap();

    assert!(matches!(third.commit().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(first.await.unwrap(), Err(StoreError::Unavailable(_))));
    assert!(matches!(second.await.unwrap(), Err(StoreError::Unavailable(_))));
    assert_eq!(there(&fresh.db).await, [0; 0]);
    add(&fresh.db, 4).await.unwrap();
    assert_eq!(there(&fresh.db).await, [4]);
}

/// `ROLLBACK` behind the writer's back stands for every error at which SQLite itself ends the whole transaction
/// (a full disk, a failed write): no member of the batch may believe that it was committed.
#[tokio::test]
async fn a_transaction_that_sqlite_ended_fails_every_member() {
    let fresh = fresh().await;
    let (mut first, [second, third]) = three(&fresh.db).await;
    insert(&mut first, 1).await.unwrap();
    let first = tokio::spawn(first.commit());
    let mut second = second.await.unwrap();
    on!(second, |executor| sqlx::query("ROLLBACK").execute(executor).await.map(|_| ())).unwrap();
    drop(second);
    assert!(matches!(first.await.unwrap(), Err(StoreError::Unavailable(_))));
    let mut third = third.await.unwrap();
    insert(&mut third, 3).await.unwrap();
    third.commit().await.unwrap();
    assert_eq!(there(&fresh.db).await, [3]);
}

#[tokio::test]
async fn who_waits_too_long_is_told_so_and_the_holder_is_not_disturbed() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("x.db")).create_if_missing(true);
    let writer = Writer::open(Arc::new(options), SOON).await.unwrap();
    let mut holder = writer.begin().await.unwrap();
    let Err(StoreError::Unavailable(error)) = writer.begin().await else { panic!("two writers at once") };
    assert!(matches!(*error, sqlx::Error::PoolTimedOut));
    sqlx::query("CREATE TABLE t (n)").execute(holder.connection()).await.unwrap();
    holder.commit().await.unwrap();
    drop(writer.begin().await.unwrap());
}

#[tokio::test]
async fn closing_serves_those_who_wait_and_leaves_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chancery.db");
    let db = Db::open_sqlite(&path).await.unwrap();
    numbers(&db).await;
    let first = db.begin().await.unwrap();
    let waiting = tokio::spawn({
        let db = db.clone();
        async move { add(&db, 2).await }
    });
    tokio::task::yield_now().await;
    let closing = tokio::spawn({
        let db = db.clone();
        async move { db.close().await }
    });
    tokio::time::sleep(SOON).await;
    assert!(!closing.is_finished(), "closed under a transaction");
    drop(first);
    waiting.await.unwrap().unwrap();
    closing.await.unwrap();
    assert!(matches!(add(&db, 3).await, Err(StoreError::Unavailable(_))));
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["chancery.db"]);
}

/// Another process at the same file, such as a backup or a second server started by mistake.
#[tokio::test]
async fn another_process_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = &folder.path().join("chancery.db");
    let (here, elsewhere) = (Db::open_sqlite(path).await.unwrap(), Db::open_sqlite(path).await.unwrap());
    numbers(&here).await;
    let mut tx = elsewhere.begin().await.unwrap();
    insert(&mut tx, 1).await.unwrap();
    let waiting = tokio::spawn({
        let here = here.clone();
        async move { add(&here, 2).await }
    });
    tokio::time::sleep(SOON).await;
    assert!(!waiting.is_finished());
    tx.commit().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(there(&elsewhere).await, [1, 2]);
}
