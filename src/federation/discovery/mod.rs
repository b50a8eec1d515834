//! A provider's discovery document: read, judged, and kept for a while.
//!
//! The document is asked for at first use and never at start, so a provider that is down keeps nobody else out. One
//! request at a time is under way for a provider; while it fails, the last good document serves on for a day and the
//! provider is asked at most every ten seconds.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use openidconnect::{
    AdditionalProviderMetadata, AuthUrl, JsonWebKeySetUrl, ProviderMetadata, TokenUrl, UserInfoUrl,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
        CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::Url;

use crate::{
    clock::{Clock, Timestamp},
    config::provider::{IssuerRule, Provider},
    net::{NetError, Upstream},
};

/// Real documents take 1 to 10 KB.
pub(super) const MAX_DOCUMENT_BYTES: usize = 128 * 1024;
/// Endpoints move rarely; an operator who moves them waits this long at most.
const FRESH_FOR: Duration = Duration::from_secs(60 * 60);
/// How long an outage of the document alone goes unnoticed by the people who sign in.
const USABLE_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a failure is believed, so that a provider in trouble is not asked by everybody who waits for it.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The document as openidconnect reads it, with the one field that it does not know.
type Document = ProviderMetadata<
    Additional,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Additional {
    /// RFC 9207 §3.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    /// RFC 8414 §2.
    code_challenge_methods_supported: Option<Vec<String>>,
}

impl AdditionalProviderMetadata for Additional {}

/// What we use of a discovery document, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What the document calls its issuer; with a template, not one that any token names.
    pub issuer: String,
    /// Where people are sent.
    pub authorization_endpoint: Url,
    /// Where codes become tokens.
    pub token_endpoint: Url,
    /// Where further claims are, if anywhere.
    pub userinfo_endpoint: Option<Url>,
    /// Where its keys are.
    pub jwks_uri: Url,
    /// Whether every authorization response carries `iss` (RFC 9207 §3).
    pub announces_iss: bool,
    /// Whether it says that it knows PKCE S256; `None` when it says nothing, as Entra does.
    pub s256: Option<bool>,
    /// What its ID tokens may be signed with, as it says.
    pub id_token_algs: Vec<String>,
    /// How clients may prove themselves at its token endpoint, as it says.
    pub auth_methods: Vec<String>,
}

/// Why a provider's discovery document cannot be used. The text continues a sentence that begins with the
/// provider's name.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DiscoveryError {
    /// The provider was added to the configuration after the start.
    #[error("is not known yet")]
    Unknown,
    /// No answer, or one that is no document.
    #[error(transparent)]
    Fetch(Arc<NetError>),
    /// The document is JSON but not of the form of OpenID Connect Discovery §3.
    #[error("answered with a discovery document that is not one: {0}")]
    Form(String),
    /// The document speaks for another issuer (OpenID Connect Discovery §4.3).
    #[error(
        "calls itself {found:?} in its discovery document and not {expected:?}, as configured; the two must be equal to the last character"
    )]
    Issuer {
        /// What the document says.
        found: String,
        /// What is configured.
        expected: String,
    },
    /// The document lacks what signing in needs.
    #[error("has no {0} in its discovery document")]
    Missing(&'static str),
    /// An endpoint is not one that may be asked.
    #[error("says that its {name} is {url}, an address that may not be used")]
    Endpoint {
        /// The document's name for it.
        name: &'static str,
        /// What it says.
        url: String,
    },
}

/// What is kept of one document: of a provider's [`Metadata`], or whatever else is read from one.
#[derive(Debug)]
pub(super) struct Discovery<M = Metadata> {
    held: RwLock<Held<M>>,
    flight: Mutex<()>,
}

#[derive(Debug)]
struct Held<M> {
    good: Option<(Arc<M>, Timestamp)>,
    bad: Option<(DiscoveryError, Timestamp)>,
}

impl<M> Clone for Held<M> {
    fn clone(&self) -> Self {
        Self { good: self.good.clone(), bad: self.bad.clone() }
    }
}

impl<M> Held<M> {
    fn good(&self, now: Timestamp, age: Duration) -> Option<Arc<M>> {
        self.good.as_ref().filter(|(_, at)| now.since(*at) < age).map(|(metadata, _)| metadata.clone())
    }

    fn recent_failure(&self, now: Timestamp) -> Option<&DiscoveryError> {
        self.bad.as_ref().filter(|(_, at)| now.since(*at) < RETRY_AFTER).map(|(error, _)| error)
    }

    /// What can be answered without asking the provider.
    fn answer(&self, now: Timestamp) -> Option<Result<Arc<M>, DiscoveryError>> {
        if let Some(fresh) = self.good(now, FRESH_FOR) {
            return Some(Ok(fresh));
        }
        let failure = self.recent_failure(now)?;
        Some(self.good(now, USABLE_FOR).ok_or_else(|| failure.clone()))
    }
}

impl<M> Discovery<M> {
    /// Nothing known yet.
    pub(super) fn new() -> Self {
        Self { held: RwLock::new(Held { good: None, bad: None }), flight: Mutex::default() }
    }

    fn held(&self) -> Held<M> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The document, from memory or by `fetch`; `name` is what the log calls it.
    pub(super) async fn get(
        &self,
        name: &str,
        clock: &Clock,
        fetch: impl Future<Output = Result<M, DiscoveryError>>,
    ) -> Result<Arc<M>, DiscoveryError> {
        if let Some(answer) = self.held().answer(clock.now()) {
            return answer;
        }
        let _turn = match self.flight.try_lock() {
            Ok(turn) => turn,
            // Somebody is asking already: whoever can do with the last document does not wait.
            Err(_) => match self.held().good(clock.now(), USABLE_FOR) {
                Some(usable) => return Ok(usable),
                None => self.flight.lock().await,
            },
        };
        if let Some(answer) = self.held().answer(clock.now()) {
            return answer;
        }
        let fetched = fetch.await;
        let now = clock.now();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *held = Held { good: Some((metadata.clone(), now)), bad: None };
                Ok(metadata)
            }
            Err(error) => {
                tracing::warn!(provider = name, %error, "discovery failed");
                held.bad = Some((error.clone(), now));
                held.good(now, USABLE_FOR).ok_or(error)
            }
        }
    }
}

/// Asks the provider for its document and judges it.
pub(super) async fn fetch(provider: &Provider, upstream: &Upstream) -> Result<Metadata, DiscoveryError> {
    let response = upstream
        .get(&provider.discovery_url, MAX_DOCUMENT_BYTES)
        .await
        .map_err(|error| DiscoveryError::Fetch(Arc::new(error)))?;
    judge(response.body(), &provider.issuer, upstream)
}

fn judge(body: &[u8], rule: &IssuerRule, upstream: &Upstream) -> Result<Metadata, DiscoveryError> {
    let document: Document = serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            DiscoveryError::Form(error.to_string())
        } else {
            DiscoveryError::Fetch(Arc::new(NetError::NotJson(error)))
        }
    })?;
    if let IssuerRule::Exact(expected) = rule
        && document.issuer().as_str() != expected
    {
        return Err(DiscoveryError::Issuer {
            found: document.issuer().to_string(),
            expected: expected.clone(),
        });
    }
    let usable = |name, url: &Url| match upstream.may_ask(url) {
        Ok(()) => Ok(url.clone()),
        Err(_) => Err(DiscoveryError::Endpoint { name, url: url.to_string() }),
    };
    let token_endpoint = document.token_endpoint().ok_or(DiscoveryError::Missing("token_endpoint"))?;
    let userinfo = document.userinfo_endpoint().map(UserInfoUrl::url);
    let additional = document.additional_metadata();
    Ok(Metadata {
        issuer: document.issuer().to_string(),
        authorization_endpoint: usable(
            "authorization_endpoint",
            AuthUrl::url(document.authorization_endpoint()),
        )?,
        token_endpoint: usable("token_endpoint", TokenUrl::url(token_endpoint))?,
        userinfo_endpoint: userinfo.map(|url| usable("userinfo_endpoint", url)).transpose()?,
        jwks_uri: usable("jwks_uri", JsonWebKeySetUrl::url(document.jwks_uri()))?,
        announces_iss: additional.authorization_response_iss_parameter_supported,
        s256: additional
            .code_challenge_methods_supported
            .as_ref()
            .map(|methods| methods.iter().any(|method| method == "S256")),
        id_token_algs: words(document.id_token_signing_alg_values_supported()),
        auth_methods: words(document.token_endpoint_auth_methods_supported().map_or(&[], Vec::as_slice)),
    })
}

/// openidconnect's enums as the words that the document had.
fn words<T: Serialize>(values: &[T]) -> Vec<String> {
    let word = |value| serde_json::to_value(value).ok()?.as_str().map(str::to_owned);
    values.iter().filter_map(word).collect()
}

#[cfg(test)]
mod tests;
