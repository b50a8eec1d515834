//! A connection to test with.

use super::Connection;
use crate::{
    clock::{Clock, Timestamp},
    entropy::Entropy,
    ids::{ConnectionId, ConnectionName, UserId},
    oauth::scope::ScopeSet,
    seal::{SealContext, fixture::sealed},
    store::{Tx, on},
    vault::state::State,
};

/// One of an account at GitHub whose tokens nobody opens.
pub(crate) fn connection(user: &UserId) -> Connection {
    let now = Timestamp::from_secs(1_795_219_200);
    let context =
        SealContext { table: "connections", column: "tokens", row: "", owner: "", provider: "", version: 1 };
    Connection {
        id: ConnectionId::new(&Clock::manual(now), &Entropy::System),
        user_id: user.clone(),
        name: ConnectionName::try_from("github".to_owned()).unwrap(),
        label: None,
        is_default: true,
        account: "583231".to_owned(),
        account_name: Some("octocat".to_owned()),
        tenant: None,
        scope: ScopeSet::parse("repo").unwrap(),
        details: sqlx::types::Json([("api".to_owned(), "https://api.github.com".to_owned())].into()),
        state: State::Active,
        tokens: sealed(&context, b"{}"),
        generation: 1,
        expires_at: Some(Timestamp::from_secs(1_795_222_800)),
        refresh_expires_at: None,
        refreshed_at: now,
        refresh_due_at: None,
        redeeming_since: None,
        lease: 0,
        lease_owner: None,
        leased_until: None,
        failures: 0,
        next_attempt_at: None,
        created_at: now,
    }
}

/// A user to whom it may belong.
pub(crate) async fn user(tx: &mut Tx) -> UserId {
    let id = UserId::new(&Clock::System, &Entropy::System);
    on!(tx, |executor| {
        sqlx::query("INSERT INTO users (id, created_at) VALUES ($1, 0)")
            .bind(&id)
            .execute(executor)
            .await
            .map(drop)
    })
    .unwrap();
    id
}
