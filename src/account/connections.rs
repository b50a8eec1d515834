//! A person's accounts elsewhere: how each stands, who used it, and an end to it.

use std::sync::Arc;

use axum::{Router, extract::State as Lent, response::Response, routing::post};

use crate::{
    app::App,
    audit::{Event, Kind},
    config::connection::Connection as Configured,
    identity::{
        ending::{Cause, Ending},
        session::BrowserSession,
    },
    ids::{ConnectionId, ResourceId, UserId},
    oauth::params::Params,
    store::{
        StoreError, Tx,
        connection_uses::{self, Use},
        connections::{self, Connection},
        switched_off,
    },
    vault::{
        disconnect, keep,
        state::{Loss, State, Trouble},
    },
    web::{
        error::PageError,
        page::see_other,
        pages,
        request::{Origin, OwnForm},
    },
};

/// How many of those who used a connection are shown.
const SHOWN_USES: usize = 5;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/account/connections/end", post(end))
        .route("/account/connections/default", post(make_default))
        .route("/account/connections/label", post(label))
}

/// What she has connected, and what she may connect besides.
pub(super) async fn of_user(
    app: &App,
    user: &UserId,
) -> Result<(Vec<pages::Connected>, Vec<pages::Offered>), StoreError> {
    let hers = connections::of_user(&app.db, user).await?;
    let uses = if hers.is_empty() { Vec::new() } else { connection_uses::of_user(&app.db, user).await? };
    let off = switched_off::connections(&app.db).await?;
    let mut connected = Vec::new();
    for one in &hers {
        let configured = app.config.connections.get(&one.name);
        let shown = uses.iter().filter(|used| used.connection_id == one.id).take(SHOWN_USES);
        let title = configured.map_or(one.name.as_str(), |configured| configured.title.as_str());
        let (state, needs_her) = match configured {
            None => (format!("{title} is not offered here any more. No app gets a token of it."), false),
            Some(_) if off.contains(&one.name) => {
                (format!("Your administrators have switched {title} off. No app gets a token of it."), false)
            }
            Some(_) => in_words(one.state, title),
        };
        let jobs = configured.into_iter().flat_map(|configured| &configured.offline.clients);
        let several = hers.iter().filter(|other| other.name == one.name).count() > 1;
        connected.push(pages::Connected {
            connection: one.id.to_string(),
            title: title.into(),
            account: shown_account(one)
                .filter(|_| configured.is_none_or(Configured::says_whose))
                .map(Into::into),
            label: one.label.as_deref().map(Into::into),
            label_written: one.label.clone().unwrap_or_default(),
            state: state.into(),
            reconnect: needs_her.then(|| format!("/connect/{}?account={}", one.name, one.id).into()),
            scopes: one.scope.iter().map(|scope| scope.as_str().into()).collect(),
            is_default: several.then_some(one.is_default),
            uses: shown.map(|used| used_in_words(app, used)).collect(),
            offline: jobs.map(|id| app.config.client_name(id).into()).collect(),
            since: one.created_at.into(),
        });
    }
    let may_connect = |configured: &&Configured| {
        let has_one = hers.iter().any(|one| one.name == configured.name);
        let may = configured.kind.is_personal() && !off.contains(&configured.name);
        may && (!has_one || configured.account.several)
    };
    let offered = app.config.connections.iter().filter(may_connect).map(|configured| pages::Offered {
        title: configured.title.as_str().into(),
        href: format!("/connect/{}", configured.name).into(),
    });
    Ok((connected, offered.collect()))
}

/// What people know the account by.
fn shown_account(one: &Connection) -> Option<&str> {
    one.account_name.as_deref().or_else(|| Some(one.account.as_str()).filter(|account| !account.is_empty()))
}

/// How it stands, and whether she is the one who can mend it.
fn in_words(state: State, title: &str) -> (String, bool) {
    let (words, needs_her) = match state {
        State::Active => ("Connected.".to_owned(), false),
        State::Degraded(Trouble::Unavailable) => (
            format!("{title} did not answer the last time. We go on asking; you need not do anything."),
            false,
        ),
        State::Degraded(Trouble::Refused) => (
            format!(
                "{title} does not accept this service at the moment. Your administrators have to mend that."
            ),
            false,
        ),
        State::Degraded(Trouble::Malformed) => (
            format!("{title} gave an answer that makes no sense. We go on asking; you need not do anything."),
            false,
        ),
        State::NeedsReconnect(loss) => (
            match loss {
                Loss::Revoked => format!("{title} has ended the access. Connect it again to go on."),
                Loss::Interrupted => {
                    "A renewal of the access was interrupted, and it was lost. Connect it again to go on."
                        .to_owned()
                }
                Loss::Expired => "The access has run out. Connect it again to go on.".to_owned(),
                Loss::Account => {
                    "This account may not be used here any more. Connect one that may be to go on.".to_owned()
                }
                Loss::Unreadable => {
                    "What we keep of this account cannot be read any more. Connect it again to go on."
                        .to_owned()
                }
            },
            true,
        ),
        State::Disabled => (
            "Your administrators have switched this account off. No app gets a token of it.".to_owned(),
            false,
        ),
    };
    (words, needs_her)
}

fn used_in_words(app: &App, used: &Use) -> pages::Use {
    let resource = ResourceId::try_from(used.resource.clone()).ok();
    let resource = resource.map(|id| {
        let resource = app.config.resources.get(&id);
        resource.map_or_else(|| id.as_str().into(), |resource| resource.name.as_str().into())
    });
    let client = app.config.client_name(&used.client_id).into();
    pages::Use { client, resource, last: used.last_at.into(), count: used.count }
}

/// What was just done, by what the form came back with.
pub(super) fn notice(changed: &str) -> Option<&'static str> {
    match changed {
        "ended" => Some("The account is disconnected: no app gets a token of it any more."),
        "default" => Some("From now on that account is used where an app does not say which."),
        "label" => Some("The label is changed."),
        _ => None,
    }
}

/// Checks the form and holds the row that it names, which must be hers: of what is another's it is said that it does
/// not exist.
async fn hold(app: &App, session: &BrowserSession, form: &Params) -> Result<(Tx, Connection), PageError> {
    session.check_csrf(form.get("csrf"))?;
    let signed_in = session.signed_in().ok_or_else(PageError::stale_link)?;
    let id = form.get("connection").and_then(ConnectionId::parse).ok_or_else(PageError::not_found)?;
    let mut tx = app.db.begin().await?;
    let hers = connections::lock(&mut tx, &id).await?.filter(|found| found.user_id == signed_in.user_id);
    Ok((tx, hers.ok_or_else(PageError::not_found)?))
}

/// Disconnects an account.
async fn end(
    Lent(app): Lent<Arc<App>>,
    session: BrowserSession,
    origin: Origin,
    OwnForm(form): OwnForm,
) -> Result<Response, PageError> {
    let (mut tx, hers) = hold(&app, &session, &form).await?;
    let ending = Ending { origin: &origin.recorded, cause: Cause::Owner, chance: (&app.clock, &app.entropy) };
    disconnect::end(&mut tx, &hers.id, &ending).await?;
    tx.commit().await?;
    app.vault.owed.notify_one();
    Ok(see_other(&app.path("/account?connection=ended")))
}

/// Makes an account the one that is meant where nobody says which.
async fn make_default(
    Lent(app): Lent<Arc<App>>,
    session: BrowserSession,
    origin: Origin,
    OwnForm(form): OwnForm,
) -> Result<Response, PageError> {
    let (mut tx, hers) = hold(&app, &session, &form).await?;
    connections::set_default(&mut tx, &hers.user_id, &hers.name, Some(&hers.id)).await?;
    record_change(&app, tx, &hers, ("default", &origin)).await
}

/// Changes what she calls an account.
async fn label(
    Lent(app): Lent<Arc<App>>,
    session: BrowserSession,
    origin: Origin,
    OwnForm(form): OwnForm,
) -> Result<Response, PageError> {
    let (mut tx, hers) = hold(&app, &session, &form).await?;
    let label = form.get("label").and_then(keep::label);
    connections::set_label(&mut tx, &hers.id, label.as_deref()).await?;
    record_change(&app, tx, &hers, ("label", &origin)).await
}

async fn record_change(
    app: &App,
    mut tx: Tx,
    hers: &Connection,
    (what, origin): (&'static str, &Origin),
) -> Result<Response, PageError> {
    let event = Event::new(Kind::ConnectionChanged, &origin.recorded)
        .user(&hers.user_id)
        .reason(what)
        .detail("connection", &hers.name)
        .detail("connection_id", &hers.id);
    app.record(&mut tx, &event).await?;
    tx.commit().await?;
    Ok(see_other(&app.path(&format!("/account?connection={what}"))))
}
