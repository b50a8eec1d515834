//! Table `refresh_tokens`: the members of a family, each used once.

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{GrantId, UserId},
    secret::TokenHash,
};

/// One refresh token.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct StoredRefreshToken {
    /// The hash of the token.
    pub hash: TokenHash,
    /// The grant whose family it belongs to.
    pub grant_id: GrantId,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it ends if it is not used.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// What its successor is derived with, once it was used.
    pub salt: Option<Vec<u8>>,
}

/// Writes a new token of a family.
pub async fn insert(
    tx: &mut Tx,
    hash: &TokenHash,
    grant: &GrantId,
    created_at: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    on!(tx, |executor| sqlx::query(
        "INSERT INTO refresh_tokens (hash, grant_id, created_at, expires_at) VALUES ($1, $2, $3, $4)"
    )
    .bind(hash)
    .bind(grant)
    .bind(created_at)
    .bind(expires_at)
    .execute(executor)
    .await
    .map(drop))?;
    Ok(())
}

/// The token of this hash, used or not.
pub async fn find(db: &Db, hash: &TokenHash) -> Result<Option<StoredRefreshToken>, StoreError> {
    on!(db, |executor| sqlx::query_as("SELECT * FROM refresh_tokens WHERE hash = $1")
        .bind(hash)
        .fetch_optional(executor)
        .await)
}

/// Uses the token up; `salt` is what its successor is derived with. `false`: another request was first.
pub async fn rotate(tx: &mut Tx, hash: &TokenHash, salt: &[u8], now: Timestamp) -> Result<bool, StoreError> {
    let taken: Option<(GrantId,)> = on!(tx, |executor| sqlx::query_as(
        "UPDATE refresh_tokens SET used_at = $2, salt = $3
         WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING grant_id"
    )
    .bind(hash)
    .bind(now)
    .bind(salt)
    .fetch_optional(executor)
    .await)?;
    Ok(taken.is_some())
}

/// How many tokens of a user's could still be used.
pub async fn unused_of_user(tx: &mut Tx, user: &UserId) -> Result<i64, StoreError> {
    on!(tx, |executor| {
        sqlx::query_scalar(
            "SELECT count(*) FROM refresh_tokens t JOIN grants g ON g.id = t.grant_id
             WHERE g.user_id = $1 AND g.revoked_at IS NULL AND t.used_at IS NULL",
        )
        .bind(user)
        .fetch_one(executor)
        .await
    })
}
