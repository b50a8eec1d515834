//! The background work on the record: chaining what has been committed, deleting what is too old to keep.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::{
    chain::{Digest, head, leaf, root},
    event::{Event, Kind, Origin},
    record,
};
use crate::{
    clock::{Clock, Timestamp},
    entropy::Entropy,
    seal::{KeyUnavailable, OpenError, SealContext, Sealer},
    store::{
        Db, StoreError,
        audit::{self, Batch},
    },
};

/// How often committed rows are chained. What is altered sooner than this after it was written leaves no trace.
const SEAL_EVERY: Duration = Duration::from_secs(2);

/// How many rows one batch takes: a few milliseconds of the writer's time.
const MAX_ROWS: i64 = 512;

/// How many batches are deleted each time: faster than they arise, and a few milliseconds of the writer's time.
const PRUNE_AT_ONCE: i64 = 8;

/// Why the chain could not be made longer, or not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The encryption key cannot be used now.
    #[error(transparent)]
    Key(#[from] KeyUnavailable),
}

/// Chains rows, and deletes those older than `keep` (`None`: never), for as long as it is polled; it may be dropped
/// at any point. Any number of instances may run it on one database.
pub async fn run(db: Db, sealer: Sealer, clock: Clock, entropy: Entropy, keep: Option<Duration>) {
    let mut ticks = interval(SEAL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = tick(&db, &sealer, &clock, &entropy, keep).await {
            tracing::warn!(%error, "the audit record was not chained and will be later");
        }
    }
}

async fn tick(
    db: &Db,
    sealer: &Sealer,
    clock: &Clock,
    entropy: &Entropy,
    keep: Option<Duration>,
) -> Result<(), ChainError> {
    while seal_batch(db, sealer, clock, entropy).await? == Some(MAX_ROWS.unsigned_abs()) {}
    if let Some(keep) = keep {
        prune(db, clock, entropy, clock.now().minus(keep)).await?;
    }
    Ok(())
}

/// Chains one batch of the rows that are in none, and says how many they were. `None`: another instance is at it.
pub async fn seal_batch(
    db: &Db,
    sealer: &Sealer,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<Option<u64>, ChainError> {
    if audit::count_unsealed(db).await? == 0 {
        return Ok(Some(0));
    }
    let expected = audit::next_number(db).await?;
    let ready = sealer.prepare(entropy, &context(expected, &expected.to_string())).await?;
    let mut tx = db.begin().await?;
    if !audit::lock_chain(&mut tx).await? {
        return Ok(None);
    }
    let (number, previous) = match audit::last_batch(&mut tx).await? {
        Some(last) => (last.number + 1, head_of(&last)?),
        None => (1, Digest::ZERO),
    };
    if number != expected {
        return Ok(None);
    }
    let mut rows = audit::take_unsealed(&mut tx, number, MAX_ROWS).await?;
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    let members: Vec<Member> =
        rows.iter().map(|row| Member { id: row.id.as_str().to_owned(), leaf: leaf(row) }).collect();
    if members.is_empty() {
        tx.commit().await?;
        return Ok(Some(0));
    }
    let root = root_of(&members);
    let at = clock.now();
    let head = head(number, at, members.len(), &root, &previous);
    let batch = Batch {
        number,
        at,
        members: members.iter().flat_map(Member::to_bytes).collect(),
        root: root.0.to_vec(),
        previous: previous.0.to_vec(),
        // The head, sealed, is what makes the chain more than arithmetic: only who has the encryption key can extend
        // it.
        sealed: ready.seal(&head.0),
    };
    audit::insert_batch(&mut tx, &batch).await?;
    tx.commit().await?;
    // The log is kept elsewhere, so it can show that the newest batches were cut off.
    tracing::info!(batch = number, rows = members.len(), %head, "audit record chained");
    Ok(Some(members.len() as u64))
}

/// Deletes some of the oldest batches if they were chained before `before`, and says whether it did. That it did is
/// itself recorded, with the head from which the chain goes on.
pub async fn prune(db: &Db, clock: &Clock, entropy: &Entropy, before: Timestamp) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    if !audit::lock_chain(&mut tx).await? {
        return Ok(false);
    }
    let Some(last) = audit::oldest_batches(&mut tx, before, PRUNE_AT_ONCE).await? else {
        // Committed and not dropped, so that the lock is free when this returns.
        return tx.commit().await.map(|()| false);
    };
    let rows = audit::delete_through(&mut tx, last.number).await?;
    let origin = Origin::house(entropy);
    let event = Event::new(Kind::AuditPruned, &origin)
        .detail("through", last.number)
        .detail("head", head_of(&last)?)
        .detail("rows", rows);
    record(&mut tx, clock, entropy, &event).await?;
    tx.commit().await?;
    Ok(true)
}

/// One row's place in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) leaf: Digest,
}

impl Member {
    /// The id behind its length, and the leaf.
    fn to_bytes(&self) -> Vec<u8> {
        let id = self.id.as_bytes();
        [&(id.len() as u64).to_be_bytes()[..], id, &self.leaf.0].concat()
    }

    /// All members of a batch; `None` if the bytes are not what [`Member::to_bytes`] makes.
    pub(super) fn parse_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut members = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk()?;
            let (id, rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
            let (leaf, rest) = rest.split_at_checked(Digest::BYTES)?;
            let id = String::from_utf8(id.to_vec()).ok()?;
            members.push(Self { id, leaf: Digest::from_bytes(leaf)? });
            bytes = rest;
        }
        Some(members)
    }
}

pub(super) fn root_of(members: &[Member]) -> Digest {
    root(&members.iter().map(|member| member.leaf).collect::<Vec<_>>())
}

/// The head of a batch as its row gives it.
pub(super) fn head_of(batch: &Batch) -> Result<Digest, StoreError> {
    let unreadable = || StoreError::Corrupt(format!("batch {} of the audit record", batch.number));
    let rows = Member::parse_all(&batch.members).ok_or_else(unreadable)?.len();
    let root = Digest::from_bytes(&batch.root).ok_or_else(unreadable)?;
    let previous = Digest::from_bytes(&batch.previous).ok_or_else(unreadable)?;
    Ok(head(batch.number, batch.at, rows, &root, &previous))
}

/// Whether `batch` carries the seal of this head.
pub(super) async fn is_sealed(sealer: &Sealer, batch: &Batch, head: &Digest) -> Result<bool, KeyUnavailable> {
    match sealer.open(&context(batch.number, &batch.number.to_string()), &batch.sealed).await {
        Ok(sealed) => Ok(**sealed == head.0),
        Err(OpenError::Unavailable(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

fn context(number: i64, row: &str) -> SealContext<'_> {
    SealContext { table: "audit_batches", column: "sealed", row, owner: "", provider: "", version: number }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn members_read_back_as_written(members: Vec<(String, [u8; 32])>) {
            let members: Vec<Member> =
                members.into_iter().map(|(id, leaf)| Member { id, leaf: Digest(leaf) }).collect();
            let bytes: Vec<u8> = members.iter().flat_map(Member::to_bytes).collect();
            prop_assert_eq!(Member::parse_all(&bytes), Some(members));
        }

        #[test]
        fn whatever_stands_there_instead_reads_as_nothing_or_as_itself(bytes: Vec<u8>) {
            if let Some(members) = Member::parse_all(&bytes) {
                prop_assert_eq!(members.iter().flat_map(Member::to_bytes).collect::<Vec<_>>(), bytes);
            }
        }
    }
}
