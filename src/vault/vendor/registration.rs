//! We register at servers that know no clients by their documents (RFC 7591): once for a connection and an issuer, for all
//! instances. We are a public client there, whose codes PKCE binds, so there is no secret to keep.

use oauth2::http::{HeaderValue, Request, header};
use serde::Deserialize;
use url::Url;

use super::{Vendors, failure::VendorError, lines::Line};
use crate::{
    audit::{self, Event, Kind, Origin},
    config::connection::{Connection, OwnClient},
    jose::json::parse_object,
    store::{
        StoreError,
        vendor_clients::{self, Place},
    },
};

/// Longer than any name that a server gives a client.
const LONGEST_ID: usize = 1024;

/// What we use of the answer (RFC 7591 §3.2.1).
#[derive(Deserialize)]
struct Registered {
    client_id: String,
    token_endpoint_auth_method: Option<String>,
    #[serde(default)]
    client_secret: Option<serde::de::IgnoredAny>,
}

impl Vendors {
    /// What a server calls us; it registers us where it has not yet.
    pub(super) async fn registered(
        &self,
        connection: &Connection,
        own: &OwnClient,
        (issuer, endpoint): (&str, &Url),
        line: Line<'_>,
    ) -> Result<String, VendorError> {
        let place = Place { connection: &connection.name, issuer, redirect_uri: &own.redirect_uri };
        if let Some(known) = vendor_clients::find(&self.db, place).await? {
            return Ok(known);
        }
        let given = register(own, endpoint, line, self).await?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if vendor_clients::insert(&mut tx, place, &given, now).await? {
            let event = Event::new(Kind::ConnectionRegistered, &Origin::house(&self.entropy))
                .detail("connection", place.connection)
                .detail("issuer", issuer)
                .detail("client_id", &given);
            audit::record(&mut tx, &self.clock, &self.entropy, &event).await?;
            tx.commit().await?;
            return Ok(given);
        }
        drop(tx);
        let first = vendor_clients::find(&self.db, place).await?;
        Ok(first.ok_or(StoreError::Conflict)?)
    }
}

async fn register(
    own: &OwnClient,
    endpoint: &Url,
    line: Line<'_>,
    vendors: &Vendors,
) -> Result<String, VendorError> {
    let body = own.metadata().to_string().into_bytes();
    let json = HeaderValue::from_static("application/json");
    let request = Request::builder()
        .method("POST")
        .uri(endpoint.as_str())
        .header(header::CONTENT_TYPE, &json)
        .header(header::ACCEPT, &json)
        .body(body)
        .map_err(|_| VendorError::malformed("names an address for registrations that is none"))?;
    let response = line.to(endpoint).execute(request).await?;
    let status = response.status();
    if let Some(error) = VendorError::of_status(status.as_u16(), response.headers(), vendors.clock.now()) {
        return Err(error);
    }
    if !status.is_success() {
        let answer = parse_object(response.body()).ok();
        let code = answer.as_ref().and_then(|members| members.get("error")?.as_str());
        let code = code.map_or_else(|| format!("http_{}", status.as_u16()), str::to_owned);
        return Err(VendorError::of_code(&code, None, &[]));
    }
    let registered: Registered = serde_json::from_slice(response.body())
        .map_err(|_| VendorError::malformed("answered our registration with something that is none"))?;
    let is_public = match registered.token_endpoint_auth_method.as_deref() {
        Some(method) => method == "none",
        None => registered.client_secret.is_none(),
    };
    if !is_public {
        return Err(VendorError::malformed(
            "registers us only with a secret: register Chancery there and say which client_id and secret it was given",
        ));
    }
    Some(registered.client_id)
        .filter(|id| !id.is_empty() && id.len() <= LONGEST_ID && !id.contains(char::is_control))
        .ok_or_else(|| VendorError::malformed("registered us under a name that cannot be used"))
}

impl From<StoreError> for VendorError {
    fn from(error: StoreError) -> Self {
        let reason = format!("could not be asked, since our own database failed: {error}");
        Self::Unavailable { retry_after: None, in_doubt: false, reason }
    }
}
