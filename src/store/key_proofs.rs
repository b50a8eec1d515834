//! `key_proofs`: one sealed known text for each encryption key that was ever used on this database.

use super::{Db, StoreError, Tx, on};
use crate::{clock::Timestamp, seal::Sealed};

/// Keeps `sealed` as the proof of `key_id` unless there is one already, and returns the one that is kept.
pub async fn keep(tx: &mut Tx, key_id: &str, sealed: &Sealed, at: Timestamp) -> Result<Sealed, StoreError> {
    on!(tx, |executor| {
        sqlx::query("INSERT INTO key_proofs (key_id, sealed, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(key_id)
            .bind(sealed)
            .bind(at)
            .execute(executor)
            .await
            .map(|_| ())
    })?;
    on!(tx, |executor| {
        sqlx::query_scalar("SELECT sealed FROM key_proofs WHERE key_id = $1")
            .bind(key_id)
            .fetch_one(executor)
            .await
    })
}

/// The ids of all keys that were ever used.
pub async fn key_ids(db: &Db) -> Result<Vec<String>, StoreError> {
    on!(db, |executor| {
        sqlx::query_scalar("SELECT key_id FROM key_proofs ORDER BY key_id").fetch_all(executor).await
    })
}
