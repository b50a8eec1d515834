//! An access token at a resource server: how it was sent, and whether by whoever has the key that it is bound to
//! (RFC 9449 §7). Its signature, audience and dates are checked elsewhere.

use axum::http::{HeaderMap, Method, header};
use serde_json::Value;

use super::{Proof, ProofError};
use crate::{
    clock::Timestamp,
    jose::{Thumbprint, Verified},
};

/// What a request to a protected resource shows.
#[derive(Debug)]
pub struct Presented<'r> {
    /// How the token was sent.
    pub scheme: Scheme,
    /// The token, not verified yet.
    pub token: &'r str,
    method: &'r Method,
    headers: &'r HeaderMap,
}

/// The scheme of the `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750 §2.1.
    Bearer,
    /// RFC 9449 §7.1.
    Dpop,
}

/// Why a token is not accepted from whoever sent it.
#[derive(Debug, thiserror::Error)]
pub enum BindingError {
    /// As a mere bearer token it may have been stolen (RFC 9449 §7.2).
    #[error("the token is bound to a key: send it with a proof of that key")]
    Bound,
    /// The client believes in a protection that the token does not have.
    #[error("the token is not bound to a key")]
    Unbound,
    /// Bound to something that is not understood here, such as a certificate.
    #[error("the token is bound in a way that this server does not know")]
    Confirmation,
    /// Nothing proves the key.
    #[error("the DPoP proof is missing")]
    NoProof,
    /// The proof proves nothing.
    #[error("the DPoP proof: {0}")]
    Proof(#[from] ProofError),
    /// It proves another key.
    #[error("the DPoP proof is by another key than the token's")]
    OtherKey,
    /// It was made to go with another token.
    #[error("the DPoP proof was made for another token")]
    OtherToken,
}

impl BindingError {
    /// Whether it is the proof that is wrong (`invalid_dpop_proof`) and not the token (`invalid_token`).
    pub const fn is_the_proofs(&self) -> bool {
        matches!(self, Self::NoProof | Self::Proof(_) | Self::OtherKey | Self::OtherToken)
    }
}

impl<'r> Presented<'r> {
    /// The token of the `Authorization` header; never one from the URL (RFC 6750 §2.3).
    pub fn of(method: &'r Method, headers: &'r HeaderMap) -> Option<Self> {
        let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        let schemes = [("Bearer", Scheme::Bearer), ("DPoP", Scheme::Dpop)];
        let (_, scheme) = schemes.into_iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name))?;
        Some(Self { scheme, token: token.trim(), method, headers })
    }

    /// A token that is bound to a key is good with a proof of that key, made for it and for this request to `url`; one
    /// that is not is a bearer token. The proof's nonce, and that it counts once, are still to be checked.
    pub fn check_binding(
        &self,
        verified: &Verified,
        url: &str,
        now: Timestamp,
    ) -> Result<Option<Proof>, BindingError> {
        let confirmation = verified.claims().get("cnf");
        let confirmation = match (confirmation, self.scheme) {
            (None, Scheme::Bearer) => return Ok(None),
            (None, Scheme::Dpop) => return Err(BindingError::Unbound),
            (Some(_), Scheme::Bearer) => return Err(BindingError::Bound),
            (Some(confirmation), Scheme::Dpop) => confirmation,
        };
        let jkt = confirmation.get("jkt").and_then(Value::as_str).map(str::to_owned);
        let bound_to =
            jkt.and_then(|jkt| Thumbprint::try_from(jkt).ok()).ok_or(BindingError::Confirmation)?;
        let proof = Proof::of(self.headers, self.method, url, now)?.ok_or(BindingError::NoProof)?;
        if !proof.key().is(&bound_to) {
            return Err(BindingError::OtherKey);
        }
        if !proof.is_for(self.token) {
            return Err(BindingError::OtherToken);
        }
        Ok(Some(proof))
    }
}
