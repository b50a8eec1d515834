//! Table `upstream_tokens`: what providers gave us to ask again with, sealed.

use super::{StoreError, Tx, on};
use crate::ids::UserId;

/// Forgets one.
pub async fn delete(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("DELETE FROM upstream_tokens WHERE id = $1").bind(id).execute(executor).await.map(drop)
    })
}

/// Forgets all that came with a user's sessions.
pub async fn delete_of_user(tx: &mut Tx, user: &UserId) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "DELETE FROM upstream_tokens WHERE id IN (
                 SELECT u.session_id FROM upstream_sessions u JOIN identities i ON i.id = u.identity_id
                 WHERE i.user_id = $1)",
        )
        .bind(user)
        .execute(executor)
        .await
        .map(drop)
    })
}
