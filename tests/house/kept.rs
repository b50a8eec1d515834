//! A connection whose tokens the house keeps, as if its person had just connected the account.

use chancery::{
    app::App,
    ids::{ConnectionId, ConnectionName, UserId},
    oauth::scope::ScopeSet,
    secret::Secret,
    store::{
        connections::{self, Connection},
        users,
    },
    vault::{
        safe::{Kept, Place},
        state::State,
    },
};

/// The pinned identity of the account.
const ACCOUNT: &str = "583231";

/// Keeps an access token, and a refresh token where there is one, for a new person. `change`: what is otherwise than
/// usual about the row.
pub(crate) async fn keep(
    app: &App,
    name: &str,
    tokens: (&str, Option<&str>),
    change: impl FnOnce(&mut Connection),
) -> ConnectionId {
    let user = UserId::new(&app.clock, &app.entropy);
    let mut tx = app.db.begin().await.unwrap();
    users::insert(&mut tx, &user, (None, None), app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    keep_for(app, &user, name, tokens, change).await
}

/// The same for somebody who is known.
pub(crate) async fn keep_for(
    app: &App,
    user: &UserId,
    name: &str,
    (access, refresh): (&str, Option<&str>),
    change: impl FnOnce(&mut Connection),
) -> ConnectionId {
    let id = ConnectionId::new(&app.clock, &app.entropy);
    let name = ConnectionName::try_from(name.to_owned()).unwrap();
    let secret = |token: &str| Secret::new(token.to_owned());
    let kept = Kept { access: secret(access), refresh: refresh.map(secret) };
    let place = Place { id: &id, user, name: &name, generation: 1 };
    let tokens = kept.seal(app.vault.safe.prepare(&app.entropy, place).await.unwrap());
    let now = app.clock.now();
    let mut connection = Connection {
        id: id.clone(),
        user_id: user.clone(),
        name,
        label: None,
        is_default: true,
        account: ACCOUNT.to_owned(),
        account_name: Some("octocat".to_owned()),
        tenant: None,
        scope: ScopeSet::parse("repo").unwrap(),
        details: sqlx::types::Json([("api".to_owned(), "https://api.code.example".to_owned())].into()),
        state: State::Active,
        tokens,
        generation: 1,
        expires_at: None,
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
    };
    change(&mut connection);
    let mut tx = app.db.begin().await.unwrap();
    connections::insert(&mut tx, &connection).await.unwrap();
    tx.commit().await.unwrap();
    id
}
