//! Tokens of connections that are gone are revoked at their vendors, in the background.
//!
//! What is owed is a row. Whoever takes it has [`LEASE`] to settle it, else it is taken again; so one that died in the
//! midst of it loses nothing, and the vendor is asked twice at worst, which does no harm. No transaction is open while
//! a vendor is asked.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::vendor::{Revoked, VendorError};
use crate::{
    app::{App, Unopened},
    audit::{self, Event, Kind},
    entropy::Entropy,
    seal::OpenError,
    store::{
        StoreError,
        revocations::{self, Revocation},
    },
};

/// How often what is due is looked for. What this instance itself owes is looked for at once.
const EVERY: Duration = Duration::from_secs(5);

/// How many are taken together.
const AT_ONCE: u8 = 8;

/// How long a taken one is nobody else's: longer than a vendor's document, two requests and the key take together.
pub const LEASE: Duration = Duration::from_secs(60);

/// How long after the connection's end the vendor is left alone for good.
pub const GIVE_UP: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// The first wait after a failure; each one after is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// Where another instance may have what this one lacks, the wait is short.
const ELSEWHERE_WAIT: Duration = Duration::from_secs(60);

/// Why one could not be revoked now.
#[derive(Debug, thiserror::Error)]
enum NotRevoked {
    #[error("{0}")]
    Vendor(VendorError),
    #[error("{0}")]
    Sealed(#[from] OpenError),
    #[error("the connection is not in the configuration of this instance")]
    NotConfigured,
}

/// Revokes what is owed for as long as it is polled; it may be dropped at any point.
pub async fn run(app: Arc<App>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = app.vault.owed.notified() => {}
        }
        if let Err(error) = turn(&app).await {
            tracing::warn!(%error, "what is owed to the vendors was not revoked and will be later");
        }
    }
}

/// One turn: takes all that is due, and answers once each vendor was asked.
pub async fn turn(app: &Arc<App>) -> Result<(), StoreError> {
    loop {
        let now = app.clock.now();
        let mut tx = app.db.begin().await?;
        let taken = revocations::take(&mut tx, (now, now.plus(LEASE)), u32::from(AT_ONCE)).await?;
        tx.commit().await?;
        let was_all = taken.len() < usize::from(AT_ONCE);
        let mut under_way = JoinSet::new();
        for owed in taken {
            let app = Arc::clone(app);
            under_way.spawn(async move { attempt(&app, &owed).await });
        }
        for done in under_way.join_all().await {
            done?;
        }
        if was_all {
            return Ok(());
        }
    }
}

async fn attempt(app: &App, owed: &Revocation) -> Result<(), StoreError> {
    let asked = ask(app, owed).await;
    if let Err(NotRevoked::Sealed(error)) = &asked {
        let (row, user) = (owed.id.as_str(), Some(&owed.user_id));
        app.unopened(Unopened { table: "revocations", row, user, error }).await?;
    }
    match asked {
        Ok(Revoked::Done) => settle(app, owed, Kind::ConnectionRevoked, None).await,
        Ok(Revoked::NotOffered) => {
            settle(app, owed, Kind::ConnectionNotRevoked, Some(("not_offered", String::new()))).await
        }
        Err(error) => match error.gives_up(app, owed) {
            Some(reason) => {
                tracing::error!(connection = %owed.name, user = %owed.user_id, reason, %error, "tokens of an ended connection were not revoked");
                settle(app, owed, Kind::ConnectionNotRevoked, Some((reason, error.to_string()))).await
            }
            None => put_off(app, owed, &error).await,
        },
    }
}

async fn ask(app: &App, owed: &Revocation) -> Result<Revoked, NotRevoked> {
    let configured = app.config.connections.get(&owed.name).ok_or(NotRevoked::NotConfigured)?;
    let kept = app.vault.safe.open_owed(owed, app.clock.now()).await?;
    let revoked = app.vault.vendors.revoke(configured, &kept.access, kept.refresh.as_ref()).await;
    revoked.map_err(NotRevoked::Vendor)
}

/// Forgets it and records what became of it, unless somebody else was faster.
async fn settle(
    app: &App,
    owed: &Revocation,
    kind: Kind,
    why: Option<(&'static str, String)>,
) -> Result<(), StoreError> {
    let origin = audit::Origin::house(&app.entropy);
    let mut event = Event::new(kind, &origin)
        .user(&owed.user_id)
        .detail("connection", &owed.name)
        .detail("connection_id", &owed.connection_id)
        .detail("attempts", owed.attempts);
    let reason = why.as_ref().map(|(reason, _)| *reason);
    if let Some((reason, why)) = why {
        event = event.reason(reason);
        if !why.is_empty() {
            event = event.detail("why", why);
        }
    }
    let mut tx = app.db.begin().await?;
    let is_ours = revocations::settle(&mut tx, &owed.id).await?;
    if is_ours {
        app.record(&mut tx, &event).await?;
    }
    tx.commit().await?;
    if is_ours {
        app.vault.figures.revocation(&owed.name, reason.unwrap_or("revoked"));
    }
    Ok(())
}

async fn put_off(app: &App, owed: &Revocation, error: &NotRevoked) -> Result<(), StoreError> {
    let wait = error.wait(owed.attempts, &app.entropy);
    tracing::warn!(connection = %owed.name, attempts = owed.attempts, ?wait, %error, "tokens of an ended connection are revoked later");
    let mut tx = app.db.begin().await?;
    revocations::put_off(&mut tx, &owed.id, app.clock.now().plus(wait)).await?;
    tx.commit().await?;
    app.vault.figures.revocation(&owed.name, "put_off");
    Ok(())
}

impl NotRevoked {
    /// The stable code of why it is not tried again. `None`: it is.
    fn gives_up(&self, app: &App, owed: &Revocation) -> Option<&'static str> {
        match self {
            Self::Sealed(OpenError::Tampered | OpenError::Unknown) => Some("unreadable"),
            _ if app.clock.now().since(owed.created_at) < GIVE_UP => None,
            Self::NotConfigured => Some("not_configured"),
            Self::Vendor(_) | Self::Sealed(_) => Some("given_up"),
        }
    }

    /// How long until the next attempt: between half and all of a time that doubles, and not before the vendor wants
    /// it.
    fn wait(&self, attempts: i64, entropy: &Entropy) -> Duration {
        let doublings = u32::try_from(attempts.saturating_sub(1).clamp(0, 16)).unwrap_or_default();
        let (whole, least) = match self {
            Self::NotConfigured => (ELSEWHERE_WAIT, Duration::ZERO),
            Self::Vendor(VendorError::Unavailable { retry_after, .. }) => {
                (FIRST_WAIT * (1 << doublings), retry_after.unwrap_or_default())
            }
            Self::Vendor(_) | Self::Sealed(_) => (FIRST_WAIT * (1 << doublings), Duration::ZERO),
        };
        let half = whole.min(LONGEST_WAIT) / 2;
        let share = f64::from(u32::from_be_bytes(entropy.bytes())) / f64::from(u32::MAX);
        (half + half.mul_f64(share)).max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable(retry_after: Option<u64>) -> NotRevoked {
        let retry_after = retry_after.map(Duration::from_secs);
        NotRevoked::Vendor(VendorError::Unavailable { retry_after, in_doubt: false, reason: String::new() })
    }

    #[test]
    fn each_wait_is_longer_and_no_two_are_alike() {
        let entropy = Entropy::seeded(1);
        for (attempts, longest) in [(0, 10), (1, 10), (2, 20), (5, 160), (10, 3600), (i64::MAX, 3600)] {
            let waits: Vec<_> = (0..50).map(|_| unavailable(None).wait(attempts, &entropy)).collect();
            let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
            let longest = Duration::from_secs(longest);
            assert!(*least >= longest / 2 && *most <= longest && least != most, "{attempts}: {waits:?}");
        }
    }

    #[test]
    fn the_vendor_may_ask_for_more() {
        let entropy = Entropy::seeded(1);
        assert_eq!(unavailable(Some(120)).wait(1, &entropy), Duration::from_secs(120));
        assert!(NotRevoked::NotConfigured.wait(100, &entropy) <= ELSEWHERE_WAIT);
    }
}
