//! An assertion as a request carries it: its form is settled, nothing in it is believed.

use super::Refusal;
use crate::{
    config::client::ClientKeys,
    jose::{Unverified, verifier::Kind},
};

/// Reads the parameter `assertion` (RFC 7521 §4.1). Which algorithms its issuer may use is not known yet: any that is
/// asymmetric will do here.
pub fn read(assertion: &str) -> Result<Unverified<'_>, Refusal> {
    Ok(Unverified::parse(assertion, Kind::IdJag, &ClientKeys::any_algorithm())?)
}
