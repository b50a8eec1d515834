//! `key_proofs`: one sealed known text for each encryption key that is used on this database.

use super::{Db, StoreError, Tx, on};
use crate::{clock::Timestamp, seal::Sealed};

/// A key that this database knows.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Known {
    /// Its id.
    pub key_id: String,
    /// Since when nobody seals with it, and nothing is sealed by it, as far as is known. `None`: it seals, or has
    /// sealed.
    pub idle_since: Option<Timestamp>,
}

/// Keeps `sealed` as the proof of `key_id` unless there is one already, and returns the one that is kept. A key that
/// `seals` is idle no longer; one that is new and does not is so from the beginning.
pub async fn keep(
    tx: &mut Tx,
    key_id: &str,
    sealed: &Sealed,
    (at, seals): (Timestamp, bool),
) -> Result<Sealed, StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO key_proofs (key_id, sealed, at, idle_since) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(key_id)
        .bind(sealed)
        .bind(at)
        .bind((!seals).then_some(at))
        .execute(executor)
        .await
        .map(drop)
    })?;
    if seals {
        on!(tx, |executor| {
            sqlx::query(
                "UPDATE key_proofs SET idle_since = NULL WHERE key_id = $1 AND idle_since IS NOT NULL",
            )
            .bind(key_id)
            .execute(executor)
            .await
            .map(drop)
        })?;
    }
    on!(tx, |executor| {
        sqlx::query_scalar("SELECT sealed FROM key_proofs WHERE key_id = $1")
            .bind(key_id)
            .fetch_one(executor)
            .await
    })
}

/// All keys that this database knows.
pub async fn all(db: &Db) -> Result<Vec<Known>, StoreError> {
    on!(db, |executor| {
        sqlx::query_as("SELECT key_id, idle_since FROM key_proofs ORDER BY key_id").fetch_all(executor).await
    })
}

/// Notes that a key has nothing left.
pub async fn rest(tx: &mut Tx, key_id: &str, at: Timestamp) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("UPDATE key_proofs SET idle_since = $2 WHERE key_id = $1 AND idle_since IS NULL")
            .bind(key_id)
            .bind(at)
            .execute(executor)
            .await
            .map(drop)
    })
}

/// Forgets an idle key. `false`: it is not idle, or forgotten already.
pub async fn forget(tx: &mut Tx, key_id: &str) -> Result<bool, StoreError> {
    let forgotten = on!(tx, |executor| {
        sqlx::query("DELETE FROM key_proofs WHERE key_id = $1 AND idle_since IS NOT NULL")
            .bind(key_id)
            .execute(executor)
            .await
            .map(|done| done.rows_affected())
    })?;
    Ok(forgotten == 1)
}
