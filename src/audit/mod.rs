//! The record: who did what, when, for whom, and what was refused.
//!
//! [`record`] is the one way into it, and it takes the transaction of what it records, so that there is no effect
//! without its row and no row without its effect. A background task ([`run`]) chains committed rows in batches, so
//! that whoever alters the database behind the server's back leaves a trace that [`verify`] finds, and no writer
//! waits for another because of it.

mod batches;
mod chain;
mod event;
#[cfg(test)]
mod tests;
mod verify;

pub use self::{
    batches::{ChainError, prune, run, seal_batch},
    chain::Digest,
    event::{About, Event, Kind, Origin, Outcome},
    verify::{Finding, Report, verify},
};

use crate::{
    clock::Clock,
    entropy::Entropy,
    ids::AuditId,
    store::{Db, StoreError, Tx, audit},
};

/// Records `event` in the transaction of the effect that it tells of.
pub async fn record(tx: &mut Tx, clock: &Clock, entropy: &Entropy, event: &Event) -> Result<(), StoreError> {
    let details = if event.details.is_empty() {
        None
    } else {
        Some(serde_json::to_string(&event.details).map_err(|error| StoreError::Corrupt(error.to_string()))?)
    };
    let row = audit::Row {
        id: AuditId::new(clock, entropy),
        at: clock.now(),
        event: event.kind.name().to_owned(),
        outcome: event.kind.outcome().name().to_owned(),
        reason: event.reason.map(str::to_owned),
        reference: event.origin.reference.to_string(),
        user_id: event.about.user.as_ref().map(ToString::to_string),
        client_id: event.about.client.as_ref().map(ToString::to_string),
        provider: event.about.provider.as_ref().map(ToString::to_string),
        resource: event.about.resource.as_ref().map(ToString::to_string),
        scope: event.about.scope.as_ref().map(ToString::to_string),
        grant_id: event.about.grant.as_ref().map(ToString::to_string),
        ip: event.origin.ip.map(|ip| ip.to_string()),
        details,
    };
    audit::insert(tx, &row).await
}

/// Records an event that stands alone, such as a refusal, in a transaction of its own.
pub async fn record_alone(
    db: &Db,
    clock: &Clock,
    entropy: &Entropy,
    event: &Event,
) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    record(&mut tx, clock, entropy, event).await?;
    tx.commit().await
}
