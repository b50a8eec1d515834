//! A fresh, migrated database for a test, on either engine.

#[path = "../../tests/house/schema.rs"]
mod schema;

pub(crate) use self::schema::fresh_schema;
use super::Db;

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
