//! Signed tokens (RFC 7515, 7517, 7519), read with suspicion and written with care.
//!
//! Reading: a token is [`Unverified`] until a key of its issuer's [`Jwks`] has proved it; only [`Verified`] may be
//! used in a decision. JSON is read by [`json`], which refuses what parsers read differently. jsonwebtoken computes
//! the signature; every other check is ours, since it must follow our clock and our lists.

pub mod client_assertion;
pub mod json;
pub mod jwks;
pub mod key_set;
pub mod keys;
pub mod signer;
pub mod thumbprint;
pub mod verifier;

pub use jwks::{Jwks, JwksError};
pub use key_set::KeySet;
pub use keys::{KeyRing, KeyRingError};
pub use signer::Signer;
pub use thumbprint::Thumbprint;
pub use verifier::{Unverified, Verified, VerifyError};
