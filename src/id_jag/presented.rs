//! An assertion as a request carries it: its form and its kind are settled, nothing in it is believed.

use super::Refusal;
use crate::{
    config::client::ClientKeys,
    jose::{Unverified, verifier::Kind},
};

/// An assertion of one kind or the other, told apart by `typ` alone, so that neither is ever judged by the rules of the
/// other (RFC 8725 §3.11).
#[derive(Debug)]
pub enum Presented<'p> {
    /// About a user, by her enterprise's identity provider.
    IdJag(Unverified<'p>),
    /// About the client itself, by its platform.
    Workload(Unverified<'p>),
}

impl<'p> Presented<'p> {
    /// Reads the parameter `assertion` (RFC 7521 §4.1). Which algorithms its issuer may use is not known yet: any that
    /// is asymmetric will do here.
    pub fn read(assertion: &'p str) -> Result<Self, Refusal> {
        const KINDS: [Kind; 2] = [Kind::IdJag, Kind::AuthorizationGrant];
        let (kind, read) = Unverified::parse_one_of(assertion, &KINDS, &ClientKeys::any_algorithm())?;
        Ok(if kind == Kind::IdJag { Self::IdJag(read) } else { Self::Workload(read) })
    }
}
