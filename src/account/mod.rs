//! What a person may see of herself, and end: the applications that act for her, the accounts that she connected, and
//! the browsers in which she is signed in.

mod connections;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use url::Url;

use crate::{
    app::{App, Audience},
    audit::{Event, Kind},
    clients,
    config::provider::Logout,
    identity::{
        ending::{Cause, Ending},
        person::person,
        session::BrowserSession,
    },
    ids::{GrantId, ProviderId, SessionId},
    oauth::scope::Scope,
    store::{
        consents,
        grants::{self, Grant, GrantOrigin},
        identities::{self, Account, Identity},
        sessions::{self, SignedIn},
    },
    web::{
        error::PageError,
        page::{self, FormTargets, see_other},
        pages,
        request::{Origin, OwnForm, PageForm},
    },
};

/// The routes of this room.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/account", get(show))
        .route("/account/applications/end", post(end_application))
        .route("/account/sessions/end", post(end_session))
        .merge(connections::router())
}

async fn show(
    State(app): State<Arc<App>>,
    session: BrowserSession,
    PageForm(query): PageForm,
) -> Result<Response, PageError> {
    let Some(signed_in) = session.signed_in() else {
        return Ok(Redirect::to(&app.path("/login")).into_response());
    };
    let now = app.clock.now();
    let accounts = identities::of_user(&app.db, &signed_in.user_id).await?;
    let mut applications = Vec::new();
    for grant in grants::of_user(&app.db, &signed_in.user_id, now).await? {
        applications.push(application(&app, grant, &accounts).await);
    }
    let idle_since = now.minus(app.config.lifetimes.session_idle);
    let mut browsers = sessions::of_user(&app.db, &signed_in.user_id, now, idle_since).await?;
    browsers.sort_by_key(|other| other.id != signed_in.id);
    let (connected, offered) = connections::of_user(&app, &signed_in.user_id).await?;
    let ended = query.get("ended").and_then(notice);
    let view = pages::Account {
        chrome: app.chrome(),
        csrf: session.csrf_token(),
        person: person(&app, signed_in).await?,
        notice: ended.or_else(|| query.get("connection").and_then(connections::notice)).map(Into::into),
        applications,
        leads_to: leads_to(&app, signed_in).map(Into::into),
        connections: connected,
        offered,
        sessions: browsers.into_iter().map(|other| browser(&app, &other, signed_in)).collect(),
        identities: accounts.into_iter().map(|account| linked(&app, account.identity)).collect(),
    };
    Ok(page::render(StatusCode::OK, &view, &FormTargets::own()))
}

fn notice(ended: &str) -> Option<&'static str> {
    match ended {
        "application" => {
            Some("The application's access has ended. A token that it still holds runs out within minutes.")
        }
        "session" => {
            Some("That browser is signed out. Apps that were connected in it have lost their access.")
        }
        _ => None,
    }
}

/// A client that is known by its document is not asked for it here: by not answering it could keep this page, on which
/// its access is ended, from being shown.
async fn application(app: &Arc<App>, grant: Grant, accounts: &[Account]) -> pages::Application {
    let id = &grant.client_id;
    let (name, host) = if id.is_url() {
        let host = Url::parse(id.as_str()).ok().and_then(|url| url.host_str().map(str::to_owned));
        let document = app.documents.last_read(id).await;
        (document.and_then(|document| document.name.clone()).or_else(|| host.clone()), host)
    } else {
        (clients::find(app, grant.purpose.role(), id).await.ok().map(|client| client.name), None)
    };
    let audience = app.audience(&grant.purpose);
    let words = |scope: &Scope| {
        let words = audience.and_then(|audience| audience.words(scope));
        words.unwrap_or(scope.as_str()).into()
    };
    let resource = match audience {
        Some(Audience::Resource(resource)) => resource.name.clone(),
        Some(Audience::Idp(_)) => "your sign-in".to_owned(),
        None => grant.purpose.to_string(),
    };
    let account = accounts.iter().find(|account| account.identity.id == grant.identity_id);
    let provider = account
        .map_or(app.config.server.name.as_str(), |account| provider_name(app, &account.identity.provider));
    pages::Application {
        grant: grant.id.to_string(),
        client: name.as_deref().unwrap_or(grant.client_id.as_str()).into(),
        client_host: host.as_deref().map(Into::into),
        resource: resource.as_str().into(),
        scopes: grant.scope.iter().map(words).collect(),
        managed_by: (grant.origin == GrantOrigin::IdJag).then(|| provider.into()),
        granted: grant.created_at.into(),
        last_used: Some(grant.last_used_at.into()),
    }
}

fn provider_name<'a>(app: &'a App, id: &'a ProviderId) -> &'a str {
    app.config.providers.get(id).map_or(id.as_str(), |provider| provider.name.as_str())
}

/// The provider at which signing out here ends.
fn leads_to<'a>(app: &'a App, signed_in: &SignedIn) -> Option<&'a str> {
    let provider = app.config.providers.get(&signed_in.provider)?;
    (provider.logout == Logout::Provider).then_some(&provider.name)
}

fn linked(app: &App, account: Identity) -> pages::LinkedAccount {
    pages::LinkedAccount {
        provider: provider_name(app, &account.provider).into(),
        label: account.email.or(account.name).unwrap_or(account.subject).into(),
        since: account.created_at.into(),
    }
}

fn browser(app: &App, other: &SignedIn, current: &SignedIn) -> pages::Session {
    pages::Session {
        session: other.id.to_string(),
        current: other.id == current.id,
        browser: describe(&other.user_agent).as_str().into(),
        provider: provider_name(app, &other.provider).into(),
        signed_in: other.created_at.into(),
        last_seen: other.last_seen_at.into(),
    }
}

/// A browser as a person would name hers. The order matters: most browsers claim to be others too.
fn describe(user_agent: &str) -> String {
    let named = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    let browser = named(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = named(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => "An unknown browser".to_owned(),
    }
}

/// Ends what a client may do at a resource: every grant, and the consent behind them.
async fn end_application(
    State(app): State<Arc<App>>,
    session: BrowserSession,
    origin: Origin,
    OwnForm(form): OwnForm,
) -> Result<Response, PageError> {
    session.check_csrf(form.get("csrf"))?;
    let signed_in = session.signed_in().ok_or_else(PageError::stale_link)?;
    let id = form.get("grant").and_then(GrantId::parse).ok_or_else(PageError::stale_link)?;
    // What her organization allowed would only begin anew.
    let hers = |grant: &Grant| grant.user_id == signed_in.user_id && grant.origin == GrantOrigin::Consent;
    let grant = grants::find(&app.db, &id).await?.filter(hers).ok_or_else(PageError::stale_link)?;
    let mut tx = app.db.begin().await?;
    let ended =
        grants::revoke_all(&mut tx, &grant.user_id, &grant.client_id, &grant.purpose, app.clock.now())
            .await?;
    if consents::delete(&mut tx, &grant.user_id, &grant.client_id, &grant.purpose).await? {
        let event = Event::new(Kind::ConsentWithdrawn, &origin.recorded)
            .user(&grant.user_id)
            .client(&grant.client_id)
            .detail("purpose", &grant.purpose);
        app.record(&mut tx, &event).await?;
    }
    for id in ended {
        let event = Event::new(Kind::GrantRevoked, &origin.recorded)
            .user(&grant.user_id)
            .client(&grant.client_id)
            .grant(&id)
            .reason("by_owner");
        app.record(&mut tx, &event).await?;
    }
    tx.commit().await?;
    Ok(see_other(&app.path("/account?ended=application")))
}

/// Signs another browser of hers out. This one goes by `/logout`.
async fn end_session(
    State(app): State<Arc<App>>,
    mut session: BrowserSession,
    origin: Origin,
    OwnForm(form): OwnForm,
) -> Result<Response, PageError> {
    session.check_csrf(form.get("csrf"))?;
    let signed_in = session.signed_in().ok_or_else(PageError::stale_link)?.clone();
    let id = form.get("session").and_then(SessionId::parse).ok_or_else(PageError::stale_link)?;
    let chance = (&app.clock, &app.entropy);
    let ending = Ending { origin: &origin.recorded, cause: Cause::Owner, chance };
    let mut tx = app.db.begin().await?;
    if sessions::owner(&mut tx, &id).await?.is_some_and(|owner| owner == signed_in.user_id) {
        ending.session(&mut tx, &id).await?;
    }
    tx.commit().await?;
    if id == signed_in.id {
        session.forget().await?;
    }
    Ok(see_other(&app.path("/account?ended=session")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::describe;

    #[rstest]
    #[case("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux")]
    #[case(
        "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0",
        "Edge on Windows"
    )]
    #[case(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Safari/604.1",
        "Safari on iPhone"
    )]
    #[case("curl/8.0", "An unknown browser")]
    fn browsers_are_named(#[case] user_agent: &str, #[case] name: &str) {
        assert_eq!(describe(user_agent), name);
    }
}
