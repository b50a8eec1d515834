//! Envelope encryption of what the database must not know.
//!
//! Every write has its own data key, and a configured key only wraps data keys, so keys rotate by rewrapping a few
//! bytes a row. Both layers are bound to where the value belongs ([`SealContext`]), which is told anew at every
//! reading and never stored: a value moved to another row, column or owner, or put back from an older version of
//! its row, does not open. The envelope is laid out in `envelope.rs`.
//!
//! A configured key may live in a service of its own, so sealing and opening may wait for a network: neither is done
//! inside a transaction. What must be written in one is prepared before it ([`Sealer::prepare`]).

mod cipher;
mod data_keys;
mod envelope;
#[cfg(test)]
pub(crate) mod fixture;
mod key;
mod local;
mod proof;
pub mod rewrap;
#[cfg(test)]
mod tests;
mod transit;

use std::{collections::HashSet, fmt, sync::Arc};

use zeroize::Zeroizing;

use self::{
    cipher::{Changed, decrypt, encrypt, pad, unpad},
    data_keys::DataKeys,
    envelope::{Envelope, Format, NONCE},
    key::{Algorithm, DataKey, KeyEncryptionKey, Wrapped},
    local::LocalKey,
    transit::Transit,
};
use crate::{
    clock::Clock,
    config::encryption::{EncryptionKey, KeySource},
    entropy::Entropy,
};

pub use self::{
    proof::{DerivedKey, KeyProofError, Roots, prove_keys},
    transit::Outage,
};

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
    /// What a data key is wrapped for, by the key of this id.
    fn of_key(&self, format: Format, algorithm: Algorithm, key_id: &str) -> Vec<u8> {
        self.associated_data([format as u8, algorithm as u8], "key", key_id)
    }

    /// What a value is encrypted for. Nothing about keys: that it is rewrapped does not change it.
    fn of_data(&self, format: Format) -> Vec<u8> {
        const AES_256_GCM: u8 = 1;
        self.associated_data([format as u8, AES_256_GCM], "data", "")
    }

    /// Each field behind its length, so that no two contexts have the same bytes.
    fn associated_data(&self, made: [u8; 2], layer: &str, key_id: &str) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        let fields = [layer, key_id, self.table, self.column, self.row, self.owner, self.provider];
        let mut data = made.to_vec();
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

/// A key that cannot be used now: nothing is sealed or opened with it until it can. At the edge a 503 with
/// `Retry-After`, never a refusal of anybody's token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the encryption key `{id}` cannot be used: the service that keeps it {outage}")]
pub struct KeyUnavailable {
    /// The key.
    pub id: String,
    /// Why.
    pub outage: Outage,
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
    /// Nothing is wrong with the value as far as is known.
    #[error(transparent)]
    Unavailable(#[from] KeyUnavailable),
}

impl OpenError {
    /// Why, as the record has it. `None`: nothing is wrong with the value as far as is known.
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Unknown => Some("unknown_format"),
            Self::UnknownKey(_) => Some("unknown_key"),
            Self::WrongKey(_) => Some("wrong_key"),
            Self::Tampered => Some("tampered"),
            Self::Unavailable(_) => None,
        }
    }
}

impl From<Changed> for OpenError {
    fn from(_: Changed) -> Self {
        Self::Tampered
    }
}

/// The configured keys at work: the first seals, all open. Clones share them, and the data keys that are kept.
#[derive(Clone)]
pub struct Sealer {
    first: Arc<KeyEncryptionKey>,
    rest: Vec<Arc<KeyEncryptionKey>>,
    data_keys: DataKeys,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys().map(KeyEncryptionKey::id)).finish()
    }
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
    /// The machine has no root certificates, or those given for the key's service are none.
    #[error("the service that keeps the encryption key `{id}` cannot be asked: {why}")]
    Client {
        /// The key.
        id: String,
        /// What the client says.
        why: String,
    },
}

impl Sealer {
    /// Takes the keys of the configuration; see [`Sealer`] for their order. No service is asked yet.
    pub fn new(keys: &[EncryptionKey], clock: &Clock) -> Result<Self, KeysError> {
        let mut seen = HashSet::new();
        for EncryptionKey { id, .. } in keys {
            if !(1..=MAX_KEY_ID).contains(&id.len()) {
                return Err(KeysError::Id(id.clone()));
            }
            if !seen.insert(id) {
                return Err(KeysError::Twice(id.clone()));
            }
        }
        let key = |EncryptionKey { id, source }: &EncryptionKey| match source {
            KeySource::Local(bytes) => {
                Ok(KeyEncryptionKey::Local(LocalKey { id: id.clone(), bytes: bytes.clone() }))
            }
            KeySource::Transit(config) => {
                Transit::new(id, config, clock).map(|key| KeyEncryptionKey::Transit(Box::new(key)))
            }
        };
        let mut keys = keys.iter().map(|configured| key(configured).map(Arc::new));
        let first = keys.next().ok_or(KeysError::None)??;
        Ok(Self { first, rest: keys.collect::<Result<_, _>>()?, data_keys: DataKeys::new(clock) })
    }

    /// Seals `plaintext` for the place that `context` names. Not inside a transaction; see [`Sealer::prepare`].
    pub async fn seal(
        &self,
        entropy: &Entropy,
        context: &SealContext<'_>,
        plaintext: &[u8],
    ) -> Result<Sealed, KeyUnavailable> {
        Ok(self.prepare(entropy, context).await?.seal(plaintext))
    }

    /// Does all of sealing that can fail or wait, for a value that is not there yet: to be called before a transaction
    /// in which it will be written, and before anybody is asked for what cannot be asked for twice.
    pub async fn prepare(
        &self,
        entropy: &Entropy,
        context: &SealContext<'_>,
    ) -> Result<ReadyKey, KeyUnavailable> {
        self.prepare_with(&self.first, entropy, context).await
    }

    async fn prepare_with(
        &self,
        key: &KeyEncryptionKey,
        entropy: &Entropy,
        context: &SealContext<'_>,
    ) -> Result<ReadyKey, KeyUnavailable> {
        let mut data_key = DataKey::default();
        entropy.fill(data_key.as_mut());
        let associated_data = context.of_key(Format::Padded, key.algorithm(), key.id());
        let wrapped = key.wrap(entropy, &data_key, &associated_data).await;
        let wrapped = wrapped.inspect_err(|error| self.after(error))?;
        if !key.is_local() {
            self.data_keys.keep(&wrapped, &associated_data, &data_key).await;
        }
        Ok(ReadyKey {
            key_id: key.id().to_owned(),
            wrapped,
            data_key,
            nonce: entropy.bytes(),
            associated_data: context.of_data(Format::Padded),
        })
    }

    /// Opens what was sealed for the place that `context` names. Not inside a transaction.
    pub async fn open(
        &self,
        context: &SealContext<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let envelope = Envelope::parse(&sealed.0).ok_or(OpenError::Unknown)?;
        let data_key = self.data_key(context, &envelope).await?;
        let Envelope { format, nonce, ciphertext, .. } = envelope;
        let value = decrypt(&data_key, nonce, ciphertext, &context.of_data(format))?;
        match format {
            Format::Plain => Ok(value),
            Format::Padded => unpad(value).ok_or(OpenError::Tampered),
        }
    }

    /// The data key of an envelope, from the key that wrapped it or from those that are kept.
    async fn data_key(
        &self,
        context: &SealContext<'_>,
        Envelope { format, key_id, wrapped, .. }: &Envelope<'_>,
    ) -> Result<Arc<DataKey>, OpenError> {
        let key = self.key(key_id)?;
        let associated_data = context.of_key(*format, wrapped.algorithm, key_id);
        let unwrap = key.unwrap(wrapped, &associated_data);
        if key.is_local() {
            return unwrap.await.map(Arc::new);
        }
        let data_key = self.data_keys.get(wrapped, &associated_data, unwrap).await;
        data_key.inspect_err(|error| {
            if let OpenError::Unavailable(error) = error {
                self.after(error);
            }
        })
    }

    /// Forgets every data key that a service has unwrapped for us, so that from now on it decides again about each.
    pub fn forget_data_keys(&self) {
        self.data_keys.forget_all();
    }

    /// A service that is down may be waited for. One that lets us in no longer was told so by somebody.
    fn after(&self, error: &KeyUnavailable) {
        tracing::error!(%error, "sealing is not possible with this key");
        if error.outage == Outage::Denied {
            self.forget_data_keys();
        }
    }

    fn key(&self, id: &str) -> Result<&KeyEncryptionKey, OpenError> {
        self.keys().find(|key| key.id() == id).ok_or_else(|| OpenError::UnknownKey(id.into()))
    }

    fn keys(&self) -> impl Iterator<Item = &KeyEncryptionKey> {
        std::iter::once(&self.first).chain(&self.rest).map(Arc::as_ref)
    }
}

/// A data key of its own for one value: all that could fail is done.
pub struct ReadyKey {
    key_id: String,
    wrapped: Wrapped,
    data_key: DataKey,
    nonce: [u8; NONCE],
    associated_data: Vec<u8>,
}

impl fmt::Debug for ReadyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadyKey({})", self.key_id)
    }
}

impl ReadyKey {
    /// Seals `plaintext` for the place that the key was prepared for.
    pub fn seal(self, plaintext: &[u8]) -> Sealed {
        let Self { key_id, wrapped, data_key, nonce, associated_data } = self;
        let ciphertext = encrypt(&data_key, &nonce, &pad(plaintext), &associated_data);
        let envelope = Envelope {
            format: Format::Padded,
            key_id: &key_id,
            wrapped,
            nonce: &nonce,
            ciphertext: &ciphertext,
        };
        Sealed(envelope.write())
    }
}
