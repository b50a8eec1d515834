//! Migrations, compiled into the binary, one folder an engine.

use std::cmp::Ordering;

use sqlx::{
    ConnectOptions as _, Connection as _, PgPool,
    migrate::{MigrateError as SqlxError, Migrator},
};

use super::{Db, Sqlite};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Why the tables could not be brought up to what this binary expects. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A newer version has been here.
    #[error(
        "the database is at version {found} and this binary only knows version {known}: \
         a newer Chancery has used it. Start that version again, or restore the backup made before it"
    )]
    Newer {
        /// The database's version.
        found: i64,
        /// The last one that this binary knows.
        known: i64,
    },
    /// The tables are of an older version than this binary, or there are none.
    #[error(
        "the database is at version {found} and this binary needs version {known}: run `chancery migrate`"
    )]
    Older {
        /// The database's version.
        found: i64,
        /// The one that this binary needs.
        known: i64,
    },
    /// A migration that has run reads differently now.
    #[error(
        "version {0} of the database was made by a different build of Chancery; start that build instead"
    )]
    Different(i64),
    /// The database refused or could not be reached.
    #[error("the database could not be migrated: {0}")]
    Failed(#[source] SqlxError),
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

// `run_direct` and not `run`, whose future rustc cannot prove to be `Send`.

/// All in one transaction, which is also what keeps a second process waiting.
pub(super) async fn sqlite(sqlite: &Sqlite) -> Result<(), MigrateError> {
    let mut connection = sqlite.options().connect().await?;
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    SQLITE.run_direct(None, &mut *tx, false).await.map_err(|error| explain(&SQLITE, error))?;
    tx.commit().await?;
    Ok(connection.close().await?)
}

/// On a connection of its own, freed of the pool's time limits: rewriting a table may take long. The advisory
/// lock that keeps other instances waiting goes with the connection, however this ends.
pub(super) async fn postgres(pool: &PgPool) -> Result<(), MigrateError> {
    let mut connection = pool.connect_options().connect().await?;
    sqlx::raw_sql("SET statement_timeout = 0; SET lock_timeout = 0").execute(&mut connection).await?;
    POSTGRES.run_direct(None, &mut connection, false).await.map_err(|error| explain(&POSTGRES, error))?;
    Ok(connection.close().await?)
}

pub(super) async fn expect_current(db: &Db) -> Result<(), MigrateError> {
    const LATEST: &str = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations WHERE success";
    let found = match db {
        Db::Sqlite(sqlite) => sqlx::query_scalar(LATEST).fetch_one(sqlite.readers()).await,
        Db::Postgres(pool) => sqlx::query_scalar(LATEST).fetch_one(pool).await,
    };
    let found: i64 = match found {
        // The table is not there: nobody has used this database yet.
        Err(sqlx::Error::Database(_)) => 0,
        found => found?,
    };
    let known = latest(&SQLITE);
    match found.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(MigrateError::Newer { found, known }),
        Ordering::Less => Err(MigrateError::Older { found, known }),
    }
}

fn latest(known: &Migrator) -> i64 {
    known.iter().map(|migration| migration.version).max().unwrap_or(0)
}

fn explain(known: &Migrator, error: SqlxError) -> MigrateError {
    match error {
        SqlxError::VersionMissing(found) => MigrateError::Newer { found, known: latest(known) },
        SqlxError::VersionMismatch(version) => MigrateError::Different(version),
        error => MigrateError::Failed(error),
    }
}
