//! The table `signing_keys`.

use super::{Db, Engine, StoreError, Tx, on};
use crate::{clock::Timestamp, jose::signer::SigningAlgorithm, oauth::purpose::Role, seal::Sealed};

/// A signing key as it is kept.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SigningKey {
    /// Its `kid`.
    pub id: String,
    /// What it signs with.
    #[sqlx(try_from = "String")]
    pub algorithm: SigningAlgorithm,
    /// The private key in PKCS #8, sealed.
    pub sealed: Sealed,
    /// When it was made and published.
    pub created_at: Timestamp,
    /// From when on it signs.
    pub active_at: Timestamp,
    /// From when on it is no longer published. `None`: its successor is not made yet.
    pub retired_at: Option<Timestamp>,
}

const PUBLISHED: &str = "SELECT id, algorithm, sealed, created_at, active_at, retired_at FROM signing_keys \
                         WHERE role = $2 AND (retired_at IS NULL OR retired_at > $1) ORDER BY active_at, id";

/// A role's keys that are published at `now`, in the order in which they become active.
pub async fn published(db: &Db, role: Role, now: Timestamp) -> Result<Vec<SigningKey>, StoreError> {
    on!(db, |executor| sqlx::query_as(PUBLISHED).bind(now).bind(role.as_str()).fetch_all(executor).await)
}

/// As [`published`], with the promise that nobody else makes or retires a key before this transaction ends.
pub async fn lock(tx: &mut Tx, role: Role, now: Timestamp) -> Result<Vec<SigningKey>, StoreError> {
    /// Any number will do, as long as no other lock has it: "chansign".
    const LOCK: i64 = 0x6368_616e_7369_676e;
    // SQLite has one writer, and this transaction is it.
    if let Engine::Postgres(connection) = tx.executor() {
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(connection).await?;
    }
    on!(tx, |executor| sqlx::query_as(PUBLISHED).bind(now).bind(role.as_str()).fetch_all(executor).await)
}

/// Keeps a new key of a role.
pub async fn insert(tx: &mut Tx, role: Role, key: &SigningKey) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO signing_keys (id, algorithm, sealed, created_at, active_at, retired_at, role) \
                          VALUES ($1, $2, $3, $4, $5, $6, $7)";
    on!(tx, |executor| {
        sqlx::query(INSERT)
            .bind(&key.id)
            .bind(key.algorithm.as_str())
            .bind(&key.sealed)
            .bind(key.created_at)
            .bind(key.active_at)
            .bind(key.retired_at)
            .bind(role.as_str())
            .execute(executor)
            .await
            .map(|_| ())
    })
}

/// Says when a role's keys that have no successor yet will no longer be published.
pub async fn retire_all(tx: &mut Tx, role: Role, at: Timestamp) -> Result<(), StoreError> {
    const UPDATE: &str = "UPDATE signing_keys SET retired_at = $1 WHERE role = $2 AND retired_at IS NULL";
    on!(tx, |executor| sqlx::query(UPDATE).bind(at).bind(role.as_str()).execute(executor).await.map(|_| ()))
}
