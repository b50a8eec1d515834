//! The nonces that we ask proofs to hold (RFC 9449 §8). A proof can be made long before it is used, dated into the
//! future; whoever has a key for a minute could stock up on them. A nonce says that the proof was made lately.
//!
//! Nothing is stored: a nonce is a MAC over the window of time in which it was given out, under a key that all
//! instances derive from the encryption keys. It is the same for everybody, since it proves a time and not a person;
//! that a proof counts once is another check.

use std::time::Duration;

use aws_lc_rs::hmac;
use axum::http::{HeaderName, HeaderValue};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::NONCE_HEADER;
use crate::{clock::Timestamp, config::dpop::NoncePolicy, seal::Roots};

/// How long one nonce is given out. It is accepted for one window longer: a client that comes back within this time
/// needs no second request, and a stolen stock of proofs is worth nothing after twice this time.
const WINDOW: Duration = Duration::from_secs(5 * 60);

/// Tells the keys derived here from any other use of the same configured key.
const LABEL: &[u8] = b"chancery dpop nonce 1";

/// Why a proof is answered with a nonce to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NonceError {
    /// It has none, and must have one.
    #[error("it has no nonce")]
    Missing,
    /// It has one that we did not give out in the last minutes.
    #[error("its nonce is not one of the last minutes")]
    Unknown,
}

/// Makes nonces and knows them again.
pub struct Nonces {
    policy: NoncePolicy,
    makes: hmac::Key,
    /// Keys that made nonces before the encryption keys were rotated, or make them at instances not yet restarted.
    made: Vec<hmac::Key>,
}

impl Nonces {
    /// Derives the keys.
    pub fn new(roots: &Roots, policy: NoncePolicy) -> Self {
        let (first, rest) = roots.derived(LABEL);
        let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
        Self {
            policy,
            makes: key(first.as_slice()),
            made: rest.iter().map(|bytes| key(bytes.as_slice())).collect(),
        }
    }

    /// The nonce to give out now.
    pub fn current(&self, now: Timestamp) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.makes, &window(now).to_be_bytes()))
    }

    /// The header that answers carry, so that the next proof can hold the nonce (RFC 9449 §8.2).
    pub fn header(&self, now: Timestamp) -> Option<(HeaderName, HeaderValue)> {
        Some((NONCE_HEADER, HeaderValue::try_from(self.current(now)).ok()?))
    }

    /// Checks the nonce of a proof. One that need not be there must still be right.
    pub fn check(&self, nonce: Option<&str>, now: Timestamp) -> Result<(), NonceError> {
        match (nonce, self.policy) {
            (Some(nonce), _) if self.knows(nonce, now) => Ok(()),
            (Some(_), _) => Err(NonceError::Unknown),
            (None, NoncePolicy::Optional) => Ok(()),
            (None, NoncePolicy::Required) => Err(NonceError::Missing),
        }
    }

    /// Whether `nonce` was given out in this window or the one before; or in the next, by an instance whose clock is
    /// a little ahead.
    fn knows(&self, nonce: &str, now: Timestamp) -> bool {
        let Ok(tag) = URL_SAFE_NO_PAD.decode(nonce) else { return false };
        let present = window(now);
        std::iter::once(&self.makes).chain(&self.made).any(|key| {
            let given_in = |window: i64| hmac::verify(key, &window.to_be_bytes(), &tag).is_ok();
            (present.saturating_sub(1)..=present.saturating_add(1)).any(given_in)
        })
    }
}

fn window(now: Timestamp) -> i64 {
    now.as_secs().div_euclid(WINDOW.as_secs().cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::fixture;

    const NOW: Timestamp = Timestamp::from_secs(1_795_219_200);

    fn nonces(keys: &[u8]) -> Nonces {
        Nonces::new(&fixture::roots(keys), NoncePolicy::Required)
    }

    #[test]
    fn a_nonce_is_good_for_its_window_and_the_next() {
        let nonces = nonces(&[1]);
        let nonce = nonces.current(NOW);
        assert_eq!(
            nonces.current(NOW.plus(WINDOW).minus(Duration::from_millis(1))),
            nonce,
            "a window begins here"
        );
        let last = NOW.plus(2 * WINDOW).minus(Duration::from_millis(1));
        for (at, known) in [
            (NOW.minus(Duration::from_secs(1)), true),
            (NOW, true),
            (last, true),
            (NOW.plus(2 * WINDOW), false),
            (NOW.minus(WINDOW).minus(Duration::from_secs(1)), false),
        ] {
            assert_eq!(nonces.knows(&nonce, at), known, "{at}");
        }
    }

    #[test]
    fn other_instances_know_it_and_nobody_else_can_make_one() {
        let (before, after) = (nonces(&[1]), nonces(&[2, 1]));
        assert!(after.knows(&before.current(NOW), NOW), "the key was rotated meanwhile");
        assert!(!before.knows(&after.current(NOW), NOW));
        let bare = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let forged = URL_SAFE_NO_PAD.encode(hmac::sign(&bare, &window(NOW).to_be_bytes()));
        for bad in ["", "x", "=", &"A".repeat(43), &before.current(NOW)[..42], &forged] {
            assert!(!before.knows(bad, NOW), "{bad}");
        }
    }
}
