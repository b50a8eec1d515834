//! The browser session, over tower-sessions and our own store.
//!
//! Two things must not be mixed up. A *browser* is whoever holds the cookie: it has a secret of its own that
//! interactions and upstream sign-ins are bound to and that survives the rotation of the cookie. A *session* is a
//! person signed in in that browser: a row that the person sees on the account page and can end from elsewhere.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tower_sessions::Session;

use crate::{
    app::App,
    clock::Timestamp,
    identity::ending::Ending,
    ids::{IdentityId, SessionId},
    seal::Sealed,
    secret::TokenHash,
    store::{
        StoreError, Tx,
        browser_sessions::SIGNED_IN,
        sessions::{self, SignedIn},
    },
    web::error::PageError,
};

/// The key of the record that holds the browser's secret.
const BROWSER: &str = "browser";

/// How often a session's "last seen" is written, at most.
const TOUCH_INTERVAL: std::time::Duration = std::time::Duration::from_secs(60);

/// The browser that sent a request, and who is signed in in it.
#[derive(Debug)]
pub struct BrowserSession {
    record: Session,
    browser: Browser,
    signed_in: Option<SignedIn>,
}

/// The secret that a browser's interactions are bound to.
struct Browser(String);

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Browser(***)")
    }
}

/// A session whose row is written but which no browser holds yet: [`BrowserSession::adopt`] it once the
/// transaction is committed.
#[derive(Debug)]
#[must_use = "the person is signed in only once the browser adopts the session"]
pub struct OpenedSession(SignedIn);

impl BrowserSession {
    /// What interactions and sign-ins that belong to this browser are stored with.
    pub fn browser_hash(&self) -> TokenHash {
        TokenHash::of(&self.browser.0)
    }

    /// Who is signed in, if anyone is.
    pub const fn signed_in(&self) -> Option<&SignedIn> {
        self.signed_in.as_ref()
    }

    /// The token that every form of ours carries in its field `csrf`. It belongs to this browser and to whoever is
    /// signed in in it, so that a page that was shown to one person cannot be answered by the next.
    pub fn csrf_token(&self) -> String {
        let session = self.signed_in.as_ref().map_or("", |signed_in| signed_in.id.as_str());
        let token = Sha256::new().chain_update("csrf\0").chain_update(session).chain_update("\0");
        URL_SAFE_NO_PAD.encode(token.chain_update(&self.browser.0).finalize())
    }

    /// Refuses a form without this browser's token.
    pub fn check_csrf(&self, sent: Option<&str>) -> Result<(), PageError> {
        let matches = sent.is_some_and(|sent| sent.as_bytes().ct_eq(self.csrf_token().as_bytes()).into());
        if matches { Ok(()) } else { Err(PageError::forged().with_reason("csrf token missing or foreign")) }
    }

    /// Makes the browser remember its secret: called before anything is bound to it.
    pub async fn remember(&self) -> Result<(), PageError> {
        self.record.insert(BROWSER, &self.browser.0).await.map_err(unavailable)
    }

    /// The id under which a sign-in goes on: that of the session which is open here, where it is the same account's, so
    /// that what was born in it ends with it; else `new`, and whoever was signed in here no longer is.
    pub async fn succeed(
        &self,
        tx: &mut Tx,
        identity: &IdentityId,
        new: SessionId,
        ending: &Ending<'_>,
    ) -> Result<SessionId, StoreError> {
        let Some(previous) = &self.signed_in else { return Ok(new) };
        if previous.identity_id == *identity
            && sessions::hold(tx, &previous.id, ending.chance.0.now()).await?
        {
            return Ok(previous.id.clone());
        }
        ending.session_alone(tx, &previous.id).await?;
        Ok(new)
    }

    /// Writes the row of a session, in the transaction of the sign-in that it follows from.
    pub async fn open(
        &self,
        tx: &mut Tx,
        session: SignedIn,
        id_token: Option<&Sealed>,
    ) -> Result<OpenedSession, StoreError> {
        sessions::put(tx, &session, id_token).await?;
        Ok(OpenedSession(session))
    }

    /// Signs the person in here. The cookie gets a new id, so that one planted before the sign-in is worth nothing.
    /// To be called outside of any transaction.
    pub async fn adopt(&mut self, opened: OpenedSession) -> Result<(), PageError> {
        self.record.cycle_id().await.map_err(unavailable)?;
        self.remember().await?;
        self.record.insert(SIGNED_IN, &opened.0.id).await.map_err(unavailable)?;
        self.signed_in = Some(opened.0);
        Ok(())
    }

    /// Leaves a note for a later page of this browser, which lasts for an hour. To be called outside of any
    /// transaction.
    pub async fn leave_note(&self, name: &str, note: &impl Serialize) -> Result<(), PageError> {
        self.record.insert(name, note).await.map_err(unavailable)
    }

    /// The note of this name that an earlier page left.
    pub async fn note<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, PageError> {
        self.record.get(name).await.map_err(unavailable)
    }

    /// Forgets the browser and whoever was signed in; the row of the session is ended by the caller.
    /// To be called outside of any transaction.
    pub async fn forget(&mut self) -> Result<(), PageError> {
        self.signed_in = None;
        self.record.flush().await.map_err(unavailable)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn unavailable(error: tower_sessions::session::Error) -> PageError {
    PageError::unavailable(format!("browser session: {error}"))
}

impl FromRequestParts<Arc<App>> for BrowserSession {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        let record = parts
            .extensions
            .get::<Session>()
            .cloned()
            .ok_or_else(|| PageError::unavailable("route without session layer"))?;
        let known: Option<String> = record.get(BROWSER).await.map_err(unavailable)?;
        let browser = Browser(known.unwrap_or_else(|| app.entropy.token()));
        let id: Option<SessionId> = record.get(SIGNED_IN).await.map_err(unavailable)?;
        let signed_in = match id {
            Some(id) => live(app, &id).await?,
            None => None,
        };
        Ok(Self { record, browser, signed_in })
    }
}

/// The session of this id unless it is over: ended, idle for too long, too old, its user shut out, or its provider
/// switched off or no longer configured.
async fn live(app: &App, id: &SessionId) -> Result<Option<SignedIn>, StoreError> {
    let now = app.clock.now();
    let idle_since = now.minus(app.config.lifetimes.session_idle);
    let found = sessions::find_live(&app.db, id, now, idle_since).await?;
    let Some(session) = found.filter(|session| app.config.providers.contains_key(&session.provider)) else {
        return Ok(None);
    };
    if now.since(session.last_seen_at) > TOUCH_INTERVAL {
        touch(app, &session.id, now).await?;
    }
    Ok(Some(session))
}

async fn touch(app: &App, id: &SessionId, now: Timestamp) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    sessions::touch(&mut tx, id, now).await?;
    tx.commit().await
}
