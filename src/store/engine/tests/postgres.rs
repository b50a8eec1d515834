//! PostgreSQL's connections: their limits, and what happens when they break.

use super::{
    super::{Db, Engine, StoreError},
    races::{add, numbers, read},
};
use crate::{
    config::database::DatabaseUrl,
    secret::Secret,
    store::{
        fixture::{On, fresh_schema},
        on,
    },
};

async fn setting(db: &Db, name: &str) -> String {
    let Engine::Postgres(pool) = db.executor() else { panic!("not PostgreSQL") };
    sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn what_hangs_is_cut_off() {
    let Some(fresh) = On::Postgres.fresh().await else { return };
    assert_eq!(setting(&fresh.db, "statement_timeout").await, "10s");
    assert_eq!(setting(&fresh.db, "lock_timeout").await, "5s");
    assert_eq!(setting(&fresh.db, "idle_in_transaction_session_timeout").await, "10s");
    assert_eq!(setting(&fresh.db, "application_name").await, "chancery");
}

#[tokio::test]
async fn the_operator_s_own_limits_stand() {
    let Some(url) = fresh_schema().await else { return };
    let db = Db::open_postgres(&format!("{url}&options[statement_timeout]=50ms")).await.unwrap();
    assert_eq!(setting(&db, "statement_timeout").await, "50ms");
    let Engine::Postgres(pool) = db.executor() else { panic!("not PostgreSQL") };
    let slept = sqlx::query("SELECT pg_sleep(60)").execute(pool).await.map_err(StoreError::from);
    assert!(matches!(slept, Err(StoreError::Unavailable(_))), "{slept:?}");
}

#[tokio::test]
async fn whoever_only_looks_writes_nothing() {
    let Some(url) = fresh_schema().await else { return };
    Db::open_postgres(&url).await.unwrap().migrate().await.unwrap();
    let db = Db::open_read_only(&DatabaseUrl::Postgres(Secret::new(url))).await.unwrap();
    db.expect_current().await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let written = on!(tx, |executor| sqlx::query("DELETE FROM users").execute(executor).await.map(|_| ()));
    assert!(written.is_err());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let opened = Db::open_postgres(&format!("postgres://someone@127.0.0.1:{port}/db")).await;
    assert!(matches!(opened, Err(StoreError::Unavailable(_))));
}

/// A restarted server, or a proxy that hung up: the transaction in hand is lost and says so, the next one works.
#[tokio::test]
async fn a_broken_connection_is_replaced() {
    let Some(fresh) = On::Postgres.fresh().await else { return };
    numbers(&fresh.db).await;
    let mut tx = fresh.db.begin().await.unwrap();
    on!(tx, |executor| sqlx::query("INSERT INTO numbers (n) VALUES (1)").execute(executor).await.map(|_| ()))
        .unwrap();
    let Engine::Postgres(connection) = tx.executor() else { panic!("not PostgreSQL") };
    let process: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await.unwrap();
    let Engine::Postgres(pool) = fresh.db.executor() else { panic!("not PostgreSQL") };
    sqlx::query("SELECT pg_terminate_backend($1)").bind(process).execute(pool).await.unwrap();
    assert!(matches!(tx.commit().await, Err(StoreError::Unavailable(_))));
    add(&fresh.db, 2).await.unwrap();
    assert_eq!(read(&fresh.db).await, (vec![2], 1));
}
