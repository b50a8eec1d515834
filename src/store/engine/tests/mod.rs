//! What holds of the engine on both databases; below it, what holds of each.

mod crash;
mod files;
mod group_commit;
mod migrations;
mod postgres;
mod races;

use rstest::rstest;
use sqlx::types::Json;

use super::{Db, Engine, StoreError, Tx};
use crate::{
    clock::{Clock, Timestamp},
    entropy::Entropy,
    ids::{GrantId, UserId},
    secret::TokenHash,
    store::{fixture::On, on},
};

/// A row with every type of column that tables use.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
struct Thing {
    id: UserId,
    at: Timestamp,
    hash: TokenHash,
    note: Option<String>,
    list: Json<Vec<String>>,
    grant_id: Option<GrantId>,
    on_off: bool,
}

fn thing(entropy: &Entropy) -> Thing {
    let clock = Clock::manual(Timestamp::from_millis(1_795_219_200_123));
    Thing {
        id: UserId::new(&clock, entropy),
        at: clock.now(),
        hash: TokenHash::of(&entropy.token()),
        note: None,
        list: Json(vec!["a\u{0}b".replace('\u{0}', "'"), "ü".into()]),
        grant_id: Some(GrantId::new(&clock, entropy)),
        on_off: true,
    }
}

async fn create(db: &Db) {
    let mut tx = db.begin().await.unwrap();
    match tx.executor() {
        Engine::Sqlite(c) => sqlx::raw_sql(
            "CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY, at INTEGER NOT NULL, hash BLOB NOT NULL UNIQUE, \
             note TEXT, list TEXT NOT NULL, grant_id TEXT, on_off INTEGER NOT NULL) STRICT",
        )
        .execute(c)
        .await
        .map(|_| ()),
        Engine::Postgres(c) => sqlx::raw_sql(
            "CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, hash BYTEA NOT NULL UNIQUE, \
             note TEXT, list JSONB NOT NULL, grant_id TEXT, on_off BOOLEAN NOT NULL)",
        )
        .execute(c)
        .await
        .map(|_| ()),
    }
    .unwrap();
    tx.commit().await.unwrap();
}

async fn insert(tx: &mut Tx, thing: &Thing) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("INSERT INTO things (id, at, hash, note, list, grant_id, on_off) VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(&thing.id)
            .bind(thing.at)
            .bind(&thing.hash)
            .bind(&thing.note)
            .bind(&thing.list)
            .bind(&thing.grant_id)
            .bind(thing.on_off)
            .execute(executor)
            .await
            .map(|_| ())
    })
}

async fn find(db: &Db, id: &UserId) -> Result<Option<Thing>, StoreError> {
    on!(db, |executor| {
        sqlx::query_as("SELECT * FROM things WHERE id = $1").bind(id).fetch_optional(executor).await
    })
}

#[rstest]
#[tokio::test]
async fn a_row_comes_back_as_it_went_in(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    create(&fresh.db).await;
    let thing = thing(&Entropy::seeded(1));
    let mut tx = fresh.db.begin().await.unwrap();
    insert(&mut tx, &thing).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(find(&fresh.db, &thing.id).await.unwrap(), Some(thing));
}

#[rstest]
#[tokio::test]
async fn a_dropped_transaction_leaves_nothing(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    create(&fresh.db).await;
    let thing = thing(&Entropy::seeded(1));
    let mut tx = fresh.db.begin().await.unwrap();
    insert(&mut tx, &thing).await.unwrap();
    drop(tx);
    assert_eq!(find(&fresh.db, &thing.id).await.unwrap(), None);
    fresh.db.ping().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn after_a_conflict_nothing_can_be_committed(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    create(&fresh.db).await;
    let thing = thing(&Entropy::seeded(1));
    let mut tx = fresh.db.begin().await.unwrap();
    insert(&mut tx, &thing).await.unwrap();
    assert!(matches!(insert(&mut tx, &thing).await, Err(StoreError::Conflict)));
    assert!(matches!(tx.commit().await, Err(StoreError::Conflict)));
    assert_eq!(find(&fresh.db, &thing.id).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn a_closed_database_is_unavailable(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(fresh) = on.fresh().await else { return };
    fresh.db.close().await;
    assert!(matches!(fresh.db.begin().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(fresh.db.ping().await, Err(StoreError::Unavailable(_))));
}
