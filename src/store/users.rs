//! The table `users`.

use super::{StoreError, Tx, on};
use crate::{clock::Timestamp, ids::UserId};

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
