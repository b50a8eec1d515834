//! Table `connection_uses`: who was handed a token of a connection, and when.

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{ClientId, ConnectionId, ResourceId, UserId},
};

/// What one client does with a connection for one resource.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Use {
    /// The connection.
    pub connection_id: ConnectionId,
    /// Who was handed its token.
    pub client_id: ClientId,
    /// For a person who was using this resource; empty: for a job, while she was away.
    pub resource: String,
    /// When first.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
    /// How often.
    pub count: i64,
}

/// Counts one more. The last write of its transaction: whoever else uses the same connection waits for the row. It
/// conflicts where the connection is gone.
pub async fn count(
    tx: &mut Tx,
    connection: &ConnectionId,
    client: &ClientId,
    resource: Option<&ResourceId>,
    now: Timestamp,
) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO connection_uses (connection_id, client_id, resource, first_at, last_at, count)
             VALUES ($1, $2, $3, $4, $4, 1)
             ON CONFLICT (connection_id, client_id, resource)
             DO UPDATE SET last_at = excluded.last_at, count = connection_uses.count + 1",
        )
        .bind(connection)
        .bind(client)
        .bind(resource.map_or("", ResourceId::as_str))
        .bind(now)
        .execute(executor)
        .await
        .map(drop)
    })
}

/// Who used any of a user's connections, the latest first.
pub async fn of_user(db: &Db, user: &UserId) -> Result<Vec<Use>, StoreError> {
    on!(db, |executor| {
        sqlx::query_as(
            "SELECT u.* FROM connection_uses u JOIN connections c ON c.id = u.connection_id
             WHERE c.user_id = $1 ORDER BY u.last_at DESC, u.client_id LIMIT 2000",
        )
        .bind(user)
        .fetch_all(executor)
        .await
    })
}

/// Who used a connection, the latest first.
pub async fn of_connection(db: &Db, connection: &ConnectionId) -> Result<Vec<Use>, StoreError> {
    on!(db, |executor| {
        sqlx::query_as(
            "SELECT * FROM connection_uses WHERE connection_id = $1 ORDER BY last_at DESC, client_id LIMIT 500",
        )
        .bind(connection)
        .fetch_all(executor)
        .await
    })
}
