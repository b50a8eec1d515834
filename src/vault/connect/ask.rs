//! The page that says what would be allowed, who asks for it, and for whom. It begins nothing.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use url::Url;

use super::{
    configured,
    visit::{Visit, Way},
};
use crate::{
    app::{App, Audience},
    clients,
    config::connection::Kind,
    identity::{person::person, session::BrowserSession},
    ids::ResourceId,
    oauth::purpose::Role,
    store::connect_links::ConnectLink,
    web::{
        error::PageError,
        page::{self, FormTargets, see_other},
        pages,
        request::{Origin, PageForm},
    },
};

/// `GET /connect/{connection}`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    session: BrowserSession,
    origin: Origin,
    form: Result<PageForm, PageError>,
) -> Result<Response, PageError> {
    let configured = configured(&app, &name)?;
    let PageForm(params) = form?;
    let way = Way::read(&params)?;
    let Some(signed_in) = session.signed_in() else {
        return Ok(see_other(&app.path(&way.through_sign_in(configured, false))));
    };
    let visit = Visit::of(&app, (configured, way), signed_in, &origin).await?;
    let asker = match &visit.link {
        Some(link) => Some(asker(&app, link).await),
        None => None,
    };
    let requested = visit.link.as_ref().and_then(|link| link.resource.as_ref());
    let view = pages::Connect {
        chrome: app.chrome(),
        csrf: session.csrf_token(),
        action: format!("/connect/{}", configured.name).into(),
        link: visit.way.link.clone(),
        account: visit.renews.as_ref().map(|row| row.id.to_string()),
        vendor: configured.title.as_str().into(),
        person: person(&app, signed_in).await?,
        asker,
        connected_as: visit
            .renews
            .as_ref()
            .filter(|_| configured.says_whose())
            .and_then(|row| row.account_name.as_deref())
            .map(Into::into),
        further: visit.further,
        uses: uses(&app, &visit, requested),
        offline: configured.offline.clients.iter().map(|id| app.config.client_name(id).into()).collect(),
        entry: match configured.kind {
            Kind::ApiKey => Some(pages::Entry::Key),
            Kind::Basic => Some(pages::Entry::Password),
            Kind::Oauth | Kind::ClientCredentials => None,
        },
        scopes: visit.scopes.iter().map(|scope| scope.as_str().into()).collect(),
    };
    Ok(page::render(StatusCode::OK, &view, &FormTargets::own()))
}

/// Who asked for the link. A client that is known by its document is not asked for it here.
async fn asker(app: &Arc<App>, link: &ConnectLink) -> pages::Asker {
    let id = &link.client_id;
    let name = if id.is_url() {
        Url::parse(id.as_str()).ok().and_then(|url| url.host_str().map(str::to_owned))
    } else {
        clients::find(app, Role::AuthorizationServer, id).await.ok().map(|client| client.name)
    };
    let resource = link.resource.as_ref().and_then(|id| app.config.resources.get(id));
    pages::Asker {
        client: name.as_deref().unwrap_or(id.as_str()).into(),
        resource: resource.map(|resource| resource.name.as_str().into()),
    }
}

/// What the account could then be used for, that for which it is asked first. The consent page of an application asks
/// about each of these again.
fn uses(app: &App, visit: &Visit<'_>, requested: Option<&ResourceId>) -> Vec<pages::ConnectUse> {
    let mut uses = Vec::new();
    for id in visit.configured.uses.resources() {
        let (Some(resource), Some(pairs)) = (app.config.resources.get(id), visit.configured.uses.of(id))
        else {
            continue;
        };
        let audience = Audience::Resource(resource);
        let covered = pairs.iter().filter(|(_, needed)| needed.is_subset(&visit.scopes));
        let words: Vec<_> =
            covered.map(|(scope, _)| audience.words(scope).unwrap_or(scope.as_str()).into()).collect();
        if !words.is_empty() {
            let name = resource.name.as_str().into();
            uses.push((requested != Some(id), pages::ConnectUse { resource: name, words }));
        }
    }
    uses.sort_by_key(|(other, _)| *other);
    uses.into_iter().map(|(_, usage)| usage).collect()
}
