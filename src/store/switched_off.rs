//! Table `switched_off`: clients, providers and connections that the operator has switched off.

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{ClientId, ConnectionName, ProviderId, Slug},
};

/// What can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch<'a> {
    /// A client, in whatever role of ours it is known.
    Client(&'a ClientId),
    /// A provider, in all that it does here.
    Provider(&'a ProviderId),
    /// An entry under `connections:`, for everybody.
    Connection(&'a ConnectionName),
}

impl<'a> Switch<'a> {
    const fn kind(self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Provider(_) => "provider",
            Self::Connection(_) => "connection",
        }
    }

    fn name(self) -> &'a str {
        match self {
            Self::Client(id) => id.as_str(),
            Self::Provider(id) | Self::Connection(id) => id.as_str(),
        }
    }
}

/// Switches it off. `false`: it was off already.
pub async fn put(tx: &mut Tx, switch: Switch<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let put = on!(tx, |executor| {
        sqlx::query("INSERT INTO switched_off (kind, name, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(switch.kind())
            .bind(switch.name())
            .bind(now)
            .execute(executor)
            .await
            .map(|done| done.rows_affected())
    })?;
    Ok(put == 1)
}

/// Switches it on again. `false`: it was not off.
pub async fn delete(tx: &mut Tx, switch: Switch<'_>) -> Result<bool, StoreError> {
    let deleted = on!(tx, |executor| {
        sqlx::query("DELETE FROM switched_off WHERE kind = $1 AND name = $2")
            .bind(switch.kind())
            .bind(switch.name())
            .execute(executor)
            .await
            .map(|done| done.rows_affected())
    })?;
    Ok(deleted == 1)
}

/// Since when it is off; none: it is on.
pub async fn since(db: &Db, switch: Switch<'_>) -> Result<Option<Timestamp>, StoreError> {
    let found: Option<(Timestamp,)> = on!(db, |executor| {
        sqlx::query_as("SELECT at FROM switched_off WHERE kind = $1 AND name = $2")
            .bind(switch.kind())
            .bind(switch.name())
            .fetch_optional(executor)
            .await
    })?;
    Ok(found.map(|(at,)| at))
}

/// Whether it is off.
pub async fn is_off(db: &Db, switch: Switch<'_>) -> Result<bool, StoreError> {
    since(db, switch).await.map(|since| since.is_some())
}

/// The providers that are off.
pub async fn providers(db: &Db) -> Result<Vec<ProviderId>, StoreError> {
    named(db, "provider").await
}

/// The entries under `connections:` that are off.
pub async fn connections(db: &Db) -> Result<Vec<ConnectionName>, StoreError> {
    named(db, "connection").await
}

async fn named(db: &Db, kind: &str) -> Result<Vec<Slug>, StoreError> {
    let found: Vec<(Slug,)> = on!(db, |executor| {
        sqlx::query_as("SELECT name FROM switched_off WHERE kind = $1").bind(kind).fetch_all(executor).await
    })?;
    Ok(found.into_iter().map(|(name,)| name).collect())
}
