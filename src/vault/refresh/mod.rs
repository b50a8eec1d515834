//! An access token that is good now.

use std::{sync::Arc, time::Duration};

use crate::{
    app::App,
    config::connection::Connection as Configured,
    seal::{KeyUnavailable, OpenError},
    secret::Secret,
    store::{StoreError, connections::Connection},
    vault::state::{Loss, State},
};

/// A connection whose access token is good now.
#[derive(Debug)]
pub struct Fresh {
    /// As it is stored.
    pub connection: Connection,
    /// Its access token.
    pub access: Secret,
}

/// Why there is no good access token.
#[derive(Debug, thiserror::Error)]
pub enum NotFresh {
    /// Only the person can mend it.
    #[error("the connection must be made again: {}", .0.code())]
    Reconnect(Loss),
    /// An operator has switched it off.
    #[error("an operator has switched the connection off")]
    Disabled,
    /// The vendor gives none just now.
    #[error("the vendor gives no token just now")]
    Unavailable {
        /// When to ask again.
        retry_after: Duration,
    },
    /// What is kept cannot be opened with the keys that are configured.
    #[error(transparent)]
    Unopened(OpenError),
    /// The person disconnected the account meanwhile.
    #[error("the account was disconnected meanwhile")]
    Gone,
    /// Our database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service that keeps our encryption key gave no answer.
    #[error(transparent)]
    Key(#[from] KeyUnavailable),
}

/// The access token of a connection, as long as it is good for a margin yet.
pub async fn fresh(
    app: &Arc<App>,
    configured: &Configured,
    connection: Connection,
) -> Result<Fresh, NotFresh> {
    let now = app.clock.now();
    match connection.state {
        State::Disabled => return Err(NotFresh::Disabled),
        State::NeedsReconnect(loss) => return Err(NotFresh::Reconnect(loss)),
        State::Active | State::Degraded(_) => {}
    }
    let margin = configured.app.behaviour.refreshing.margin;
    if connection.expires_at.is_some_and(|end| end <= now.plus(margin)) {
        return Err(NotFresh::Reconnect(Loss::Expired));
    }
    match app.vault.safe.open(&connection, now).await {
        Ok(kept) => Ok(Fresh { connection, access: kept.access }),
        Err(OpenError::Unavailable(outage)) => Err(outage.into()),
        Err(OpenError::Tampered | OpenError::Unknown) => Err(NotFresh::Reconnect(Loss::Unreadable)),
        Err(error) => Err(NotFresh::Unopened(error)),
    }
}
