//! `private_key_jwt`: we prove ourselves at an upstream by a signature (RFC 7523 §2.2).

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::{clock::Clock, config::provider::AssertionAlg, entropy::Entropy, secret::Secret};

/// `client_assertion_type` (RFC 7523 §2.2).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Used at once; the rest is for a clock that is behind or ahead.
const LIFETIME: Duration = Duration::from_secs(2 * 60);

/// The key that the operator configured cannot sign what it is configured to sign. The library's reason is left out:
/// it speaks of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the private key for private_key_jwt does not fit its algorithm")]
pub struct UnusableKey;

/// A new assertion of `client_id` for `audience`, good once and for two minutes.
pub fn sign(
    client_id: &str,
    audience: &str,
    (key, kid, alg): (&Secret, Option<&str>, AssertionAlg),
    clock: &Clock,
    entropy: &Entropy,
) -> Result<String, UnusableKey> {
    let pem = key.expose().as_bytes();
    let (algorithm, key) = match alg {
        AssertionAlg::Rs256 => (Algorithm::RS256, EncodingKey::from_rsa_pem(pem)),
        AssertionAlg::Ps256 => (Algorithm::PS256, EncodingKey::from_rsa_pem(pem)),
        AssertionAlg::Es256 => (Algorithm::ES256, EncodingKey::from_ec_pem(pem)),
        AssertionAlg::Es384 => (Algorithm::ES384, EncodingKey::from_ec_pem(pem)),
        AssertionAlg::EdDsa => (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem)),
    };
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    let now = clock.now();
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": entropy.token(),
        "iat": now.as_secs(),
        "exp": now.plus(LIFETIME).as_secs(),
    });
    key.and_then(|key| jsonwebtoken::encode(&header, &claims, &key)).map_err(|_| UnusableKey)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use rstest::rstest;

    use super::*;
    use crate::{
        clock::Timestamp,
        jose::{KeySet, Signer, Unverified, signer::SigningAlgorithm, verifier::Kind},
    };

    const NOW: Timestamp = Timestamp::from_secs(1_795_219_200);

    fn key() -> (Signer, String) {
        let pkcs8 = SigningAlgorithm::Es256.generate().unwrap();
        let pem = STANDARD.encode(&*pkcs8);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n");
        (Signer::from_pkcs8(SigningAlgorithm::Es256, &pkcs8).unwrap(), pem)
    }

    fn signed(pem: &str, alg: AssertionAlg) -> Result<String, UnusableKey> {
        let key = Secret::new(pem.to_owned());
        let key = (&key, Some("k1"), alg);
        sign("us", "https://idp.acme.com/token", key, &Clock::manual(NOW), &Entropy::seeded(1))
    }

    #[test]
    fn it_says_who_for_whom_and_for_how_long() {
        let (signer, pem) = key();
        let assertion = signed(&pem, AssertionAlg::Es256).unwrap();
        let unverified = Unverified::parse(&assertion, Kind::IdToken, &[Algorithm::ES256]).unwrap();
        assert_eq!(unverified.kid(), Some("k1"));
        let keys = KeySet::parse(json!({ "keys": [signer.public_jwk()] }).to_string().as_bytes()).unwrap();
        let verified = unverified.verify(&keys.find(None, Algorithm::ES256).unwrap()).unwrap();
        for (name, text) in [("iss", "us"), ("sub", "us"), ("aud", "https://idp.acme.com/token")] {
            assert_eq!(verified.text(name).unwrap(), text);
        }
        assert_eq!(verified.text("jti").unwrap().len(), 43);
        assert_eq!(verified.date("iat").unwrap(), Some(NOW));
        assert_eq!(verified.date("exp").unwrap(), Some(NOW.plus(LIFETIME)));
    }

    #[rstest]
    #[case(AssertionAlg::Rs256)]
    #[case(AssertionAlg::Es384)]
    #[case(AssertionAlg::EdDsa)]
    fn a_key_of_another_algorithm_is_an_error(#[case] alg: AssertionAlg) {
        assert_eq!(signed(&key().1, alg), Err(UnusableKey));
    }

    #[test]
    fn what_is_no_key_is_an_error() {
        for pem in ["", "not a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(signed(pem, AssertionAlg::Es256), Err(UnusableKey), "{pem:?}");
        }
    }
}
