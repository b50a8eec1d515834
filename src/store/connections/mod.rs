//! Table `connections`: people's accounts elsewhere, whose tokens we keep.

#[cfg(test)]
pub(crate) mod fixture;
mod redeeming;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use sqlx::types::Json;

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{ConnectionId, ConnectionName, UserId},
    oauth::scope::ScopeSet,
    seal::Sealed,
    vault::state::State,
};

pub use self::redeeming::{Renewed, begin_redeeming, fail, renew, unattended};

/// A person's account at a vendor. Its tokens are sealed for its id, user, name and generation.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// Whose it is.
    pub user_id: UserId,
    /// Which entry under `connections:` it is of.
    #[sqlx(try_from = "String")]
    pub name: ConnectionName,
    /// What the person calls it, where she has several.
    pub label: Option<String>,
    /// Whether it is meant where nobody says which; one of a user's connections of a name is.
    pub is_default: bool,
    /// What the vendor calls the account for ever: the pinned identity. Empty where the vendor does not tell.
    pub account: String,
    /// What people call the account, such as a login name.
    pub account_name: Option<String>,
    /// The organization, workspace or tenant of the account.
    pub tenant: Option<String>,
    /// The vendor's scopes that were given.
    #[sqlx(try_from = "String")]
    pub scope: ScopeSet,
    /// What else the vendor said that callers of its API need, such as `instance_url`.
    pub details: Json<BTreeMap<String, String>>,
    /// How it stands.
    #[sqlx(try_from = "String")]
    pub state: State,
    /// The tokens.
    pub tokens: Sealed,
    /// Grows with every write of the tokens.
    pub generation: i64,
    /// When the access token ends; `None`: the vendor did not say.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token ends; `None`: the vendor did not say.
    pub refresh_expires_at: Option<Timestamp>,
    /// When the tokens were written.
    pub refreshed_at: Timestamp,
    /// When they are to be refreshed though nobody asks, lest the vendor forget them.
    pub refresh_due_at: Option<Timestamp>,
    /// When the refresh token was first sent to the vendor, while no answer to that is stored.
    pub redeeming_since: Option<Timestamp>,
    /// How often the lease was taken: what its holder writes counts only while it has not been taken again.
    pub lease: i64,
    /// Who holds it.
    pub lease_owner: Option<String>,
    /// When it falls to whoever asks next.
    pub leased_until: Option<Timestamp>,
    /// How often in a row the vendor gave no token.
    pub failures: i64,
    /// Before this it is not asked again.
    pub next_attempt_at: Option<Timestamp>,
    /// When the account was connected first.
    pub created_at: Timestamp,
}

impl Connection {
    /// Whether somebody holds the lease.
    pub fn is_leased(&self, now: Timestamp) -> bool {
        self.leased_until.is_some_and(|until| until > now)
    }

    /// Whether it is among the [`unattended`].
    pub fn wants_attention(&self, now: Timestamp) -> bool {
        let usable = matches!(self.state, State::Active | State::Degraded(_));
        let due = self.redeeming_since.is_some() || self.refresh_due_at.is_some_and(|due| due <= now);
        usable && due && !self.is_leased(now) && self.next_attempt_at.is_none_or(|at| at <= now)
    }
}

/// Writes a new connection. One of the same account must not be there.
pub async fn insert(tx: &mut Tx, new: &Connection) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "INSERT INTO connections (id, user_id, name, label, is_default, account, account_name, tenant, scope,
                 details, state, tokens, generation, expires_at, refresh_expires_at, refreshed_at, refresh_due_at,
                 lease, failures, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
        )
        .bind(&new.id)
        .bind(&new.user_id)
        .bind(&new.name)
        .bind(&new.label)
        .bind(new.is_default)
        .bind(&new.account)
        .bind(&new.account_name)
        .bind(&new.tenant)
        .bind(new.scope.to_string())
        .bind(&new.details)
        .bind(new.state.to_string())
        .bind(&new.tokens)
        .bind(new.generation)
        .bind(new.expires_at)
        .bind(new.refresh_expires_at)
        .bind(new.refreshed_at)
        .bind(new.refresh_due_at)
        .bind(new.lease)
        .bind(new.failures)
        .bind(new.created_at)
        .execute(executor)
        .await
        .map(drop)
    })
}

/// The connection of this id.
pub async fn find(db: &Db, id: &ConnectionId) -> Result<Option<Connection>, StoreError> {
    on!(db, |executor| sqlx::query_as("SELECT * FROM connections WHERE id = $1")
        .bind(id)
        .fetch_optional(executor)
        .await)
}

/// All of a user's connections, the defaults first.
pub async fn of_user(db: &Db, user: &UserId) -> Result<Vec<Connection>, StoreError> {
    on!(db, |executor| {
        sqlx::query_as(
            "SELECT * FROM connections WHERE user_id = $1 ORDER BY name, is_default DESC, created_at, id LIMIT 500",
        )
        .bind(user)
        .fetch_all(executor)
        .await
    })
}

/// A user's connections of one name, the default first.
pub async fn of_user_named(
    db: &Db,
    user: &UserId,
    name: &ConnectionName,
) -> Result<Vec<Connection>, StoreError> {
    on!(db, |executor| {
        sqlx::query_as(
            "SELECT * FROM connections WHERE user_id = $1 AND name = $2 ORDER BY is_default DESC, created_at, id",
        )
        .bind(user)
        .bind(name)
        .fetch_all(executor)
        .await
    })
}

/// Holds the row until the transaction ends, and reads it: whoever else would change it waits.
pub async fn lock(tx: &mut Tx, id: &ConnectionId) -> Result<Option<Connection>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as("UPDATE connections SET lease = lease WHERE id = $1 RETURNING *")
            .bind(id)
            .fetch_optional(executor)
            .await
    })
}

/// Holds the row of this account, if there is one, and reads it.
pub async fn lock_account(
    tx: &mut Tx,
    user: &UserId,
    name: &ConnectionName,
    account: &str,
) -> Result<Option<Connection>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as(
            "UPDATE connections SET lease = lease WHERE user_id = $1 AND name = $2 AND account = $3 RETURNING *",
        )
        .bind(user)
        .bind(name)
        .bind(account)
        .fetch_optional(executor)
        .await
    })
}

/// Writes how it stands.
pub async fn set_state(tx: &mut Tx, id: &ConnectionId, state: State) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("UPDATE connections SET state = $2 WHERE id = $1")
            .bind(id)
            .bind(state.to_string())
            .execute(executor)
            .await
            .map(drop)
    })
}

/// Writes what the person calls it.
pub async fn set_label(tx: &mut Tx, id: &ConnectionId, label: Option<&str>) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("UPDATE connections SET label = $2 WHERE id = $1")
            .bind(id)
            .bind(label)
            .execute(executor)
            .await
            .map(drop)
    })
}

/// Writes what the vendor calls the account and what it belongs to.
pub async fn set_account_names(
    tx: &mut Tx,
    id: &ConnectionId,
    (account_name, tenant): (Option<&str>, Option<&str>),
) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query("UPDATE connections SET account_name = $2, tenant = $3 WHERE id = $1")
            .bind(id)
            .bind(account_name)
            .bind(tenant)
            .execute(executor)
            .await
            .map(drop)
    })
}

/// Adds to what else the vendor said of the account, if the tokens are still those of `generation`.
pub async fn set_details(
    tx: &mut Tx,
    id: &ConnectionId,
    generation: i64,
    details: &BTreeMap<String, String>,
) -> Result<bool, StoreError> {
    let set = on!(tx, |executor| {
        sqlx::query("UPDATE connections SET details = $3 WHERE id = $1 AND generation = $2")
            .bind(id)
            .bind(generation)
            .bind(Json(details))
            .execute(executor)
            .await
            .map(|done| done.rows_affected())
    })?;
    Ok(set == 1)
}

/// Makes it the one that is meant where nobody says which. `None`: none of that name is, until one is chosen.
pub async fn set_default(
    tx: &mut Tx,
    user: &UserId,
    name: &ConnectionName,
    chosen: Option<&ConnectionId>,
) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "UPDATE connections SET is_default = FALSE WHERE user_id = $1 AND name = $2 AND is_default",
        )
        .bind(user)
        .bind(name)
        .execute(executor)
        .await
        .map(drop)
    })?;
    on!(tx, |executor| {
        sqlx::query("UPDATE connections SET is_default = TRUE WHERE user_id = $1 AND name = $2 AND id = $3")
            .bind(user)
            .bind(name)
            .bind(chosen)
            .execute(executor)
            .await
            .map(drop)
    })
}

/// Makes the only one that a user has of a name the one that is meant; among several nobody guesses.
pub async fn choose_default(tx: &mut Tx, user: &UserId, name: &ConnectionName) -> Result<(), StoreError> {
    on!(tx, |executor| {
        sqlx::query(
            "UPDATE connections SET is_default = TRUE
             WHERE user_id = $1 AND name = $2
                 AND (SELECT count(*) FROM connections WHERE user_id = $1 AND name = $2) = 1",
        )
        .bind(user)
        .bind(name)
        .execute(executor)
        .await
        .map(drop)
    })
}

/// Takes it away, and with it the record of who used it. Answers what it was, for [`super::revocations::owe`].
pub async fn delete(tx: &mut Tx, id: &ConnectionId) -> Result<Option<Connection>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as("DELETE FROM connections WHERE id = $1 RETURNING *")
            .bind(id)
            .fetch_optional(executor)
            .await
    })
}

/// Takes all of a user's away.
pub async fn delete_of_user(tx: &mut Tx, user: &UserId) -> Result<Vec<Connection>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as("DELETE FROM connections WHERE user_id = $1 RETURNING *")
            .bind(user)
            .fetch_all(executor)
            .await
    })
}

/// Takes up to `most` of one name away.
pub async fn delete_named(
    tx: &mut Tx,
    name: &ConnectionName,
    most: u32,
) -> Result<Vec<Connection>, StoreError> {
    on!(tx, |executor| {
        sqlx::query_as(
            "DELETE FROM connections WHERE id IN (SELECT id FROM connections WHERE name = $1 LIMIT $2) RETURNING *",
        )
        .bind(name)
        .bind(i64::from(most))
        .fetch_all(executor)
        .await
    })
}

/// Every name that has a connection, for those that are not configured any more.
pub async fn names(db: &Db) -> Result<Vec<ConnectionName>, StoreError> {
    let names: Vec<(ConnectionName,)> = on!(db, |executor| {
        sqlx::query_as("SELECT DISTINCT name FROM connections").fetch_all(executor).await
    })?;
    Ok(names.into_iter().map(|(name,)| name).collect())
}

/// How many connections are in each state, by name and state as its column holds it.
pub async fn count(db: &Db) -> Result<Vec<(String, String, i64)>, StoreError> {
    on!(db, |executor| {
        sqlx::query_as("SELECT name, state, count(*) FROM connections GROUP BY name, state ORDER BY 1, 2")
            .fetch_all(executor)
            .await
    })
}
