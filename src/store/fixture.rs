//! A fresh, migrated database for a test, on either engine.

use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};

use super::Db;
use crate::entropy::Entropy;

/// Which engine a test runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum On {
    Sqlite,
    Postgres,
}

/// A database that nobody else uses, and what it lives in.
pub(crate) struct Fresh {
    pub(crate) db: Db,
    #[expect(dead_code, reason = "removed when dropped")]
    folder: Option<tempfile::TempDir>,
}

impl On {
    /// A fresh database with all tables. `None` for PostgreSQL when `CHANCERY_TEST_POSTGRES` is `skip`; otherwise
    /// it must name a server and a database in which schemas may be made.
    pub(crate) async fn fresh(self) -> Option<Fresh> {
        let fresh = self.empty().await?;
        fresh.db.migrate().await.unwrap();
        Some(fresh)
    }

    /// The same without tables.
    pub(crate) async fn empty(self) -> Option<Fresh> {
        Some(match self {
            Self::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let db = Db::open_sqlite(&folder.path().join("chancery.db")).await.unwrap();
                Fresh { db, folder: Some(folder) }
            }
            Self::Postgres => {
                Fresh { db: Db::open_postgres(&fresh_schema().await?).await.unwrap(), folder: None }
            }
        })
    }
}

/// The URL of a schema of its own in the test server.
#[expect(clippy::disallowed_methods, reason = "where the test server is, only the environment knows")]
pub(crate) async fn fresh_schema() -> Option<String> {
    let server = std::env::var("CHANCERY_TEST_POSTGRES")
        .expect("CHANCERY_TEST_POSTGRES is the URL of a PostgreSQL database for tests, or `skip`");
    if server == "skip" {
        return None;
    }
    let schema = format!("t{:032x}", u128::from_be_bytes(Entropy::System.bytes()));
    let mut connection = server.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}")))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let joint = if server.contains('?') { '&' } else { '?' };
    Some(format!("{server}{joint}options[search_path]={schema}"))
}
