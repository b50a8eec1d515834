//! Table `upstream_sessions`: what our sessions are at their providers.

use super::{StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{IdentityId, ProviderId, SessionId, UserId},
};

/// What a session of ours is at its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSession {
    /// Our session, or what it was before it expired.
    pub session_id: SessionId,
    /// The account.
    pub identity_id: IdentityId,
    /// The provider.
    pub provider: ProviderId,
    /// The issuer of its ID token.
    pub issuer: String,
    /// The `sub` of its ID token.
    pub subject: String,
    /// The `sid` of its ID token, where it had one.
    pub sid: Option<String>,
    /// When nothing that was born of it can live any more.
    pub expires_at: Timestamp,
}

/// Which sessions a provider means (OpenID Connect Back-Channel Logout §2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// Every session of this `sub`.
    Subject(String),
    /// The session of this `sid`.
    Session(String),
    /// The session of this `sid`, which must be this `sub`'s.
    SessionOf {
        /// The `sub`.
        subject: String,
        /// The `sid`.
        sid: String,
    },
}

/// Notes one; a later sign-in in the same session goes over an earlier.
pub async fn put(tx: &mut Tx, session: &UpstreamSession) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO upstream_sessions (session_id, identity_id, provider, issuer, subject, sid, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (session_id) DO UPDATE SET provider = excluded.provider, subject = excluded.subject,
                 sid = excluded.sid, expires_at = excluded.expires_at",
        )
        .bind(&session.session_id)
        .bind(&session.identity_id)
        .bind(&session.provider)
        .bind(&session.issuer)
        .bind(&session.subject)
        .bind(&session.sid)
        .bind(session.expires_at)
        .execute(executor)
        .await
        .map(drop)
    })
}

/// The sessions of ours that a provider means, those that have expired included.
pub async fn meant(
    tx: &mut Tx,
    (provider, issuer): (&ProviderId, &str),
    meant: &Meant,
) -> Result<Vec<SessionId>, StoreError> {
    let found: Vec<(SessionId,)> = match meant {
        Meant::Subject(one) | Meant::Session(one) => {
            let select = if matches!(meant, Meant::Subject(_)) {
                "SELECT session_id FROM upstream_sessions WHERE issuer = $1 AND subject = $3 AND provider = $2"
            } else {
                "SELECT session_id FROM upstream_sessions WHERE issuer = $1 AND sid = $3 AND provider = $2"
            };
            on!(tx, |executor| {
                sqlx::query_as(select).bind(issuer).bind(provider).bind(one).fetch_all(executor).await
            })?
        }
        Meant::SessionOf { subject, sid } => on!(tx, |executor| {
            sqlx::query_as(
                "SELECT session_id FROM upstream_sessions
                 WHERE issuer = $1 AND sid = $3 AND subject = $4 AND provider = $2",
            )
            .bind(issuer)
            .bind(provider)
            .bind(sid)
            .bind(subject)
            .fetch_all(executor)
            .await
        })?,
    };
    Ok(found.into_iter().map(|(id,)| id).collect())
}

/// Up to `most` sessions of a provider's, live or expired.
pub async fn of_provider(
    tx: &mut Tx,
    provider: &ProviderId,
    most: u32,
) -> Result<Vec<SessionId>, StoreError> {
    let found: Vec<(SessionId,)> = on!(tx, |executor| {
        sqlx::query_as(
            "SELECT session_id FROM upstream_sessions WHERE provider = $1
             UNION SELECT id FROM sessions WHERE provider = $1 LIMIT $2",
        )
        .bind(provider)
        .bind(i64::from(most))
        .fetch_all(executor)
        .await
    })?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

/// All sessions of an account, live or expired.
pub async fn of_identity(tx: &mut Tx, identity: &IdentityId) -> Result<Vec<SessionId>, StoreError> {
    let found: Vec<(SessionId,)> = on!(tx, |executor| {
        sqlx::query_as("SELECT session_id FROM upstream_sessions WHERE identity_id = $1")
            .bind(identity)
            .fetch_all(executor)
            .await
    })?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

/// Forgets all of a user's.
pub async fn delete_of_user(tx: &mut Tx, user: &UserId) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "DELETE FROM upstream_sessions
             WHERE identity_id IN (SELECT id FROM identities WHERE user_id = $1)",
        )
        .bind(user)
        .execute(executor)
        .await
        .map(drop)
    })
}

/// Forgets one.
pub async fn delete(tx: &mut Tx, session: &SessionId) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("DELETE FROM upstream_sessions WHERE session_id = $1")
            .bind(session)
            .execute(executor)
            .await
            .map(drop)
    })
}
