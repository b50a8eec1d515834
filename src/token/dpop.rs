//! The pipeline's step for DPoP (RFC 9449 §5): which key a token request proves, before any grant looks at it.
//!
//! Nothing is spent here. That a proof counts once is decided by [`TokenRequest::begin`](super::TokenRequest::begin), in
//! the transaction in which a grant takes effect, so that a refused request leaves its proof as good as its code.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::{
    app::App,
    clients::Client,
    config::dpop::NoncePolicy,
    dpop::{NONCE_HEADER, Proof},
    oauth::error::ErrorCode,
    web::error::ApiError,
};

/// The key that the request to `endpoint` proves; none where it carries no proof and its client need not send one.
pub fn prove(
    app: &App,
    headers: &HeaderMap,
    endpoint: &str,
    client: &Client,
) -> Result<Option<Proof>, ApiError> {
    let now = app.clock.now();
    let proof = Proof::of(headers, &Method::POST, endpoint, now)
        .map_err(|error| refused(format!("DPoP proof: {error}")))?;
    let Some(proof) = proof else {
        if client.dpop_bound {
            return Err(refused("the client has tokens bound to a key alone, and sent no DPoP proof"));
        }
        return Ok(None);
    };
    match (proof.nonce(), app.config.dpop.nonce) {
        (Some(nonce), _) if app.nonces.admits(nonce, now) => Ok(Some(proof)),
        (None, NoncePolicy::Optional) => Ok(Some(proof)),
        (Some(_), _) => Err(challenge("DPoP proof: its nonce is not one of the last minutes")),
        (None, NoncePolicy::Required) => Err(challenge("DPoP proof: it has no nonce")),
    }
}

/// The header that every answer of a token endpoint carries, so that the next proof can hold it (RFC 9449 §8.2).
pub fn nonce_header(app: &App) -> Option<(HeaderName, HeaderValue)> {
    let nonce = HeaderValue::try_from(app.nonces.current(app.clock.now())).ok()?;
    Some((NONCE_HEADER, nonce))
}

/// Why a token is not issued without a proof, or with this one. `reason` is for the record alone.
pub fn refused(reason: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(ErrorCode::InvalidDpopProof, "a DPoP proof is missing, or cannot be accepted")
        .with_reason(reason)
}

fn challenge(reason: &'static str) -> ApiError {
    ApiError::new(ErrorCode::UseDpopNonce, "the DPoP proof must hold the nonce of the header DPoP-Nonce")
        .with_reason(reason)
}
