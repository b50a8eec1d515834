//! Envelope encryption of what the database must not know.
//!
//! Every write has its own data key, and the configured key only wraps data keys, so keys rotate by rewrapping 48
//! bytes a row. Both layers are bound to where the value belongs ([`SealContext`]), which is told anew at every
//! reading and never stored: a value moved to another row, column or owner, or put back from an older version of
//! its row, does not open. The envelope is laid out in `envelope.rs`.

mod envelope;
mod proof;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, fmt};

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use self::envelope::{COMMITMENT, Envelope, KEY, NONCE, SALT};
use crate::{config::encryption::EncryptionKey, entropy::Entropy};

pub use self::proof::{KeyProofError, prove_keys};

/// Tells the keys derived here from any other use of the same configured key.
const WRAP_LABEL: &[u8] = b"chancery seal 1: wrapping key, nonce, commitment";

/// How long a key's id may be: its length is one byte of every envelope, and it is repeated in each.
const MAX_KEY_ID: usize = 64;

/// Where a sealed value belongs. Every field counts: with any other value of any of them it does not open.
#[derive(Debug, Clone, Copy)]
pub struct SealContext<'a> {
    /// The table, or the purpose of a value that is in none.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The row's primary key.
    pub row: &'a str,
    /// Whose it is: a user id, or empty when it is the house's own.
    pub owner: &'a str,
    /// The provider or connection that it is for, or empty.
    pub provider: &'a str,
    /// The row's version, which grows with every write of it, so that an older value cannot be put back.
    pub version: i64,
}

impl SealContext<'_> {
    /// Each field behind its length, so that no two contexts have the same bytes.
    fn associated_data(&self, layer: &str, key_id: &str) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        let fields = [layer, key_id, self.table, self.column, self.row, self.owner, self.provider];
        let mut data = vec![envelope::FORMAT, envelope::AES_256_GCM];
        for field in fields.iter().map(|field| field.as_bytes()).chain([version.as_slice()]) {
            data.extend_from_slice(&(field.len() as u64).to_be_bytes());
            data.extend_from_slice(field);
        }
        data
    }
}

/// A sealed value as its column holds it.
#[derive(Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct Sealed(Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sealed bytes", self.0.len())
    }
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short or too long for an envelope, or of a format or algorithm that this binary does not know.
    #[error("not a sealed value that this version knows")]
    Unknown,
    /// Sealed by a key that is not configured.
    #[error("sealed by the encryption key `{0}`, which is not configured")]
    UnknownKey(String),
    /// The configured key of this id is not the one that sealed the value.
    #[error("sealed by another encryption key than the one configured as `{0}`")]
    WrongKey(String),
    /// The value was changed, or does not belong where it was found.
    #[error("the sealed value was changed or moved")]
    Tampered,
}

/// The configured keys at work: the first seals, all open.
#[derive(Debug, Clone)]
pub struct Sealer {
    first: EncryptionKey,
    rest: Vec<EncryptionKey>,
}

/// Why a list of keys cannot seal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Nothing is ever kept unsealed for want of a key.
    #[error("there is no encryption key; make one with `chancery keys generate`")]
    None,
    /// The id does not fit into an envelope.
    #[error("the id of an encryption key is 1 to 64 characters long, and `{0}` is not")]
    Id(String),
    /// Which of the two opens a value would be chance.
    #[error("two encryption keys have the id `{0}`")]
    Twice(String),
}

impl Sealer {
    /// Takes the keys of the configuration; see [`Sealer`] for their order.
    pub fn new(keys: &[EncryptionKey]) -> Result<Self, KeysError> {
        let (first, rest) = keys.split_first().ok_or(KeysError::None)?;
        let mut seen = HashSet::new();
        for EncryptionKey { id, .. } in keys {
            if !(1..=MAX_KEY_ID).contains(&id.len()) {
                return Err(KeysError::Id(id.clone()));
            }
            if !seen.insert(id) {
                return Err(KeysError::Twice(id.clone()));
            }
        }
        Ok(Self { first: first.clone(), rest: rest.to_vec() })
    }

    /// Seals `plaintext` for the place that `context` names.
    pub fn seal(&self, entropy: &Entropy, context: &SealContext<'_>, plaintext: &[u8]) -> Sealed {
        seal_with(&self.first, entropy, context, plaintext)
    }

    /// Opens what was sealed for the place that `context` names.
    pub fn open(&self, context: &SealContext<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let Envelope { key_id, salt, commitment, wrapped_key, nonce, ciphertext } =
            Envelope::parse(&sealed.0).ok_or(OpenError::Unknown)?;
        let key =
            self.keys().find(|key| key.id == key_id).ok_or_else(|| OpenError::UnknownKey(key_id.into()))?;
        let wrap = Wrap::derive(key, salt);
        if !bool::from(wrap.commitment.ct_eq(commitment)) {
            return Err(OpenError::WrongKey(key_id.into()));
        }
        let data_key = decrypt(&wrap.key, &wrap.nonce, wrapped_key, &context.associated_data("key", key_id))?;
        let data_key = data_key.first_chunk().ok_or(OpenError::Tampered)?;
        decrypt(data_key, nonce, ciphertext, &context.associated_data("data", ""))
    }

    /// A key for a purpose other than sealing, derived from each configured key (RFC 5869): the first to make
    /// something with, the rest to know again what was made with them.
    pub fn derived(&self, purpose: &[u8]) -> (DerivedKey, Vec<DerivedKey>) {
        let derive = |key| derive(key, purpose);
        (derive(&self.first), self.rest.iter().map(derive).collect())
    }

    fn keys(&self) -> impl Iterator<Item = &EncryptionKey> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

/// 256 secret bits for one purpose.
pub type DerivedKey = Zeroizing<[u8; KEY]>;

#[expect(clippy::expect_used, reason = "HKDF gives up to 255 times 32 bytes, and this asks for 32")]
fn derive(key: &EncryptionKey, purpose: &[u8]) -> DerivedKey {
    let mut derived = Zeroizing::new([0; KEY]);
    let hkdf = Hkdf::<Sha256>::new(None, key.key.expose());
    hkdf.expand(purpose, derived.as_mut()).expect("32 bytes are few enough");
    derived
}

fn seal_with(key: &EncryptionKey, entropy: &Entropy, context: &SealContext<'_>, plaintext: &[u8]) -> Sealed {
    let salt = entropy.bytes::<SALT>();
    let nonce = entropy.bytes::<NONCE>();
    let mut data_key = Zeroizing::new([0; KEY]);
    entropy.fill(data_key.as_mut());
    let wrap = Wrap::derive(key, &salt);
    let wrapped_key = encrypt(&wrap.key, &wrap.nonce, &*data_key, &context.associated_data("key", &key.id));
    let ciphertext = encrypt(&data_key, &nonce, plaintext, &context.associated_data("data", ""));
    let envelope = Envelope {
        key_id: &key.id,
        salt: &salt,
        commitment: &wrap.commitment,
        wrapped_key: &wrapped_key,
        nonce: &nonce,
        ciphertext: &ciphertext,
    };
    Sealed(envelope.write())
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
    fn derive(key: &EncryptionKey, salt: &[u8; SALT]) -> Self {
        let mut derived = Zeroizing::new([0; KEY + NONCE + COMMITMENT]);
        Hkdf::<Sha256>::new(Some(salt), key.key.expose())
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

#[expect(clippy::expect_used, reason = "AES-GCM only refuses what is longer than 64 GiB")]
fn encrypt(key: &[u8; KEY], nonce: &[u8; NONCE], plaintext: &[u8], associated_data: &[u8]) -> Vec<u8> {
    Aes256Gcm::new(key.into())
        .encrypt(nonce.into(), Payload { msg: plaintext, aad: associated_data })
        .expect("a value fits into memory")
}

/// The whole value or nothing: no byte is given out before the tag was checked.
fn decrypt(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    ciphertext: &[u8],
    associated_data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    Aes256Gcm::new(key.into())
        .decrypt(nonce.into(), Payload { msg: ciphertext, aad: associated_data })
        .map(Zeroizing::new)
        .map_err(|_| OpenError::Tampered)
}
