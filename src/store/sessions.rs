//! Table `sessions`: people signed in in browsers.

use sqlx::types::Json;

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{IdentityId, InteractionId, ProviderId, SessionId, UserId},
};

/// A person signed in in one browser.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SignedIn {
    /// The session, as its owner sees it.
    pub id: SessionId,
    /// Who.
    pub user_id: UserId,
    /// By which account.
    pub identity_id: IdentityId,
    /// Through which provider.
    pub provider: ProviderId,
    /// When the provider last saw the person prove who she is.
    pub auth_time: Timestamp,
    /// The authentication context class that the provider stated.
    pub acr: Option<String>,
    /// The authentication methods that the provider stated.
    pub amr: Json<Vec<String>>,
    /// The browser's description of itself.
    pub user_agent: String,
    /// When the person signed in here.
    pub created_at: Timestamp,
    /// When the browser last asked for something, to the minute.
    pub last_seen_at: Timestamp,
    /// When the session ends, however much it is used.
    pub expires_at: Timestamp,
    /// The authorization request that the person signed in for; the provider was held to what it asks.
    pub interaction_id: Option<InteractionId>,
}

/// Writes a new session.
pub async fn insert(tx: &mut Tx, session: &SignedIn) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
        "INSERT INTO sessions (id, user_id, identity_id, provider, auth_time, acr, amr, user_agent, created_at,
             last_seen_at, expires_at, interaction_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    )
    .bind(&session.id)
    .bind(&session.user_id)
    .bind(&session.identity_id)
    .bind(&session.provider)
    .bind(session.auth_time)
    .bind(&session.acr)
    .bind(&session.amr)
    .bind(&session.user_agent)
    .bind(session.created_at)
    .bind(session.last_seen_at)
    .bind(session.expires_at)
    .bind(&session.interaction_id)
    .execute(executor)
    .await
    .map(drop)
    })?;
    Ok(())
}

/// The session, if it has not ended, was used since `idle_since`, and its user is not disabled.
pub async fn find_live(
    db: &Db,
    id: &SessionId,
    now: Timestamp,
    idle_since: Timestamp,
) -> Result<Option<SignedIn>, StoreError> {
    on!(db, |executor| sqlx::query_as(
        "SELECT s.* FROM sessions s JOIN users u ON u.id = s.user_id
         WHERE s.id = $1 AND s.expires_at > $2 AND s.last_seen_at > $3 AND u.disabled_at IS NULL"
    )
    .bind(id)
    .bind(now)
    .bind(idle_since)
    .fetch_optional(executor)
    .await)
}

/// All of a user's sessions that have not ended, the latest first.
pub async fn of_user(
    db: &Db,
    user: &UserId,
    now: Timestamp,
    idle_since: Timestamp,
) -> Result<Vec<SignedIn>, StoreError> {
    on!(db, |executor| sqlx::query_as(
        "SELECT * FROM sessions WHERE user_id = $1 AND expires_at > $2 AND last_seen_at > $3
         ORDER BY last_seen_at DESC, id LIMIT 200"
    )
    .bind(user)
    .bind(now)
    .bind(idle_since)
    .fetch_all(executor)
    .await)
}

/// Notes that a session was used.
pub async fn touch(tx: &mut Tx, id: &SessionId, now: Timestamp) -> Result<(), StoreError> {
    on!(tx, |executor| sqlx::query(
        "UPDATE sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2"
    )
    .bind(id)
    .bind(now)
    .execute(executor)
    .await
    .map(drop))?;
    Ok(())
}

/// Ends one session of a user. Answers whether there was one.
pub async fn delete(tx: &mut Tx, user: &UserId, id: &SessionId) -> Result<bool, StoreError> {
    let ended: Option<(SessionId,)> = on!(tx, |executor| sqlx::query_as(
        "DELETE FROM sessions WHERE id = $1 AND user_id = $2 RETURNING id"
    )
    .bind(id)
    .bind(user)
    .fetch_optional(executor)
    .await)?;
    Ok(ended.is_some())
}

/// Ends all sessions of a user and names them.
pub async fn delete_all(tx: &mut Tx, user: &UserId) -> Result<Vec<SessionId>, StoreError> {
    let ended: Vec<(SessionId,)> =
        on!(tx, |executor| sqlx::query_as("DELETE FROM sessions WHERE user_id = $1 RETURNING id")
            .bind(user)
            .fetch_all(executor)
            .await)?;
    Ok(ended.into_iter().map(|(id,)| id).collect())
}
