//! The table `identities`: people's accounts at providers.

use sqlx::types::Json;

use super::{Db, Engine, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{ClientId, IdentityId, ProviderId, UserId},
    jose::json::Object,
};

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
    /// What it said of the claims that its entry rules read, by name.
    pub claims: Json<Object>,
    /// When she first came by it.
    pub created_at: Timestamp,
    /// When she last came.
    pub last_seen_at: Timestamp,
}

/// An account, and whether its owner is shut out.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Account {
    /// The account.
    #[sqlx(flatten)]
    pub identity: Identity,
    /// When the person was shut out, if she was.
    pub disabled_at: Option<Timestamp>,
}

/// What a provider says of an account. `None`: it does not say.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Through which provider she comes.
    pub provider: &'a ProviderId,
    /// The operator's tenant.
    pub organization: Option<&'a str>,
    /// The upstream tenant.
    pub tenant: Option<&'a str>,
    /// The address.
    pub email: Option<&'a str>,
    /// Whether the provider vouches for the address.
    pub email_verified: Option<bool>,
    /// The name.
    pub name: Option<&'a str>,
    /// The groups.
    pub groups: Option<&'a [String]>,
    /// What is known now of the claims that its entry rules read.
    pub claims: &'a Object,
}

macro_rules! accounts {
    ($where:literal) => {
        concat!("SELECT i.*, u.disabled_at FROM identities i JOIN users u ON u.id = i.user_id WHERE ", $where)
    };
}

/// The account of this key, and the promise that what is known of it stays until this transaction ends.
pub async fn hold(tx: &mut Tx, issuer: &str, subject: &str) -> Result<Option<Account>, StoreError> {
    const SELECT: &str = accounts!("i.issuer = $1 AND i.subject = $2");
    const LOCK: &str = accounts!("i.issuer = $1 AND i.subject = $2 FOR UPDATE OF i");
    // SQLite has one writer, and this transaction is it.
    let found = match tx.executor() {
        Engine::Sqlite(connection) => {
            sqlx::query_as(SELECT).bind(issuer).bind(subject).fetch_optional(connection).await
        }
        Engine::Postgres(connection) => {
            sqlx::query_as(LOCK).bind(issuer).bind(subject).fetch_optional(connection).await
        }
    };
    tx.outcome(found)
}

/// All accounts of a person, the oldest first.
pub async fn of_person(tx: &mut Tx, user: &UserId) -> Result<Vec<Account>, StoreError> {
    const SELECT: &str = accounts!("i.user_id = $1 ORDER BY i.created_at, i.id");
    on!(tx, |executor| sqlx::query_as(SELECT).bind(user).fetch_all(executor).await)
}

/// The accounts with this address, in whatever case, for which their provider vouches; and the promise that no other
/// transaction that asks the same adds one before this one ends.
pub async fn lock_address(tx: &mut Tx, address: &str) -> Result<Vec<Account>, StoreError> {
    const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('identities.email:' || $1, 0))";
    const SELECT: &str = accounts!("lower(i.email) = $1 AND i.email_verified ORDER BY i.created_at, i.id");
    let address = address.to_ascii_lowercase();
    // SQLite has one writer, and this transaction is it.
    if let Engine::Postgres(connection) = tx.executor() {
        let locked = sqlx::query(LOCK).bind(&address).execute(connection).await.map(|_| ());
        tx.outcome(locked)?;
    }
    on!(tx, |executor| sqlx::query_as(SELECT).bind(&address).fetch_all(executor).await)
}

/// Adds an account. `false`: another transaction has just added it.
pub async fn insert(tx: &mut Tx, identity: &Identity) -> Result<bool, StoreError> {
    const INSERT: &str = "INSERT INTO identities (id, user_id, provider, issuer, subject, organization, tenant, \
                          email, email_verified, name, groups, claims, created_at, last_seen_at) \
                          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
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
            .bind(&identity.claims)
            .bind(identity.created_at)
            .bind(identity.last_seen_at)
            .execute(executor)
            .await
            .map(|done| done.rows_affected())
    })?;
    Ok(inserted == 1)
}

/// Notes all that the provider says now: what it does not say is no longer so. Key and owner stay.
pub async fn replace(
    tx: &mut Tx,
    id: &IdentityId,
    said: Said<'_>,
    now: Timestamp,
) -> Result<Identity, StoreError> {
    const UPDATE: &str = "UPDATE identities SET provider = $2, organization = $3, tenant = $4, email = $5, \
                          email_verified = COALESCE($6, FALSE), name = $7, groups = $8, last_seen_at = $9, claims = $10 \
                          WHERE id = $1 RETURNING *";
    let said = Said { groups: said.groups.or(Some(&[])), ..said };
    update(tx, UPDATE, id, said, now).await
}

/// Notes what the provider says now: what it does not say stays as it was. An address is as verified as it was only if
/// it is the same.
pub async fn complete(
    tx: &mut Tx,
    id: &IdentityId,
    said: Said<'_>,
    now: Timestamp,
) -> Result<Identity, StoreError> {
    const UPDATE: &str = "UPDATE identities SET provider = $2, organization = $3, tenant = COALESCE($4, tenant), \
                          email = COALESCE($5, email), \
                          email_verified = CASE WHEN $5 IS NULL THEN email_verified \
                          WHEN $6 IS NOT NULL THEN $6 WHEN email = $5 THEN email_verified ELSE FALSE END, \
                          name = COALESCE($7, name), groups = COALESCE($8, groups), last_seen_at = $9, claims = $10 \
                          WHERE id = $1 RETURNING *";
    update(tx, UPDATE, id, said, now).await
}

async fn update(
    tx: &mut Tx,
    sql: &'static str,
    id: &IdentityId,
    said: Said<'_>,
    now: Timestamp,
) -> Result<Identity, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as(sql)
            .bind(id)
            .bind(said.provider)
            .bind(said.organization)
            .bind(said.tenant)
            .bind(said.email)
            .bind(said.email_verified)
            .bind(said.name)
            .bind(said.groups.map(Json))
            .bind(now)
            .bind(Json(said.claims))
            .fetch_one(executor)
            .await
    })
}

/// The providers that have ever vouched for somebody here.
pub async fn providers(db: &Db) -> Result<Vec<ProviderId>, StoreError> {
    const SELECT: &str = "SELECT provider FROM identities UNION SELECT provider FROM upstream_sessions";
    let found: Vec<(ProviderId,)> = on!(db, |executor| sqlx::query_as(SELECT).fetch_all(executor).await)?;
    Ok(found.into_iter().map(|(provider,)| provider).collect())
}

/// What the provider said last about an account whose owner is not shut out, and which itself is not switched off.
pub async fn find_enabled(db: &Db, id: &IdentityId) -> Result<Option<Identity>, StoreError> {
    const SELECT: &str = "SELECT i.* FROM identities i JOIN users u ON u.id = i.user_id \
                          WHERE i.id = $1 AND u.disabled_at IS NULL AND NOT EXISTS \
                          (SELECT 1 FROM switched_off o WHERE o.kind = 'provider' AND o.name = i.provider)";
    on!(db, |executor| sqlx::query_as(SELECT).bind(id).fetch_optional(executor).await)
}

/// The same, unless `client`, who asks for her, is switched off.
pub async fn find_enabled_for(
    db: &Db,
    id: &IdentityId,
    client: &ClientId,
) -> Result<Option<Identity>, StoreError> {
    const SELECT: &str = "SELECT i.* FROM identities i JOIN users u ON u.id = i.user_id \
                          WHERE i.id = $1 AND u.disabled_at IS NULL AND NOT EXISTS \
                          (SELECT 1 FROM switched_off o WHERE (o.kind = 'provider' AND o.name = i.provider) \
                          OR (o.kind = 'client' AND o.name = $2))";
    on!(db, |executor| sqlx::query_as(SELECT).bind(id).bind(client).fetch_optional(executor).await)
}

/// The account of this key.
pub async fn of_key(db: &Db, issuer: &str, subject: &str) -> Result<Option<Account>, StoreError> {
    const SELECT: &str = accounts!("i.issuer = $1 AND i.subject = $2");
    on!(db, |executor| sqlx::query_as(SELECT).bind(issuer).bind(subject).fetch_optional(executor).await)
}

/// All accounts of a person, the oldest first.
pub async fn of_user(db: &Db, user: &UserId) -> Result<Vec<Account>, StoreError> {
    const SELECT: &str = accounts!("i.user_id = $1 ORDER BY i.created_at, i.id");
    on!(db, |executor| sqlx::query_as(SELECT).bind(user).fetch_all(executor).await)
}

/// The accounts of this subject at a provider, of which there are several only where it has several issuers.
pub async fn with_subject(db: &Db, provider: &ProviderId, subject: &str) -> Result<Vec<Account>, StoreError> {
    const SELECT: &str = accounts!("i.provider = $1 AND i.subject = $2 ORDER BY i.created_at, i.id");
    on!(db, |executor| sqlx::query_as(SELECT).bind(provider).bind(subject).fetch_all(executor).await)
}

/// The accounts that go by this address, in whatever case, whether vouched for or not. Several people may: it is a
/// label.
pub async fn with_email(db: &Db, email: &str) -> Result<Vec<Account>, StoreError> {
    const SELECT: &str = accounts!("lower(i.email) = lower($1) ORDER BY i.created_at, i.id");
    on!(db, |executor| sqlx::query_as(SELECT).bind(email).fetch_all(executor).await)
}
