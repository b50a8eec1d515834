//! Whether the record is as it was written.
//!
//! Found: every row and batch that was changed, deleted or added since it was chained. Not found: what happened to
//! a row before it was chained, within seconds of its writing; and that the newest batches were cut off together
//! with their rows, for which [`Report::head`] is to be compared with the last one in the log.

use std::collections::BTreeMap;

use super::{
    batches::{ChainError, Member, head_of, is_sealed, root_of},
    chain::{Digest, leaf},
    event::Kind,
};
use crate::{
    seal::{KeyUnavailable, Sealer},
    store::{
        Db, StoreError,
        audit::{self, Batch, Row},
    },
};

/// How many rows outside any batch are named; one is enough to know.
const MAX_STRAYS: i64 = 100;

/// Among how many of the newest prunings the last one is sought; several may bear the same millisecond.
const PRUNINGS: i64 = 16;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A row does not read as it did.
    #[error("row {id} of batch {batch} was changed")]
    Changed {
        /// Its batch.
        batch: i64,
        /// Its id.
        id: String,
    },
    /// A row is gone.
    #[error("row {id} of batch {batch} was deleted")]
    Deleted {
        /// Its batch.
        batch: i64,
        /// Its id.
        id: String,
    },
    /// A row says that it belongs to a batch, and does not.
    #[error("row {id} was added afterwards")]
    Added {
        /// Its id.
        id: String,
    },
    /// A batch does not read as it did, or was not made by a server with the encryption key.
    #[error("batch {0} was changed")]
    BatchChanged(i64),
    /// The batches between these two are gone, or the latter does not follow the former.
    #[error("between batches {0} and {1} the record was cut")]
    Cut(i64, i64),
}

/// What a verification saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many batches.
    pub batches: u64,
    /// How many rows in them.
    pub rows: u64,
    /// How many rows are not chained yet, of which nothing can be said.
    pub unsealed: u64,
    /// The head of the newest batch.
    pub head: Option<Digest>,
    /// What is not as it was written; empty if all is well.
    pub findings: Vec<Finding>,
}

/// Verifies the whole record. It may take minutes on a large one, and locks nothing.
pub async fn verify(db: &Db, sealer: &Sealer) -> Result<Report, ChainError> {
    loop {
        if let Some(report) = pass(db, sealer).await? {
            return Ok(report);
        }
    }
}

/// One pass from the oldest batch to the newest; `None` if old batches were pruned meanwhile.
async fn pass(db: &Db, sealer: &Sealer) -> Result<Option<Report>, ChainError> {
    let unsealed = u64::try_from(audit::count_unsealed(db).await?).unwrap_or(0);
    let mut report = Report { batches: 0, rows: 0, unsealed, head: None, findings: Vec::new() };
    let (mut number, start) = pruned_through(db).await?;
    let mut expected = Some(start);
    while let Some(batch) = audit::next_batch(db, number).await? {
        let rows = audit::rows_of_batch(db, batch.number).await?;
        report.batches += 1;
        report.rows += rows.len() as u64;
        let before = report.findings.len();
        let follows = expected.is_none_or(|head| batch.previous == head.0);
        if batch.number != number + 1 || !follows {
            report.findings.push(Finding::Cut(number, batch.number));
        }
        let head = check_batch(sealer, &batch, &rows, &mut report.findings).await?;
        if report.findings.len() > before && pruned_through(db).await?.0 >= batch.number {
            return Ok(None);
        }
        number = batch.number;
        expected = head;
        report.head = head;
    }
    let strays = audit::strays(db, MAX_STRAYS).await?;
    report.findings.extend(strays.into_iter().map(|id| Finding::Added { id }));
    Ok(Some(report))
}

/// Compares a batch with its rows, and gives its head unless the batch itself was changed.
async fn check_batch(
    sealer: &Sealer,
    batch: &Batch,
    rows: &[Row],
    findings: &mut Vec<Finding>,
) -> Result<Option<Digest>, KeyUnavailable> {
    let whole = Member::parse_all(&batch.members)
        .zip(head_of(batch).ok())
        .filter(|(members, _)| root_of(members).0 == *batch.root);
    let (members, head) = match whole {
        Some((members, head)) if is_sealed(sealer, batch, &head).await? => (members, head),
        _ => {
            findings.push(Finding::BatchChanged(batch.number));
            return Ok(None);
        }
    };
    let mut found: BTreeMap<&str, &Row> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    for Member { id, leaf: sealed } in members {
        match found.remove(id.as_str()) {
            None => findings.push(Finding::Deleted { batch: batch.number, id }),
            Some(row) if leaf(row) != sealed => findings.push(Finding::Changed { batch: batch.number, id }),
            Some(_) => {}
        }
    }
    findings.extend(found.into_keys().map(|id| Finding::Added { id: id.to_owned() }));
    Ok(Some(head))
}

/// Up to which batch the record was pruned, and that batch's head, as the record itself says. What it says falsely
/// shows as a cut.
async fn pruned_through(db: &Db) -> Result<(i64, Digest), StoreError> {
    let rows = audit::newest(db, Kind::AuditPruned.name(), PRUNINGS).await?;
    let said = rows.iter().filter_map(|row| {
        let details: BTreeMap<String, String> = serde_json::from_str(row.details.as_deref()?).ok()?;
        Some((details.get("through")?.parse().ok()?, Digest::parse(details.get("head")?)?))
    });
    Ok(said.max_by_key(|(number, _)| *number).unwrap_or((0, Digest::ZERO)))
}
