//! Clients that are known by a metadata document (draft-ietf-oauth-client-id-metadata-document): the `client_id` is the
//! address of the document, and whoever controls that address is the client.
//!
//! Anybody can name any address, so the fetch goes through the guarded client, the document is small, and nothing that
//! went wrong is remembered. A valid document is cached as long as its server says, within bounds of ours.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use oauth2::{HttpResponse, http::header};
use serde::Deserialize;
use url::Url;

use crate::{
    clock::{Clock, Timestamp},
    config::{
        client::{ASSERTION_ALGS, ClientKeys, KeySource},
        registration::Documents,
    },
    ids::ClientId,
    jose::KeySet,
    net::{self, Guarded, NetError},
    oauth::{
        grant_type::{ClientAuthMethod, GrantType},
        redirect_uri::RedirectUri,
    },
    secret::TokenHash,
};

/// The size that the draft recommends as a limit (§6.6); real documents hold about one KB.
const MAX_DOCUMENT_BYTES: usize = 5 * 1024;
/// A document is kept at least this long, so that nobody has us fetch one at every request.
const MIN_FRESH: Duration = Duration::from_secs(5 * 60);
/// And at most this long, so that a client that changed its addresses is not locked out for longer.
const MAX_FRESH: Duration = Duration::from_secs(24 * 3600);
/// Documents in memory; a real installation sees some dozens.
const MAX_CACHED: u64 = 1_000;
/// Redirect URIs in one document; real ones list up to ten.
const MAX_REDIRECT_URIS: usize = 50;
/// The longest name; consent pages show no more.
const MAX_NAME_CHARS: usize = 100;

/// A client as its document describes it.
#[derive(Debug, Clone)]
pub struct DocumentClient {
    /// The name that the document gives.
    pub name: Option<String>,
    /// The host that answers for the client's identity.
    pub host: String,
    /// Whether the operator vouches for the host.
    pub assured: bool,
    /// Where answers may go.
    pub redirect_uris: Vec<RedirectUri>,
    /// What it may ask the token endpoint for.
    pub grant_types: Vec<GrantType>,
    /// The keys that it proves itself with; none for a public client.
    pub keys: Option<ClientKeys>,
    /// Where answers may go and what proves it, hashed: what somebody who allowed it something relied on (§8.2).
    pub fingerprint: TokenHash,
    /// Whether it has tokens bound to a key alone (RFC 9449 §5.2).
    pub dpop_bound: bool,
}

/// Why a document cannot be used. The texts end the sentence "Its description of itself could not be used: …".
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The `client_id` is no address that a document may have.
    #[error("its address is not one that a description may have")]
    Address,
    /// The operator does not admit documents of this host.
    #[error("descriptions from {0} are not accepted here")]
    Host(String),
    /// The document could not be had.
    #[error("its server {0}")]
    Fetch(#[from] NetError),
    /// The answer is not of a JSON type.
    #[error("its server answered with something that is not JSON")]
    ContentType,
    /// The answer is not a JSON object with the members that a document has.
    #[error("it is not a client metadata document")]
    Form(#[source] serde_json::Error),
    /// The document is about another client.
    #[error("it describes another application")]
    OtherClient,
    /// A redirect URI may not be used.
    #[error("it names an address to return to that may not be used: {0}")]
    RedirectUri(&'static str),
    /// There is no redirect URI, or there are too many.
    #[error("it must name between one and {MAX_REDIRECT_URIS} addresses to return to")]
    RedirectUriCount,
    /// The document holds a secret, or the client would prove itself by one: everybody can read it.
    #[error("it holds a secret, which a public description cannot")]
    Secret,
    /// The client would prove itself in a way that is not served.
    #[error("it proves itself in a way that is not supported here")]
    AuthMethod,
    /// The client would be answered with something else than a code, in the front channel.
    #[error("it wants to be answered in a way that is not supported here")]
    ResponseType,
    /// The client would prove itself by a signature, and its keys are missing, said twice, or of no use.
    #[error("it names no keys that it could prove itself with")]
    Keys,
}

impl DocumentError {
    /// Whether the same request may well succeed a little later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Fetch(error) if error.is_transient())
    }
}

/// The members of a document that we honour.
#[derive(Debug, Deserialize)]
struct Document {
    client_id: String,
    client_name: Option<String>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
    token_endpoint_auth_signing_alg: Option<String>,
    jwks: Option<serde_json::Value>,
    jwks_uri: Option<String>,
    client_secret: Option<serde_json::Value>,
    client_secret_expires_at: Option<serde_json::Value>,
    #[serde(default)]
    dpop_bound_access_tokens: bool,
}

/// Documents, fetched once for many requests.
pub struct DocumentCache {
    guarded: Guarded,
    policy: Documents,
    plain_loopback: bool,
    cache: Cache<ClientId, Arc<Cached>>,
}

struct Cached {
    client: Arc<DocumentClient>,
    fresh_until: Timestamp,
}

impl DocumentCache {
    /// An empty cache. `plain_loopback`: our own issuer is loopback, so documents on this machine may be fetched.
    pub fn new(guarded: Guarded, policy: Documents, plain_loopback: bool) -> Self {
        Self { guarded, policy, plain_loopback, cache: Cache::new(MAX_CACHED) }
    }

    /// The client whose document is at `id`, if the operator admits documents of that host.
    pub async fn get(&self, id: &ClientId, clock: &Clock) -> Result<Arc<DocumentClient>, Arc<DocumentError>> {
        match address(id, self.plain_loopback) {
            Some((_, host)) if !self.policy.admits(&host) => Err(Arc::new(DocumentError::Host(host))),
            _ => self.get_declared(id, clock).await,
        }
    }

    /// The client whose document is at `id`, which the operator named himself.
    pub async fn get_declared(
        &self,
        id: &ClientId,
        clock: &Clock,
    ) -> Result<Arc<DocumentClient>, Arc<DocumentError>> {
        if let Some(cached) = self.cache.get(id).await {
            if clock.now() < cached.fresh_until {
                return Ok(Arc::clone(&cached.client));
            }
            self.cache.invalidate(id).await;
        }
        let cached = self.cache.try_get_with(id.clone(), self.fetch(id, clock)).await?;
        Ok(Arc::clone(&cached.client))
    }

    /// What was last read of it, however old, without asking anybody.
    pub async fn last_read(&self, id: &ClientId) -> Option<Arc<DocumentClient>> {
        self.cache.get(id).await.map(|cached| Arc::clone(&cached.client))
    }

    async fn fetch(&self, id: &ClientId, clock: &Clock) -> Result<Arc<Cached>, DocumentError> {
        let (url, host) = address(id, self.plain_loopback).ok_or(DocumentError::Address)?;
        let answer = self.guarded.get(&url, MAX_DOCUMENT_BYTES).await?;
        if !is_json(&answer) {
            return Err(DocumentError::ContentType);
        }
        let document = serde_json::from_slice(answer.body()).map_err(DocumentError::Form)?;
        let assured = self.policy.names(&host);
        let client = Arc::new(client_of(document, id, host, assured)?);
        Ok(Arc::new(Cached {
            client,
            fresh_until: clock.now().plus(net::lifetime(answer.headers(), MIN_FRESH..=MAX_FRESH)),
        }))
    }
}

/// The address in a `client_id` and its host, if a document may be there: written canonically (so that dot segments,
/// also encoded ones, default ports and other spellings of one address are out), without user name and fragment.
fn address(id: &ClientId, plain_loopback: bool) -> Option<(Url, String)> {
    let url = Url::parse(id.as_str()).ok()?;
    let scheme = url.scheme() == "https" || (plain_loopback && url.scheme() == "http");
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let host = url.host_str()?.to_owned();
    (scheme && plain && url.as_str() == id.as_str()).then_some((url, host))
}

fn is_json(answer: &HttpResponse) -> bool {
    let content_type = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence =
        content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/").unwrap_or_default();
    subtype == "json" || subtype.ends_with("+json")
}

fn client_of(
    document: Document,
    id: &ClientId,
    host: String,
    assured: bool,
) -> Result<DocumentClient, DocumentError> {
    if document.client_id != id.as_str() {
        return Err(DocumentError::OtherClient);
    }
    if document.client_secret.is_some() || document.client_secret_expires_at.is_some() {
        return Err(DocumentError::Secret);
    }
    let keys = match document.token_endpoint_auth_method.as_deref().map(ClientAuthMethod::parse) {
        None | Some(Some(ClientAuthMethod::None)) => None,
        Some(Some(ClientAuthMethod::PrivateKeyJwt)) => Some(keys_of(&document)?),
        Some(Some(ClientAuthMethod::ClientSecretBasic | ClientAuthMethod::ClientSecretPost)) => {
            return Err(DocumentError::Secret);
        }
        Some(None) => return Err(DocumentError::AuthMethod),
    };
    let asked = document.grant_types.as_deref();
    let asks = |grant: GrantType| {
        asked.map_or(grant == GrantType::AuthorizationCode, |names| {
            names.iter().any(|name| name == grant.as_str())
        })
    };
    // RFC 7591 §2.1: what it may ask at the two endpoints belongs together.
    let answered =
        document.response_types.as_ref().is_none_or(|types| types.iter().any(|name| name == "code"));
    if asks(GrantType::AuthorizationCode) && !answered {
        return Err(DocumentError::ResponseType);
    }
    if !(1..=MAX_REDIRECT_URIS).contains(&document.redirect_uris.len()) {
        return Err(DocumentError::RedirectUriCount);
    }
    let grant_types = GrantType::BY_DOCUMENT.into_iter().filter(|grant| asks(*grant)).collect();
    let fingerprint = fingerprint(&document);
    let redirect_uris =
        document.redirect_uris.into_iter().map(RedirectUri::try_from).collect::<Result<_, _>>();
    Ok(DocumentClient {
        name: document
            .client_name
            .map(|name| name.trim().chars().take(MAX_NAME_CHARS).collect::<String>())
            .filter(|name| !name.is_empty()),
        host,
        assured,
        redirect_uris: redirect_uris.map_err(DocumentError::RedirectUri)?,
        keys,
        fingerprint,
        dpop_bound: document.dpop_bound_access_tokens,
        grant_types,
    })
}

/// The same for documents that differ in what is shown, or in the order of their lists.
fn fingerprint(document: &Document) -> TokenHash {
    let mut addresses = document.redirect_uris.clone();
    addresses.sort_unstable();
    addresses.dedup();
    let keys = document.jwks.as_ref().and_then(|jwks| jwks.get("keys")?.as_array());
    let mut keys: Vec<_> = keys.into_iter().flatten().map(ToString::to_string).collect();
    keys.sort_unstable();
    let proof = (&document.token_endpoint_auth_method, &document.token_endpoint_auth_signing_alg);
    TokenHash::of(&serde_json::json!([addresses, proof, keys, document.jwks_uri]).to_string())
}

/// The keys of a client that signs (RFC 7591 §2): in the document or at an address that it names, never both.
fn keys_of(document: &Document) -> Result<ClientKeys, DocumentError> {
    let source = match (&document.jwks, &document.jwks_uri) {
        (Some(keys), None) => {
            let keys = serde_json::to_vec(keys).map_err(DocumentError::Form)?;
            let keys =
                KeySet::parse(&keys).ok().filter(|keys| !keys.is_empty()).ok_or(DocumentError::Keys)?;
            KeySource::Inline(Arc::new(keys))
        }
        (None, Some(address)) => KeySource::Published(Url::parse(address).map_err(|_| DocumentError::Keys)?),
        (Some(_), Some(_)) | (None, None) => return Err(DocumentError::Keys),
    };
    let algorithms = match &document.token_endpoint_auth_signing_alg {
        None => ClientKeys::any_algorithm(),
        Some(named) => {
            let known = ASSERTION_ALGS.into_iter().find(|(name, _)| name == named);
            vec![known.ok_or(DocumentError::AuthMethod)?.1]
        }
    };
    Ok(ClientKeys { source, algorithms })
}

#[cfg(test)]
mod tests;
