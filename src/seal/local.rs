//! A key-encryption key that we have ourselves.

use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{
    OpenError,
    cipher::{decrypt, encrypt},
    envelope::{COMMITMENT, KEY, NONCE, SALT},
    key::{Algorithm, DataKey, Wrapped},
};
use crate::{config::encryption::KeyBytes, entropy::Entropy};

/// Tells the keys derived here from any other use of the same configured key.
const WRAP_LABEL: &[u8] = b"chancery seal 1: wrapping key, nonce, commitment";

/// A configured key and its id.
#[derive(Debug)]
pub(super) struct LocalKey {
    pub(super) id: String,
    pub(super) bytes: KeyBytes,
}

impl LocalKey {
    pub(super) fn wrap(&self, entropy: &Entropy, data_key: &DataKey, associated_data: &[u8]) -> Wrapped {
        let salt = entropy.bytes::<SALT>();
        let wrap = Wrap::derive(&self.bytes, &salt);
        let data_key = encrypt(&wrap.key, &wrap.nonce, data_key.as_slice(), associated_data);
        Wrapped { algorithm: Algorithm::Local, salt, commitment: wrap.commitment, data_key }
    }

    pub(super) fn unwrap(&self, wrapped: &Wrapped, associated_data: &[u8]) -> Result<DataKey, OpenError> {
        let wrap = Wrap::derive(&self.bytes, &wrapped.salt);
        if !bool::from(wrap.commitment.ct_eq(&wrapped.commitment)) {
            return Err(OpenError::WrongKey(self.id.clone()));
        }
        let data_key = decrypt(&wrap.key, &wrap.nonce, &wrapped.data_key, associated_data)?;
        data_key.first_chunk().copied().map(Zeroizing::new).ok_or(OpenError::Tampered)
    }
}

/// What wraps one data key. It is derived from the configured key and a fresh salt, so that the configured key may
/// wrap without the limit that random nonces would set (2^32 under one key, NIST SP 800-38D §8.3). The commitment
/// ties the envelope to one configured key, which AES-GCM's tag alone does not.
struct Wrap {
    key: Zeroizing<[u8; KEY]>,
    nonce: [u8; NONCE],
    commitment: [u8; COMMITMENT],
}

impl Wrap {
    #[expect(clippy::expect_used, reason = "HKDF gives up to 255 times 32 bytes, and this asks for 76")]
    fn derive(key: &KeyBytes, salt: &[u8; SALT]) -> Self {
        let mut derived = Zeroizing::new([0; KEY + NONCE + COMMITMENT]);
        Hkdf::<Sha256>::new(Some(salt), key.expose())
            .expand(WRAP_LABEL, derived.as_mut())
            .expect("76 bytes are few enough");
        let mut wrap = Self { key: Zeroizing::new([0; KEY]), nonce: [0; NONCE], commitment: [0; COMMITMENT] };
        let (derived_key, rest) = derived.split_at(KEY);
        let (derived_nonce, derived_commitment) = rest.split_at(NONCE);
        wrap.key.copy_from_slice(derived_key);
        wrap.nonce.copy_from_slice(derived_nonce);
        wrap.commitment.copy_from_slice(derived_commitment);
        wrap
    }
}
