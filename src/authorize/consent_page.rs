//! The consent page, from the domain to the view.

use axum::{http::StatusCode, response::Response};
use indexmap::IndexMap;

use crate::{
    app::App,
    authorize::{next, opened::Opened},
    clients::Origin as ClientOrigin,
    config::{Config, resource::Resource},
    identity::{person::person, session::BrowserSession},
    ids::ResourceId,
    oauth::{
        authorization::ValidatedRequest,
        grant_type::GrantType,
        redirect_uri::Reach,
        scope::{Scope, ScopeSet},
    },
    policy::Decision,
    store::sessions::SignedIn,
    web::{
        error::PageError,
        page::{self, FormTargets},
        pages,
    },
};

/// The consent page. `problem` says why it is shown again.
pub(super) async fn ask(
    app: &App,
    opened: &Opened<'_>,
    session: &BrowserSession,
    signed_in: &SignedIn,
    decision: &Decision,
    problem: Option<&str>,
) -> Result<Response, PageError> {
    let Opened { interaction, client, resource } = opened;
    let request: &ValidatedRequest = &interaction.request;
    let redirect_uri = &request.reply.redirect_uri;
    let host = redirect_uri.host();
    let (client_host, declared) = match &client.origin {
        ClientOrigin::Declared => (None, true),
        ClientOrigin::Dynamic => (None, false),
        ClientOrigin::Document { host, .. } => (Some(host.as_str().into()), false),
    };
    let lifetimes = &app.config.lifetimes;
    let view = pages::Consent {
        chrome: app.chrome(),
        interaction: interaction.id.to_string(),
        csrf: session.csrf_token(),
        client: pages::Client {
            name: client.name.as_str().into(),
            host: client_host,
            declared,
            unproven: redirect_uri.reach() != Reach::Web,
        },
        returns_to: match redirect_uri.reach() {
            Reach::Web => pages::ReturnsTo::Site(host.as_str().into()),
            Reach::Loopback => pages::ReturnsTo::ThisComputer(host.as_str().into()),
            Reach::PrivateScheme => {
                pages::ReturnsTo::Scheme(redirect_uri.form_action_source().as_str().into())
            }
        },
        resource: resource.name.as_str().into(),
        resource_host: resource.uri.url().host_str().unwrap_or_default().into(),
        person: person(app, signed_in).await?,
        scopes: decision
            .granted
            .iter()
            .map(|scope| pages::Scope {
                value: scope.to_string(),
                words: words(resource, scope).as_str().into(),
                further: further(&app.config, &resource.id, scope),
                ticked: true,
            })
            .collect(),
        refused: decision
            .refused
            .iter()
            .filter(|(scope, _)| resource.scopes.contains_key(scope))
            .map(|(scope, reason)| pages::RefusedScope {
                words: words(resource, scope).as_str().into(),
                reason: reason.kind.in_words().into(),
            })
            .collect(),
        access_lasts: resource.access_token.unwrap_or(lifetimes.access_token).into(),
        refresh_lasts: client.may_use(GrantType::RefreshToken).then(|| lifetimes.refresh_absolute.into()),
        remembered: next::remembers_consent(client, redirect_uri),
        problem: problem.map(Into::into),
    };
    Ok(page::render(StatusCode::OK, &view, &FormTargets::also(redirect_uri.form_action_source())))
}

/// What a scope allows, as the operator describes it.
fn words(resource: &Resource, scope: &Scope) -> String {
    resource.scopes.get(scope).map_or_else(|| scope.to_string(), |rule| rule.description.clone())
}

/// What the servers of the resource `own` may use elsewhere for a person who allows `scope` there (RFC 8693).
fn further(config: &Config, own: &ResourceId, scope: &Scope) -> Vec<pages::Further> {
    let mut worth: IndexMap<&ResourceId, ScopeSet> = IndexMap::new();
    let exchanges = config.clients.values().filter_map(|client| client.exchange.as_ref());
    for exchange in exchanges.filter(|exchange| exchange.own == *own) {
        for (target, scopes) in exchange.worth_of(scope) {
            let all = worth.entry(target).or_default();
            *all = all.union(scopes);
        }
    }
    let line = |(id, scopes): (&ResourceId, ScopeSet)| {
        let target = config.resources.get(id)?;
        let words = scopes.iter().map(|scope| words(target, scope).as_str().into()).collect();
        Some(pages::Further { resource: target.name.as_str().into(), words })
    };
    worth.into_iter().filter_map(line).collect()
}
