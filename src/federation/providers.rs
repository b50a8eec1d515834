//! What we know of each provider at run time: its discovery document and its keys, both kept for a while.

use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use url::Url;

use super::{
    discovery::{self, Discovery, DiscoveryError, Metadata},
    issuer_keys,
};
use crate::{
    clock::Clock,
    config::{
        Config,
        provider::{IssuerKeys, Provider, TrustedIssuer},
    },
    ids::ProviderId,
    jose::Jwks,
    net::Upstream,
};

/// The providers as they were last seen. Nothing is asked before it is needed.
#[derive(Debug)]
pub struct Federation {
    providers: IndexMap<ProviderId, Seen<Metadata>>,
    issuers: IndexMap<TrustedIssuer, Seen<Url>>,
}

#[derive(Debug)]
struct Seen<M> {
    discovery: Discovery<M>,
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

impl<M> Seen<M> {
    fn nothing() -> Self {
        Self { discovery: Discovery::default(), jwks: Mutex::default() }
    }

    /// The keys at this address; those that are kept, while it is the same.
    fn keys(&self, url: &Url, upstream: &Upstream, clock: &Clock) -> Arc<Jwks> {
        let mut jwks = self.jwks.lock().unwrap_or_else(PoisonError::into_inner);
        match jwks.as_ref().filter(|jwks| jwks.url() == url) {
            Some(known) => known.clone(),
            None => jwks.insert(Arc::new(Jwks::new(upstream.clone(), url.clone(), clock.clone()))).clone(),
        }
    }
}

impl Federation {
    /// Nothing seen yet of the providers of `config`.
    pub fn new(config: &Config) -> Self {
        let issuers = config.providers.values().flat_map(Provider::trusted_issuers);
        Self {
            providers: config.providers.keys().map(|id| (id.clone(), Seen::nothing())).collect(),
            issuers: issuers.map(|issuer| (issuer.clone(), Seen::nothing())).collect(),
        }
    }

    /// The provider's document and keys; asks it only where what is kept is too old.
    pub async fn reach(
        &self,
        provider: &Provider,
        upstream: &Upstream,
        clock: &Clock,
    ) -> Result<Reached, DiscoveryError> {
        let seen = self.providers.get(&provider.id).ok_or(DiscoveryError::Unknown)?;
        let fetch = discovery::fetch(provider, upstream);
        let metadata = seen.discovery.get(provider.id.as_str(), clock, fetch).await?;
        let jwks = seen.keys(&metadata.jwks_uri, upstream, clock);
        Ok(Reached { metadata, jwks })
    }

    /// The keys of an issuer whose assertions the provider's section accepts.
    pub async fn keys_of(
        &self,
        (provider, issuer): (&Provider, &TrustedIssuer),
        upstream: &Upstream,
        clock: &Clock,
    ) -> Result<Arc<Jwks>, DiscoveryError> {
        let seen = || self.issuers.get(issuer).ok_or(DiscoveryError::Unknown);
        match &issuer.keys {
            IssuerKeys::OfSignIn => self.reach(provider, upstream, clock).await.map(|reached| reached.jwks),
            IssuerKeys::At(url) => Ok(seen()?.keys(url, upstream, clock)),
            IssuerKeys::Announced => {
                let seen = seen()?;
                let fetch = issuer_keys::fetch(&issuer.issuer, upstream);
                let url = seen.discovery.get(&issuer.issuer, clock, fetch).await?;
                Ok(seen.keys(&url, upstream, clock))
            }
        }
    }
}
