//! We register at servers that know no clients by their documents (RFC 7591): once for a connection and an issuer, for
//! all instances. We are a public client there, whose codes PKCE binds, so there is no secret to keep. A server that
//! does not know us any more registers us anew.

use oauth2::http::{HeaderValue, Request, header};
use serde::Deserialize;
use url::Url;

use super::{
    Vendors,
    failure::VendorError,
    lines::Line,
    reached::{Document, Reached},
};
use crate::{
    audit::{self, Event, Kind, Origin},
    clock::Clock,
    config::connection::{Connection, OwnClient},
    entropy::Entropy,
    ids::ConnectionName,
    jose::json::parse_object,
    store::{
        Db, StoreError,
        vendor_clients::{self, Forgotten, Place},
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
        (document, registering): (&Document, &tokio::sync::Mutex<()>),
        line: Line<'_>,
    ) -> Result<String, VendorError> {
        let issuer = &document.issuer;
        let place = Place { connection: &connection.name, issuer, redirect_uri: &own.redirect_uri };
        if let Some(known) = vendor_clients::find(&self.db, place).await? {
            return Ok(known);
        }
        let _alone = registering.lock().await;
        if let Some(known) = vendor_clients::find(&self.db, place).await? {
            return Ok(known);
        }
        let endpoint = document.registration_endpoint.as_ref().ok_or_else(|| {
            VendorError::malformed(
                "has an authorization server that neither knows clients by their documents nor registers any: \
                 register Chancery there and say which client_id it was given",
            )
        })?;
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

    /// A server that registered us says that it does not know us, so that it is asked to do so again the next time.
    /// What it gave to the client that it has forgotten is lost with it.
    pub(super) async fn forgotten(&self, connection: &Connection, reached: &Reached) {
        let (client, origin) = (Some(reached.client_id.as_str()), Origin::house(&self.entropy));
        let chance = (&self.clock, &self.entropy);
        let forgotten = forget(&self.db, (&connection.name, client), "invalid_client", &origin, chance).await;
        if let Err(error) = forgotten {
            tracing::error!(connection = %connection.name, %error, "a registration that is lost is still kept");
        }
    }
}

/// Forgets what servers call us for a connection, all or the client of this id, so that we are registered anew when we
/// are to be known there again. `why`: the reason on record.
pub async fn forget(
    db: &Db,
    (connection, client_id): (&ConnectionName, Option<&str>),
    why: &'static str,
    origin: &Origin,
    (clock, entropy): (&Clock, &Entropy),
) -> Result<Vec<Forgotten>, StoreError> {
    let mut tx = db.begin().await?;
    let forgotten = vendor_clients::forget(&mut tx, connection, client_id).await?;
    for gone in &forgotten {
        let event = Event::new(Kind::ConnectionUnregistered, origin)
            .reason(why)
            .detail("connection", connection)
            .detail("issuer", &gone.issuer)
            .detail("client_id", &gone.client_id);
        audit::record(&mut tx, clock, entropy, &event).await?;
    }
    tx.commit().await?;
    Ok(forgotten)
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
