//! Table `connects`: accounts that are being connected.

use serde::{Deserialize, Serialize};
use sqlx::types::Json;

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{ConnectionId, ConnectionName, UserId},
    oauth::scope::ScopeSet,
    seal::Sealed,
    secret::TokenHash,
};

/// A person who was sent to a vendor.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Connect {
    /// The hash of its `state`.
    pub state_hash: TokenHash,
    /// The entry under `connections:`.
    #[sqlx(try_from = "String")]
    pub connection: ConnectionName,
    /// The browser that she went from.
    pub browser_hash: TokenHash,
    /// Who was signed in in it.
    pub user_id: UserId,
    /// The vendor's scopes that the account shall have then.
    #[sqlx(try_from = "String")]
    pub scope: ScopeSet,
    /// The connection that is made again, where it is to be that one.
    pub renews: Option<ConnectionId>,
    /// What she calls the account.
    pub label: Option<String>,
    /// The link that led here.
    pub link_hash: Option<TokenHash>,
    /// What must come back with her, sealed; gone once she did.
    pub sealed: Option<Sealed>,
    /// When she went.
    pub created_at: Timestamp,
    /// When she is no longer waited for.
    pub expires_at: Timestamp,
    /// When she came back.
    pub consumed_at: Option<Timestamp>,
    /// What the account was kept as.
    pub kept_as: Option<ConnectionId>,
    /// The sites that she has yet to choose from.
    pub sites: Option<Json<Vec<SiteOffered>>>,
}

/// A site of the account's, as the vendor named it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteOffered {
    /// What the vendor's API knows it by.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its address.
    pub url: Option<String>,
}

/// Notes that somebody was sent to a vendor.
pub async fn insert(tx: &mut Tx, connect: &Connect) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO connects (state_hash, connection, browser_hash, user_id, scope, renews, label, link_hash,
                 sealed, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(&connect.state_hash)
        .bind(&connect.connection)
        .bind(&connect.browser_hash)
        .bind(&connect.user_id)
        .bind(connect.scope.to_string())
        .bind(&connect.renews)
        .bind(&connect.label)
        .bind(&connect.link_hash)
        .bind(&connect.sealed)
        .bind(connect.created_at)
        .bind(connect.expires_at)
        .execute(executor)
        .await
        .map(drop)
    })
}

/// The one of this `state`, unless it is too old; a finished one is found as well, and says so.
pub async fn find(db: &Db, state: &TokenHash, now: Timestamp) -> Result<Option<Connect>, StoreError> {
    on!(db, |executor| {
        sqlx::query_as("SELECT * FROM connects WHERE state_hash = $1 AND expires_at > $2")
            .bind(state)
            .bind(now)
            .fetch_optional(executor)
            .await
    })
}

/// Uses the `state` up. `false`: another request was first, or time ran out.
pub async fn consume(tx: &mut Tx, state: &TokenHash, now: Timestamp) -> Result<bool, StoreError> {
    let consumed = on!(tx, |executor| {
        sqlx::query(
            "UPDATE connects SET consumed_at = $2, sealed = NULL
             WHERE state_hash = $1 AND consumed_at IS NULL AND expires_at > $2",
        )
        .bind(state)
        .bind(now)
        .execute(executor)
        .await
        .map(|done| done.rows_affected())
    })?;
    Ok(consumed == 1)
}

/// Notes what the account was kept as, and from which sites one is still to be chosen.
pub async fn finish(
    tx: &mut Tx,
    state: &TokenHash,
    kept_as: &ConnectionId,
    sites: Option<&[SiteOffered]>,
) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("UPDATE connects SET kept_as = $2, sites = $3 WHERE state_hash = $1")
            .bind(state)
            .bind(kept_as)
            .bind(sites.map(Json))
            .execute(executor)
            .await
            .map(drop)
    })
}

/// Takes the one right to choose a site. `false`: one was chosen already.
pub async fn choose(tx: &mut Tx, state: &TokenHash, now: Timestamp) -> Result<bool, StoreError> {
    let chosen = on!(tx, |executor| {
        sqlx::query(
            "UPDATE connects SET sites = NULL
             WHERE state_hash = $1 AND kept_as IS NOT NULL AND sites IS NOT NULL AND expires_at > $2",
        )
        .bind(state)
        .bind(now)
        .execute(executor)
        .await
        .map(|done| done.rows_affected())
    })?;
    Ok(chosen == 1)
}
