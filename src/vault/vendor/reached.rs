//! The vendor behind a connection as it can be spoken to: its endpoints, from the preset or from its own document.

use std::sync::{Arc, PoisonError};

use serde::Deserialize;
use url::{Origin, Url};

use super::{Vendors, failure::VendorError, lines::Line, resource};
use crate::config::{
    connection::{App, Connection, Discovery, Urls, behaviour::Behaviour},
    provider::UpstreamClientAuth,
};

/// Real documents take 1 to 10 KB.
pub(super) const MAX_DOCUMENT_BYTES: usize = 128 * 1024;

/// A vendor that can be spoken to.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) issuer: Option<String>,
    /// Whether every authorization response carries `iss` (RFC 9207 §3).
    pub(super) announces_iss: bool,
    pub(super) urls: Urls<Url>,
    /// The hosts that the operator answers for; `None`: all of these.
    pub(super) known: Option<Vec<Origin>>,
    /// What tokens are for, where that is said (RFC 8707).
    pub(super) resource: Option<String>,
    pub(super) client_id: String,
    /// Whether it made that up when we asked it to register us.
    pub(super) is_registered: bool,
    pub(super) client_auth: UpstreamClientAuth,
    pub(super) behaviour: Arc<Behaviour>,
}

/// What we use of a vendor's own document (OpenID Connect Discovery §3, RFC 8414 §2).
#[derive(Debug, Deserialize)]
pub(super) struct Document {
    pub(super) issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    revocation_endpoint: Option<Url>,
    userinfo_endpoint: Option<Url>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    pub(super) code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    pub(super) client_id_metadata_document_supported: bool,
    pub(super) registration_endpoint: Option<Url>,
    /// The resource that led to it.
    #[serde(skip)]
    pub(super) resource: Option<String>,
}

impl Vendors {
    pub(super) async fn reach(&self, connection: &Connection) -> Result<Reached, VendorError> {
        let app = &connection.app;
        let mut reached = Reached {
            issuer: app.issuer.clone(),
            announces_iss: false,
            urls: app.urls.clone(),
            known: app.known_hosts(),
            resource: None,
            client_id: app.client_id.clone(),
            is_registered: false,
            client_auth: app.client_auth.clone(),
            behaviour: app.behaviour.clone(),
        };
        if let Some(discovery) = &app.discovery {
            let met = {
                let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(met.entry(connection.name.clone()).or_default())
            };
            let line = self.lines.of(reached.known.as_deref());
            // Both that are pinned are rare and large, and each request to a vendor would have room for them.
            let fetch = Box::pin(fetch(app, discovery, line));
            let document = met.document.get(connection.name.as_str(), &self.clock, fetch).await?;
            let urls = &mut reached.urls;
            urls.authorize.get_or_insert_with(|| document.authorization_endpoint.clone());
            urls.token.get_or_insert_with(|| document.token_endpoint.clone());
            urls.revoke = urls.revoke.take().or_else(|| document.revocation_endpoint.clone());
            urls.identity = urls.identity.take().or_else(|| document.userinfo_endpoint.clone());
            reached.issuer = Some(document.issuer.clone());
            reached.resource.clone_from(&document.resource);
            if let Some(own) = app.own.as_ref().filter(|_| !document.client_id_metadata_document_supported) {
                let known = (&*document, &met.registering);
                reached.client_id = Box::pin(self.registered(connection, own, known, line)).await?;
                reached.is_registered = true;
            }
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

/// Asks for its document. It must call itself what is configured, and name no address that we would not ask (OpenID
/// Connect Discovery §4.3, RFC 8414 §3.3).
async fn fetch(app: &App, discovery: &Discovery, line: Line<'_>) -> Result<Document, VendorError> {
    let url = match discovery {
        Discovery::Document(url) => url,
        Discovery::Resource(uri) => return resource::fetch(app, uri, line).await,
    };
    let document: Document = line.to(url).get_json(url, MAX_DOCUMENT_BYTES).await?;
    if app.issuer.as_ref() != Some(&document.issuer) {
        return Err(VendorError::malformed("calls itself something else in its metadata than is configured"));
    }
    usable(&document, line)?;
    Ok(document)
}

/// Whether a document names no address that we would not ask.
pub(super) fn usable(document: &Document, line: Line<'_>) -> Result<(), VendorError> {
    let named = [Some(&document.authorization_endpoint), Some(&document.token_endpoint)]
        .into_iter()
        .chain([
            document.revocation_endpoint.as_ref(),
            document.userinfo_endpoint.as_ref(),
            document.registration_endpoint.as_ref(),
        ])
        .flatten();
    for endpoint in named {
        if line.may_ask(endpoint).is_err() {
            return Err(VendorError::malformed("names an address in its metadata that may not be used"));
        }
    }
    Ok(())
}

impl Reached {
    /// The endpoint of a key, which this vendor may not have.
    pub(super) fn url(&self, key: &'static str) -> Result<&Url, VendorError> {
        self.urls.get(key).ok_or_else(|| VendorError::malformed(format!("has no {key}")))
    }
}
