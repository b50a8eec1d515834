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

    /// Begins a transaction that may write.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite(sqlite) => Tx::Sqlite(sqlite.begin().await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Whether the database can be read and written to right now.
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
}

/// A transaction that may write. Dropping it rolls it back.
///
/// After any `Err` from a statement, drop it. PostgreSQL refuses every further statement of a transaction in
/// which one failed, even one that failed as [`StoreError::Conflict`]; where a conflict is an ordinary answer,
/// write `ON CONFLICT DO NOTHING RETURNING …` and look at what came back.
pub enum Tx {
    /// A savepoint in the batch that the one writer of a SQLite file is filling.
    Sqlite(SqliteTx),
    /// A transaction of its own.
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

impl Tx {
    /// Returns once everything written is durable.
    ///
    /// After an error, or if the future is dropped before it is ready, it is not known whether the transaction
    /// took effect; it did so whole or not at all.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => Ok(tx.commit().await?),
        }
    }

    /// Where [`on!`] sends reads and writes.
    pub fn executor(&mut self) -> Engine<&mut SqliteConnection, &mut PgConnection> {
        match self {
            Self::Sqlite(tx) => Engine::Sqlite(tx.connection()),
            Self::Postgres(tx) => Engine::Postgres(tx),
        }
    }
}

/// `on!(handle, |executor| expression)`: the expression, compiled once for each engine. The handle is a [`Db`],
/// for reads, or a [`Tx`].
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
    ($handle:expr, |$executor:ident| $expression:expr) => {
        match $handle.executor() {
            $crate::store::Engine::Sqlite($executor) => $expression,
            $crate::store::Engine::Postgres($executor) => $expression,
        }
    };
}
pub(crate) use on;
