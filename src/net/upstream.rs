//! The client for addresses that the operator configured, and for those that such an upstream's metadata names.

use std::pin::Pin;

use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use serde::de::DeserializeOwned;
use url::Url;

use super::{
    NetError, bounded, exchange,
    guarded::{PublicOnly, judge},
    json_request, only_ok,
};
use crate::oauth::issuer::{Issuer, is_loopback};

/// The most that a token, userinfo or revocation endpoint may answer; a user with hundreds of groups fits.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Talks to configured upstreams. Private addresses are the operator's own business; loopback ones, and plain `http`,
/// are used only while our own issuer is loopback. `HTTPS_PROXY` and `NO_PROXY` of the environment are honoured, but
/// never for loopback addresses.
#[derive(Debug, Clone)]
pub struct Upstream {
    client: reqwest::Client,
    loopback: Option<reqwest::Client>,
    public_only: bool,
}

impl Upstream {
    /// A client for the server that calls itself `issuer`. Fails when the machine has no root certificates.
    pub fn new(issuer: &Issuer) -> Result<Self, reqwest::Error> {
        let loopback = issuer.is_loopback().then(|| bounded().no_proxy().build()).transpose()?;
        Ok(Self { client: bounded().build()?, loopback, public_only: false })
    }

    /// A client for the same kind of requests to addresses that the operator did not choose: those that somebody else's
    /// server names. It goes where [`Guarded`](super::Guarded) goes, and honours no proxy.
    pub fn to_strangers(issuer: &Issuer) -> Result<Self, reqwest::Error> {
        let loopback = issuer.is_loopback();
        let client = bounded().no_proxy().dns_resolver(PublicOnly { loopback }).build()?;
        Ok(Self { loopback: loopback.then(|| client.clone()), client, public_only: true })
    }

    /// A client for a service that keeps keys for us, whose certificate is of one of `authorities` (none given: of
    /// those that the machine trusts). It may be on this machine, where such services have their agents.
    pub fn to_keys(authorities: &[reqwest::Certificate]) -> Result<Self, reqwest::Error> {
        let client = || match authorities {
            [] => bounded(),
            authorities => bounded().tls_certs_only(authorities.iter().cloned()),
        };
        let loopback = Some(client().no_proxy().build()?);
        Ok(Self { client: client().build()?, loopback, public_only: false })
    }

    /// GETs a document; only the status 200 counts.
    pub async fn get(&self, url: &Url, max_bytes: usize) -> Result<HttpResponse, NetError> {
        exchange(self.client_for(url)?, json_request(url), max_bytes).await.and_then(only_ok)
    }

    /// GETs a JSON document, whatever media type it claims: some providers serve their keys as text.
    pub async fn get_json<T: DeserializeOwned>(&self, url: &Url, max_bytes: usize) -> Result<T, NetError> {
        let response = self.get(url, max_bytes).await?;
        serde_json::from_slice(response.body()).map_err(NetError::NotJson)
    }

    /// Sends any request and gives back any answer but a redirect, up to 256 KB.
    pub async fn execute(&self, request: HttpRequest) -> Result<HttpResponse, NetError> {
        let request = reqwest::Request::try_from(request)
            .map_err(|_| NetError::Address("it is not a URL that can be requested"))?;
        exchange(self.client_for(request.url())?, request, MAX_ANSWER_BYTES).await
    }

    /// Whether an address that an upstream's metadata names may be asked, without asking it.
    pub fn may_ask(&self, url: &Url) -> Result<(), NetError> {
        self.client_for(url).map(|_| ())
    }

    fn client_for(&self, url: &Url) -> Result<&reqwest::Client, NetError> {
        if self.public_only {
            judge(url, self.loopback.is_some())?;
            return Ok(&self.client);
        }
        match (url.scheme(), is_loopback(url)) {
            ("https", false) => Ok(&self.client),
            ("https" | "http", true) => self.loopback.as_ref().ok_or(NetError::Address(
                "it is on this machine, which is only for development on a loopback issuer",
            )),
            _ => Err(NetError::Address("it must begin with https://")),
        }
    }
}

/// For the flows of the `oauth2` and `openidconnect` crates.
impl<'c> AsyncHttpClient<'c> for Upstream {
    type Error = NetError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, NetError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.execute(request))
    }
}
