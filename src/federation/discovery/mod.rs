//! A provider's discovery document: read, judged, and kept for a while.

use std::sync::Arc;

use openidconnect::{
    AdditionalProviderMetadata, AuthUrl, JsonWebKeySetUrl, ProviderMetadata, TokenUrl, UserInfoUrl,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
        CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    config::provider::{IssuerRule, Provider},
    net::{Kept, NetError, Upstream},
};

/// Real documents take 1 to 10 KB.
pub(super) const MAX_DOCUMENT_BYTES: usize = 128 * 1024;
/// The document as openidconnect reads it, with the fields that it does not know.
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
    /// RP-Initiated Logout §2.1. Nobody's sign-in fails for it, so it may be anything.
    #[serde(default)]
    end_session_endpoint: serde_json::Value,
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
    /// Where people are sent to sign out (RP-Initiated Logout §2.1), if anywhere.
    pub end_session_endpoint: Option<Url>,
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
pub(super) type Discovery<M = Metadata> = Kept<M, DiscoveryError>;

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
    let end_session = additional.end_session_endpoint.as_str().and_then(|url| Url::parse(url).ok());
    Ok(Metadata {
        issuer: document.issuer().to_string(),
        authorization_endpoint: usable(
            "authorization_endpoint",
            AuthUrl::url(document.authorization_endpoint()),
        )?,
        token_endpoint: usable("token_endpoint", TokenUrl::url(token_endpoint))?,
        userinfo_endpoint: userinfo.map(|url| usable("userinfo_endpoint", url)).transpose()?,
        end_session_endpoint: end_session.filter(|url| upstream.may_ask(url).is_ok()),
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
