//! Table `configured_providers`: which providers any instance has in its configuration, and since when none has.

use super::{Db, StoreError, Tx, on};
use crate::{clock::Timestamp, ids::ProviderId};

/// Notes a provider that is in the configuration now.
pub async fn vouch(tx: &mut Tx, name: &ProviderId, now: Timestamp) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO configured_providers (name, seen_at) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, ended_at = NULL
             WHERE configured_providers.seen_at <= excluded.seen_at",
        )
        .bind(name)
        .bind(now)
        .execute(executor)
        .await
        .map(drop)
    })
}

/// Notes a provider of which nobody knows when it was last configured, as if that had been now.
pub async fn notice(tx: &mut Tx, name: &ProviderId, now: Timestamp) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO configured_providers (name, seen_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name)
        .bind(now)
        .execute(executor)
        .await
        .map(drop)
    })
}

/// The providers that nobody has noted since, and for which nothing was ended yet.
pub async fn gone(db: &Db, since: Timestamp) -> Result<Vec<ProviderId>, StoreError> {
    let found: Vec<(ProviderId,)> = on!(db, |executor| {
        sqlx::query_as("SELECT name FROM configured_providers WHERE ended_at IS NULL AND seen_at <= $1")
            .bind(since)
            .fetch_all(executor)
            .await
    })?;
    Ok(found.into_iter().map(|(name,)| name).collect())
}

/// Holds the row of one that is gone for as long as the transaction takes, before other instances that would end the
/// same, and before whoever has it in the configuration again. `false`: somebody has, or nothing is left to be ended.
pub async fn hold_gone(tx: &mut Tx, name: &ProviderId, since: Timestamp) -> Result<bool, StoreError> {
    let held = on!(tx, |executor| {
        sqlx::query(
            "UPDATE configured_providers SET seen_at = seen_at
             WHERE name = $1 AND ended_at IS NULL AND seen_at <= $2",
        )
        .bind(name)
        .bind(since)
        .execute(executor)
        .await
        .map(|done| done.rows_affected())
    })?;
    Ok(held == 1)
}

/// Notes that nothing of it is left to be ended.
pub async fn ended(tx: &mut Tx, name: &ProviderId, now: Timestamp) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("UPDATE configured_providers SET ended_at = $2 WHERE name = $1")
            .bind(name)
            .bind(now)
            .execute(executor)
            .await
            .map(drop)
    })
}
