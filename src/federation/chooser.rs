//! `/login`: where to sign in. Straight through with one provider, by e-mail domain or by choice with several.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use super::{
    login::{self, Begin},
    onward::{self, Onward},
};
use crate::{
    app::{App, Audience},
    clients,
    config::{Config, provider::Provider},
    identity::session::BrowserSession,
    ids::InteractionId,
    oauth::params::Params,
    store::{interactions::Interaction, switched_off},
    web::{
        error::{Fault, PageError},
        page::{self, FormTargets, see_other},
        pages,
        request::{Origin, OwnForm, PageForm},
    },
};

/// `GET /login`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    session: BrowserSession,
    origin: Origin,
    form: Result<PageForm, PageError>,
) -> Result<Response, PageError> {
    let PageForm(params) = form?;
    let interaction = login::interaction_of(&app, params.get("interaction"), &session).await?;
    let onward = login::onward_of(&params)?;
    let anew = params.get("prompt") == Some("login");
    if let [only] = open_to_all(&app).await?.as_slice() {
        let id = interaction.as_ref().map(|interaction| &interaction.id);
        let begin = Begin { onward, anew, ..Begin::at(&only.id, id) };
        return Ok(see_other(&app.path(&begin.path())));
    }
    // The page's form needs a browser that is known again, and that is a row.
    let now = app.clock.now();
    if !app.limits.begun.admits(&origin.source, now) {
        return Err(PageError::too_many());
    }
    app.limits.begun.count(origin.source, now);
    session.remember().await?;
    let hint = interaction.as_ref().and_then(|interaction| interaction.request.login_hint.clone());
    let typed = Typed { email: hint.unwrap_or_default(), unknown: None };
    choose(&app, &session, Way { interaction: interaction.as_ref(), onward, anew }, typed).await
}

/// `POST /login`: the person typed her address.
pub(super) async fn route(
    State(app): State<Arc<App>>,
    session: BrowserSession,
    RawQuery(query): RawQuery,
    OwnForm(form): OwnForm,
) -> Result<Response, PageError> {
    session.check_csrf(form.get("csrf"))?;
    let query = Params::parse(query.unwrap_or_default().as_bytes()).map_err(|_| PageError::stale_link())?;
    let interaction = login::interaction_of(&app, query.get("interaction"), &session).await?;
    let onward = login::onward_of(&query)?;
    let anew = query.get("prompt") == Some("login");
    let email = form.get("email").unwrap_or_default().trim();
    let domain = email.rsplit_once('@').map_or(email, |(_, domain)| domain).to_ascii_lowercase();
    let open = open_to_all(&app).await?;
    if let Some(provider) = home_of(&open, &app.config, &domain) {
        let id = interaction.as_ref().map(|interaction| &interaction.id);
        let begin = Begin { onward, hint: Some(email), anew, ..Begin::at(&provider.id, id) };
        return Ok(send(&app, provider, &begin.path()));
    }
    let typed = Typed { email: email.to_owned(), unknown: Some(domain) };
    choose(&app, &session, Way { interaction: interaction.as_ref(), onward, anew }, typed).await
}

/// The providers that are not switched off, in the order of the file.
async fn open_to_all(app: &App) -> Result<Vec<&Provider>, PageError> {
    let off = switched_off::providers(&app.db).await?;
    Ok(app.config.providers.values().filter(|provider| !off.contains(&provider.id)).collect())
}

/// The provider that a domain's people are sent to: the first in the file that names it, if one is open; at one that is
/// switched off they are told so.
fn home_of<'a>(open: &[&'a Provider], config: &'a Config, domain: &str) -> Option<&'a Provider> {
    let names = |provider: &&Provider| provider.email_domains.iter().any(|known| known == domain);
    open.iter().copied().find(names).or_else(|| config.providers.values().find(names))
}

/// Sends the browser on with a page and not with a redirect: a form's redirect must stay within the page's
/// `form-action`, and which host the provider signs people in on is only known once it was asked.
fn send(app: &App, provider: &Provider, path: &str) -> Response {
    let view = pages::Done {
        chrome: app.chrome(),
        heading: format!("On to {}", provider.name).into(),
        message: "You sign in there and come back here.".into(),
        link: Some(pages::Link { href: path.into(), text: "Continue".into() }),
        away: None,
    };
    let mut response = page::render(StatusCode::OK, &view, &FormTargets::own());
    if let Ok(refresh) = HeaderValue::try_from(format!("0; url={}", app.path(path))) {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    response
}

/// Where the sign-in leads, and whether the person is to prove herself anew.
#[derive(Clone, Copy)]
struct Way<'a> {
    interaction: Option<&'a Interaction>,
    onward: Option<Onward<'a>>,
    anew: bool,
}

/// What the person typed, or the client hinted at.
struct Typed {
    email: String,
    /// The domain that no provider claims.
    unknown: Option<String>,
}

async fn choose(
    app: &Arc<App>,
    session: &BrowserSession,
    Way { interaction, onward, anew }: Way<'_>,
    typed: Typed,
) -> Result<Response, PageError> {
    let id = interaction.map(|interaction| &interaction.id);
    let parameters = [
        ("interaction", id.map(InteractionId::as_str)),
        (onward::PARAMETER, onward.map(Onward::path)),
        ("prompt", anew.then_some("login")),
    ];
    let open = open_to_all(app).await?;
    if open.is_empty() {
        return Err(PageError::new(
            StatusCode::FORBIDDEN,
            Fault::Policy,
            "Signing in has been switched off",
            "The people who run this service do not let anybody in at the moment.",
            "Nothing was shared. If you need it for your work, ask them, and quote the number below.",
        ));
    }
    let by_domain = open.iter().any(|provider| !provider.email_domains.is_empty());
    let email = by_domain.then(|| pages::EmailForm {
        action: login::with_query("/login", &parameters).into(),
        csrf: session.csrf_token(),
        email: typed.email,
        unknown_domain: typed.unknown.map(Into::into),
    });
    let choice = |provider: &Provider| pages::ProviderChoice {
        name: provider.name.as_str().into(),
        href: Begin { onward, anew, ..Begin::at(&provider.id, id) }.path().into(),
    };
    let view = pages::Chooser {
        chrome: app.chrome(),
        asking: asking(app, interaction).await,
        email,
        providers: open.into_iter().map(choice).collect(),
    };
    Ok(page::render(StatusCode::OK, &view, &FormTargets::own()))
}

/// For whom the sign-in is, so that a person who did not expect it can turn back.
async fn asking(app: &Arc<App>, interaction: Option<&Interaction>) -> Option<pages::Asking> {
    let request = &interaction?.request;
    let client = clients::find(app, request.purpose.role(), &request.client).await.ok()?;
    let resource = match app.audience(&request.purpose)? {
        Audience::Resource(resource) => Some(resource.name.as_str().into()),
        Audience::Idp(_) => None,
    };
    Some(pages::Asking { client: client.name.as_str().into(), resource })
}
