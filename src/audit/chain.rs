//! The arithmetic of the chain: rows to leaves, leaves to a root, roots to a chain. Pure.
//!
//! The tree is that of RFC 9162 §2.1.1. Row, node and batch begin with different bytes, so that none can be passed
//! off as another.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::{clock::Timestamp, store::audit::Row};

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub(super) [u8; 32]);

impl Digest {
    /// What the first batch names as the one before it.
    pub(super) const ZERO: Self = Self([0; 32]);
    pub(super) const BYTES: usize = 32;

    /// From a column; `None` if it has not the length of a digest.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// From hexadecimal, as it is printed.
    pub(super) fn parse(hex: &str) -> Option<Self> {
        let digits =
            hex.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        Self::from_bytes(&digits.collect::<Option<Vec<u8>>>()?)
    }

    fn of(kind: u8, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix([kind]);
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// Hexadecimal, as the log and the command line print it.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The leaf of one row: every column behind its length, so that no two rows have the same bytes.
pub(super) fn leaf(row: &Row) -> Digest {
    let Row {
        id,
        at,
        event,
        outcome,
        reason,
        reference,
        user_id,
        client_id,
        provider,
        resource,
        scope,
        grant_id,
        ip,
        details,
    } = row;
    let at = at.as_millis().to_string();
    let always = [id.as_str(), &at, event, outcome, reference].map(Some);
    let sometimes = [reason, user_id, client_id, provider, resource, scope, grant_id, ip, details];
    let mut bytes = Vec::new();
    for column in always.into_iter().chain(sometimes.map(Option::as_deref)) {
        // A missing column is a length that no text has.
        bytes.extend(column.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
        bytes.extend(column.unwrap_or_default().as_bytes());
    }
    Digest::of(0, &[&bytes])
}

/// The Merkle root over `leaves`.
pub(super) fn root(leaves: &[Digest]) -> Digest {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => Digest::of(1, &[&left.0, &right.0]),
                // An odd one out rises as it is, which makes the tree of RFC 9162.
                alone => alone.first().copied().unwrap_or(Digest::ZERO),
            })
            .collect();
    }
    level.first().copied().unwrap_or(Digest::ZERO)
}

/// What stands for a batch and, through `previous`, for everything before it.
pub(super) fn head(number: i64, at: Timestamp, rows: usize, root: &Digest, previous: &Digest) -> Digest {
    let numbers = [number, at.as_millis(), i64::try_from(rows).unwrap_or(i64::MAX)].map(i64::to_be_bytes);
    Digest::of(2, &[&numbers.concat(), &root.0, &previous.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 9162 §2.1.1, word by word: split at the largest power of two below the number.
    fn by_definition(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::ZERO,
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(split);
                Digest::of(1, &[&by_definition(left).0, &by_definition(right).0])
            }
        }
    }

    #[test]
    fn the_tree_is_that_of_the_rfc() {
        let leaves: Vec<Digest> = (0..40).map(|n| Digest::of(0, &[&[n]])).collect();
        for count in 0..leaves.len() {
            assert_eq!(root(&leaves[..count]), by_definition(&leaves[..count]), "{count} leaves");
        }
    }
}
