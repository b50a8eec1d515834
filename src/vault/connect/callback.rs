//! The way back: `GET /connect/{connection}/callback`.
//!
//! Whatever can be refused without the vendor is refused before the `state` is used up. Then the `state` counts once,
//! the code becomes tokens, the vendor is asked whose they are, and tokens, link and record are written in one
//! transaction. Tokens that are not kept are ended at the vendor.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use subtle::ConstantTimeEq as _;
use tokio::time::{Instant, timeout_at};

use super::{
    begin::Pending,
    configured,
    failure::{self, NotConnected},
    redirect_uri, seal_context, site,
    store::{self, Stored},
    visit::{self, Way},
};
use crate::{
    app::App,
    config::connection::Connection as Configured,
    identity::session::BrowserSession,
    ids::SessionId,
    oauth::params::Params,
    seal::OpenError,
    secret::{Secret, TokenHash},
    store::{
        connect_links,
        connects::{self, Connect, SiteOffered},
        switched_off::{self, Switch},
    },
    vault::{
        keep::Arrived,
        safe::Kept,
        vendor::{Account, Redemption, Tokens},
    },
    web::{error::PageError, request::Origin},
};

/// For the code, the account, its organizations and its sites together, of which each may take five seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than any vendor's code.
const MAX_CODE_BYTES: usize = 4096;

/// `GET /connect/{connection}/callback`
pub(super) async fn finish(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    session: BrowserSession,
    origin: Origin,
) -> Result<Response, PageError> {
    let deadline = Instant::now() + PATIENCE;
    let configured = configured(&app, &name)?;
    let stale = |reason: &'static str| visit::stale().with_reason(reason);
    let params =
        Params::parse(query.unwrap_or_default().as_bytes()).map_err(|_| stale("malformed callback"))?;
    let state = params.get("state").ok_or_else(|| stale("callback without state"))?;
    let connect = find(&app, configured, state, &session).await?;
    let signed_in = session.signed_in().filter(|signed_in| signed_in.user_id == connect.user_id);
    let Some(signed_in) = signed_in else {
        return Err(stale("whoever began is not signed in any more"));
    };
    if connect.consumed_at.is_some() {
        return came_before(&app, configured, &session, (&connect, state)).await;
    }
    if let Some(link) = &connect.link_hash {
        let link = connect_links::find(&app.db, link).await?;
        if link.is_none_or(|link| link.used_at.is_some()) {
            return Err(visit::used());
        }
    }
    if switched_off::is_off(&app.db, Switch::Connection(&configured.name)).await? {
        return Err(failure::disabled(configured));
    }
    let pending = open(&app, &connect, state).await?;
    let way = Way { link: pending.link, account: connect.renews.clone() };
    let page = |error: NotConnected| error.page(configured, &way);
    if let Err(error) = app.vault.vendors.answered_by(configured, params.get("iss")).await {
        let error = NotConnected::from(error);
        error.record(&app, configured, (&connect, None), &origin).await?;
        return Err(page(error));
    }

    let mut tx = app.db.begin().await?;
    if !connects::consume(&mut tx, &connect.state_hash, app.clock.now()).await? {
        return Err(stale("state used at the same moment"));
    }
    tx.commit().await?;
    // Goes on though the person closes the page: what the vendor has given by then is kept, or ended.
    let arriving = arrive(
        (app.clone(), configured.clone(), connect.clone(), signed_in.id.clone()),
        code(&params).map(|code| (code, pending.verifier)),
        (origin, deadline),
    );
    let ended = tokio::spawn(arriving).await;
    match ended.map_err(|error| PageError::unavailable(format!("connect: {error}")))? {
        Ok(stored) => site::end(&app, configured, &session, (&stored.connect, state)).await,
        Err(Stopped::Page(page)) => Err(*page),
        Err(Stopped::Refused(error)) => Err(page(error)),
    }
}

/// Why the way back ends early.
pub(super) enum Stopped {
    /// For a reason that is not the vendor's.
    Page(Box<PageError>),
    /// Because of what the vendor, or a rule, said.
    Refused(NotConnected),
}

impl<E: Into<PageError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Page(Box::new(error.into()))
    }
}

/// What this browser began at this vendor with this `state`.
pub(super) async fn find(
    app: &App,
    configured: &Configured,
    state: &str,
    session: &BrowserSession,
) -> Result<Connect, PageError> {
    let stale = |reason: &'static str| visit::stale().with_reason(reason);
    let connect = connects::find(&app.db, &TokenHash::of(state), app.clock.now()).await?;
    let connect = connect.ok_or_else(|| stale("state unknown or expired"))?;
    if !bool::from(connect.browser_hash.ct_eq(&session.browser_hash())) {
        return Err(stale("state of another browser"));
    }
    if connect.connection != configured.name {
        return Err(stale("state of another connection"));
    }
    Ok(connect)
}

/// The browser's back button, or the same answer again. Nothing is done twice.
async fn came_before(
    app: &App,
    configured: &Configured,
    session: &BrowserSession,
    (connect, state): (&Connect, &str),
) -> Result<Response, PageError> {
    if connect.kept_as.is_some() {
        return site::end(app, configured, session, (connect, state)).await;
    }
    let way = Way { link: None, account: connect.renews.clone() };
    Err(visit::stale().with_reason("state already used").with_link("Connect again", way.path(configured)))
}

/// What was sealed when it began.
async fn open(app: &App, connect: &Connect, state: &str) -> Result<Pending, PageError> {
    let sealed = connect.sealed.as_ref().ok_or_else(visit::stale)?;
    let unusable = |error: &OpenError| visit::stale().with_reason(format!("pending connect: {error}"));
    let context = seal_context(connect, state);
    let opened = app.open_pending((&context, sealed), Some(&connect.user_id), unusable).await?;
    serde_json::from_slice(&opened)
        .map_err(|error| PageError::unavailable(format!("pending connect: {:?}", error.classify())))
}

/// The code, or why there is none.
fn code(params: &Params) -> Result<Secret, NotConnected> {
    if let Some(error) = params.get("error") {
        return Err(NotConnected::Response(error.chars().take(64).collect()));
    }
    let code = params.get("code").filter(|code| code.len() <= MAX_CODE_BYTES);
    code.map(|code| Secret::new(code.to_owned())).ok_or(NotConnected::NoCode)
}

/// From the code to what is stored.
async fn arrive(
    (app, configured, connect, session): (Arc<App>, Configured, Connect, SessionId),
    code: Result<(Secret, Secret), NotConnected>,
    (origin, deadline): (Origin, Instant),
) -> Result<Stored, Stopped> {
    let refused = async |error: NotConnected, ended| match error
        .record(&app, &configured, (&connect, ended), &origin)
        .await
    {
        Ok(()) => Stopped::Refused(error),
        Err(fault) => fault.into(),
    };
    let (code, verifier) = match code {
        Ok(code) => code,
        Err(error) => return Err(refused(error, None).await),
    };
    let redemption = Redemption {
        code: &code,
        verifier: &verifier,
        redirect_uri: &redirect_uri(&app, &configured),
        scopes: &connect.scope,
    };
    let tokens = match app.vault.vendors.exchange(&configured, &redemption).await {
        Ok(tokens) => tokens,
        Err(error) => return Err(refused(error.into(), None).await),
    };
    let asked = timeout_at(deadline, whose(&app, &configured, &tokens)).await;
    let (account, sites) = match asked.unwrap_or(Err(NotConnected::TooSlow)) {
        Ok(found) => found,
        Err(error) => {
            let ended = store::let_go(&app, &configured, &connect.user_id, &kept(tokens)).await;
            return Err(refused(error, Some(ended)).await);
        }
    };
    let mut details = tokens.details.clone();
    if let [only] = sites.as_slice() {
        details.extend(site::details(only));
    }
    let arrived = Arrived {
        account,
        scope: tokens.scopes.clone(),
        names_scope: tokens.names_scopes,
        details,
        expires_at: tokens.expires_at,
        refresh_expires_at: tokens.refresh_expires_at,
        tokens: kept(tokens),
    };
    let offered = (sites.len() > 1).then_some(sites.as_slice());
    match store::store(&app, &configured, (&connect, &session), (&arrived, offered), &origin).await {
        Ok(stored) => Ok(stored),
        Err(stopped) => {
            let ended = store::let_go(&app, &configured, &connect.user_id, &arrived.tokens).await;
            match stopped {
                Stopped::Refused(error) => Err(refused(error, Some(ended)).await),
                Stopped::Page(page) => Err(Stopped::Page(page)),
            }
        }
    }
}

fn kept(tokens: Tokens) -> Kept {
    Kept { access: tokens.access_token, refresh: tokens.refresh_token }
}

/// Whose account it is, if it may be connected, and the sites that it has.
async fn whose(
    app: &App,
    configured: &Configured,
    tokens: &Tokens,
) -> Result<(Account, Vec<SiteOffered>), NotConnected> {
    let account = app.vault.vendors.account(configured, tokens).await?;
    if let Some(rule) = account.breaks(&configured.account.require) {
        return Err(NotConnected::Rule(rule));
    }
    let sites = app.vault.vendors.sites(configured, &tokens.access_token).await?;
    Ok((account, site::offered(sites)))
}
