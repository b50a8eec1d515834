//! Where there is no OAuth, a person enters what is kept: a key, or a user name and a password. It is tried where the
//! vendor has a place for that.

use std::collections::BTreeMap;

use axum::response::Response;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use super::{callback::Stopped, failure::NotConnected, site, store, visit::Visit};
use crate::{
    app::App,
    config::connection::{Connection as Configured, Kind, behaviour::Source},
    identity::session::BrowserSession,
    ids::SessionId,
    oauth::{params::Params, scope::ScopeSet},
    secret::Secret,
    store::connects::Connect,
    vault::{
        keep::Arrived,
        safe::Kept,
        vendor::{Account, Tokens, VendorError},
    },
    web::{error::PageError, request::Origin},
};

/// Keys that are tokens of other systems fit.
const LONGEST: usize = 4096;

/// What was entered.
struct Entered {
    /// As it is kept and handed out.
    credential: Secret,
    /// The user name beside a password.
    user: Option<String>,
}

/// Keeps what was entered, if the vendor takes it.
pub(super) async fn enter(
    app: &App,
    (visit, session): (&Visit<'_>, &BrowserSession),
    (connect, signed_in): (&Connect, &SessionId),
    form: &Params,
    origin: &Origin,
) -> Result<Response, PageError> {
    let (configured, way) = (visit.configured, &visit.way);
    let outcome = match Entered::read(configured, form) {
        Some(entered) => keep(app, configured, (connect, signed_in), entered, origin).await,
        None => Err(Stopped::Refused(NotConnected::NotTaken)),
    };
    match outcome {
        Ok(stored) => site::end(app, configured, session, (&stored.connect, "")).await,
        Err(Stopped::Page(page)) => Err(*page),
        Err(Stopped::Refused(error)) => {
            error.record(app, configured, (connect, None), origin).await?;
            Err(error.page(configured, way))
        }
    }
}

async fn keep(
    app: &App,
    configured: &Configured,
    (connect, signed_in): (&Connect, &SessionId),
    entered: Entered,
    origin: &Origin,
) -> Result<store::Stored, Stopped> {
    let account = whose(app, configured, &entered).await.map_err(Stopped::Refused)?;
    let arrived = Arrived {
        account,
        tokens: Kept { access: entered.credential, refresh: None },
        scope: ScopeSet::default(),
        names_scope: false,
        details: BTreeMap::new(),
        expires_at: None,
        refresh_expires_at: None,
    };
    store::store(app, configured, (connect, signed_in), (&arrived, None), origin).await
}

/// Whose it is, if it may be connected. Where the vendor cannot be asked, it is whose user name that is.
async fn whose(app: &App, configured: &Configured, entered: &Entered) -> Result<Account, NotConnected> {
    let tokens = Tokens::entered(entered.credential.clone());
    let account = app.vault.vendors.account(configured, &tokens).await;
    let mut account = account.map_err(|error| match error {
        VendorError::Refused { .. } | VendorError::Reconnect { .. } => NotConnected::NotTaken,
        error => error.into(),
    })?;
    if let (Source::Nothing, Some(user)) = (configured.app.behaviour.identity.source, &entered.user) {
        (account.id, account.label) = (user.clone(), user.clone());
    }
    match account.breaks(&configured.account.require) {
        Some(rule) => Err(NotConnected::Rule(rule)),
        None => Ok(account),
    }
}

impl Entered {
    /// `None`: it is not there, or cannot be sent.
    fn read(configured: &Configured, form: &Params) -> Option<Self> {
        let sent = |name| form.get(name).filter(|text| text.len() <= LONGEST);
        let read = match configured.kind {
            Kind::ApiKey => Self { credential: Secret::new(sent("key")?.trim().to_owned()), user: None },
            Kind::Basic => {
                // RFC 7617 §2: no colon in the name, no control characters in either.
                let (user, password) = (sent("user")?.trim(), sent("password")?);
                if user.contains(':') || [user, password].iter().any(|text| text.contains(char::is_control)) {
                    return None;
                }
                let pair = Zeroizing::new(format!("{user}:{password}"));
                let credential = Secret::new(STANDARD.encode(pair.as_bytes()));
                Self { credential, user: Some(user.to_owned()) }
            }
            Kind::Oauth | Kind::ClientCredentials => return None,
        };
        let is_there = !read.credential.expose().is_empty() && read.user.as_deref() != Some("");
        (is_there && HeaderValue::from_str(read.credential.expose()).is_ok()).then_some(read)
    }
}
