//! What we know of each provider at run time: its discovery document and its keys, both kept for a while.

use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;

use super::discovery::{Discovery, DiscoveryError, Metadata};
use crate::{
    clock::Clock,
    config::{Config, provider::Provider},
    ids::ProviderId,
    jose::Jwks,
    net::Upstream,
};

/// The providers as they were last seen. Nothing is asked before it is needed.
#[derive(Debug)]
pub struct Federation {
    providers: IndexMap<ProviderId, Seen>,
}

#[derive(Debug)]
struct Seen {
    discovery: Discovery,
    jwks: Mutex<Option<Arc<Jwks>>>,
}

/// A provider that can be talked to.
#[derive(Debug, Clone)]
pub struct Reached {
    /// Its discovery document.
    pub metadata: Arc<Metadata>,
    /// Its keys.
    pub jwks: Arc<Jwks>,
}

impl Federation {
    /// Nothing seen yet of the providers of `config`.
    pub fn new(config: &Config) -> Self {
        let seen = || Seen { discovery: Discovery::new(), jwks: Mutex::default() };
        Self { providers: config.providers.keys().map(|id| (id.clone(), seen())).collect() }
    }

    /// The provider's document and keys; asks it only where what is kept is too old.
    pub async fn reach(
        &self,
        provider: &Provider,
        upstream: &Upstream,
        clock: &Clock,
    ) -> Result<Reached, DiscoveryError> {
        let seen = self.providers.get(&provider.id).ok_or(DiscoveryError::Unknown)?;
        let metadata = seen.discovery.get(provider, upstream, clock).await?;
        let mut jwks = seen.jwks.lock().unwrap_or_else(PoisonError::into_inner);
        let jwks = match jwks.as_ref().filter(|jwks| *jwks.url() == metadata.jwks_uri) {
            Some(known) => known.clone(),
            None => jwks
                .insert(Arc::new(Jwks::new(upstream.clone(), metadata.jwks_uri.clone(), clock.clone())))
                .clone(),
        };
        Ok(Reached { metadata, jwks })
    }
}
