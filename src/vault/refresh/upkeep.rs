//! Looks after connections for which nobody asks: refreshes that an instance left in their midst are settled, and
//! tokens that the vendor would forget are refreshed in time.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{Fresh, NotFresh, get, redeem};
use crate::{
    app::App,
    config::connection::Connection as Configured,
    ids::ConnectionId,
    store::{StoreError, connections, switched_off},
};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(30);
/// How many turns pass between two counts of the states for the log.
const TURNS_TO_A_COUNT: u32 = 10;
/// How many rows are read at once.
const PAGE: u32 = 100;
/// How many vendors are asked at once: whoever is waiting for a token comes first.
const AT_ONCE: usize = 4;

/// Looks after them for as long as it is polled; it may be dropped at any point.
pub async fn run(app: Arc<App>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 0_u32.. {
        ticks.tick().await;
        if let Err(error) = attend(&app).await {
            tracing::warn!(%error, "connections were not looked after and will be later");
        }
        if turn.is_multiple_of(TURNS_TO_A_COUNT)
            && let Err(error) = tell(&app).await
        {
            tracing::warn!(%error, "connections could not be counted");
        }
    }
}

/// One turn. A connection that is switched off for everybody is left alone, and so is its vendor.
pub async fn attend(app: &Arc<App>) -> Result<(), StoreError> {
    let off = switched_off::connections(&app.db).await?;
    let mut last: Option<ConnectionId> = None;
    loop {
        let page = connections::unattended(&app.db, app.clock.now(), (last.as_ref(), PAGE)).await?;
        let Some(row) = page.last() else { return Ok(()) };
        last = Some(row.id.clone());
        let on = page.iter().filter(|row| !off.contains(&row.name));
        let configured = on.filter_map(|row| Some((&row.id, app.config.connections.get(&row.name)?)));
        for some in configured.collect::<Vec<_>>().chunks(AT_ONCE) {
            let flights: Vec<_> = some
                .iter()
                .map(|&(id, configured)| {
                    let work = || look_after(Arc::clone(app), configured.clone(), id.clone());
                    app.vault.flights.join(id, work)
                })
                .collect();
            for flight in flights {
                flight.outcome().await;
            }
        }
    }
}

/// A flight that refreshes what needs it though it is still good. Others who join it want a token.
async fn look_after(app: Arc<App>, configured: Configured, id: ConnectionId) -> Result<Fresh, NotFresh> {
    let row = connections::find(&app.db, &id).await?.ok_or(NotFresh::Gone)?;
    if row.wants_attention(app.clock.now())
        && let Some(fresh) = redeem::redeem(&app, &configured, row).await?
    {
        return Ok(fresh);
    }
    get(app, configured, id, None).await
}

/// Tells the log how many connections are in which state, where any is not as it should be.
async fn tell(app: &App) -> Result<(), StoreError> {
    for (connection, state, count) in connections::count(&app.db).await? {
        if state != "active" {
            tracing::info!(connection, state, count, "connections");
        }
    }
    Ok(())
}
