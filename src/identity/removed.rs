//! Providers that are taken out of the configuration.
//!
//! An instance that does not have a provider in its configuration refuses its sessions, its grants and its people from
//! its first request on. Ending them for good is another thing: instances take up a new configuration one after the
//! other, and one that still has the old one, or by mistake a wrong one, must not end what the others stand for. So each
//! instance notes, again and again, which providers it has; what a provider stood behind is ended once none has noted
//! it for [`GRACE`]. Until then a configuration that was taken back costs nobody anything.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::ending::{Cause, Ending};
use crate::{
    audit,
    clock::{Clock, Timestamp},
    entropy::Entropy,
    ids::ProviderId,
    store::{Db, StoreError, configured_providers, identities},
};

/// How often an instance notes the providers that it has.
const EVERY: Duration = Duration::from_secs(60);

/// How long after the last instance had it a provider counts as removed: longer than a restart, or a few failed turns.
pub const GRACE: Duration = Duration::from_secs(600);

/// Looks after the providers for as long as it is polled; it may be dropped at any point.
pub async fn run(db: Db, configured: Vec<ProviderId>, clock: Clock, entropy: Entropy) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = look_after(&db, &configured, (&clock, &entropy)).await {
            tracing::warn!(%error, "the providers were not looked after and will be later");
        }
    }
}

/// At the start: whoever came through a provider of which there is no note gets the whole grace.
pub async fn begin(db: &Db, configured: &[ProviderId], chance: (&Clock, &Entropy)) -> Result<(), StoreError> {
    let known = identities::providers(db).await?;
    let mut tx = db.begin().await?;
    for name in &known {
        configured_providers::notice(&mut tx, name, chance.0.now()).await?;
    }
    tx.commit().await?;
    look_after(db, configured, chance).await
}

/// One turn: notes the providers that are configured, and ends what those stood behind that nobody has any more.
pub async fn look_after(
    db: &Db,
    configured: &[ProviderId],
    chance: (&Clock, &Entropy),
) -> Result<(), StoreError> {
    let now = chance.0.now();
    let mut tx = db.begin().await?;
    for name in configured {
        configured_providers::vouch(&mut tx, name, now).await?;
    }
    tx.commit().await?;
    let since = now.minus(GRACE);
    let origin = audit::Origin::house(chance.1);
    let ending = Ending { origin: &origin, cause: Cause::ProviderRemoved, chance };
    for name in configured_providers::gone(db, since).await? {
        end(db, &name, since, &ending).await?;
    }
    Ok(())
}

/// Ends what one provider stood behind, in transactions small enough not to keep others waiting.
async fn end(db: &Db, name: &ProviderId, since: Timestamp, ending: &Ending<'_>) -> Result<(), StoreError> {
    let (mut sessions, mut grants) = (0, 0);
    loop {
        let mut tx = db.begin().await?;
        if !configured_providers::hold_gone(&mut tx, name, since).await? {
            return Ok(());
        }
        let (ended, is_all) = ending.some_of_provider(&mut tx, name).await?;
        sessions += ended.sessions.len();
        grants += ended.grants.len();
        if is_all {
            configured_providers::ended(&mut tx, name, ending.chance.0.now()).await?;
        }
        tx.commit().await?;
        if is_all {
            tracing::info!(provider = %name, sessions, grants, "ended: no instance has the provider any more");
            return Ok(());
        }
    }
}
