//! `dpop:` what is asked of proofs of possession (RFC 9449).

use super::{form::one_of, reader::Section};

/// The `dpop:` section.
#[derive(Debug, Clone)]
pub struct Dpop {
    /// Whether a proof must hold a nonce of ours.
    pub nonce: NoncePolicy,
}

/// Whether a proof must hold a nonce of ours (RFC 9449 §8). One that is there is checked in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoncePolicy {
    /// It must, so that nobody can make proofs ahead of time.
    Required,
    /// It may, for clients that do not know nonces.
    Optional,
}

impl Dpop {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let policies = [("required", NoncePolicy::Required), ("optional", NoncePolicy::Optional)];
        Self { nonce: section.optional("nonce", one_of(&policies)).unwrap_or(NoncePolicy::Required) }
    }
}
