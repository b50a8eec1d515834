//! Table `connect_links`: links that lead one person to connecting an account.

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{ClientId, ConnectionName, ResourceId, UserId},
    oauth::scope::ScopeSet,
    secret::TokenHash,
};

/// A link as it was issued, and whether it was used.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ConnectLink {
    /// The hash of what is in the URL.
    pub hash: TokenHash,
    /// For whom alone.
    pub user_id: UserId,
    /// To which entry under `connections:`.
    #[sqlx(try_from = "String")]
    pub connection: ConnectionName,
    /// The vendor's scopes that are wanted.
    #[sqlx(try_from = "String")]
    pub scope: ScopeSet,
    /// Who asked for it.
    pub client_id: ClientId,
    /// The resource whose server that is.
    pub resource: Option<ResourceId>,
    /// Where the person goes when it is done.
    pub return_to: Option<String>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it is too late to use it.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

/// Writes a new one.
pub async fn insert(tx: &mut Tx, link: &ConnectLink) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO connect_links
                 (hash, user_id, connection, scope, client_id, resource, return_to, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&link.hash)
        .bind(&link.user_id)
        .bind(&link.connection)
        .bind(link.scope.to_string())
        .bind(&link.client_id)
        .bind(&link.resource)
        .bind(&link.return_to)
        .bind(link.created_at)
        .bind(link.expires_at)
        .execute(executor)
        .await
        .map(drop)
    })
}

/// The link of this hash, used or not.
pub async fn find(db: &Db, hash: &TokenHash) -> Result<Option<ConnectLink>, StoreError> {
    on!(db, |executor| sqlx::query_as("SELECT * FROM connect_links WHERE hash = $1")
        .bind(hash)
        .fetch_optional(executor)
        .await)
}

/// Uses the link up for what it led to at `begun`. `false`: it was used before, or was too old then.
pub async fn consume(
    tx: &mut Tx,
    hash: &TokenHash,
    (begun, now): (Timestamp, Timestamp),
) -> Result<bool, StoreError> {
    let taken: Option<(UserId,)> = on!(tx, |executor| {
        sqlx::query_as(
            "UPDATE connect_links SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $3
             RETURNING user_id",
        )
        .bind(hash)
        .bind(now)
        .bind(begun)
        .fetch_optional(executor)
        .await
    })?;
    Ok(taken.is_some())
}
