//! The way out: the person pressed the button, and goes to the vendor, unless she has entered what is to be kept.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use super::{
    configured, enter, failure, redirect_uri, seal_context,
    visit::{self, Visit, Way},
};
use crate::{
    app::App,
    config::connection::Connection as Configured,
    identity::session::BrowserSession,
    oauth::pkce::CodeChallenge,
    secret::{Secret, TokenHash},
    store::connects::{self, Connect},
    vault::{keep, vendor::Authorization},
    web::{
        error::PageError,
        page, pages,
        request::{Origin, OwnForm},
    },
};

/// What must come back with the person.
#[derive(Deserialize)]
pub(super) struct Pending {
    /// What the code's challenge was made of (RFC 7636).
    pub(super) verifier: Secret,
    /// The link that led here, for trying again.
    pub(super) link: Option<String>,
}

/// `POST /connect/{connection}`
pub(super) async fn begin(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    session: BrowserSession,
    origin: Origin,
    OwnForm(form): OwnForm,
) -> Result<Response, PageError> {
    let now = app.clock.now();
    let configured = configured(&app, &name)?;
    session.check_csrf(form.get("csrf"))?;
    let signed_in = session.signed_in().ok_or_else(visit::stale)?;
    if !app.limits.begun.admits(&origin.source, now) {
        return Err(PageError::too_many());
    }
    app.limits.begun.count(origin.source, now);
    let visit = Visit::of(&app, (configured, Way::read(&form)?), signed_in, &origin).await?;

    let (state, verifier) = (Zeroizing::new(app.entropy.token()), Zeroizing::new(app.entropy.token()));
    let connect = Connect {
        state_hash: TokenHash::of(&state),
        connection: configured.name.clone(),
        browser_hash: session.browser_hash(),
        user_id: signed_in.user_id.clone(),
        scope: visit.scopes.clone(),
        renews: visit.renews.as_ref().map(|row| row.id.clone()),
        label: form.get("label").and_then(keep::label),
        link_hash: visit.link.as_ref().map(|link| link.hash.clone()),
        sealed: None,
        created_at: now,
        expires_at: now.plus(app.config.lifetimes.upstream_state),
        consumed_at: None,
        kept_as: None,
        sites: None,
    };
    if configured.kind.is_entered() {
        let who = (&connect, &signed_in.id);
        return enter::enter(&app, (&visit, &session), who, &form, &origin).await;
    }
    let authorization = Authorization {
        redirect_uri: &redirect_uri(&app, configured),
        state: &state,
        challenge: &CodeChallenge::of(&verifier),
        scopes: &visit.scopes,
        held: &visit.held,
    };
    let url = app.vault.vendors.authorize_url(configured, &authorization).await;
    let url = url.map_err(|error| failure::NotConnected::from(error).page(configured, &visit.way))?;
    let pending = Written { verifier: &verifier, link: visit.way.link.as_deref() };
    let pending = serde_json::to_vec(&pending).map(Zeroizing::new);
    let pending = pending.map_err(|error| PageError::unavailable(format!("pending connect: {error}")))?;
    let sealed = app.sealer.seal(&app.entropy, &seal_context(&connect, &state), &pending).await?;
    session.remember().await?;
    let mut tx = app.db.begin().await?;
    connects::insert(&mut tx, &Connect { sealed: Some(sealed), ..connect }).await?;
    tx.commit().await?;
    Ok(send(&app, configured, &url))
}

/// [`Pending`] as it is written.
#[derive(Serialize)]
struct Written<'a> {
    verifier: &'a str,
    link: Option<&'a str>,
}

/// Sends the browser on to the vendor.
fn send(app: &App, configured: &Configured, url: &Url) -> Response {
    let view = pages::Done {
        chrome: app.chrome(),
        heading: format!("On to {}", configured.title).into(),
        message: "You allow it there and come back here.".into(),
        link: None,
        away: Some(pages::Away { href: url.to_string(), text: "Continue".into() }),
    };
    page::lead_on(&view, url)
}
