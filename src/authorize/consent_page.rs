//! The consent page, from the domain to the view.

use axum::{http::StatusCode, response::Response};
use indexmap::IndexMap;

use crate::{
    app::{App, Audience, Idp},
    authorize::{
        next,
        opened::{Opened, subject_of},
    },
    clients::{Client, Origin as ClientOrigin},
    config::{Config, connection::Uses, resource::Resource},
    identity::{person::person, session::BrowserSession},
    idp,
    ids::{ConnectionName, ResourceId},
    oauth::{
        authorization::ValidatedRequest,
        grant_type::GrantType,
        redirect_uri::{Reach, RedirectUri},
        scope::{Scope, ScopeSet},
    },
    policy::{Decision, Question, Subject},
    store::sessions::SignedIn,
    web::{
        error::PageError,
        page::{self, FormTargets},
        pages,
    },
};

/// The scopes without a box to tick: what the whole request is about.
pub(super) fn not_asked_about(opened: &Opened<'_>) -> ScopeSet {
    match opened.audience {
        Audience::Resource(_) => ScopeSet::default(),
        Audience::Idp(_) => idp::scopes::required(),
    }
}

/// The consent page. `problem` says why it is shown again.
pub(super) async fn ask(
    app: &App,
    opened: &Opened<'_>,
    session: &BrowserSession,
    signed_in: &SignedIn,
    decision: &Decision,
    problem: Option<&str>,
) -> Result<Response, PageError> {
    let Opened { interaction, client, audience } = opened;
    let request: &ValidatedRequest = &interaction.request;
    let redirect_uri = &request.reply.redirect_uri;
    let lifetimes = &app.config.lifetimes;
    let told = uses(&app.config, *audience, &decision.granted);
    let view = pages::Consent {
        chrome: app.chrome(),
        interaction: interaction.id.to_string(),
        csrf: session.csrf_token(),
        told: told.to_string(),
        client: asking(client, redirect_uri),
        returns_to: returns_to(redirect_uri),
        asks: match audience {
            Audience::Resource(resource) => pages::Asks::Access {
                resource: resource.name.as_str().into(),
                host: resource.uri.url().host_str().unwrap_or_default().into(),
            },
            Audience::Idp(idp) => {
                pages::Asks::SignIn { acts_at: acts_at(*idp, client, &subject_of(app, signed_in).await?) }
            }
        },
        person: person(app, signed_in).await?,
        scopes: decision
            .granted
            .difference(&not_asked_about(opened))
            .iter()
            .map(|scope| pages::Scope {
                value: scope.to_string(),
                words: audience.words(scope).unwrap_or(scope.as_str()).into(),
                further: further(&app.config, *audience, scope),
                accounts: accounts(&app.config, &told, scope),
                ticked: true,
            })
            .collect(),
        refused: decision
            .refused
            .iter()
            .filter_map(|(scope, reason)| {
                let words = audience.words(scope)?.into();
                Some(pages::RefusedScope { words, reason: reason.kind.in_words().into() })
            })
            .collect(),
        access_lasts: match audience {
            Audience::Resource(_) => audience.access_token_lasts(&app.config).into(),
            Audience::Idp(_) => lifetimes.id_token.into(),
        },
        refresh_lasts: client.may_use(GrantType::RefreshToken).then(|| lifetimes.refresh_absolute.into()),
        remembered: next::remembers_consent(client, redirect_uri),
        problem: problem.map(Into::into),
    };
    Ok(page::render(StatusCode::OK, &view, &FormTargets::also(redirect_uri.form_action_source())))
}

/// What these scopes let the servers of the resource use of a person's accounts elsewhere.
pub(super) fn uses(config: &Config, audience: Audience<'_>, scopes: &ScopeSet) -> Uses {
    match audience {
        Audience::Resource(resource) => config.connections.needed_by(&resource.id, scopes),
        Audience::Idp(_) => Uses::default(),
    }
}

/// The same in words, for one scope.
fn accounts(config: &Config, uses: &Uses, scope: &Scope) -> Vec<pages::VendorAccount> {
    let account = |(name, needed): (&ConnectionName, &ScopeSet)| {
        let configured = config.connections.get(name)?;
        let scopes = needed.iter().map(|scope| scope.as_str().into()).collect();
        let vendor = configured.title.as_str().into();
        Some(pages::VendorAccount { vendor, is_hers: configured.kind.is_personal(), scopes })
    };
    uses.of(scope).filter_map(account).collect()
}

/// What the servers of the resource may use elsewhere for a person who allows `scope` there (RFC 8693).
fn further(config: &Config, audience: Audience<'_>, scope: &Scope) -> Vec<pages::Further> {
    let Audience::Resource(Resource { id: own, .. }) = audience else { return Vec::new() };
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
        let audience = Audience::Resource(target);
        let words = |scope: &Scope| audience.words(scope).unwrap_or(scope.as_str()).into();
        Some(pages::Further {
            resource: target.name.as_str().into(),
            words: scopes.iter().map(words).collect(),
        })
    };
    worth.into_iter().filter_map(line).collect()
}

/// The services of others at which the rules let the client act for this person.
fn acts_at(idp: Idp<'_>, client: &Client, subject: &Subject) -> Vec<pages::Name> {
    let targets = idp.declared.targets.values().filter(|target| {
        target.resources.values().any(|resource| {
            let all = resource.scopes.keys().cloned().collect();
            let decision = Question::of_target(subject, &client.id, (target, resource), &all).decide();
            !decision.granted.is_empty()
        })
    });
    targets.map(|target| target.name.as_str().into()).collect()
}

fn asking(client: &Client, redirect_uri: &RedirectUri) -> pages::Client {
    let (host, declared) = match &client.origin {
        ClientOrigin::Declared => (None, true),
        ClientOrigin::Dynamic => (None, false),
        ClientOrigin::Document { host, .. } => (Some(host.as_str().into()), false),
    };
    let unproven = redirect_uri.reach() != Reach::Web;
    pages::Client { name: client.name.as_str().into(), host, declared, unproven }
}

fn returns_to(redirect_uri: &RedirectUri) -> pages::ReturnsTo {
    let host = redirect_uri.host();
    match redirect_uri.reach() {
        Reach::Web => pages::ReturnsTo::Site(host.as_str().into()),
        Reach::Loopback => pages::ReturnsTo::ThisComputer(host.as_str().into()),
        Reach::PrivateScheme => pages::ReturnsTo::Scheme(redirect_uri.form_action_source().as_str().into()),
    }
}
