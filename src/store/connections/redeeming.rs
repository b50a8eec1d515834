//! The lease on a connection's refresh token, and what its holder writes.

use std::collections::BTreeMap;

use sqlx::types::Json;

use crate::{
    clock::Timestamp,
    ids::ConnectionId,
    oauth::scope::ScopeSet,
    seal::Sealed,
    store::{Db, StoreError, Tx, connections::Connection, on},
    vault::state::State,
};

/// What replaces the tokens of a connection.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// The tokens, sealed for the generation after that which they replace.
    pub tokens: Sealed,
    /// The vendor's scopes that they have.
    pub scope: ScopeSet,
    /// What else the vendor said.
    pub details: BTreeMap<String, String>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token ends.
    pub refresh_expires_at: Option<Timestamp>,
    /// When they came.
    pub refreshed_at: Timestamp,
    /// When they are to be refreshed though nobody asks.
    pub refresh_due_at: Option<Timestamp>,
    /// How the connection stands with them.
    pub state: State,
}

/// Takes the lease and notes in the same write that the refresh token is about to be sent; a note that is there already
/// stays, since the vendor may have seen the token then. Answers the lease's number. `None`: somebody else has it, or
/// had it since the row of `before` was read.
pub async fn begin_redeeming(
    tx: &mut Tx,
    before: &Connection,
    owner: &str,
    (now, until): (Timestamp, Timestamp),
) -> Result<Option<i64>, StoreError> {
    let taken: Option<(i64,)> = on!(tx, |executor| {
        sqlx::query_as(
            "UPDATE connections SET lease = lease + 1, lease_owner = $4, leased_until = $6,
                 redeeming_since = COALESCE(redeeming_since, $5)
             WHERE id = $1 AND lease = $2 AND generation = $3 AND (leased_until IS NULL OR leased_until <= $5)
             RETURNING lease",
        )
        .bind(&before.id)
        .bind(before.lease)
        .bind(before.generation)
        .bind(owner)
        .bind(now)
        .bind(until)
        .fetch_optional(executor)
        .await
    })?;
    Ok(taken.map(|(lease,)| lease))
}

/// Writes new tokens over those of `generation` and gives up the lease. `false`: others are there already. Whose lease
/// it is does not matter: a token that the vendor gave is better than a note that it may have given one. What an
/// operator has switched off meanwhile stays off.
pub async fn renew(
    tx: &mut Tx,
    id: &ConnectionId,
    generation: i64,
    renewed: &Renewed,
) -> Result<bool, StoreError> {
    let written: Option<(i64,)> = on!(tx, |executor| {
        sqlx::query_as(
            "UPDATE connections SET generation = generation + 1, tokens = $3, scope = $4, details = $5,
                 state = CASE WHEN state = 'disabled' THEN state ELSE $6 END,
                 expires_at = $7, refresh_expires_at = $8, refreshed_at = $9, refresh_due_at = $10,
                 redeeming_since = NULL, lease_owner = NULL, leased_until = NULL, failures = 0, next_attempt_at = NULL
             WHERE id = $1 AND generation = $2 RETURNING generation",
        )
        .bind(id)
        .bind(generation)
        .bind(&renewed.tokens)
        .bind(renewed.scope.to_string())
        .bind(Json(&renewed.details))
        .bind(renewed.state.to_string())
        .bind(renewed.expires_at)
        .bind(renewed.refresh_expires_at)
        .bind(renewed.refreshed_at)
        .bind(renewed.refresh_due_at)
        .fetch_optional(executor)
        .await
    })?;
    Ok(written.is_some())
}

/// Writes that a refresh came to nothing, and gives up this lease; `in_doubt`: the note that the token was sent stays.
/// `false`: the lease has been taken again since, and what its holder then learns counts.
pub async fn fail(
    tx: &mut Tx,
    id: &ConnectionId,
    lease: i64,
    (state, next_attempt_at, in_doubt): (State, Option<Timestamp>, bool),
) -> Result<bool, StoreError> {
    let written: Option<(i64,)> = on!(tx, |executor| {
        sqlx::query_as(
            "UPDATE connections SET state = $3, next_attempt_at = $4, failures = failures + 1,
                 redeeming_since = CASE WHEN $5 THEN redeeming_since END, lease_owner = NULL, leased_until = NULL
             WHERE id = $1 AND lease = $2 RETURNING lease",
        )
        .bind(id)
        .bind(lease)
        .bind(state.to_string())
        .bind(next_attempt_at)
        .bind(in_doubt)
        .fetch_optional(executor)
        .await
    })?;
    Ok(written.is_some())
}

/// Connections that want looking after though nobody asks for their tokens: a refresh was left in its midst, or the
/// vendor forgets a token that nobody uses. At most `most` of them that come `after` that id, in the order of ids.
pub async fn unattended(
    db: &Db,
    now: Timestamp,
    (after, most): (Option<&ConnectionId>, u32),
) -> Result<Vec<Connection>, StoreError> {
    on!(db, |executor| {
        sqlx::query_as(
            "SELECT * FROM connections
             WHERE (redeeming_since IS NOT NULL OR refresh_due_at <= $1)
                 AND (state = 'active' OR state LIKE 'degraded:%')
                 AND (leased_until IS NULL OR leased_until <= $1)
                 AND (next_attempt_at IS NULL OR next_attempt_at <= $1)
                 AND id > $2
             ORDER BY id LIMIT $3",
        )
        .bind(now)
        .bind(after.map_or("", ConnectionId::as_str))
        .bind(i64::from(most))
        .fetch_all(executor)
        .await
    })
}
