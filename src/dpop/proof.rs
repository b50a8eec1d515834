//! One proof: read from a request's header and checked in every way that needs no memory (RFC 9449 §4.3).

use std::time::Duration;

use axum::http::{HeaderMap, Method};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::Url;

use super::{PROOF_ALGS, PROOF_HEADER};
use crate::{
    clock::Timestamp,
    jose::{Thumbprint, Unverified, Verified, VerifyError, verifier::Kind},
    store::replays::{OneTime, OneTimeKind},
};

/// The longest proof: one with an RSA key of 8,192 bits and an overlong URL fits.
const MAX_PROOF_BYTES: usize = 8 * 1024;
/// How long after it was made a proof may arrive: slow networks, and a retry of what a proxy held up.
const MAX_AGE: Duration = Duration::from_secs(60);
/// How far a client's clock may be from ours.
const LEEWAY: Duration = Duration::from_secs(60);
/// The longest `jti` (RFC 9449 §11.1 has servers bound it); a UUID has 36, a hash in hexadecimal 64.
const MAX_JTI_BYTES: usize = 256;

/// What a verified proof says: its sender has this key, and made the proof for this very request.
#[derive(Debug)]
pub struct Proof {
    key: Thumbprint,
    jti: String,
    issued_at: Timestamp,
    nonce: Option<String>,
    ath: Option<String>,
}

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Several headers, of which different readers could take different ones.
    #[error("there is more than one")]
    Several,
    /// Not ASCII.
    #[error("it is not text")]
    Encoding,
    /// Longer than eight KB.
    #[error("it is longer than {MAX_PROOF_BYTES} bytes")]
    TooLong,
    /// Its form, key, signature or claims.
    #[error(transparent)]
    Jwt(#[from] VerifyError),
    /// Made for a request with another method.
    #[error("htm is not the method of the request")]
    Method,
    /// Made for another address.
    #[error("htu is not the address of the request")]
    Url,
    /// Empty, overlong, or with control characters.
    #[error("jti cannot be accepted")]
    Jti,
}

impl Proof {
    /// The proof in these headers, made for this method and for our `url`; none where none was sent. Nonce, access
    /// token and whether it was used before are still to be checked.
    pub fn of(
        headers: &HeaderMap,
        method: &Method,
        url: &str,
        now: Timestamp,
    ) -> Result<Option<Self>, ProofError> {
        let mut sent = headers.get_all(PROOF_HEADER).iter();
        let Some(proof) = sent.next() else { return Ok(None) };
        if sent.next().is_some() {
            return Err(ProofError::Several);
        }
        let proof = proof.to_str().map_err(|_| ProofError::Encoding)?;
        if proof.len() > MAX_PROOF_BYTES {
            return Err(ProofError::TooLong);
        }
        let proof = Unverified::parse(proof, Kind::DpopProof, &PROOF_ALGS.map(|(_, algorithm)| algorithm))?;
        let (claims, key) = proof.verify_possession()?;
        check(&claims, key, method, url, now).map(Some)
    }

    /// The key that was proved.
    pub const fn key(&self) -> &Thumbprint {
        &self.key
    }

    /// The nonce in it.
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// Whether it was made for a request with this access token (RFC 9449 §4.3, `ath`).
    pub fn is_for(&self, access_token: &str) -> bool {
        let expected = URL_SAFE_NO_PAD.encode(Sha256::digest(access_token));
        self.ath.as_ref().is_some_and(|ath| ath.as_bytes().ct_eq(expected.as_bytes()).into())
    }

    /// What is to be spent, so that it counts once for as long as it would be accepted (RFC 9449 §11.1).
    pub fn one_time(&self) -> OneTime {
        OneTime {
            kind: OneTimeKind::DpopProof,
            issuer: self.key.as_str().to_owned(),
            jti: self.jti.clone(),
            // Once more the leeway, for an instance whose clock is behind the one that sweeps.
            expires_at: self.issued_at.plus(MAX_AGE).plus(2 * LEEWAY),
            holder: None,
        }
    }
}

fn check(
    claims: &Verified,
    key: Thumbprint,
    method: &Method,
    url: &str,
    now: Timestamp,
) -> Result<Proof, ProofError> {
    if claims.text("htm")? != method.as_str() {
        return Err(ProofError::Method);
    }
    match (canonical(claims.text("htu")?), canonical(url)) {
        (Some(htu), Some(url)) if htu == url => {}
        _ => return Err(ProofError::Url),
    }
    let issued_at = claims.date("iat")?.ok_or(VerifyError::Missing("iat"))?;
    if issued_at > now.plus(LEEWAY) || claims.date("nbf")?.is_some_and(|begin| begin > now.plus(LEEWAY)) {
        return Err(VerifyError::NotYetValid.into());
    }
    if now.since(issued_at) > MAX_AGE.saturating_add(LEEWAY) {
        return Err(VerifyError::TooOld.into());
    }
    if claims.date("exp")?.is_some_and(|end| now.minus(LEEWAY) >= end) {
        return Err(VerifyError::Expired.into());
    }
    let jti = claims.text("jti")?;
    if !(1..=MAX_JTI_BYTES).contains(&jti.len()) || jti.chars().any(char::is_control) {
        return Err(ProofError::Jti);
    }
    let optional = |claim| {
        let said = claims.claims().contains_key(claim);
        said.then(|| claims.text(claim).map(str::to_owned)).transpose()
    };
    Ok(Proof { key, jti: jti.to_owned(), issued_at, nonce: optional("nonce")?, ath: optional("ath")? })
}

/// A URL without query and fragment in the one spelling that it has after the normalisations that RFC 9449 §4.3 asks
/// for (RFC 3986 §6.2.2 and §6.2.3). The URL parser does all but the percent-encoding; what it would tolerate on top,
/// such as blanks and backslashes, is refused.
fn canonical(text: &str) -> Option<String> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return None;
    }
    let mut url = Url::parse(text).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    let mut pieces = url.as_str().split('%');
    let mut canonical = pieces.next()?.to_owned();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            canonical.push(char::from(byte));
        } else {
            canonical.push('%');
            canonical.push_str(&digits.to_ascii_uppercase());
        }
        canonical.push_str(rest);
    }
    Some(canonical)
}

#[cfg(test)]
mod tests;
