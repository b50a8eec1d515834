//! Every column that holds sealed values, as the job that rewraps them and the count of what refers to a key see it.
//!
//! A value names its key behind two bytes of format: the length of the id, and the id. That much of the envelope is
//! read here in SQL, so that nothing is opened, and the millions that are under the right key never leave the database.

use sqlx::AssertSqlSafe;

use super::{Db, StoreError, Tx, on};
use crate::seal::{SealContext, Sealed};

/// A column of sealed values.
#[derive(Debug)]
pub struct Column {
    /// Its table.
    pub table: &'static str,
    name: &'static str,
    key: Key,
    /// `None`: what is told at the opening is not all in the row, so nobody else can rewrap it, and it ends by itself.
    place: Option<Place>,
}

/// A table's primary key.
#[derive(Debug, Clone, Copy)]
enum Key {
    Text(&'static str),
    Number(&'static str),
}

/// Where a row's value belongs: the table and column that it was sealed for, and the others in SQL.
#[derive(Debug)]
struct Place {
    table: &'static str,
    column: &'static str,
    row: &'static str,
    owner: &'static str,
    provider: &'static str,
    version: &'static str,
}

const TOKENS: Place = Place {
    table: "connections",
    column: "tokens",
    row: "id",
    owner: "user_id",
    provider: "name",
    version: "generation",
};

/// All of them but the proofs of the keys themselves. What people wait for comes first.
pub const COLUMNS: [Column; 8] = [
    Column {
        table: "signing_keys",
        name: "sealed",
        key: Key::Text("id"),
        place: Some(Place {
            table: "signing_keys",
            column: "sealed",
            row: "id",
            owner: "CASE role WHEN 'authorization_server' THEN '' ELSE role END",
            provider: "''",
            version: "CAST(1 AS BIGINT)",
        }),
    },
    Column { table: "connections", name: "tokens", key: Key::Text("id"), place: Some(TOKENS) },
    Column {
        table: "revocations",
        name: "tokens",
        key: Key::Text("id"),
        place: Some(Place { row: "connection_id", ..TOKENS }),
    },
    Column {
        table: "audit_batches",
        name: "sealed",
        key: Key::Number("number"),
        place: Some(Place {
            table: "audit_batches",
            column: "sealed",
            row: "CAST(number AS TEXT)",
            owner: "''",
            provider: "''",
            version: "number",
        }),
    },
    Column {
        table: "sessions",
        name: "id_token",
        key: Key::Text("id"),
        place: Some(Place {
            table: "sessions",
            column: "id_token",
            row: "id",
            owner: "''",
            provider: "provider",
            version: "created_at",
        }),
    },
    Column { table: "logins", name: "sealed", key: Key::Text("state_hash"), place: None },
    Column { table: "logins", name: "onward", key: Key::Text("state_hash"), place: None },
    Column { table: "connects", name: "sealed", key: Key::Text("state_hash"), place: None },
];

/// One sealed value and where it belongs.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Found {
    /// The row's primary key.
    pub key: String,
    seal_row: String,
    seal_owner: String,
    seal_provider: String,
    seal_version: i64,
    /// The value.
    pub sealed: Sealed,
}

impl Column {
    /// Its table and its own name.
    #[cfg(test)]
    pub(crate) const fn names(&self) -> (&'static str, &'static str) {
        (self.table, self.name)
    }

    /// Whether its values can be rewrapped.
    pub const fn can_be_rewrapped(&self) -> bool {
        self.place.is_some()
    }

    /// Where a value of this column belongs. `None` as for [`Column::can_be_rewrapped`].
    pub fn context<'a>(&self, found: &'a Found) -> Option<SealContext<'a>> {
        self.place.as_ref().map(|place| SealContext {
            table: place.table,
            column: place.column,
            row: &found.seal_row,
            owner: &found.seal_owner,
            provider: &found.seal_provider,
            version: found.seal_version,
        })
    }
}

/// An id as an envelope has it, and its length.
fn named(key_id: &str) -> (i32, Vec<u8>) {
    let id = key_id.as_bytes();
    let length = u8::try_from(id.len()).unwrap_or(u8::MAX);
    (i32::from(length) + 1, [&[length][..], id].concat())
}

/// How many values of a column are sealed by this key.
pub async fn count(db: &Db, column: &Column, key_id: &str) -> Result<u64, StoreError> {
    let Column { table, name, .. } = column;
    let sql = format!("SELECT count(*) FROM {table} WHERE substr({name}, 3, $1) = $2");
    let (length, named) = named(key_id);
    let count: i64 = on!(db, |executor| {
        // Safe: every part is a constant of this file, here and below.
        sqlx::query_scalar(AssertSqlSafe(sql)).bind(length).bind(named).fetch_one(executor).await
    })?;
    Ok(count.unsigned_abs())
}

/// How many values of a column there are.
pub async fn count_all(db: &Db, column: &Column) -> Result<u64, StoreError> {
    let Column { table, name, .. } = column;
    let sql = format!("SELECT count({name}) FROM {table}");
    let count: i64 = on!(db, |executor| sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(executor).await)?;
    Ok(count.unsigned_abs())
}

/// Up to `most` values of a column that are not sealed by this key, of rows behind `after`, in the order of their
/// primary keys.
pub async fn others(
    db: &Db,
    column: &Column,
    key_id: &str,
    (after, most): (Option<&str>, u32),
) -> Result<Vec<Found>, StoreError> {
    let Column { table, name, key, place } = column;
    let Some(Place { row, owner, provider, version, .. }) = place else { return Ok(Vec::new()) };
    let (key, text, behind) = match key {
        Key::Text(key) => (key, (*key).to_owned(), "$1"),
        Key::Number(key) => (key, format!("CAST({key} AS TEXT)"), "CAST($1 AS BIGINT)"),
    };
    let behind = if after.is_some() { format!("{key} > {behind}") } else { "$1 IS NULL".to_owned() };
    let sql = format!(
        "SELECT {text} AS key, {row} AS seal_row, {owner} AS seal_owner, {provider} AS seal_provider,
             {version} AS seal_version, {name} AS sealed
         FROM {table} WHERE {behind} AND {name} IS NOT NULL AND substr({name}, 3, $2) <> $3 ORDER BY {key} LIMIT $4"
    );
    let (length, named) = named(key_id);
    on!(db, |executor| {
        sqlx::query_as(AssertSqlSafe(sql))
            .bind(after)
            .bind(length)
            .bind(named)
            .bind(i64::from(most))
            .fetch_all(executor)
            .await
    })
}

/// Puts `rewrapped` in the place of a value. `false`: another stands there by now, or the row is gone.
pub async fn replace(
    tx: &mut Tx,
    column: &Column,
    found: &Found,
    rewrapped: &Sealed,
) -> Result<bool, StoreError> {
    let Column { table, name, key, .. } = column;
    let this = match key {
        Key::Text(key) => format!("{key} = $2"),
        Key::Number(key) => format!("{key} = CAST($2 AS BIGINT)"),
    };
    let sql = format!("UPDATE {table} SET {name} = $1 WHERE {this} AND {name} = $3");
    let replaced = on!(tx, |executor| {
        sqlx::query(AssertSqlSafe(sql))
            .bind(rewrapped)
            .bind(&found.key)
            .bind(&found.sealed)
            .execute(executor)
            .await
            .map(|done| done.rows_affected())
    })?;
    Ok(replaced == 1)
}
