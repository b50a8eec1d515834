//! Table `codes`: authorization codes, each used once.

use serde::{Deserialize, Serialize};
use sqlx::types::Json;

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{ClientId, GrantId, IdentityId, SessionId, UserId},
    jose::Thumbprint,
    oauth::{pkce::CodeChallenge, purpose::Purpose, redirect_uri::RedirectUri, scope::ScopeSet},
    secret::TokenHash,
};

/// A code as it was issued and what became of it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Code {
    /// The hash of the code.
    pub hash: TokenHash,
    /// The client that it was issued to.
    pub client_id: ClientId,
    /// Whose permission it carries.
    pub user_id: UserId,
    /// The session in which it was given; it dies with it.
    pub session_id: Option<SessionId>,
    /// What it stands for.
    pub permission: Json<Permission>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it is too late to use it.
    pub expires_at: Timestamp,
    /// When it was used.
    pub consumed_at: Option<Timestamp>,
    /// The grant that came of it.
    pub grant_id: Option<GrantId>,
}

/// What a person permitted, and how she had signed in when she did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// The account by which she had signed in.
    pub identity_id: IdentityId,
    /// What is permitted.
    pub purpose: Purpose,
    /// How much of it.
    pub scope: ScopeSet,
    /// Where the code was sent.
    pub redirect_uri: RedirectUri,
    /// The PKCE challenge.
    pub challenge: CodeChallenge,
    /// The client's `nonce` (OpenID Connect Core §3.1.2.1).
    pub nonce: Option<String>,
    /// When her provider last saw her prove who she is.
    pub auth_time: Timestamp,
    /// The authentication context class.
    pub acr: Option<String>,
    /// The authentication methods.
    pub amr: Vec<String>,
    /// The key whose holder alone can use the code (RFC 9449 §10).
    #[serde(default)]
    pub jkt: Option<Thumbprint>,
}

/// Writes a new code.
pub async fn insert(tx: &mut Tx, code: &Code) -> Result<(), StoreError> {
    on!(tx, |executor| sqlx::query(
        "INSERT INTO codes (hash, client_id, user_id, session_id, permission, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)"
    )
    .bind(&code.hash)
    .bind(&code.client_id)
    .bind(&code.user_id)
    .bind(&code.session_id)
    .bind(&code.permission)
    .bind(code.created_at)
    .bind(code.expires_at)
    .execute(executor)
    .await
    .map(drop))?;
    Ok(())
}

/// The code of this hash, used or not.
pub async fn find(db: &Db, hash: &TokenHash) -> Result<Option<Code>, StoreError> {
    on!(db, |executor| sqlx::query_as("SELECT * FROM codes WHERE hash = $1")
        .bind(hash)
        .fetch_optional(executor)
        .await)
}

/// Uses the code up for `grant`. `false`: another request was first, or it is too late.
pub async fn consume(
    tx: &mut Tx,
    hash: &TokenHash,
    grant: &GrantId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let taken: Option<(ClientId,)> = on!(tx, |executor| sqlx::query_as(
        "UPDATE codes SET consumed_at = $3, grant_id = $2
         WHERE hash = $1 AND consumed_at IS NULL AND expires_at > $3 RETURNING client_id"
    )
    .bind(hash)
    .bind(grant)
    .bind(now)
    .fetch_optional(executor)
    .await)?;
    Ok(taken.is_some())
}

/// Takes away the codes of a session that are not used yet; how many. Whoever is using one is waited for.
pub async fn void_of_session(tx: &mut Tx, session: &SessionId) -> Result<u64, StoreError> {
    on!(tx, |executor| {
        sqlx::query("DELETE FROM codes WHERE session_id = $1 AND consumed_at IS NULL")
            .bind(session)
            .execute(executor)
            .await
            .map(|done| done.rows_affected())
    })
}

/// Takes away all codes of a user that are not used yet; how many. Whoever is using one is waited for.
pub async fn void_of_user(tx: &mut Tx, user: &UserId) -> Result<u64, StoreError> {
    on!(tx, |executor| {
        sqlx::query("DELETE FROM codes WHERE user_id = $1 AND consumed_at IS NULL")
            .bind(user)
            .execute(executor)
            .await
            .map(|done| done.rows_affected())
    })
}
