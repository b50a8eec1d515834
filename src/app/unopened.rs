//! What is done about a sealed value that does not open: somebody may be changing the database behind our back.

use zeroize::Zeroizing;

use super::App;
use crate::{
    audit::{self, Event, Kind, Origin},
    clock::Clock,
    entropy::Entropy,
    ids::UserId,
    seal::{OpenError, SealContext, Sealed},
    store::{Db, StoreError},
    web::error::PageError,
};

/// A sealed value that does not open.
#[derive(Debug, Clone, Copy)]
pub struct Unopened<'a> {
    /// Its table.
    pub table: &'static str,
    /// Its row.
    pub row: &'a str,
    /// Whose it is, if it is anybody's.
    pub user: Option<&'a UserId>,
    /// Why.
    pub error: &'a OpenError,
}

impl App {
    /// Opens what waits for a person to come back with the `state` that it was sealed for. `unusable` is what she is
    /// told if it does not open, which otherwise happens only after the encryption keys were changed meanwhile.
    pub async fn open_pending(
        &self,
        (context, sealed): (&SealContext<'_>, &Sealed),
        user: Option<&UserId>,
        unusable: impl FnOnce(&OpenError) -> PageError,
    ) -> Result<Zeroizing<Vec<u8>>, PageError> {
        match self.sealer.open(context, sealed).await {
            Ok(opened) => Ok(opened),
            Err(OpenError::Unavailable(outage)) => Err(outage.into()),
            Err(error) => {
                // The state would find what is left of it, so the row is not named.
                self.unopened(Unopened { table: context.table, row: "", user, error: &error }).await?;
                Err(unusable(&error))
            }
        }
    }

    /// Logs it each time, and records it once an hour: it may be asked for with every request. That the service which
    /// keeps the key is away is no such thing.
    pub async fn unopened(&self, value: Unopened<'_>) -> Result<(), StoreError> {
        let Some(event) = event(value, &self.entropy) else { return Ok(()) };
        let (now, place) = (self.clock.now(), (value.table, value.row.to_owned()));
        if self.limits.unopened.admits(&place, now) {
            self.limits.unopened.count(place, now);
            self.record_alone(&event).await?;
        }
        Ok(())
    }
}

/// The same where there is no house yet.
pub(super) async fn at_start(
    db: &Db,
    (clock, entropy): (&Clock, &Entropy),
    value: Unopened<'_>,
) -> Result<(), StoreError> {
    match event(value, entropy) {
        Some(event) => audit::record_alone(db, clock, entropy, &event).await,
        None => Ok(()),
    }
}

fn event(Unopened { table, row, user, error }: Unopened<'_>, entropy: &Entropy) -> Option<Event> {
    let reason = error.code()?;
    tracing::error!(table, row, %error, "a sealed value does not open");
    let origin = Origin::house(entropy);
    let event =
        Event::new(Kind::SealRefused, &origin).reason(reason).detail("table", table).detail("row", row);
    Some(match user {
        Some(user) => event.user(user),
        None => event,
    })
}
