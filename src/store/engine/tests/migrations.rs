//! Migrations on both engines, and that both lead to the same tables.

use std::collections::BTreeSet;

use rstest::rstest;

use super::super::{Db, MigrateError};
use crate::store::{fixture::On, on};

async fn alter(db: &Db, sql: &'static str) {
    let mut tx = db.begin().await.unwrap();
    let rows = on!(tx, |executor| sqlx::query(sql).execute(executor).await.map(|done| done.rows_affected()));
    assert_eq!(rows.unwrap(), 1);
    tx.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn migrating_again_changes_nothing(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(fresh) = engine.fresh().await else { return };
    fresh.db.migrate().await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_that_start_together_wait_for_one_another(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(empty) = engine.empty().await else { return };
    let migrations = [(); 6].map(|()| {
        let db = empty.db.clone();
        tokio::spawn(async move { db.migrate().await })
    });
    for migration in migrations {
        migration.await.unwrap().unwrap();
    }
}

#[rstest]
#[tokio::test]
async fn a_newer_database_is_left_alone(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(fresh) = engine.fresh().await else { return };
    alter(
        &fresh.db,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 9999, 'of tomorrow', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    let error = fresh.db.migrate().await.unwrap_err();
    assert!(matches!(error, MigrateError::Newer { found: 9999, known: 1.. }), "{error}");
    assert!(error.to_string().contains("a newer Chancery has used it"));
}

#[rstest]
#[tokio::test]
async fn whoever_only_looks_wants_the_tables_as_they_should_be(
    #[values(On::Sqlite, On::Postgres)] engine: On,
) {
    let Some(empty) = engine.empty().await else { return };
    let error = empty.db.expect_current().await.unwrap_err();
    assert!(matches!(error, MigrateError::Older { found: 0, known: 1.. }), "{error}");
    empty.db.migrate().await.unwrap();
    empty.db.expect_current().await.unwrap();
    alter(
        &empty.db,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 9999, 'of tomorrow', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    let error = empty.db.expect_current().await.unwrap_err();
    assert!(matches!(error, MigrateError::Newer { found: 9999, .. }), "{error}");
}

#[rstest]
#[case(On::Sqlite, "UPDATE _sqlx_migrations SET checksum = X'00' WHERE version = 1")]
#[case(On::Postgres, "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1")]
#[tokio::test]
async fn a_database_of_another_build_is_left_alone(#[case] engine: On, #[case] another: &'static str) {
    let Some(fresh) = engine.fresh().await else { return };
    alter(&fresh.db, another).await;
    assert!(matches!(fresh.db.migrate().await, Err(MigrateError::Different(1))));
}

/// Table, column or key, and what is to be said of it.
type Schema = BTreeSet<(String, String, String)>;

async fn schema(db: &Db, queries: [&'static str; 4]) -> Schema {
    let mut schema = Schema::new();
    for query in queries {
        let rows: Vec<(String, String, String)> =
            on!(db, |executor| sqlx::query_as(query).fetch_all(executor).await).unwrap();
        schema.extend(rows);
    }
    schema
}

/// Columns, primary keys, indexes and foreign keys, in this order.
const SQLITE: [&str; 4] = [
    "SELECT t.name, c.name, c.type || CASE WHEN c.\"notnull\" THEN ' required' ELSE '' END
     FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name <> '_sqlx_migrations'",
    "SELECT name, 'primary key', group_concat(part) FROM (SELECT t.name, c.name AS part
     FROM sqlite_schema t, pragma_table_info(t.name) c
     WHERE t.type = 'table' AND c.pk > 0 AND t.name <> '_sqlx_migrations' ORDER BY t.name, c.pk) GROUP BY name",
    "SELECT tbl, CASE WHEN origin = 'c' THEN name ELSE 'unique' END, kind || group_concat(part)
     FROM (SELECT t.name AS tbl, i.origin, i.name, COALESCE(c.name, 'expression') AS part,
         CASE WHEN i.\"unique\" THEN 'unique ' ELSE '' END || CASE WHEN i.partial THEN 'partial ' ELSE '' END AS kind
     FROM sqlite_schema t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
     WHERE t.type = 'table' AND i.origin <> 'pk' AND t.name <> '_sqlx_migrations' ORDER BY t.name, i.name, c.seqno)
     GROUP BY tbl, name",
    "SELECT t.name, 'reference', f.\"from\" || ' to ' || f.\"table\" || ' ' || lower(f.on_delete)
     FROM sqlite_schema t, pragma_foreign_key_list(t.name) f WHERE t.type = 'table'",
];

const POSTGRES: [&str; 4] = [
    "SELECT table_name::text, column_name::text, CASE data_type
         WHEN 'bigint' THEN 'INTEGER' WHEN 'boolean' THEN 'INTEGER' WHEN 'bytea' THEN 'BLOB'
         WHEN 'text' THEN 'TEXT' WHEN 'jsonb' THEN 'TEXT' ELSE data_type END
         || CASE is_nullable WHEN 'NO' THEN ' required' ELSE '' END
     FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> '_sqlx_migrations'",
    "SELECT t.relname::text, 'primary key', string_agg(a.attname, ',' ORDER BY k.seqno)
     FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid, unnest(i.indkey) WITH ORDINALITY AS k (attnum, seqno),
         pg_attribute a
     WHERE i.indisprimary AND t.relnamespace = current_schema()::regnamespace AND t.relname <> '_sqlx_migrations'
         AND a.attrelid = t.oid AND a.attnum = k.attnum
     GROUP BY t.relname",
    "SELECT t.relname::text, CASE WHEN c.oid IS NULL THEN x.relname::text ELSE 'unique' END,
         CASE WHEN i.indisunique THEN 'unique ' ELSE '' END
         || CASE WHEN i.indpred IS NOT NULL THEN 'partial ' ELSE '' END || string_agg(COALESCE((SELECT a.attname::text
             FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = k.attnum), 'expression'), ',' ORDER BY k.seqno)
     FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
         LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype = 'u',
         unnest(i.indkey) WITH ORDINALITY AS k (attnum, seqno)
     WHERE NOT i.indisprimary AND t.relnamespace = current_schema()::regnamespace
         AND t.relname <> '_sqlx_migrations'
     GROUP BY t.relname, x.relname, c.oid, i.indisunique, i.indpred IS NOT NULL",
    "SELECT t.relname::text, 'reference', a.attname || ' to ' || r.relname || ' ' || CASE c.confdeltype
         WHEN 'a' THEN 'no action' WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set null' WHEN 'r' THEN 'restrict'
         ELSE c.confdeltype::text END
     FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class r ON r.oid = c.confrelid
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (c.conkey)
     WHERE c.contype = 'f' AND t.relnamespace = current_schema()::regnamespace",
];

#[tokio::test]
async fn both_engines_have_the_same_tables() {
    let (Some(sqlite), Some(postgres)) = (On::Sqlite.fresh().await, On::Postgres.fresh().await) else {
        return;
    };
    let (sqlite, postgres) = (schema(&sqlite.db, SQLITE).await, schema(&postgres.db, POSTGRES).await);
    assert!(sqlite.len() > 30, "{sqlite:?}");
    let only = |one: &Schema, other: &Schema| one.difference(other).cloned().collect::<Vec<_>>();
    assert_eq!(
        (only(&sqlite, &postgres), only(&postgres, &sqlite)),
        (vec![], vec![]),
        "(SQLite, PostgreSQL) alone"
    );
}
