//! Table `sign_in_tokens`: which connection the tokens of an account's sign-ins became.

use super::{Db, StoreError, Tx, on};
use crate::ids::{ConnectionId, ConnectionName, IdentityId};

/// Notes that they became this one.
pub async fn put(
    tx: &mut Tx,
    identity: &IdentityId,
    (name, id): (&ConnectionName, &ConnectionId),
) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO sign_in_tokens (identity_id, connection, connection_id) VALUES ($1, $2, $3)
             ON CONFLICT (identity_id, connection) DO UPDATE SET connection_id = excluded.connection_id",
        )
        .bind(identity)
        .bind(name)
        .bind(id)
        .execute(executor)
        .await
        .map(drop)
    })
}

/// The connection of this name that they became last, be it there or not. `None`: none were kept yet.
pub async fn find(
    db: &Db,
    identity: &IdentityId,
    name: &ConnectionName,
) -> Result<Option<ConnectionId>, StoreError> {
    let found: Option<(ConnectionId,)> = on!(db, |executor| {
        sqlx::query_as("SELECT connection_id FROM sign_in_tokens WHERE identity_id = $1 AND connection = $2")
            .bind(identity)
            .bind(name)
            .fetch_optional(executor)
            .await
    })?;
    Ok(found.map(|(id,)| id))
}
