//! The SQLite file itself.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::super::{Db, StoreError};
use crate::{config::database::DatabaseUrl, store::on};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn nobody_but_the_owner_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/chancery.db");
    let db = Db::open_sqlite(&path).await.unwrap();
    db.migrate().await.unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for name in ["chancery.db", "chancery.db-wal", "chancery.db-shm"] {
        assert_eq!(mode(&path.with_file_name(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(
        &text,
        "these are notes, long enough to be looked at as a database header would be ".repeat(20),
    )
    .unwrap();
    for path in [&text, &folder.path().to_owned(), &folder.path().join("no/such/folder.db")] {
        assert!(matches!(Db::open_sqlite(path).await, Err(StoreError::Unavailable(_))), "{}", path.display());
    }
    assert!(fs::read_to_string(&text).unwrap().starts_with("these are notes"));
}

/// What durability rests on.
#[tokio::test]
async fn commits_reach_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open_sqlite(&folder.path().join("chancery.db")).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let (journal, synchronous, foreign_keys): (String, i64, i64) = on!(tx, |executor| {
        sqlx::query_as(
            "SELECT j.journal_mode, s.synchronous, f.foreign_keys \
             FROM pragma_journal_mode AS j, pragma_synchronous AS s, pragma_foreign_keys AS f",
        )
        .fetch_one(executor)
        .await
    })
    .unwrap();
    assert_eq!((journal.as_str(), synchronous, foreign_keys), ("wal", 2, 1), "2 is FULL");
}

#[tokio::test]
async fn reads_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open_sqlite(&folder.path().join("chancery.db")).await.unwrap();
    let written =
        on!(db, |executor| sqlx::query("CREATE TABLE t (n BIGINT)").execute(executor).await.map(|_| ()));
    assert!(written.is_err());
}

#[tokio::test]
async fn whoever_only_looks_makes_no_file_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chancery.db");
    let url = DatabaseUrl::Sqlite(path.clone());
    assert!(matches!(Db::open_read_only(&url).await, Err(StoreError::Unavailable(_))));
    assert!(!path.exists());
    Db::open_sqlite(&path).await.unwrap().migrate().await.unwrap();
    let db = Db::open_read_only(&url).await.unwrap();
    db.expect_current().await.unwrap();
    assert!(db.begin().await.is_err(), "a transaction is one that may write");
}
