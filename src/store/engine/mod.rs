//! `Db` and `Tx`: the two engines behind one handle.
//!
//! A [`Tx`] that is dropped, whether by an error, a panic or a client that went away, is rolled back; what was
//! written is in force only after [`Tx::commit`] returned `Ok`. Never hold one across network I/O: on SQLite it
//! is the only writer.

mod error;
mod migrate;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;

use sqlx::{PgConnection, PgPool, SqliteConnection, SqlitePool};

use crate::config::database::DatabaseUrl;

pub use self::{error::StoreError, migrate::MigrateError, sqlite::Sqlite, writer::SqliteTx};

/// A thing that comes in two makes, one for each database.
pub enum Engine<S, P> {
    /// SQLite's.
    Sqlite(S),
    /// PostgreSQL's.
    Postgres(P),
}

/// An open database. Cheap to clone: clones share the connections.
#[derive(Clone)]
pub enum Db {
    /// A file on this machine.
    Sqlite(Sqlite),
    /// A server, which several instances may share.
    Postgres(PgPool),
}

impl Db {
    /// Opens the database that the configuration names.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => Self::open_sqlite(path).await,
            DatabaseUrl::Postgres(url) => Self::open_postgres(url.expose()).await,
        }
    }

    /// Opens the database to look at it: nothing can be written, and a SQLite file that is missing is not made.
    pub async fn open_read_only(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => Sqlite::open_read_only(path).await.map(Self::Sqlite),
            DatabaseUrl::Postgres(url) => postgres::open_read_only(url.expose()).await.map(Self::Postgres),
        }
    }

    /// Opens a SQLite file. If it is missing it is made, readable by its owner alone, as is the folder right
    /// above it. Must be called within a Tokio runtime, in which the writer will live.
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        Sqlite::open(path).await.map(Self::Sqlite)
    }

    /// Opens a pool of connections to the PostgreSQL server at `url`; one is made at once to prove the address.
    pub async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        postgres::open(url).await.map(Self::Postgres)
    }

    /// Brings the tables up to what this binary expects. Instances that start together wait for one another.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        match self {
            Self::Sqlite(sqlite) => migrate::sqlite(sqlite).await,
            Self::Postgres(pool) => migrate::postgres(pool).await,
        }
    }

    /// Whether the tables are what this binary expects, for those who may not bring them there.
    pub async fn expect_current(&self) -> Result<(), MigrateError> {
        migrate::expect_current(self).await
    }

    /// Begins a transaction that may write.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let engine = match self {
            Self::Sqlite(sqlite) => Engine::Sqlite(sqlite.begin().await?),
            Self::Postgres(pool) => Engine::Postgres(pool.begin().await?),
        };
        Ok(Tx { engine, failed: None })
    }

    /// Whether the database answers reads and lets a transaction begin right now.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(self, |executor| sqlx::query("SELECT 1").execute(executor).await.map(|_| ()))?;
        drop(self.begin().await?);
        Ok(())
    }

    /// Finishes what has begun and closes every connection. Later calls on any clone fail as unavailable.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// Where [`on!`] sends reads.
    pub fn executor(&self) -> Engine<&SqlitePool, &PgPool> {
        match self {
            Self::Sqlite(sqlite) => Engine::Sqlite(sqlite.readers()),
            Self::Postgres(pool) => Engine::Postgres(pool),
        }
    }

    /// What [`on!`] makes of a read's outcome.
    pub fn outcome<T>(&self, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        result.map_err(StoreError::from)
    }
}

/// A transaction that may write. Dropping it rolls it back.
///
/// After any `Err` from a statement, drop it: it can no longer be committed, not even after a
/// [`StoreError::Conflict`]. Where a conflict is an ordinary answer, write `ON CONFLICT DO NOTHING RETURNING …` and
/// look at what came back.
pub struct Tx {
    engine: Engine<SqliteTx, sqlx::Transaction<'static, sqlx::Postgres>>,
    /// The first error of a statement. PostgreSQL answers a `COMMIT` after one by rolling back, and reports success.
    failed: Option<StoreError>,
}

impl Tx {
    /// Returns once everything written is durable, or with the error of the first statement that failed.
    ///
    /// After [`StoreError::Unavailable`], or if the future is dropped before it is ready, it is not known whether
    /// the transaction took effect; it did so whole or not at all.
    pub async fn commit(self) -> Result<(), StoreError> {
        match (self.failed, self.engine) {
            (Some(error), _) => Err(error),
            (None, Engine::Sqlite(tx)) => tx.commit().await,
            (None, Engine::Postgres(tx)) => Ok(tx.commit().await?),
        }
    }

    /// Where [`on!`] sends reads and writes.
    pub fn executor(&mut self) -> Engine<&mut SqliteConnection, &mut PgConnection> {
        match &mut self.engine {
            Engine::Sqlite(tx) => Engine::Sqlite(tx.connection()),
            Engine::Postgres(tx) => Engine::Postgres(tx),
        }
    }

    /// What [`on!`] makes of a statement's outcome: an error is remembered.
    pub fn outcome<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        result.map_err(|error| self.failed.get_or_insert(error.into()).clone())
    }
}

/// `on!(handle, |executor| expression)`: the expression, compiled once for each engine, its error told as a
/// [`StoreError`]. The handle is a [`Db`], for reads, or a [`Tx`].
///
/// ```ignore
/// let user: Option<UserRow> = on!(db, |executor| {
///     sqlx::query_as("SELECT id, email FROM users WHERE id = $1").bind(id).fetch_optional(executor).await
/// })?;
/// let ended = on!(tx, |executor| {
///     sqlx::query("DELETE FROM sessions WHERE id = $1").bind(id).execute(executor).await.map(|done| done.rows_affected())
/// })?;
/// ```
macro_rules! on {
    ($handle:expr, |$executor:ident| $expression:expr) => {{
        let result = match $handle.executor() {
            $crate::store::Engine::Sqlite($executor) => $expression,
            $crate::store::Engine::Postgres($executor) => $expression,
        };
        $handle.outcome(result)
    }};
}
pub(crate) use on;
