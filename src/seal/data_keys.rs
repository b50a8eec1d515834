//! Data keys that a service has unwrapped for us, kept for a few minutes: so that each use of a value does not ask it
//! again, and so that values in use go on opening while it is away. Never longer: that it can be told to stop
//! unwrapping is what such a service is for.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use sha2::{Digest as _, Sha256};

use super::{
    OpenError,
    key::{DataKey, Wrapped},
};
use crate::clock::{Clock, Timestamp};

/// How long one is kept.
const KEPT_FOR: Duration = Duration::from_secs(5 * 60);

/// How many are kept: more than are in use at once, and two megabytes at most.
const MAX_KEPT: u64 = 10_000;

/// By the hash of the wrapped key and the place that it is for.
type Name = [u8; 32];

/// The kept data keys. Clones share them; each is wiped when it goes.
#[derive(Clone)]
pub(super) struct DataKeys {
    kept: Cache<Name, Kept>,
    clock: Clock,
}

#[derive(Clone)]
struct Kept {
    data_key: Arc<DataKey>,
    until: Timestamp,
}

impl DataKeys {
    pub(super) fn new(clock: &Clock) -> Self {
        let kept = Cache::builder().max_capacity(MAX_KEPT).time_to_live(KEPT_FOR).build();
        Self { kept, clock: clock.clone() }
    }

    /// The kept key, or else what `unwrap` gives; those who ask for the same key at once wait for one answer.
    pub(super) async fn get(
        &self,
        wrapped: &Wrapped,
        associated_data: &[u8],
        unwrap: impl Future<Output = Result<DataKey, OpenError>>,
    ) -> Result<Arc<DataKey>, OpenError> {
        let name = name(wrapped, associated_data);
        let now = self.clock.now();
        if self.kept.get(&name).await.is_some_and(|kept| kept.until <= now) {
            self.kept.invalidate(&name).await;
        }
        let fetch = async { unwrap.await.map(|data_key| self.lasting(data_key)) };
        let kept = self.kept.try_get_with(name, fetch).await;
        kept.map(|kept| kept.data_key).map_err(|error| OpenError::clone(&error))
    }

    /// Keeps one that was just wrapped, since what it seals is mostly used at once.
    pub(super) async fn keep(&self, wrapped: &Wrapped, associated_data: &[u8], data_key: &DataKey) {
        self.kept.insert(name(wrapped, associated_data), self.lasting(data_key.clone())).await;
    }

    pub(super) fn forget_all(&self) {
        self.kept.invalidate_all();
    }

    fn lasting(&self, data_key: DataKey) -> Kept {
        Kept { data_key: Arc::new(data_key), until: self.clock.now().plus(KEPT_FOR) }
    }
}

fn name(wrapped: &Wrapped, associated_data: &[u8]) -> Name {
    let hash = Sha256::new().chain_update(wrapped.salt).chain_update(wrapped.commitment);
    let hash = hash.chain_update((wrapped.data_key.len() as u64).to_be_bytes());
    hash.chain_update(&wrapped.data_key).chain_update(associated_data).finalize().into()
}
