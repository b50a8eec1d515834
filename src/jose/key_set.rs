//! A JSON Web Key Set (RFC 7517) that somebody else wrote: what is usable in it is kept, the rest is passed over, and
//! only a document that is no key set at all is an error.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::json::{Object, parse_object};

/// The most keys that are looked at; providers publish two to ten.
const MAX_KEYS: usize = 100;
/// The longest `kid` that is kept.
const MAX_KID_BYTES: usize = 512;
/// RSA moduli (RFC 7518 §3.3): no shorter, and no longer than what the library verifies.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The members of a key that are its secret (RFC 7518 §6.2.2, §6.3.2, §6.4.1; RFC 8037 §2).
pub(super) const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The verification keys of one issuer.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<VerificationKey>>,
}

/// One public key and what it may verify.
#[derive(Debug)]
pub struct VerificationKey {
    kid: Option<String>,
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
    material: Vec<Vec<u8>>,
}

/// Why no key is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// None has this `kid` and fits the algorithm.
    #[error("no published key fits the token")]
    Unknown,
    /// Several fit; guessing among them is not for us.
    #[error("several published keys fit the token, and it does not say which one it means")]
    Ambiguous,
}

impl KeySet {
    /// Reads a key set. Symmetric and private keys, keys for encryption, RSA below 2,048 bits, unknown types and
    /// malformed ones are left out; a set may end up empty.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        let document = parse_object(document).map_err(KeySetError::Json)?;
        let Some(Value::Array(entries)) = document.get("keys") else { return Err(KeySetError::NoKeys) };
        if entries.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut keys: Vec<Arc<VerificationKey>> = Vec::new();
        for key in entries.iter().filter_map(Value::as_object).filter_map(VerificationKey::parse) {
            let same = |known: &Arc<VerificationKey>| known.kid == key.kid && known.material == key.material;
            if !keys.iter().any(same) {
                keys.push(Arc::new(key));
            }
        }
        Ok(Self { keys })
    }

    /// The one key that a token with this header was signed by: named by `kid`, or the only one that fits.
    pub fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<VerificationKey>, LookupError> {
        let mut fitting = self.keys.iter().filter(|key| {
            key.algorithms.contains(&algorithm) && (kid.is_none() || key.kid.as_deref() == kid)
        });
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key.clone()),
            (None, _) => Err(LookupError::Unknown),
            (Some(_), Some(_)) => Err(LookupError::Ambiguous),
        }
    }

    /// Whether nothing in it can verify anything.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Why a document is no key set.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object, or one with repeated members.
    #[error("the key set is not JSON that can be read")]
    Json(#[source] serde_json::Error),
    /// No array `keys`.
    #[error("the key set has no list of keys")]
    NoKeys,
    /// More than a hundred.
    #[error("the key set has more than {MAX_KEYS} keys")]
    TooMany,
}

impl VerificationKey {
    /// Whether `signature` (base64url) over `input` was made with this key and `algorithm`.
    pub(super) fn proves(&self, input: &str, signature: &str, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
            && jsonwebtoken::crypto::verify(signature, input.as_bytes(), &self.key, algorithm)
                .unwrap_or(false)
    }

    pub(super) fn parse(jwk: &Object) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        // Whoever publishes the private half has lost the key.
        if PRIVATE_MEMBERS.iter().any(|name| jwk.contains_key(*name)) {
            return None;
        }
        if jwk.get("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops")
            && !operations.as_array()?.iter().any(|operation| operation == "verify")
        {
            return None;
        }
        let kid = match jwk.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().filter(|kid| kid.len() <= MAX_KID_BYTES)?.to_owned()),
        };
        let (key, mut algorithms, material) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let n: Vec<u8> = bytes("n")?.into_iter().skip_while(|byte| *byte == 0).collect();
                let e = bytes("e")?;
                if !RSA_MODULUS_BYTES.contains(&n.len()) || e.len() > 4 {
                    return None;
                }
                (DecodingKey::from_rsa_raw_components(&n, &e), RSA.to_vec(), vec![n, e])
            }
            ("EC", Some(curve @ ("P-256" | "P-384"))) => {
                let (algorithm, width) =
                    if curve == "P-256" { (Algorithm::ES256, 32) } else { (Algorithm::ES384, 48) };
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != width || y.len() != width {
                    return None;
                }
                let key = DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?;
                (key, vec![algorithm], vec![x, y])
            }
            ("OKP", Some("Ed25519")) => {
                let x = bytes("x").filter(|x| x.len() == 32)?;
                (DecodingKey::from_ed_components(text("x")?).ok()?, vec![Algorithm::EdDSA], vec![x])
            }
            _ => return None,
        };
        if let Some(declared) = jwk.get("alg") {
            let declared: Algorithm = declared.as_str()?.parse().ok()?;
            algorithms.retain(|algorithm| *algorithm == declared);
        }
        (!algorithms.is_empty()).then_some(Self { kid, key, algorithms, material })
    }
}

const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::jose::signer::{Signer, SigningAlgorithm};

    fn published(algorithm: SigningAlgorithm) -> Value {
        Signer::from_pkcs8(algorithm, &algorithm.generate().unwrap()).unwrap().public_jwk()
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn with(mut jwk: Value, name: &str, value: impl Into<Value>) -> Value {
        jwk[name] = value.into();
        jwk
    }

    fn without(mut jwk: Value, name: &str) -> Value {
        jwk.as_object_mut().unwrap().remove(name);
        jwk
    }

    fn rsa(modulus_bytes: usize, first: u8) -> Value {
        let mut modulus = vec![0xff; modulus_bytes];
        modulus[0] = first;
        json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB", "kid": "r" })
    }

    #[test]
    fn unusable_keys_are_passed_over_and_the_good_one_is_found() {
        let good = published(SigningAlgorithm::Es256);
        let other = published(SigningAlgorithm::Es256);
        let keys = set(&[
            json!(null),
            json!("x"),
            json!({}),
            json!({ "kty": 7 }),
            json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "HS256" }),
            json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }),
            json!({ "kty": "OKP", "crv": "X25519", "x": "AA" }),
            json!({ "kty": "ML-DSA", "pub": "AA" }),
            with(other.clone(), "d", "AAAA"),
            with(other.clone(), "use", "enc"),
            with(other.clone(), "use", 1),
            with(other.clone(), "key_ops", json!(["sign"])),
            with(other.clone(), "key_ops", "verify"),
            with(other.clone(), "alg", "RS256"),
            with(other.clone(), "alg", "RSA-OAEP"),
            with(other.clone(), "alg", json!(null)),
            with(other.clone(), "kid", 7),
            with(other.clone(), "kid", "k".repeat(MAX_KID_BYTES + 1)),
            with(other.clone(), "crv", "P-384"),
            with(other.clone(), "x", "AAAA"),
            with(other, "y", "not base64!"),
            rsa(255, 0xff),
            rsa(256, 0x00),
            rsa(1025, 0xff),
            with(rsa(256, 0xff), "e", "AQABAQAB"),
            good.clone(),
        ]);
        assert_eq!(keys.keys.len(), 1);
        assert_eq!(keys.find(None, Algorithm::ES256).unwrap().kid.as_deref(), good["kid"].as_str());
    }

    #[test]
    fn members_that_do_not_matter_do_not_disturb() {
        let jwk = with(published(SigningAlgorithm::Es256), "x5c", json!(["?"]));
        let jwk = with(with(jwk, "key_ops", json!(["verify", "x"])), "issuer", "https://idp.example");
        assert!(!set(&[without(without(jwk, "alg"), "use")]).is_empty());
    }

    #[test]
    fn a_key_serves_its_own_algorithms_only() {
        let keys =
            set(&[published(SigningAlgorithm::Es256), published(SigningAlgorithm::EdDsa), rsa(257, 0)]);
        for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256, Algorithm::PS512] {
            assert!(keys.find(None, algorithm).is_ok(), "{algorithm:?}");
        }
        for algorithm in [Algorithm::ES384, Algorithm::HS256] {
            assert_eq!(keys.find(None, algorithm).unwrap_err(), LookupError::Unknown);
        }
        assert_eq!(keys.find(Some("r"), Algorithm::ES256).unwrap_err(), LookupError::Unknown);
        let narrow = set(&[with(rsa(256, 0xff), "alg", "RS256")]);
        assert!(narrow.find(Some("r"), Algorithm::RS256).is_ok());
        assert_eq!(narrow.find(Some("r"), Algorithm::PS256).unwrap_err(), LookupError::Unknown);
    }

    #[test]
    fn a_name_that_two_keys_share_names_neither_but_a_repeated_entry_does_no_harm() {
        let (a, b) = (published(SigningAlgorithm::Es256), published(SigningAlgorithm::Es256));
        let clash = set(&[with(a.clone(), "kid", "1"), with(b.clone(), "kid", "1")]);
        assert_eq!(clash.find(Some("1"), Algorithm::ES256).unwrap_err(), LookupError::Ambiguous);
        let both = set(&[a.clone(), b]);
        assert_eq!(both.find(None, Algorithm::ES256).unwrap_err(), LookupError::Ambiguous);
        assert!(both.find(a["kid"].as_str(), Algorithm::ES256).is_ok());
        assert!(set(&[a.clone(), a]).find(None, Algorithm::ES256).is_ok());
    }

    #[rstest]
    #[case("")]
    #[case("<html>")]
    #[case("[]")]
    #[case("{}")]
    #[case(r#"{"keys":{}}"#)]
    #[case(r#"{"keys":[],"keys":[]}"#)]
    fn what_is_no_key_set_is_an_error(#[case] text: &str) {
        assert!(KeySet::parse(text.as_bytes()).is_err());
    }

    #[test]
    fn a_flood_of_keys_is_an_error() {
        let flood = json!({ "keys": vec![json!({}); MAX_KEYS + 1] }).to_string();
        assert!(matches!(KeySet::parse(flood.as_bytes()), Err(KeySetError::TooMany)));
    }

    proptest! {
        #[test]
        fn any_document_is_answered(text in r#"\{"keys":\[(\{("(kty|n|e|x|y|crv|alg|kid|use|d)":("RSA"|"EC"|"AQAB"|1|null),?){0,6}\},?){0,3}\]\}"#) {
            let _ = KeySet::parse(text.as_bytes());
        }
    }
}
