//! Moving every sealed value to the first key, so that the others can be left out of the configuration.
//!
//! Only data keys are unwrapped and wrapped again: no value is opened. A value is replaced if it is still, byte for
//! byte, the one that was rewrapped, so whoever writes a new one meanwhile wins, and what is under the first key
//! already is passed over: the job may be broken off, begun again, and run twice at once.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Envelope, KeyUnavailable, OpenError, SealContext, Sealed, Sealer};
use crate::{
    audit::{self, Event, Kind, Origin},
    clock::Clock,
    entropy::Entropy,
    store::{
        Db, StoreError, key_proofs,
        sealed_values::{self, COLUMNS, Column, Found},
    },
};

/// How many values one transaction replaces: a few milliseconds of the writer's time.
const BATCH: u32 = 100;

/// How many of the values that do not open are recorded; all are logged.
const MAX_RECORDED: u64 = 100;

/// How far the job is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many values were to be moved when it began.
    pub of: u64,
    /// How many it moved.
    pub moved: u64,
    /// How many were replaced or deleted by others before it could move them.
    pub overtaken: u64,
    /// How many did not open, and stay as they are.
    pub refused: u64,
}

impl Progress {
    /// How many values it has been at.
    pub const fn done(&self) -> u64 {
        self.moved + self.overtaken + self.refused
    }
}

/// What the job came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// How far it came.
    pub progress: Progress,
    /// Whether it was told to stop.
    pub interrupted: bool,
    /// What is sealed by what now.
    pub uses: Uses,
}

/// How many values of each column, without those that have none.
#[derive(Debug, Clone, Default)]
pub struct Values(pub Vec<(&'static Column, u64)>);

impl Values {
    /// How many they are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, values)| values).sum()
    }

    /// How many of them can be moved; the others end by themselves.
    pub fn movable(&self) -> u64 {
        let movable = self.0.iter().filter(|(column, _)| column.can_be_rewrapped());
        movable.map(|(_, values)| values).sum()
    }

    fn add(&mut self, column: &'static Column, values: u64) {
        if values > 0 {
            self.0.push((column, values));
        }
    }
}

/// What is sealed by what.
#[derive(Debug, Clone, Default)]
pub struct Uses {
    /// By each configured key, the first of them first.
    pub keys: Vec<(String, Values)>,
    /// By none of them, or not at all.
    pub strange: Values,
}

impl Uses {
    /// Looks it up.
    pub async fn count(db: &Db, sealer: &Sealer) -> Result<Self, StoreError> {
        let mut keys: Vec<_> = sealer.keys().map(|key| (key.id().to_owned(), Values::default())).collect();
        let mut strange = Values::default();
        for column in &COLUMNS {
            let mut known = 0;
            for (id, values) in &mut keys {
                let count = sealed_values::count(db, column, id).await?;
                known += count;
                values.add(column, count);
            }
            strange.add(column, sealed_values::count_all(db, column).await?.saturating_sub(known));
        }
        Ok(Self { keys, strange })
    }

    /// How many values are to be moved to the first key.
    pub fn to_move(&self) -> u64 {
        let keys = self.keys.iter().skip(1).map(|(_, values)| values);
        keys.chain([&self.strange]).map(Values::movable).sum()
    }
}

/// Why the job broke off. What it has moved stays moved.
#[derive(Debug, thiserror::Error)]
pub enum RewrapError {
    /// The service that keeps a key gave no answer.
    #[error(transparent)]
    Key(#[from] KeyUnavailable),
    /// The database gave none.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RewrapError {
    const fn code(&self) -> &'static str {
        match self {
            Self::Key(_) => "key_unavailable",
            Self::Store(_) => "database_unavailable",
        }
    }
}

/// The job.
pub struct Rewrap<'a> {
    /// Where the values are.
    pub db: &'a Db,
    /// The keys.
    pub sealer: &'a Sealer,
    /// For the record.
    pub clock: &'a Clock,
    /// For the record, and for new wrappings.
    pub entropy: &'a Entropy,
    /// How many values it moves in a second, at most.
    pub rate: NonZeroU32,
    /// Stops it between two batches.
    pub stop: &'a CancellationToken,
}

impl Rewrap<'_> {
    /// Runs it, and tells `told` how far it is after each batch.
    pub async fn run(&self, told: &mut impl FnMut(Progress)) -> Result<Report, RewrapError> {
        let origin = Origin::house(self.entropy);
        let to = self.sealer.first.id();
        let of = Uses::count(self.db, self.sealer).await?.to_move();
        let mut progress = Progress { of, ..Progress::default() };
        let begun = Event::new(Kind::RewrapBegun, &origin).detail("to", to).detail("values", of);
        audit::record_alone(self.db, self.clock, self.entropy, &begun).await?;
        told(progress);
        let outcome = self.columns(&origin, &mut progress, told).await;
        let reason = match &outcome {
            Ok(()) if self.stop.is_cancelled() => Some("interrupted"),
            Ok(()) => None,
            Err(error) => Some(error.code()),
        };
        let uses = Uses::count(self.db, self.sealer).await?;
        let mut ended = Event::new(Kind::RewrapEnded, &origin)
            .detail("to", to)
            .detail("moved", progress.moved)
            .detail("overtaken", progress.overtaken)
            .detail("refused", progress.refused)
            .detail("left", uses.to_move());
        if let Some(reason) = reason {
            ended = ended.reason(reason);
        }
        let mut tx = self.db.begin().await?;
        for (idle, _) in uses.keys.iter().skip(1).filter(|(_, values)| values.movable() == 0) {
            key_proofs::rest(&mut tx, idle, self.clock.now()).await?;
        }
        audit::record(&mut tx, self.clock, self.entropy, &ended).await?;
        tx.commit().await?;
        outcome?;
        Ok(Report { progress, interrupted: reason.is_some(), uses })
    }

    async fn columns(
        &self,
        origin: &Origin,
        progress: &mut Progress,
        told: &mut impl FnMut(Progress),
    ) -> Result<(), RewrapError> {
        let most = BATCH.min(self.rate.get());
        let mut turns = interval(Duration::from_secs(1) * most / self.rate.get());
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for column in &COLUMNS {
            let mut after = None;
            while !self.stop.is_cancelled() {
                turns.tick().await;
                let to = self.sealer.first.id();
                let page = sealed_values::others(self.db, column, to, (after.as_deref(), most)).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                self.batch(origin, column, &page, progress).await?;
                told(*progress);
            }
        }
        Ok(())
    }

    async fn batch(
        &self,
        origin: &Origin,
        column: &Column,
        page: &[Found],
        progress: &mut Progress,
    ) -> Result<(), RewrapError> {
        let mut ready = Vec::new();
        for found in page {
            let Some(context) = column.context(found) else { continue };
            match self.sealer.rewrap(self.entropy, &context, &found.sealed).await {
                Ok(rewrapped) => ready.push((found, rewrapped)),
                Err(OpenError::Unavailable(error)) => return Err(error.into()),
                Err(error) => {
                    progress.refused += 1;
                    self.refused(origin, (column, found), &error, progress.refused).await?;
                }
            }
        }
        let mut tx = self.db.begin().await?;
        let (mut moved, mut overtaken) = (0, 0);
        for (found, rewrapped) in ready {
            let replaced = sealed_values::replace(&mut tx, column, found, &rewrapped).await?;
            *(if replaced { &mut moved } else { &mut overtaken }) += 1;
        }
        tx.commit().await?;
        progress.moved += moved;
        progress.overtaken += overtaken;
        Ok(())
    }

    async fn refused(
        &self,
        origin: &Origin,
        (column, found): (&Column, &Found),
        error: &OpenError,
        count: u64,
    ) -> Result<(), StoreError> {
        tracing::error!(table = column.table, row = found.key, %error, "a sealed value does not open");
        let Some(reason) = error.code().filter(|_| count <= MAX_RECORDED) else { return Ok(()) };
        let event = Event::new(Kind::SealRefused, origin)
            .reason(reason)
            .detail("table", column.table)
            .detail("row", &found.key);
        audit::record_alone(self.db, self.clock, self.entropy, &event).await
    }
}

impl Sealer {
    /// The same value under the first key: its data key is unwrapped and wrapped again, all else stays.
    async fn rewrap(
        &self,
        entropy: &Entropy,
        context: &SealContext<'_>,
        sealed: &Sealed,
    ) -> Result<Sealed, OpenError> {
        let envelope = Envelope::parse(&sealed.0).ok_or(OpenError::Unknown)?;
        let Envelope { format, key_id, ref wrapped, .. } = envelope;
        let associated_data = context.of_key(format, wrapped.algorithm, key_id);
        let data_key = self.key(key_id)?.unwrap(wrapped, &associated_data).await?;
        let first = &self.first;
        let associated_data = context.of_key(format, first.algorithm(), first.id());
        let wrapped = first.wrap(entropy, &data_key, &associated_data).await?;
        Ok(Sealed(Envelope { key_id: first.id(), wrapped, ..envelope }.write()))
    }
}

#[cfg(test)]
mod tests;
