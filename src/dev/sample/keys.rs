//! The issuer's public keys, found through its metadata (RFC 8414) and kept for a while.

use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::{
    clock::{Clock, Timestamp},
    net::{NetError, Upstream},
    oauth::issuer::Issuer,
};

/// After this, keys are fetched anew, so that one the issuer withdrew stops being trusted.
const MAX_AGE: Duration = Duration::from_secs(600);
/// An unknown key id fetches at most this often: key ids come from strangers.
const COOLDOWN: Duration = Duration::from_secs(30);
/// The largest metadata document or key set that is read.
const MAX_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Keys {
    issuer: Issuer,
    http: Upstream,
    clock: Clock,
    fetched: Mutex<Option<Fetched>>,
}

#[derive(Debug)]
struct Fetched {
    at: Timestamp,
    keys: JwkSet,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: Url,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("the issuer's metadata or keys could not be fetched")]
    Net(#[from] NetError),
    #[error("the issuer's address is no URL")]
    Address(#[from] url::ParseError),
    #[error("the metadata names another issuer: {0:?}")]
    OtherIssuer(String),
}

impl Keys {
    pub(super) fn new(issuer: Issuer, clock: Clock) -> Result<Self, reqwest::Error> {
        let http = Upstream::new(&issuer)?;
        Ok(Self { issuer, http, clock, fetched: Mutex::new(None) })
    }

    /// The key of that id. Callers that come while keys are being fetched wait for the same fetch.
    ///
    /// # Errors
    /// When nothing was ever fetched and nothing can be; keys once known are used until they can be renewed.
    pub(super) async fn find(&self, kid: &str) -> Result<Option<Jwk>, KeysError> {
        let mut fetched = self.fetched.lock().await;
        let now = self.clock.now();
        let known = fetched.as_ref().and_then(|fetched| fetched.keys.find(kid)).cloned();
        let age = fetched.as_ref().map(|fetched| now.since(fetched.at));
        let due = age.is_none_or(|age| age >= if known.is_some() { MAX_AGE } else { COOLDOWN });
        if !due {
            return Ok(known);
        }
        match self.fetch().await {
            Ok(keys) => {
                let found = keys.find(kid).cloned();
                *fetched = Some(Fetched { at: now, keys });
                Ok(found)
            }
            Err(error) => {
                tracing::warn!(issuer = %self.issuer, error = &error as &dyn std::error::Error, "no fresh keys");
                if known.is_some() { Ok(known) } else { Err(error) }
            }
        }
    }

    async fn fetch(&self) -> Result<JwkSet, KeysError> {
        let (origin, path) = (self.issuer.origin(), self.issuer.path());
        let address = Url::parse(&format!("{origin}/.well-known/oauth-authorization-server{path}"))?;
        let metadata: Metadata = self.http.get_json(&address, MAX_BYTES).await?;
        if metadata.issuer != self.issuer.as_str() {
            return Err(KeysError::OtherIssuer(metadata.issuer));
        }
        Ok(self.http.get_json(&metadata.jwks_uri, MAX_BYTES).await?)
    }
}
