//! A key-encryption key: what wraps data keys, here or elsewhere.
//!
//! A service of another kind joins as one more variant: it wraps and unwraps 32 bytes, with associated data, and says
//! whether it can. What is asked of it over the network is cached by `data_keys.rs`.

use zeroize::Zeroizing;

use super::{
    KeyUnavailable, OpenError,
    envelope::{COMMITMENT, KEY, SALT},
    local::LocalKey,
    transit::{Outage, Transit},
};
use crate::entropy::Entropy;

/// What one value is encrypted with.
pub(super) type DataKey = Zeroizing<[u8; KEY]>;

/// How a data key is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// AES-256-GCM, the wrapping key by HKDF-SHA-256 from a configured key.
    Local = 1,
    /// As Transit does it.
    Transit = 2,
}

/// A data key that only the key-encryption key can read.
#[derive(Debug, Clone)]
pub(super) struct Wrapped {
    pub(super) algorithm: Algorithm,
    pub(super) salt: [u8; SALT],
    pub(super) commitment: [u8; COMMITMENT],
    pub(super) data_key: Vec<u8>,
}

/// One configured key.
#[derive(Debug)]
pub(super) enum KeyEncryptionKey {
    /// Its bytes are in the configuration.
    Local(LocalKey),
    /// It never leaves the service that keeps it.
    Transit(Box<Transit>),
}

impl KeyEncryptionKey {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Local(key) => &key.id,
            Self::Transit(key) => &key.id,
        }
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Local(_) => Algorithm::Local,
            Self::Transit(_) => Algorithm::Transit,
        }
    }

    /// Whether its bytes are here, so that it neither waits nor fails to answer.
    pub(super) const fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// Wraps a data key for the place that `associated_data` stands for. With a local key this never waits.
    pub(super) async fn wrap(
        &self,
        entropy: &Entropy,
        data_key: &DataKey,
        associated_data: &[u8],
    ) -> Result<Wrapped, KeyUnavailable> {
        match self {
            Self::Local(key) => Ok(key.wrap(entropy, data_key, associated_data)),
            Self::Transit(key) => {
                let wrapped = Box::pin(key.wrap(entropy, data_key, associated_data)).await;
                wrapped.map_err(|outage| self.unavailable(outage))
            }
        }
    }

    /// Unwraps what [`KeyEncryptionKey::wrap`] wrapped. With a local key this never waits.
    pub(super) async fn unwrap(
        &self,
        wrapped: &Wrapped,
        associated_data: &[u8],
    ) -> Result<DataKey, OpenError> {
        if wrapped.algorithm != self.algorithm() {
            return Err(OpenError::WrongKey(self.id().into()));
        }
        match self {
            Self::Local(key) => key.unwrap(wrapped, associated_data),
            Self::Transit(key) => match Box::pin(key.unwrap(wrapped, associated_data)).await {
                Ok(data_key) => data_key.ok_or(OpenError::Tampered),
                Err(outage) => Err(self.unavailable(outage).into()),
            },
        }
    }

    fn unavailable(&self, outage: Outage) -> KeyUnavailable {
        KeyUnavailable { id: self.id().into(), outage }
    }
}
