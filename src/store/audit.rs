//! `audit` and `audit_batches`. Written through `crate::audit` alone.

use super::{Db, Engine, StoreError, Tx, on};
use crate::{clock::Timestamp, ids::AuditId, seal::Sealed};

/// One event. Texts, because the record outlives what it names and must read back byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Row {
    /// Made together, lying together: a UUID version 7.
    pub id: AuditId,
    /// When it happened.
    pub at: Timestamp,
    /// [`crate::audit::Kind`]'s name.
    pub event: String,
    /// [`crate::audit::Outcome`]'s name.
    pub outcome: String,
    /// The stable code of why.
    pub reason: Option<String>,
    /// The request's number.
    pub reference: String,
    /// Whom it is about.
    pub user_id: Option<String>,
    /// Which client it is about.
    pub client_id: Option<String>,
    /// At which provider.
    pub provider: Option<String>,
    /// For which resource.
    pub resource: Option<String>,
    /// Which scopes.
    pub scope: Option<String>,
    /// Which grant.
    pub grant_id: Option<String>,
    /// Where the request came from.
    pub ip: Option<String>,
    /// Further particulars: a JSON object of texts.
    pub details: Option<String>,
}

/// One link of the chain.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Batch {
    /// 1 and up, without gaps.
    pub number: i64,
    /// When it was sealed.
    pub at: Timestamp,
    /// Each row's id and leaf, in the order of the tree.
    pub members: Vec<u8>,
    /// The Merkle root of the leaves.
    pub root: Vec<u8>,
    /// The head of the batch before.
    pub previous: Vec<u8>,
    /// The head, sealed.
    pub sealed: Sealed,
}

/// Adds a row.
pub async fn insert(tx: &mut Tx, row: &Row) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO audit (id, at, event, outcome, reason, reference, user_id, client_id, provider, resource, \
             scope, grant_id, ip, details) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(&row.id)
        .bind(row.at)
        .bind(&row.event)
        .bind(&row.outcome)
        .bind(&row.reason)
        .bind(&row.reference)
        .bind(&row.user_id)
        .bind(&row.client_id)
        .bind(&row.provider)
        .bind(&row.resource)
        .bind(&row.scope)
        .bind(&row.grant_id)
        .bind(&row.ip)
        .bind(&row.details)
        .execute(executor)
        .await
        .map(|_| ())
    })
}

/// Whether this transaction is the only one, of all instances, that extends or shortens the chain.
pub async fn lock_chain(tx: &mut Tx) -> Result<bool, StoreError> {
    // Advisory locks are the database's, and two installations may share one in different schemas.
    const LOCK: &str =
        "SELECT pg_try_advisory_xact_lock(hashtextextended('chancery audit ' || current_schema(), 0))";
    match tx.executor() {
        Engine::Sqlite(_) => Ok(true),
        Engine::Postgres(connection) => Ok(sqlx::query_scalar(LOCK).fetch_one(connection).await?),
    }
}

/// Puts up to `limit` rows that are in no batch into batch `number`, and returns them.
pub async fn take_unsealed(tx: &mut Tx, number: i64, limit: i64) -> Result<Vec<Row>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as(
            "UPDATE audit SET batch = $1 \
             WHERE id IN (SELECT id FROM audit WHERE batch IS NULL ORDER BY id LIMIT $2) RETURNING *",
        )
        .bind(number)
        .bind(limit)
        .fetch_all(executor)
        .await
    })
}

/// Adds a link.
pub async fn insert_batch(tx: &mut Tx, batch: &Batch) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO audit_batches (number, at, members, root, previous, sealed) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(batch.number)
        .bind(batch.at)
        .bind(&batch.members)
        .bind(&batch.root)
        .bind(&batch.previous)
        .bind(&batch.sealed)
        .execute(executor)
        .await
        .map(|_| ())
    })
}

/// The newest link.
pub async fn last_batch(tx: &mut Tx) -> Result<Option<Batch>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as("SELECT * FROM audit_batches ORDER BY number DESC LIMIT 1")
            .fetch_optional(executor)
            .await
    })
}

/// The number that the next link will have, unless another instance is faster.
pub async fn next_number(db: &Db) -> Result<i64, StoreError> {
    on!(db, |executor| {
        sqlx::query_scalar("SELECT COALESCE(max(number), 0) + 1 FROM audit_batches").fetch_one(executor).await
    })
}

/// The newest of the `limit` oldest links, if all of them are older than `before`; never the newest of all.
pub async fn oldest_batches(tx: &mut Tx, before: Timestamp, limit: i64) -> Result<Option<Batch>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as(
            "SELECT * FROM (SELECT * FROM audit_batches WHERE at < $1 \
             AND number < (SELECT max(number) FROM audit_batches) ORDER BY number LIMIT $2) AS oldest \
             ORDER BY number DESC LIMIT 1",
        )
        .bind(before)
        .bind(limit)
        .fetch_optional(executor)
        .await
    })
}

/// Deletes the links up to `number` and their rows.
pub async fn delete_through(tx: &mut Tx, number: i64) -> Result<u64, StoreError> {
    on!(tx, |executor| {
        sqlx::query("DELETE FROM audit_batches WHERE number <= $1")
            .bind(number)
            .execute(executor)
            .await
            .map(|_| ())
    })?;
    on!(tx, |executor| {
        sqlx::query("DELETE FROM audit WHERE batch <= $1")
            .bind(number)
            .execute(executor)
            .await
            .map(|done| done.rows_affected())
    })
}

/// The first link after `number`.
pub async fn next_batch(db: &Db, number: i64) -> Result<Option<Batch>, StoreError> {
    on!(db, |executor| {
        sqlx::query_as("SELECT * FROM audit_batches WHERE number > $1 ORDER BY number LIMIT 1")
            .bind(number)
            .fetch_optional(executor)
            .await
    })
}

/// The rows that say that they are in batch `number`.
pub async fn rows_of_batch(db: &Db, number: i64) -> Result<Vec<Row>, StoreError> {
    on!(db, |executor| {
        sqlx::query_as("SELECT * FROM audit WHERE batch = $1").bind(number).fetch_all(executor).await
    })
}

/// Up to `limit` rows that say they are in a batch that does not exist.
pub async fn strays(db: &Db, limit: i64) -> Result<Vec<String>, StoreError> {
    on!(db, |executor| {
        sqlx::query_scalar(
            "SELECT id FROM audit WHERE batch IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM audit_batches WHERE number = audit.batch) ORDER BY id LIMIT $1",
        )
        .bind(limit)
        .fetch_all(executor)
        .await
    })
}

/// What was recorded in the course of the request of this number.
pub async fn of_reference(db: &Db, reference: &str) -> Result<Vec<Row>, StoreError> {
    on!(db, |executor| {
        sqlx::query_as("SELECT * FROM audit WHERE reference = $1 ORDER BY id LIMIT 100")
            .bind(reference)
            .fetch_all(executor)
            .await
    })
}

/// How many rows are in no batch yet.
pub async fn count_unsealed(db: &Db) -> Result<i64, StoreError> {
    on!(db, |executor| {
        sqlx::query_scalar("SELECT count(*) FROM audit WHERE batch IS NULL").fetch_one(executor).await
    })
}

/// The newest rows of this kind of event.
pub async fn newest(db: &Db, event: &str, limit: i64) -> Result<Vec<Row>, StoreError> {
    on!(db, |executor| {
        sqlx::query_as("SELECT * FROM audit WHERE event = $1 ORDER BY at DESC LIMIT $2")
            .bind(event)
            .bind(limit)
            .fetch_all(executor)
            .await
    })
}
