//! Table `vendor_clients`: what authorization servers call us that registered us on request.

use serde::Serialize;

use super::{Db, StoreError, Tx, on};
use crate::{clock::Timestamp, ids::ConnectionName};

/// A client that we are. It is bound to all of these.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The entry under `connections:`.
    pub connection: &'a ConnectionName,
    /// Who registered us.
    pub issuer: &'a str,
    /// Where codes are sent.
    pub redirect_uri: &'a str,
}

/// A client that we were.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct Forgotten {
    /// Who had registered us.
    pub issuer: String,
    /// What we were called there.
    pub client_id: String,
}

/// What we are called there.
pub async fn find(db: &Db, place: Place<'_>) -> Result<Option<String>, StoreError> {
    let found: Option<(String,)> = on!(db, |executor| {
        sqlx::query_as(
            "SELECT client_id FROM vendor_clients WHERE connection = $1 AND issuer = $2 AND redirect_uri = $3",
        )
        .bind(place.connection)
        .bind(place.issuer)
        .bind(place.redirect_uri)
        .fetch_optional(executor)
        .await
    })?;
    Ok(found.map(|(client_id,)| client_id))
}

/// Writes it. `false`: another instance was faster, and what it wrote counts.
pub async fn insert(
    tx: &mut Tx,
    place: Place<'_>,
    client_id: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let inserted = on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO vendor_clients (connection, issuer, redirect_uri, client_id, created_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(place.connection)
        .bind(place.issuer)
        .bind(place.redirect_uri)
        .bind(client_id)
        .bind(now)
        .execute(executor)
        .await
        .map(|done| done.rows_affected())
    })?;
    Ok(inserted == 1)
}

/// Forgets the clients that we are for a connection, or the one of this name.
pub async fn forget(
    tx: &mut Tx,
    connection: &ConnectionName,
    client_id: Option<&str>,
) -> Result<Vec<Forgotten>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as(
            "DELETE FROM vendor_clients WHERE connection = $1 AND ($2 IS NULL OR client_id = $2)
             RETURNING issuer, client_id",
        )
        .bind(connection)
        .bind(client_id)
        .fetch_all(executor)
        .await
    })
}
