//! The table `users`.

use super::{Db, StoreError, Tx, on};
use crate::{clock::Timestamp, ids::UserId};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct User {
    /// Her id.
    pub id: UserId,
    /// Her name, as a provider said last.
    pub name: Option<String>,
    /// Her address, as a provider said last.
    pub email: Option<String>,
    /// When she first came.
    pub created_at: Timestamp,
    /// Since when she is shut out.
    pub disabled_at: Option<Timestamp>,
}

/// The person of this id.
pub async fn find(db: &Db, id: &UserId) -> Result<Option<User>, StoreError> {
    on!(db, |executor| sqlx::query_as("SELECT * FROM users WHERE id = $1")
        .bind(id)
        .fetch_optional(executor)
        .await)
}

/// Adds a person.
pub async fn insert(
    tx: &mut Tx,
    id: &UserId,
    (name, email): (Option<&str>, Option<&str>),
    now: Timestamp,
) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("INSERT INTO users (id, name, email, created_at) VALUES ($1, $2, $3, $4)")
            .bind(id)
            .bind(name)
            .bind(email)
            .bind(now)
            .execute(executor)
            .await
            .map(|_| ())
    })
}

/// Takes back a person who was added in this transaction and turned out to be known already.
pub async fn delete(tx: &mut Tx, id: &UserId) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("DELETE FROM users WHERE id = $1").bind(id).execute(executor).await.map(|_| ())
    })
}

/// Renames a person as her provider calls her now; what it does not say stays. `false`: she is shut out.
pub async fn relabel(
    tx: &mut Tx,
    id: &UserId,
    (name, email): (Option<&str>, Option<&str>),
) -> Result<bool, StoreError> {
    const UPDATE: &str = "UPDATE users SET name = COALESCE($2, name), email = COALESCE($3, email) \
                          WHERE id = $1 AND disabled_at IS NULL";
    let relabelled = on!(tx, |executor| {
        let done = sqlx::query(UPDATE).bind(id).bind(name).bind(email).execute(executor).await;
        done.map(|done| done.rows_affected())
    })?;
    Ok(relabelled == 1)
}

/// Shuts a person out. Whoever is letting her in at this moment is waited for. `false`: she is shut out already.
pub async fn disable(tx: &mut Tx, id: &UserId, now: Timestamp) -> Result<bool, StoreError> {
    const UPDATE: &str = "UPDATE users SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL";
    let disabled = on!(tx, |executor| {
        let done = sqlx::query(UPDATE).bind(id).bind(now).execute(executor).await;
        done.map(|done| done.rows_affected())
    })?;
    Ok(disabled == 1)
}

/// Lets a person in again. `false`: she was not shut out.
pub async fn enable(tx: &mut Tx, id: &UserId) -> Result<bool, StoreError> {
    const UPDATE: &str = "UPDATE users SET disabled_at = NULL WHERE id = $1 AND disabled_at IS NOT NULL";
    let enabled = on!(tx, |executor| {
        let done = sqlx::query(UPDATE).bind(id).execute(executor).await;
        done.map(|done| done.rows_affected())
    })?;
    Ok(enabled == 1)
}
