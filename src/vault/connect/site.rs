//! Where it ends: the choice of a site, where the account has several, and the page that says that it is done.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use url::Url;

use super::{callback, configured, visit};
use crate::{
    app::App,
    audit::{Event, Kind},
    config::connection::Connection as Configured,
    identity::session::BrowserSession,
    oauth::issuer::is_loopback,
    store::{
        connect_links, connections,
        connects::{self, Connect, SiteOffered},
    },
    vault::vendor::Site,
    web::{
        error::PageError,
        page::{self, FormTargets},
        pages,
        request::{Origin, OwnForm},
    },
};

/// The detail of a connection that holds the chosen site; its address is beside it.
pub(super) const DETAIL: &str = "site";
const ADDRESS: &str = "site_url";

/// More sites than anybody could read through.
const MOST: usize = 200;
/// Names and ids of sites fit.
const LONGEST: usize = 256;

/// The sites as they can be shown and posted.
pub(super) fn offered(sites: Vec<Site>) -> Vec<SiteOffered> {
    let fits = |site: &Site| site.id.len() <= LONGEST && site.name.len() <= LONGEST;
    let offered = sites.into_iter().filter(fits).take(MOST);
    offered
        .map(|Site { id, name, url }| SiteOffered { id, name, url: url.filter(|url| url.len() <= 2048) })
        .collect()
}

/// What is kept of the chosen one.
pub(super) fn details(site: &SiteOffered) -> impl Iterator<Item = (String, String)> {
    let address = site.url.clone().map(|url| (ADDRESS.to_owned(), url));
    [(DETAIL.to_owned(), site.id.clone())].into_iter().chain(address)
}

/// The page after the callback, however often it is opened.
pub(super) async fn end(
    app: &App,
    configured: &Configured,
    session: &BrowserSession,
    (connect, state): (&Connect, &str),
) -> Result<Response, PageError> {
    let Some(sites) = &connect.sites else { return done(app, configured, connect).await };
    let view = pages::ConnectSite {
        chrome: app.chrome(),
        csrf: session.csrf_token(),
        action: format!("/connect/{}/site", configured.name).into(),
        state: state.to_owned(),
        vendor: configured.title.as_str().into(),
        sites: sites.iter().map(shown).collect(),
    };
    Ok(page::render(StatusCode::OK, &view, &FormTargets::own()))
}

fn shown(site: &SiteOffered) -> pages::SiteChoice {
    pages::SiteChoice {
        value: site.id.clone(),
        name: site.name.as_str().into(),
        address: site.url.as_deref().map(Into::into),
    }
}

/// `POST /connect/{connection}/site`
pub(super) async fn choose(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    session: BrowserSession,
    origin: Origin,
    OwnForm(form): OwnForm,
) -> Result<Response, PageError> {
    let configured = configured(&app, &name)?;
    session.check_csrf(form.get("csrf"))?;
    let state = form.get("state").ok_or_else(visit::stale)?;
    let connect = callback::find(&app, configured, state, &session).await?;
    let signed_in = session.signed_in().filter(|signed_in| signed_in.user_id == connect.user_id);
    let (Some(signed_in), Some(kept)) = (signed_in, &connect.kept_as) else { return Err(visit::stale()) };
    let Some(sites) = &connect.sites else { return done(&app, configured, &connect).await };
    let chosen = form.get("site").and_then(|id| sites.iter().find(|site| site.id == id));
    let Some(chosen) = chosen else { return end(&app, configured, &session, (&connect, state)).await };
    let row = connections::find(&app.db, kept).await?.filter(|row| row.user_id == signed_in.user_id);
    let row = row.ok_or_else(visit::stale)?;
    let kept: BTreeMap<_, _> = row.details.0.clone().into_iter().chain(details(chosen)).collect();
    let mut tx = app.db.begin().await?;
    if !connects::choose(&mut tx, &connect.state_hash, app.clock.now()).await? {
        return done(&app, configured, &connect).await;
    }
    if !connections::set_details(&mut tx, &row.id, row.generation, &kept).await? {
        return Err(PageError::unavailable("the connection was refreshed at the same moment"));
    }
    let event = Event::new(Kind::ConnectionSiteChosen, &origin.recorded)
        .user(&row.user_id)
        .detail("connection", &row.name)
        .detail("connection_id", &row.id)
        .detail("site", &chosen.id);
    app.record(&mut tx, &event).await?;
    tx.commit().await?;
    done(&app, configured, &connect).await
}

async fn done(app: &App, configured: &Configured, connect: &Connect) -> Result<Response, PageError> {
    let row = match &connect.kept_as {
        Some(id) => connections::find(&app.db, id).await?,
        None => None,
    };
    let link = match &connect.link_hash {
        Some(hash) => connect_links::find(&app.db, hash).await?,
        None => None,
    };
    let vendor = &configured.title;
    let away = link.as_ref().and_then(|link| link.return_to.as_deref()).and_then(back);
    let Some(row) = row else {
        return Err(visit::stale().with_reason("connected, and disconnected since"));
    };
    let name = row.account_name.map_or_else(String::new, |name| format!(" {name}"));
    let message = match (&link, &away) {
        (None, _) => format!(
            "What it is used for, and since when, stands on your account page. You can disconnect{name} there."
        ),
        (Some(_), None) => {
            format!("The account{name} is connected. Go back to the application and go on there.")
        }
        (Some(_), Some(_)) => format!("The account{name} is connected. Go on where you came from."),
    };
    let view = pages::Done {
        chrome: app.chrome(),
        heading: format!("Your {vendor} account is connected").into(),
        message: message.into(),
        link: Some(pages::Link { href: "/account".into(), text: "Your account".into() })
            .filter(|_| away.is_none()),
        away,
    };
    Ok(page::render(StatusCode::OK, &view, &FormTargets::own()))
}

/// The way back to a client, which whoever made the link has found to be one of its own.
fn back(return_to: &str) -> Option<pages::Away> {
    let url = Url::parse(return_to).ok()?;
    let host = url.host_str()?;
    let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    safe.then(|| pages::Away { href: url.to_string(), text: format!("Go back to {host}").into() })
}
