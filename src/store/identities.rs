//! The table `identities`.

use sqlx::types::Json;

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{IdentityId, ProviderId, UserId},
};

/// A person's account at a provider, found by its key.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Owner {
    /// The account.
    pub id: IdentityId,
    /// The person.
    pub user_id: UserId,
    /// When the person was shut out, if she was.
    pub disabled_at: Option<Timestamp>,
}

/// What a provider said last about a person.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Identity {
    /// The account.
    pub id: IdentityId,
    /// The person.
    pub user_id: UserId,
    /// The provider through which she came last.
    pub provider: ProviderId,
    /// The issuer that names her.
    pub issuer: String,
    /// What it calls her.
    pub subject: String,
    /// The operator's tenant.
    pub organization: Option<String>,
    /// The upstream tenant.
    pub tenant: Option<String>,
    /// A label.
    pub email: Option<String>,
    /// Whether the provider vouches for it.
    pub email_verified: bool,
    /// For pages.
    pub name: Option<String>,
    /// Her groups.
    pub groups: Json<Vec<String>>,
    /// When she last came.
    pub last_seen_at: Timestamp,
}

/// Whose account (`issuer`, `subject`) is.
pub async fn find_owner(tx: &mut Tx, issuer: &str, subject: &str) -> Result<Option<Owner>, StoreError> {
    const SELECT: &str = "SELECT i.id, i.user_id, u.disabled_at FROM identities i JOIN users u ON u.id = i.user_id \
                          WHERE i.issuer = $1 AND i.subject = $2";
    on!(tx, |executor| { sqlx::query_as(SELECT).bind(issuer).bind(subject).fetch_optional(executor).await })
}

/// Adds an account. `false`: another transaction has just added it.
pub async fn insert(tx: &mut Tx, identity: &Identity) -> Result<bool, StoreError> {
    const INSERT: &str = "INSERT INTO identities (id, user_id, provider, issuer, subject, organization, tenant, \
                          email, email_verified, name, groups, created_at, last_seen_at) \
                          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12) \
                          ON CONFLICT (issuer, subject) DO NOTHING";
    let inserted = on!(tx, |executor| {
        sqlx::query(INSERT)
            .bind(&identity.id)
            .bind(&identity.user_id)
            .bind(&identity.provider)
            .bind(&identity.issuer)
            .bind(&identity.subject)
            .bind(&identity.organization)
            .bind(&identity.tenant)
            .bind(&identity.email)
            .bind(identity.email_verified)
            .bind(&identity.name)
            .bind(&identity.groups)
            .bind(identity.last_seen_at)
            .execute(executor)
            .await
            .map(|done| done.rows_affected())
    })?;
    Ok(inserted == 1)
}

/// Notes what the provider says now. Key and owner stay.
pub async fn refresh(tx: &mut Tx, identity: &Identity) -> Result<(), StoreError> {
    const UPDATE: &str = "UPDATE identities SET provider = $2, organization = $3, tenant = $4, email = $5, \
                          email_verified = $6, name = $7, groups = $8, last_seen_at = $9 WHERE id = $1";
    on!(tx, |executor| {
        sqlx::query(UPDATE)
            .bind(&identity.id)
            .bind(&identity.provider)
            .bind(&identity.organization)
            .bind(&identity.tenant)
            .bind(&identity.email)
            .bind(identity.email_verified)
            .bind(&identity.name)
            .bind(&identity.groups)
            .bind(identity.last_seen_at)
            .execute(executor)
            .await
            .map(|_| ())
    })
}

/// What the provider said last about an account whose owner is not shut out.
pub async fn find_enabled(db: &Db, id: &IdentityId) -> Result<Option<Identity>, StoreError> {
    const SELECT: &str = "SELECT i.id, i.user_id, i.provider, i.issuer, i.subject, i.organization, i.tenant, \
                          i.email, i.email_verified, i.name, i.groups, i.last_seen_at \
                          FROM identities i JOIN users u ON u.id = i.user_id \
                          WHERE i.id = $1 AND u.disabled_at IS NULL";
    on!(db, |executor| sqlx::query_as(SELECT).bind(id).fetch_optional(executor).await)
}
