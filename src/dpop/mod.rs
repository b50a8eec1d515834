//! DPoP (RFC 9449): a request proves that its sender has a private key, and what is issued to it is of use to the
//! holder of that key alone.
//!
//! A [`Proof`] is read and verified here, for a token endpoint and for a resource server alike, together with the
//! [`Nonces`] by which a server says how old a proof may be, and with what a resource server asks of a token that is
//! bound ([`Presented`]). Who has to send a proof for a token, and what is bound to its key, is decided in `token`;
//! that a proof counts once is decided by the database, in the transaction that it leads to.

mod binding;
mod nonce;
mod proof;

use axum::http::HeaderName;
use jsonwebtoken::Algorithm;

use crate::config::client::ASSERTION_ALGS;

pub use self::{
    binding::{BindingError, Presented, Scheme},
    nonce::{NonceError, Nonces},
    proof::{Proof, ProofError},
};

/// The header in which a proof is sent (RFC 9449 §4.1).
pub const PROOF_HEADER: HeaderName = HeaderName::from_static("dpop");
/// The header in which a server says the nonce for the next proof (RFC 9449 §8.1).
pub const NONCE_HEADER: HeaderName = HeaderName::from_static("dpop-nonce");

/// What a proof may be signed with: every asymmetric algorithm that we verify (RFC 9449 §11.6).
pub const PROOF_ALGS: [(&str, Algorithm); 9] = ASSERTION_ALGS;
