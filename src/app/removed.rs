//! Providers and connections that are taken out of the configuration.
//!
//! An instance that does not have one in its configuration refuses what stands on it from its first request on. Ending
//! that for good is another thing: instances take up a new configuration one after the other, and one that still has
//! the old one, or by mistake a wrong one, must not end what the others stand for. So each instance notes, again and
//! again, what it has; what an entry stood behind is ended once none has noted it for [`GRACE`], or, since people would
//! have to connect every account again, for [`CONNECTION_GRACE`]. Until then a configuration that was taken back costs
//! nobody anything.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    audit,
    clock::{Clock, Timestamp},
    config::Config,
    entropy::Entropy,
    identity::ending::{Cause, Ending},
    ids::Slug,
    store::{
        Db, StoreError,
        configured::{self, Section},
        connections, identities,
    },
    vault::disconnect,
};

/// How often an instance notes what it has.
const EVERY: Duration = Duration::from_secs(60);

/// How long after the last instance had it a provider counts as removed: longer than a restart, or a few failed turns.
pub const GRACE: Duration = Duration::from_secs(600);

/// How long after the last instance had it a connection does: long enough to notice a mistake.
pub const CONNECTION_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// How many connections are ended in one transaction.
const BATCH: u32 = 200;

/// What an instance has in its configuration.
#[derive(Debug, Clone)]
pub struct Configured {
    providers: Vec<Slug>,
    connections: Vec<Slug>,
}

impl Configured {
    /// What this configuration holds.
    pub fn of(config: &Config) -> Self {
        Self {
            providers: config.providers.keys().cloned().collect(),
            connections: config.connections.iter().map(|connection| connection.name.clone()).collect(),
        }
    }

    fn sections(&self) -> [(Section, &[Slug], Duration); 2] {
        [
            (Section::Providers, &self.providers, GRACE),
            (Section::Connections, &self.connections, CONNECTION_GRACE),
        ]
    }
}

/// Looks after what is configured for as long as it is polled; it may be dropped at any point.
pub async fn run(db: Db, configured: Configured, clock: Clock, entropy: Entropy) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = look_after(&db, &configured, (&clock, &entropy)).await {
            tracing::warn!(%error, "what is not configured any more was not looked after and will be later");
        }
    }
}

/// At the start: whatever stands on an entry of which there is no note gets the whole grace.
pub async fn begin(db: &Db, configured: &Configured, chance: (&Clock, &Entropy)) -> Result<(), StoreError> {
    let known = [
        (Section::Providers, identities::providers(db).await?),
        (Section::Connections, connections::names(db).await?),
    ];
    let mut tx = db.begin().await?;
    for (section, names) in &known {
        for name in names {
            configured::notice(&mut tx, *section, name, chance.0.now()).await?;
        }
    }
    tx.commit().await?;
    look_after(db, configured, chance).await
}

/// One turn: notes what is configured, and ends what that stood behind which nobody has any more.
pub async fn look_after(
    db: &Db,
    configured: &Configured,
    chance: (&Clock, &Entropy),
) -> Result<(), StoreError> {
    let now = chance.0.now();
    let mut tx = db.begin().await?;
    for (section, names, _) in configured.sections() {
        for name in names {
            configured::vouch(&mut tx, section, name, now).await?;
        }
    }
    tx.commit().await?;
    let origin = audit::Origin::house(chance.1);
    for (section, _, grace) in configured.sections() {
        let since = now.minus(grace);
        let cause = match section {
            Section::Providers => Cause::ProviderRemoved,
            Section::Connections => Cause::ConnectionRemoved,
        };
        let ending = Ending { origin: &origin, cause, chance };
        for name in configured::gone(db, section, since).await? {
            end(db, (section, &name), since, &ending).await?;
        }
    }
    Ok(())
}

/// Ends what one entry stood behind, in transactions small enough not to keep others waiting.
async fn end(
    db: &Db,
    (section, name): (Section, &Slug),
    since: Timestamp,
    ending: &Ending<'_>,
) -> Result<(), StoreError> {
    let (mut sessions, mut grants, mut connections) = (0, 0, 0);
    loop {
        let mut tx = db.begin().await?;
        if !configured::hold_gone(&mut tx, section, name, since).await? {
            return Ok(());
        }
        let is_all = match section {
            Section::Providers => {
                let (ended, is_all) = ending.some_of_provider(&mut tx, name).await?;
                sessions += ended.sessions.len();
                grants += ended.grants.len();
                is_all
            }
            Section::Connections => {
                let ended = disconnect::end_named(&mut tx, name, BATCH, ending).await?;
                connections += ended.len();
                ended.is_empty()
            }
        };
        if is_all {
            configured::ended(&mut tx, section, name, ending.chance.0.now()).await?;
        }
        tx.commit().await?;
        if is_all {
            tracing::info!(%name, ?section, sessions, grants, connections, "ended: no instance has it any more");
            return Ok(());
        }
    }
}
