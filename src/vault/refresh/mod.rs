//! An access token that is good now: the one that is kept, or the next, for which the vendor is asked once whoever and
//! however many want it.
//!
//! [`plan`] says what is to be done. [`flights`] lets one task in this instance do it, and the lease on the row one
//! instance of all. [`redeem`] does it, and [`settle`] writes what came of it. [`times`] says when the vendor is asked
//! again, and [`upkeep`] looks after connections for which nobody asks.

mod flights;
mod plan;
mod redeem;
mod settle;
mod times;
pub mod upkeep;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use self::plan::{Plan, plan, plan_newer};
pub(super) use self::times::back_off;
pub use self::{flights::Flights, settle::lose, times::refresh_due_at};
use crate::{
    app::App,
    clock::Timestamp,
    config::connection::Connection as Configured,
    ids::ConnectionId,
    seal::{KeyUnavailable, OpenError},
    secret::Secret,
    store::{
        StoreError,
        connections::{self, Connection},
        switched_off::{self, Switch},
    },
    vault::state::Loss,
};

/// How long somebody waits for a refresh: clients give up on us after about ten seconds.
const PATIENCE: Duration = Duration::from_secs(9);
/// How long a refresh itself goes on, all waiting for others included: until one lease has ended and one more request
/// was answered.
const LONGEST: Duration = Duration::from_secs(40);
/// How often the row is looked at while another instance refreshes: first, and at the slowest.
const POLL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// When to ask again whoever's patience ended.
const SOON: Duration = Duration::from_secs(2);

/// A connection whose access token is good now.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// As it is stored.
    pub connection: Connection,
    /// Its access token.
    pub access: Secret,
}

/// Why there is no good access token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotFresh {
    /// Only the person can mend it.
    #[error("the connection must be made again: {}", .0.code())]
    Reconnect(Loss),
    /// An operator has switched it off, for its person or for everybody.
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

/// The access token of a connection as it was just read. While it is good the vendor is not asked; shortly before its
/// end it is refreshed, once for everybody. Whoever goes away meanwhile breaks nothing off.
pub async fn fresh(
    app: &Arc<App>,
    configured: &Configured,
    connection: Connection,
) -> Result<Fresh, NotFresh> {
    switched_on(app, &connection).await?;
    let now = app.clock.now();
    let plan = plan(&connection, &configured.app.behaviour.refreshing, now);
    let flight = match plan {
        Plan::ServeAndRefresh | Plan::Refresh | Plan::Wait => {
            let flight = || get(Arc::clone(app), configured.clone(), connection.id.clone(), None);
            Some(app.vault.flights.join(&connection.id, flight))
        }
        _ => None,
    };
    match flight {
        Some(flight) if plan != Plan::ServeAndRefresh => {
            let outcome = timeout(PATIENCE, flight.outcome()).await;
            // That took time, and whoever switched it off meanwhile was told that nothing is handed out any more.
            switched_on(app, &connection).await?;
            outcome.ok().flatten().unwrap_or(Err(NotFresh::Unavailable { retry_after: SOON }))
        }
        _ => without_asking(app, connection, plan, now).await,
    }
}

/// The same, where the access token is to be newer than `since` though the one before be good yet: so that the vendor
/// is asked whether it still stands by the account. What comes is older where the vendor cannot be asked just now, or
/// there is nothing to ask with but that token.
pub async fn renewed(
    app: &Arc<App>,
    configured: &Configured,
    connection: Connection,
    since: Timestamp,
) -> Result<Fresh, NotFresh> {
    switched_on(app, &connection).await?;
    let flight = || get(Arc::clone(app), configured.clone(), connection.id.clone(), Some(since));
    let flight = app.vault.flights.join(&connection.id, flight);
    let outcome = timeout(PATIENCE, flight.outcome()).await;
    switched_on(app, &connection).await?;
    outcome.ok().flatten().unwrap_or(Err(NotFresh::Unavailable { retry_after: SOON }))
}

async fn switched_on(app: &App, connection: &Connection) -> Result<(), NotFresh> {
    let off = switched_off::is_off(&app.db, Switch::Connection(&connection.name)).await?;
    if off { Err(NotFresh::Disabled) } else { Ok(()) }
}

/// What a plan comes to for which the vendor need not be asked.
async fn without_asking(
    app: &App,
    connection: Connection,
    plan: Plan,
    now: Timestamp,
) -> Result<Fresh, NotFresh> {
    match plan {
        Plan::Disabled => Err(NotFresh::Disabled),
        Plan::Reconnect(loss) => Err(NotFresh::Reconnect(loss)),
        Plan::Later(at) => {
            Err(NotFresh::Unavailable { retry_after: at.since(now).max(Duration::from_secs(1)) })
        }
        Plan::Serve | Plan::ServeAndRefresh | Plan::Refresh | Plan::Wait => {
            let kept = redeem::open(app, &connection).await?;
            Ok(Fresh { connection, access: kept.access })
        }
    }
}

/// A flight: goes by what the row says, which others may be changing, until that is an answer. `since`: than which it
/// is to be newer.
async fn get(
    app: Arc<App>,
    configured: Configured,
    id: ConnectionId,
    since: Option<Timestamp>,
) -> Result<Fresh, NotFresh> {
    let begun = Instant::now();
    let (mut pause, slowest) = POLL;
    while begun.elapsed() < LONGEST {
        let connection = connections::find(&app.db, &id).await?.ok_or(NotFresh::Gone)?;
        let now = app.clock.now();
        let refreshing = &configured.app.behaviour.refreshing;
        let plan = match since {
            Some(since) => plan_newer(&connection, refreshing, (since, now)),
            None => plan(&connection, refreshing, now),
        };
        match plan {
            Plan::Wait => {}
            Plan::Refresh | Plan::ServeAndRefresh => {
                if let Some(fresh) = redeem::redeem(&app, &configured, connection).await? {
                    return Ok(fresh);
                }
            }
            plan => return without_asking(&app, connection, plan, now).await,
        }
        sleep(pause).await;
        pause = (pause * 2).min(slowest);
    }
    Err(NotFresh::Unavailable { retry_after: SOON })
}
