//! Durable commits a second: what group commit buys on SQLite, beside PostgreSQL on the same machine.
//!
//! Each transaction inserts one 256-byte row and is counted once its commit was acknowledged. PostgreSQL takes part
//! when `CHANCERY_TEST_POSTGRES` names a server. What a disk's sync costs decides the numbers, so compare within a
//! run only.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark stops at the first fault")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use chancery::store::{Db, Engine};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{runtime::Runtime, task::JoinSet};

const CLIENTS: [u64; 3] = [1, 16, 64];
const INSERT: &str = "INSERT INTO bench (body) VALUES ($1)";

/// Where rows go.
#[derive(Clone)]
enum Target {
    /// Through the product's own `Db`.
    Chancery(Db),
    /// A pool of one connection, one commit a transaction: SQLite without group commit.
    Plain(SqlitePool),
}

impl Target {
    async fn create(&self, sql: &'static str) {
        match self {
            Self::Chancery(db) => {
                let mut tx = db.begin().await.unwrap();
                match tx.executor() {
                    Engine::Sqlite(c) => sqlx::query(sql).execute(c).await.map(|_| ()),
                    Engine::Postgres(c) => sqlx::query(sql).execute(c).await.map(|_| ()),
                }
                .unwrap();
                tx.commit().await.unwrap();
            }
            Self::Plain(pool) => drop(sqlx::query(sql).execute(pool).await.unwrap()),
        }
    }

    async fn insert(&self) {
        let body = [7_u8; 256].as_slice();
        match self {
            Self::Chancery(db) => {
                let mut tx = db.begin().await.unwrap();
                match tx.executor() {
                    Engine::Sqlite(c) => sqlx::query(INSERT).bind(body).execute(c).await.map(|_| ()),
                    Engine::Postgres(c) => sqlx::query(INSERT).bind(body).execute(c).await.map(|_| ()),
                }
                .unwrap();
                tx.commit().await.unwrap();
            }
            Self::Plain(pool) => {
                let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
                sqlx::query(INSERT).bind(body).execute(&mut *tx).await.unwrap();
                tx.commit().await.unwrap();
            }
        }
    }

    /// How long `count` transactions of `clients` tasks take.
    async fn time(&self, clients: u64, count: u64) -> Duration {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            let share = count / clients + u64::from(client < count % clients);
            let target = self.clone();
            tasks.spawn(async move {
                for _ in 0..share {
                    target.insert().await;
                }
            });
        }
        tasks.join_all().await;
        begun.elapsed()
    }
}

async fn plain(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .unwrap()
}

fn commits(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut targets = vec![
        ("sqlite, one commit each", Target::Plain(runtime.block_on(plain(&folder.path().join("plain.db"))))),
        (
            "sqlite, group commit",
            Target::Chancery(runtime.block_on(Db::open_sqlite(&folder.path().join("group.db"))).unwrap()),
        ),
    ];
    for (_, target) in &targets {
        runtime.block_on(target.create("CREATE TABLE bench (body BLOB NOT NULL) STRICT"));
    }
    if let Ok(url) = std::env::var("CHANCERY_TEST_POSTGRES").as_deref()
        && url != "skip"
    {
        let postgres = Target::Chancery(runtime.block_on(Db::open_postgres(url)).unwrap());
        runtime.block_on(postgres.create("DROP TABLE IF EXISTS bench"));
        runtime.block_on(postgres.create("CREATE TABLE bench (body BYTEA NOT NULL)"));
        targets.push(("postgres", postgres));
    }
    let mut group = criterion.benchmark_group("durable commits");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(4));
    for (name, target) in &targets {
        for clients in CLIENTS {
            group.bench_with_input(BenchmarkId::new(*name, clients), &clients, |bencher, clients| {
                bencher.iter_custom(|count| runtime.block_on(target.time(*clients, count)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, commits);
criterion_main!(benches);
