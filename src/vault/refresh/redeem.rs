//! One refresh: everything that can fail beforehand is done, the row says that the token is about to be sent, it is
//! sent, and what came of it is written.

use std::time::Duration;

use super::{
    Fresh, NotFresh,
    plan::{is_usable, may_send_again},
    settle,
};
use crate::{
    app::{App, Unopened},
    config::connection::Connection as Configured,
    seal::OpenError,
    store::{
        StoreError,
        connections::{self, Connection},
    },
    vault::{
        figures::Refresh,
        safe::{Kept, Place},
        state::Loss,
    },
};

/// How long the lease is: longer than finding the vendor's endpoints and asking it take together
/// ([`crate::net`] gives each five seconds), and than clocks of instances differ.
const LEASE: Duration = Duration::from_secs(20);

/// Opens what is kept of a connection. That it was changed or moved is a state that lasts; that our keys do not fit is
/// not the connection's fault.
pub(super) async fn open(app: &App, connection: &Connection) -> Result<Kept, NotFresh> {
    let error = match app.vault.safe.open(connection, app.clock.now()).await {
        Ok(kept) => return Ok(kept),
        Err(OpenError::Unavailable(outage)) => return Err(outage.into()),
        Err(error) => error,
    };
    let Connection { id, user_id, .. } = connection;
    let user = Some(user_id);
    app.unopened(Unopened { table: "connections", row: id.as_str(), user, error: &error }).await?;
    if !matches!(error, OpenError::Tampered | OpenError::Unknown) {
        return Err(NotFresh::Unopened(error));
    }
    settle::lose(app, connection, Loss::Unreadable).await?;
    Err(NotFresh::Reconnect(Loss::Unreadable))
}

/// Redeems the refresh token of a connection that nobody is refreshing. `None`: somebody else was quicker, or the
/// vendor gave nothing; the row says what follows.
pub(super) async fn redeem(
    app: &App,
    configured: &Configured,
    before: Connection,
) -> Result<Option<Fresh>, NotFresh> {
    let now = app.clock.now();
    if !may_send_again(&before, &configured.app.behaviour.refreshing, now) {
        settle::lose(app, &before, Loss::Interrupted).await?;
        return Ok(None);
    }
    let kept = open(app, &before).await?;
    let Some(refresh_token) = kept.refresh else {
        if is_usable(&before, now) {
            return Ok(Some(Fresh { connection: before, access: kept.access }));
        }
        settle::lose(app, &before, Loss::Expired).await?;
        return Ok(None);
    };
    let Connection { id, user_id: user, name, generation, .. } = &before;
    let place = Place { id, user, name, generation: generation + 1 };
    let ready = app.vault.safe.prepare(&app.entropy, place).await?;
    let Some(lease) = begin(app, &before).await? else { return Ok(None) };
    let answer = app.vault.vendors.refresh(configured, &refresh_token, &before.scope).await;
    app.vault.figures.refresh(name, Refresh::of(&answer));
    match answer {
        Ok(tokens) => settle::keep(app, configured, &before, tokens, (refresh_token, ready)).await,
        Err(error) => {
            settle::fail(app, (&before, lease), &error).await?;
            Ok(None)
        }
    }
}

/// Takes the lease of the row as it was read, so that nobody can have changed the tokens since, and writes the mark.
async fn begin(app: &App, before: &Connection) -> Result<Option<i64>, StoreError> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let until = now.plus(LEASE);
    let lease =
        connections::begin_redeeming(&mut tx, before, &app.vault.flights.instance, (now, until)).await?;
    tx.commit().await?;
    Ok(lease)
}
