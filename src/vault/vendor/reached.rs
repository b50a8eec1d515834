//! The vendor behind a connection as it can be spoken to: its endpoints, from the preset or from its own document.

use std::sync::{Arc, PoisonError};

use serde::Deserialize;
use url::Url;

use super::{Vendors, failure::VendorError};
use crate::{
    config::{
        connection::{App, Connection, Urls, behaviour::Behaviour},
        provider::UpstreamClientAuth,
    },
    net::Upstream,
};

/// Real documents take 1 to 10 KB.
const MAX_DOCUMENT_BYTES: usize = 128 * 1024;

/// A vendor that can be spoken to.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) issuer: Option<String>,
    /// Whether every authorization response carries `iss` (RFC 9207 §3).
    pub(super) announces_iss: bool,
    pub(super) urls: Urls<Url>,
    pub(super) client_id: String,
    pub(super) client_auth: UpstreamClientAuth,
    pub(super) behaviour: Arc<Behaviour>,
}

/// What we use of a vendor's own document (OpenID Connect Discovery §3, RFC 8414 §2).
#[derive(Debug, Deserialize)]
pub(super) struct Document {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    revocation_endpoint: Option<Url>,
    userinfo_endpoint: Option<Url>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Vendors {
    pub(super) async fn reach(&self, connection: &Connection) -> Result<Reached, VendorError> {
        let app = &connection.app;
        let mut reached = Reached {
            issuer: app.issuer.clone(),
            announces_iss: false,
            urls: app.urls.clone(),
            client_id: app.client_id.clone(),
            client_auth: app.client_auth.clone(),
            behaviour: app.behaviour.clone(),
        };
        if let Some(url) = &app.discovery {
            let kept = {
                let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
                documents.entry(connection.name.clone()).or_default().clone()
            };
            let fetch = fetch(app, url, &self.upstream);
            let document = kept.get(connection.name.as_str(), &self.clock, fetch).await?;
            let urls = &mut reached.urls;
            urls.authorize.get_or_insert_with(|| document.authorization_endpoint.clone());
            urls.token.get_or_insert_with(|| document.token_endpoint.clone());
            urls.revoke = urls.revoke.take().or_else(|| document.revocation_endpoint.clone());
            urls.identity = urls.identity.take().or_else(|| document.userinfo_endpoint.clone());
            reached.announces_iss = document.authorization_response_iss_parameter_supported;
        }
        Ok(reached)
    }

    /// Whether an authorization response is this vendor's, by its `iss` (RFC 9207 §2.4).
    pub async fn answered_by(&self, connection: &Connection, iss: Option<&str>) -> Result<(), VendorError> {
        let reached = self.reach(connection).await?;
        match (&reached.issuer, iss) {
            (Some(expected), Some(found)) if expected != found => {
                Err(VendorError::malformed("has not sent this answer: iss names somebody else"))
            }
            (Some(_), None) if reached.announces_iss => {
                Err(VendorError::malformed("has not sent this answer: it lacks iss, which was announced"))
            }
            _ => Ok(()),
        }
    }
}

/// Asks the vendor for its document. It must call itself what is configured, and name no address that we would not
/// ask (OpenID Connect Discovery §4.3, RFC 8414 §3.3).
async fn fetch(app: &App, url: &Url, upstream: &Upstream) -> Result<Document, VendorError> {
    let document: Document = upstream.get_json(url, MAX_DOCUMENT_BYTES).await?;
    if app.issuer.as_ref() != Some(&document.issuer) {
        return Err(VendorError::malformed("calls itself something else in its metadata than is configured"));
    }
    let named = [Some(&document.authorization_endpoint), Some(&document.token_endpoint)]
        .into_iter()
        .chain([document.revocation_endpoint.as_ref(), document.userinfo_endpoint.as_ref()])
        .flatten();
    for endpoint in named {
        if upstream.may_ask(endpoint).is_err() {
            return Err(VendorError::malformed("names an address in its metadata that may not be used"));
        }
    }
    Ok(document)
}

impl Reached {
    /// The endpoint of a key, which this vendor may not have.
    pub(super) fn url(&self, key: &'static str) -> Result<&Url, VendorError> {
        self.urls.get(key).ok_or_else(|| VendorError::malformed(format!("has no {key}")))
    }
}
