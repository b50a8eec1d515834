//! The table `logins`: sign-ins that are under way at a provider.

use super::{Db, StoreError, Tx, on};
use crate::{
    clock::Timestamp,
    ids::{InteractionId, ProviderId},
    seal::Sealed,
    secret::TokenHash,
};

/// A sign-in that a browser began.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Login {
    /// The hash of its `state`.
    pub state_hash: TokenHash,
    /// Where the person was sent.
    pub provider: ProviderId,
    /// The browser that began it.
    pub browser_hash: TokenHash,
    /// What goes on afterwards; the account page if nothing does.
    pub interaction_id: Option<InteractionId>,
    /// The page that goes on instead, sealed.
    pub onward: Option<Sealed>,
    /// What must come back with the person, sealed; gone once it did.
    pub sealed: Option<Sealed>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it is no longer waited for.
    pub expires_at: Timestamp,
    /// When the person came back.
    pub consumed_at: Option<Timestamp>,
}

/// Notes that a browser was sent to a provider.
pub async fn insert(tx: &mut Tx, login: &Login) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO logins (state_hash, provider, browser_hash, interaction_id, onward, \
                          sealed, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    on!(tx, |executor| {
        sqlx::query(INSERT)
            .bind(&login.state_hash)
            .bind(&login.provider)
            .bind(&login.browser_hash)
            .bind(&login.interaction_id)
            .bind(&login.onward)
            .bind(&login.sealed)
            .bind(login.created_at)
            .bind(login.expires_at)
            .execute(executor)
            .await
            .map(|_| ())
    })
}

/// The sign-in of this `state`, unless it is too old; a finished one is found as well, and says so.
pub async fn find(db: &Db, state: &TokenHash, now: Timestamp) -> Result<Option<Login>, StoreError> {
    const SELECT: &str = "SELECT state_hash, provider, browser_hash, interaction_id, onward, sealed, \
                          created_at, expires_at, consumed_at FROM logins WHERE state_hash = $1 AND expires_at > $2";
    on!(db, |executor| sqlx::query_as(SELECT).bind(state).bind(now).fetch_optional(executor).await)
}

/// Uses the `state` up. `false`: another request was first, or time ran out.
pub async fn consume(tx: &mut Tx, state: &TokenHash, now: Timestamp) -> Result<bool, StoreError> {
    const UPDATE: &str = "UPDATE logins SET consumed_at = $2, sealed = NULL \
                          WHERE state_hash = $1 AND consumed_at IS NULL AND expires_at > $2";
    let consumed = on!(tx, |executor| {
        sqlx::query(UPDATE).bind(state).bind(now).execute(executor).await.map(|done| done.rows_affected())
    })?;
    Ok(consumed == 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;
    use crate::{
        seal::{SealContext, fixture::sealed},
        store::fixture::On,
    };

    const NOW: Timestamp = Timestamp::from_secs(1_795_219_200);

    fn pending() -> Sealed {
        let context = SealContext {
            table: "logins",
            column: "sealed",
            row: "s",
            owner: "",
            provider: "okta",
            version: 1,
        };
        sealed(&context, b"nonce")
    }

    async fn begun(db: &Db, state: &str) -> TokenHash {
        let login = Login {
            state_hash: TokenHash::of(state),
            provider: "okta".to_owned().try_into().unwrap(),
            browser_hash: TokenHash::of("browser"),
            interaction_id: None,
            onward: None,
            sealed: Some(pending()),
            created_at: NOW,
            expires_at: NOW.plus(Duration::from_secs(600)),
            consumed_at: None,
        };
        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, &login).await.unwrap();
        tx.commit().await.unwrap();
        login.state_hash
    }

    async fn consumed(db: &Db, state: &TokenHash, now: Timestamp) -> bool {
        let mut tx = db.begin().await.unwrap();
        let consumed = consume(&mut tx, state, now).await.unwrap();
        tx.commit().await.unwrap();
        consumed
    }

    #[rstest]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_many_returns_with_one_state_one_counts(#[values(On::Sqlite, On::Postgres)] on: On) {
        let Some(fresh) = on.fresh().await else { return };
        let state = begun(&fresh.db, "s").await;
        assert_eq!(find(&fresh.db, &state, NOW).await.unwrap().unwrap().sealed, Some(pending()));
        let returns: Vec<_> = (0..16)
            .map(|_| {
                let (db, state) = (fresh.db.clone(), state.clone());
                tokio::spawn(async move { consumed(&db, &state, NOW).await })
            })
            .collect();
        let mut counted = 0;
        for one in returns {
            counted += usize::from(one.await.unwrap());
        }
        assert_eq!(counted, 1);
        let login = find(&fresh.db, &state, NOW).await.unwrap().unwrap();
        assert_eq!((login.sealed, login.consumed_at), (None, Some(NOW)));
    }

    #[rstest]
    #[tokio::test]
    async fn time_runs_out(#[values(On::Sqlite, On::Postgres)] on: On) {
        let Some(fresh) = on.fresh().await else { return };
        let state = begun(&fresh.db, "s").await;
        let end = NOW.plus(Duration::from_secs(600));
        assert!(find(&fresh.db, &state, end).await.unwrap().is_none());
        assert!(!consumed(&fresh.db, &state, end).await);
        assert!(consumed(&fresh.db, &state, Timestamp::from_millis(end.as_millis() - 1)).await);
    }
}
