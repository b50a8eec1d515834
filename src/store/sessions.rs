//! Table `sessions`: people signed in in browsers.

use sqlx::types::Json;

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{IdentityId, InteractionId, ProviderId, SessionId, UserId},
    seal::Sealed,
};

/// What a session is found with: all but the ID token, which only its end has a use for.
macro_rules! columns {
    () => {
        "s.id, s.user_id, s.identity_id, s.provider, s.auth_time, s.acr, s.amr, s.user_agent, s.created_at, \
         s.last_seen_at, s.expires_at, s.interaction_id"
    };
}

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

/// A session that was ended just now.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct EndedSession {
    /// The session.
    pub id: SessionId,
    /// Whose it was.
    pub user_id: UserId,
    /// Through which provider.
    pub provider: ProviderId,
    /// The browser's description of itself.
    pub user_agent: String,
    /// When the person had signed in.
    pub created_at: Timestamp,
    /// The ID token, where it was kept for the sign-out at the provider.
    pub id_token: Option<Sealed>,
}

/// Writes a session, new or after the same person has signed in again, with the ID token where it is kept.
pub async fn put(tx: &mut Tx, session: &SignedIn, id_token: Option<&Sealed>) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
        "INSERT INTO sessions (id, user_id, identity_id, provider, auth_time, acr, amr, user_agent, created_at,
             last_seen_at, expires_at, interaction_id, id_token)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (id) DO UPDATE SET provider = excluded.provider, auth_time = excluded.auth_time,
             acr = excluded.acr, amr = excluded.amr, user_agent = excluded.user_agent,
             created_at = excluded.created_at, last_seen_at = excluded.last_seen_at,
             expires_at = excluded.expires_at, interaction_id = excluded.interaction_id,
             id_token = excluded.id_token"
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
    .bind(id_token)
    .execute(executor)
    .await
    .map(drop)
    })?;
    Ok(())
}

/// The session, if it has not ended, was used since `idle_since`, its user is not disabled and its provider not
/// switched off.
pub async fn find_live(
    db: &Db,
    id: &SessionId,
    now: Timestamp,
    idle_since: Timestamp,
) -> Result<Option<SignedIn>, StoreError> {
    on!(db, |executor| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM sessions s JOIN users u ON u.id = s.user_id
         WHERE s.id = $1 AND s.expires_at > $2 AND s.last_seen_at > $3 AND u.disabled_at IS NULL
             AND NOT EXISTS (SELECT 1 FROM switched_off o WHERE o.kind = 'provider' AND o.name = s.provider)"
    ))
    .bind(id)
    .bind(now)
    .bind(idle_since)
    .fetch_optional(executor)
    .await)
}

/// When the person last signed in to it. `None`: it has ended, and was swept away.
pub async fn begun(db: &Db, id: &SessionId) -> Result<Option<Timestamp>, StoreError> {
    let begun: Option<(Timestamp,)> = on!(db, |executor| {
        sqlx::query_as("SELECT created_at FROM sessions WHERE id = $1")
            .bind(id)
            .fetch_optional(executor)
            .await
    })?;
    Ok(begun.map(|(at,)| at))
}

/// Holds the session for as long as the transaction takes: whoever ends it waits, and then ends what was made
/// meanwhile as well. `false`: it has ended.
pub async fn hold(tx: &mut Tx, id: &SessionId, now: Timestamp) -> Result<bool, StoreError> {
    let held: Option<(SessionId,)> = on!(tx, |executor| sqlx::query_as(
        "UPDATE sessions SET last_seen_at = last_seen_at WHERE id = $1 AND expires_at > $2 RETURNING id"
    )
    .bind(id)
    .bind(now)
    .fetch_optional(executor)
    .await)?;
    Ok(held.is_some())
}

/// All of a user's sessions that have not ended, the latest first.
pub async fn of_user(
    db: &Db,
    user: &UserId,
    now: Timestamp,
    idle_since: Timestamp,
) -> Result<Vec<SignedIn>, StoreError> {
    on!(db, |executor| sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM sessions s WHERE s.user_id = $1 AND s.expires_at > $2 AND s.last_seen_at > $3
         ORDER BY s.last_seen_at DESC, s.id LIMIT 200"
    ))
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

/// Whose session it is. `None`: there is no such session.
pub async fn owner(tx: &mut Tx, id: &SessionId) -> Result<Option<UserId>, StoreError> {
    let found: Option<(UserId,)> = on!(tx, |executor| {
        sqlx::query_as("SELECT user_id FROM sessions WHERE id = $1").bind(id).fetch_optional(executor).await
    })?;
    Ok(found.map(|(user,)| user))
}

/// Ends one session.
pub async fn delete(tx: &mut Tx, id: &SessionId) -> Result<Option<EndedSession>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as(
            "DELETE FROM sessions WHERE id = $1
             RETURNING id, user_id, provider, user_agent, created_at, id_token",
        )
        .bind(id)
        .fetch_optional(executor)
        .await
    })
}

/// Ends all sessions of a user.
pub async fn delete_of_user(tx: &mut Tx, user: &UserId) -> Result<Vec<EndedSession>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as(
            "DELETE FROM sessions WHERE user_id = $1
             RETURNING id, user_id, provider, user_agent, created_at, id_token",
        )
        .bind(user)
        .fetch_all(executor)
        .await
    })
}
