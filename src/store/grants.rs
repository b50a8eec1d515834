//! Table `grants`: standing permissions.

use sqlx::types::Json;

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{ClientId, GrantId, IdentityId, ProviderId, SessionId, UserId},
    jose::Thumbprint,
    oauth::{purpose::Purpose, scope::ScopeSet},
};

/// How a grant came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(rename_all = "snake_case", type_name = "TEXT")]
pub enum GrantOrigin {
    /// The user allowed it.
    Consent,
    /// The enterprise's identity provider did, by an ID-JAG.
    IdJag,
}

/// A standing permission: what a client may do for a user until it ends.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// For whom.
    pub user_id: UserId,
    /// The account by which the user had signed in; its facts are what rules are asked about.
    pub identity_id: IdentityId,
    /// How it came to be.
    pub origin: GrantOrigin,
    /// The session that it was born in; none where no browser took part.
    pub session_id: Option<SessionId>,
    /// Who may.
    pub client_id: ClientId,
    /// For what.
    #[sqlx(rename = "resource", try_from = "String")]
    pub purpose: Purpose,
    /// The audience's URI when the grant was made: a resource that moved is another one.
    pub audience: String,
    /// What.
    #[sqlx(try_from = "String")]
    pub scope: ScopeSet,
    /// When the user's provider last saw her prove who she is.
    pub auth_time: Option<Timestamp>,
    /// The authentication context class.
    pub acr: Option<String>,
    /// The authentication methods.
    pub amr: Json<Vec<String>>,
    /// The key that its refresh tokens are bound to (RFC 9449 §5).
    pub jkt: Option<Thumbprint>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a token was last issued under it.
    pub last_used_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
}

/// A grant that was ended just now.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EndedGrant {
    /// The grant.
    pub id: GrantId,
    /// Whose it was.
    pub user_id: UserId,
    /// Who might.
    pub client_id: ClientId,
    /// For what.
    #[sqlx(rename = "resource", try_from = "String")]
    pub purpose: Purpose,
    /// What.
    #[sqlx(try_from = "String")]
    pub scope: ScopeSet,
    /// How it had come to be.
    pub origin: GrantOrigin,
}

/// Writes a new grant.
pub async fn insert(tx: &mut Tx, grant: &Grant) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
        "INSERT INTO grants (id, user_id, identity_id, session_id, client_id, resource, audience, scope, auth_time,
             acr, amr, created_at, last_used_at, expires_at, origin, jkt)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
    )
    .bind(&grant.id)
    .bind(&grant.user_id)
    .bind(&grant.identity_id)
    .bind(&grant.session_id)
    .bind(&grant.client_id)
    .bind(grant.purpose.to_string())
    .bind(&grant.audience)
    .bind(grant.scope.to_string())
    .bind(grant.auth_time)
    .bind(&grant.acr)
    .bind(&grant.amr)
    .bind(grant.created_at)
    .bind(grant.last_used_at)
    .bind(grant.expires_at)
    .bind(grant.origin)
    .bind(&grant.jkt)
    .execute(executor)
    .await
    .map(drop)
    })?;
    Ok(())
}

/// Writes what an assertion allows: a grant of that origin for the same user, client and resource goes on, under its
/// own id, as `grant` says. Returns the id under which it stands.
pub async fn keep(tx: &mut Tx, grant: &Grant) -> Result<GrantId, StoreError> {
    let (id,): (GrantId,) = on!(tx, |executor| {
        sqlx::query_as(
            "INSERT INTO grants (id, user_id, identity_id, client_id, resource, audience, scope, auth_time, acr, amr,
                 created_at, last_used_at, expires_at, origin)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, 'id_jag')
             ON CONFLICT (user_id, client_id, resource) WHERE origin = 'id_jag' AND revoked_at IS NULL
             DO UPDATE SET identity_id = excluded.identity_id, audience = excluded.audience, scope = excluded.scope,
                 auth_time = excluded.auth_time, acr = excluded.acr, amr = excluded.amr,
                 last_used_at = excluded.last_used_at,
                 expires_at = CASE WHEN grants.expires_at > excluded.expires_at
                     THEN grants.expires_at ELSE excluded.expires_at END
             RETURNING id",
        )
        .bind(&grant.id)
        .bind(&grant.user_id)
        .bind(&grant.identity_id)
        .bind(&grant.client_id)
        .bind(grant.purpose.to_string())
        .bind(&grant.audience)
        .bind(grant.scope.to_string())
        .bind(grant.auth_time)
        .bind(&grant.acr)
        .bind(&grant.amr)
        .bind(grant.created_at)
        .bind(grant.expires_at)
        .fetch_one(executor)
        .await
    })?;
    Ok(id)
}

/// The grant of this id.
pub async fn find(db: &Db, id: &GrantId) -> Result<Option<Grant>, StoreError> {
    on!(db, |executor| sqlx::query_as("SELECT * FROM grants WHERE id = $1")
        .bind(id)
        .fetch_optional(executor)
        .await)
}

/// A user's grants that are in force, the latest used first.
pub async fn of_user(db: &Db, user: &UserId, now: Timestamp) -> Result<Vec<Grant>, StoreError> {
    on!(db, |executor| sqlx::query_as(
        "SELECT * FROM grants WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
         ORDER BY last_used_at DESC, id LIMIT 500"
    )
    .bind(user)
    .bind(now)
    .fetch_all(executor)
    .await)
}

/// Notes that a token was issued under the grant. `false`: the grant has ended meanwhile, and none may be.
pub async fn touch(tx: &mut Tx, id: &GrantId, now: Timestamp) -> Result<bool, StoreError> {
    let touched: Option<(GrantId,)> = on!(tx, |executor| {
        sqlx::query_as(
        "UPDATE grants SET last_used_at = $2 WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2 RETURNING id"
    )
    .bind(id)
    .bind(now)
    .fetch_optional(executor)
    .await
    })?;
    Ok(touched.is_some())
}

/// Binds the refresh tokens of a grant to a key. `false`: they are bound to another one.
pub async fn bind(tx: &mut Tx, id: &GrantId, key: &Thumbprint) -> Result<bool, StoreError> {
    let bound: Option<(GrantId,)> = on!(tx, |executor| sqlx::query_as(
        "UPDATE grants SET jkt = $2 WHERE id = $1 AND (jkt IS NULL OR jkt = $2) RETURNING id"
    )
    .bind(id)
    .bind(key)
    .fetch_optional(executor)
    .await)?;
    Ok(bound.is_some())
}

/// Ends one grant. `false`: it had ended before.
pub async fn revoke(tx: &mut Tx, id: &GrantId, now: Timestamp) -> Result<bool, StoreError> {
    let revoked: Option<(GrantId,)> = on!(tx, |executor| sqlx::query_as(
        "UPDATE grants SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING id"
    )
    .bind(id)
    .bind(now)
    .fetch_optional(executor)
    .await)?;
    Ok(revoked.is_some())
}

/// Ends all grants of a user to a client for this and names them.
pub async fn revoke_all(
    tx: &mut Tx,
    user: &UserId,
    client: &ClientId,
    purpose: &Purpose,
    now: Timestamp,
) -> Result<Vec<GrantId>, StoreError> {
    let revoked: Vec<(GrantId,)> = on!(tx, |executor| sqlx::query_as(
        "UPDATE grants SET revoked_at = $4
         WHERE user_id = $1 AND client_id = $2 AND resource = $3 AND revoked_at IS NULL RETURNING id"
    )
    .bind(user)
    .bind(client)
    .bind(purpose.to_string())
    .bind(now)
    .fetch_all(executor)
    .await)?;
    Ok(revoked.into_iter().map(|(id,)| id).collect())
}

/// Ends the grants that were born in a session.
pub async fn revoke_of_session(
    tx: &mut Tx,
    session: &SessionId,
    now: Timestamp,
) -> Result<Vec<EndedGrant>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as(
            "UPDATE grants SET revoked_at = $2 WHERE session_id = $1 AND revoked_at IS NULL
             RETURNING id, user_id, client_id, resource, scope, origin",
        )
        .bind(session)
        .bind(now)
        .fetch_all(executor)
        .await
    })
}

/// Ends all of a user's grants, or only those that were born in a browser.
pub async fn revoke_of_user(
    tx: &mut Tx,
    user: &UserId,
    (only_from_browsers, now): (bool, Timestamp),
) -> Result<Vec<EndedGrant>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as(
            "UPDATE grants SET revoked_at = $2
             WHERE user_id = $1 AND revoked_at IS NULL AND ($3 = FALSE OR session_id IS NOT NULL)
             RETURNING id, user_id, client_id, resource, scope, origin",
        )
        .bind(user)
        .bind(now)
        .bind(only_from_browsers)
        .fetch_all(executor)
        .await
    })
}

/// Ends up to `most` grants of people whom only this provider vouches for.
pub async fn revoke_of_provider(
    tx: &mut Tx,
    provider: &ProviderId,
    (most, now): (u32, Timestamp),
) -> Result<Vec<EndedGrant>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as(
            "UPDATE grants SET revoked_at = $2 WHERE id IN (
                 SELECT g.id FROM grants g JOIN identities i ON i.id = g.identity_id
                 WHERE i.provider = $1 AND g.revoked_at IS NULL LIMIT $3)
             RETURNING id, user_id, client_id, resource, scope, origin",
        )
        .bind(provider)
        .bind(now)
        .bind(i64::from(most))
        .fetch_all(executor)
        .await
    })
}
