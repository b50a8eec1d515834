//! Table `revocations`: tokens of connections that are gone, to be revoked at their vendor.

use super::{Db, StoreError, Tx, connections::Connection, on};
use crate::{
    clock::Timestamp,
    ids::{ConnectionId, ConnectionName, RevocationId, UserId},
    seal::Sealed,
};

/// One revocation that is owed. The tokens are sealed as the connection had them.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Revocation {
    /// Its id.
    pub id: RevocationId,
    /// The connection that was.
    pub connection_id: ConnectionId,
    /// Whose it was.
    pub user_id: UserId,
    /// Which entry under `connections:` it was of.
    #[sqlx(try_from = "String")]
    pub name: ConnectionName,
    /// The generation of the tokens.
    pub generation: i64,
    /// The tokens.
    pub tokens: Sealed,
    /// When the connection ended.
    pub created_at: Timestamp,
    /// How often the vendor was asked.
    pub attempts: i64,
    /// When it is asked next.
    pub next_attempt_at: Timestamp,
}

impl Revocation {
    /// What is owed for a connection that is gone.
    pub fn of(gone: Connection, id: RevocationId, now: Timestamp) -> Self {
        let Connection { id: connection_id, user_id, name, generation, tokens, .. } = gone;
        let (created_at, next_attempt_at) = (now, now);
        Self {
            id,
            connection_id,
            user_id,
            name,
            generation,
            tokens,
            created_at,
            attempts: 0,
            next_attempt_at,
        }
    }
}

/// Notes one.
pub async fn owe(tx: &mut Tx, owed: &Revocation) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO revocations
                 (id, connection_id, user_id, name, generation, tokens, created_at, attempts, next_attempt_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&owed.id)
        .bind(&owed.connection_id)
        .bind(&owed.user_id)
        .bind(&owed.name)
        .bind(owed.generation)
        .bind(&owed.tokens)
        .bind(owed.created_at)
        .bind(owed.attempts)
        .bind(owed.next_attempt_at)
        .execute(executor)
        .await
        .map(drop)
    })
}

/// Takes up to `most` that are due, and puts their next attempt off until `again`: whoever takes them has that long to
/// [`settle`] them, and nobody else gets them meanwhile.
pub async fn take(
    tx: &mut Tx,
    (now, again): (Timestamp, Timestamp),
    most: u32,
) -> Result<Vec<Revocation>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as(
            "UPDATE revocations SET attempts = attempts + 1, next_attempt_at = $2
             WHERE id IN (SELECT id FROM revocations WHERE next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT $3)
                 AND next_attempt_at <= $1
             RETURNING *",
        )
        .bind(now)
        .bind(again)
        .bind(i64::from(most))
        .fetch_all(executor)
        .await
    })
}

/// Puts one off: the vendor did not do it.
pub async fn put_off(tx: &mut Tx, id: &RevocationId, next_attempt_at: Timestamp) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("UPDATE revocations SET next_attempt_at = $2 WHERE id = $1")
            .bind(id)
            .bind(next_attempt_at)
            .execute(executor)
            .await
            .map(drop)
    })
}

/// Forgets one: it is done, or given up. `false`: somebody else has settled it.
pub async fn settle(tx: &mut Tx, id: &RevocationId) -> Result<bool, StoreError> {
    let settled: Option<(RevocationId,)> = on!(tx, |executor| {
        sqlx::query_as("DELETE FROM revocations WHERE id = $1 RETURNING id")
            .bind(id)
            .fetch_optional(executor)
            .await
    })?;
    Ok(settled.is_some())
}

/// How many are owed for connections of a user.
pub async fn count_of_user(db: &Db, user: &UserId) -> Result<i64, StoreError> {
    on!(db, |executor| {
        sqlx::query_scalar("SELECT count(*) FROM revocations WHERE user_id = $1")
            .bind(user)
            .fetch_one(executor)
            .await
    })
}

/// How many are owed.
pub async fn count(db: &Db) -> Result<i64, StoreError> {
    on!(db, |executor| sqlx::query_scalar("SELECT count(*) FROM revocations").fetch_one(executor).await)
}
