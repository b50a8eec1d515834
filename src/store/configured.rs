//! Table `configured`: which providers and connections any instance has in its configuration, and since when none has.

use super::{Db, StoreError, Tx, on};
use crate::{clock::Timestamp, ids::Slug};

/// A section of the configuration whose entries people's access stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// `providers`.
    Providers,
    /// `connections`.
    Connections,
}

impl Section {
    const fn kind(self) -> &'static str {
        match self {
            Self::Providers => "provider",
            Self::Connections => "connection",
        }
    }
}

/// Notes an entry that is in the configuration now.
pub async fn vouch(tx: &mut Tx, section: Section, name: &Slug, now: Timestamp) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO configured (kind, name, seen_at) VALUES ($1, $2, $3)
             ON CONFLICT (kind, name) DO UPDATE SET seen_at = excluded.seen_at, ended_at = NULL
             WHERE configured.seen_at <= excluded.seen_at",
        )
        .bind(section.kind())
        .bind(name)
        .bind(now)
        .execute(executor)
        .await
        .map(drop)
    })
}

/// Notes an entry of which nobody knows when it was last configured, as if that had been now.
pub async fn notice(tx: &mut Tx, section: Section, name: &Slug, now: Timestamp) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO configured (kind, name, seen_at) VALUES ($1, $2, $3) ON CONFLICT (kind, name) DO NOTHING",
        )
        .bind(section.kind())
        .bind(name)
        .bind(now)
        .execute(executor)
        .await
        .map(drop)
    })
}

/// The entries that nobody has noted since, and for which nothing was ended yet.
pub async fn gone(db: &Db, section: Section, since: Timestamp) -> Result<Vec<Slug>, StoreError> {
    let found: Vec<(Slug,)> = on!(db, |executor| {
        sqlx::query_as("SELECT name FROM configured WHERE kind = $1 AND ended_at IS NULL AND seen_at <= $2")
            .bind(section.kind())
            .bind(since)
            .fetch_all(executor)
            .await
    })?;
    Ok(found.into_iter().map(|(name,)| name).collect())
}

/// Holds the row of one that is gone for as long as the transaction takes, before other instances that would end the
/// same, and before whoever has it in the configuration again. `false`: somebody has, or nothing is left to be ended.
pub async fn hold_gone(
    tx: &mut Tx,
    section: Section,
    name: &Slug,
    since: Timestamp,
) -> Result<bool, StoreError> {
    let held = on!(tx, |executor| {
        sqlx::query(
            "UPDATE configured SET seen_at = seen_at
             WHERE kind = $1 AND name = $2 AND ended_at IS NULL AND seen_at <= $3",
        )
        .bind(section.kind())
        .bind(name)
        .bind(since)
        .execute(executor)
        .await
        .map(|done| done.rows_affected())
    })?;
    Ok(held == 1)
}

/// Notes that nothing of it is left to be ended.
pub async fn ended(tx: &mut Tx, section: Section, name: &Slug, now: Timestamp) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("UPDATE configured SET ended_at = $3 WHERE kind = $1 AND name = $2")
            .bind(section.kind())
            .bind(name)
            .bind(now)
            .execute(executor)
            .await
            .map(drop)
    })
}
