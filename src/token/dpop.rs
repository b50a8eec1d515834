//! The pipeline's step for DPoP (RFC 9449 §5): which key a token request proves, before any grant looks at it.
//!
//! Nothing is spent here. That a proof counts once is decided by [`TokenRequest::begin`](super::TokenRequest::begin),
//! in the transaction in which a grant takes effect, so that a refused request leaves its proof as good as its code.

use std::borrow::Cow;

use axum::http::{HeaderMap, Method};

use crate::{app::App, clients::Client, dpop::Proof, oauth::error::ErrorCode, web::error::ApiError};

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
    app.nonces.check(proof.nonce(), now).map_err(|error| {
        let text = "the DPoP proof must hold the nonce of the header DPoP-Nonce";
        ApiError::new(ErrorCode::UseDpopNonce, text).with_reason(format!("DPoP proof: {error}"))
    })?;
    Ok(Some(proof))
}

/// Why a token is not issued without a proof, or with this one. `reason` is for the record alone.
pub fn refused(reason: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(ErrorCode::InvalidDpopProof, "a DPoP proof is missing, or cannot be accepted")
        .with_reason(reason)
}
