//! The page of an interaction: shows or does whatever comes next.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};

use crate::{
    app::App,
    audit::{Event, Kind},
    authorize::{
        answer::issue_code,
        client_of,
        next::{self, Step},
        send_error,
    },
    clients::{Client, Origin as ClientOrigin},
    config::resource::Resource,
    identity::session::BrowserSession,
    ids::InteractionId,
    oauth::{authorization::ValidatedRequest, grant_type::GrantType, redirect_uri::Reach, scope::ScopeSet},
    policy::{self, Asked, Decision, Reason},
    store::{
        consents, identities,
        interactions::{self, Interaction},
        sessions::SignedIn,
    },
    web::{
        error::{Fault, PageError},
        page::{self, FormTargets},
        pages,
        request::Origin,
    },
};

/// An interaction with what belongs to it, for one request of its browser.
pub(super) struct Opened<'a> {
    pub(super) interaction: Interaction,
    pub(super) client: Client,
    pub(super) resource: &'a Resource,
}

/// Finds an interaction that this browser began and that is not answered yet.
pub(super) async fn open<'a>(
    app: &'a Arc<App>,
    id: &str,
    session: &BrowserSession,
) -> Result<Opened<'a>, PageError> {
    let id = InteractionId::parse(id).ok_or_else(PageError::stale_link)?;
    let interaction = interactions::find(&app.db, &id, &session.browser_hash(), app.clock.now())
        .await?
        .filter(|interaction| interaction.answered_at.is_none())
        .ok_or_else(PageError::stale_link)?;
    let request = &interaction.request;
    let client = client_of(app, Some(request.client.as_str())).await?;
    let still_registered = client.redirect_uris.iter().any(|known| known.admits(&request.reply.redirect_uri));
    let resource = app.config.resources.get(&request.resource).filter(|_| still_registered);
    let resource = resource.ok_or_else(PageError::stale_link)?;
    Ok(Opened { interaction, client, resource })
}

/// `GET /interaction/{id}`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    session: BrowserSession,
    origin: Origin,
) -> Result<Response, PageError> {
    let opened = open(&app, &id, &session).await?;
    let request = &opened.interaction.request;
    let step = match sufficient(&app, &opened, &session) {
        None => next::without_session(request),
        Some(signed_in) => {
            let decision = decide(&app, &opened, signed_in, &request.scope).await?;
            let remembered =
                consents::find(&app.db, &signed_in.user_id, &opened.client.id, &opened.resource.id).await?;
            let step = next::with_session(request, &opened.client, decision.clone(), remembered.as_ref());
            if let Step::AskConsent(_) = step {
                return ask(&app, &opened, &session, signed_in, &decision, None).await;
            }
            step
        }
    };
    match (step, session.signed_in()) {
        (Step::Finish(scope), Some(signed_in)) => {
            issue_code(&app, &opened, &session, signed_in, scope, None, &origin).await
        }
        (Step::Refuse(error), _) => Ok(send_error(&app, &opened.client, &request.reply, &error)),
        (Step::NotEntitled(reasons), Some(signed_in)) => {
            Err(not_entitled(&app, &opened, signed_in, &reasons, &origin).await?)
        }
        _ => {
            Ok(Redirect::to(&app.path(&format!("/login?interaction={}", opened.interaction.id)))
                .into_response())
        }
    }
}

/// The person signed in in this browser, if her sign-in suffices for the request.
pub(super) fn sufficient<'s>(
    app: &App,
    opened: &Opened<'_>,
    session: &'s BrowserSession,
) -> Option<&'s SignedIn> {
    let interaction = &opened.interaction;
    session.signed_in().filter(|signed_in| {
        next::sign_in_suffices(&interaction.request, interaction.created_at, app.clock.now(), signed_in)
    })
}

/// What the policy says to `scope` for this person and client at the resource.
pub(super) async fn decide(
    app: &App,
    opened: &Opened<'_>,
    signed_in: &SignedIn,
    scope: &ScopeSet,
) -> Result<Decision, PageError> {
    let account =
        identities::find_enabled(&app.db, &signed_in.identity_id).await?.ok_or_else(PageError::stale_link)?;
    let subject = policy::Subject {
        provider: account.provider,
        organization: account.organization,
        groups: account.groups.0,
    };
    let asked = Asked { client: &opened.client.id, resource: opened.resource, scope };
    Ok(policy::decide(&subject, asked))
}

/// The page that says why a person may not, recorded.
async fn not_entitled(
    app: &App,
    opened: &Opened<'_>,
    signed_in: &SignedIn,
    reasons: &[Reason],
    origin: &Origin,
) -> Result<PageError, PageError> {
    let rules: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    let event = Event::new(Kind::AuthorizationRefused, &origin.recorded)
        .user(&signed_in.user_id)
        .provider(&signed_in.provider)
        .client(&opened.client.id)
        .resource(&opened.resource.uri)
        .reason("policy")
        .detail("rules", rules.join(", "));
    app.record_alone(&event).await?;
    let because = reasons
        .first()
        .map_or("a rule of your organization does not allow it", |reason| reason.kind.in_words());
    Ok(PageError::new(
        StatusCode::FORBIDDEN,
        Fault::Policy,
        format!("You may not use {} this way", opened.resource.name),
        format!("{} asked for access to {}, but {because}.", opened.client.name, opened.resource.name),
        "If you need it for your work, ask for access and quote the number below.",
    )
    .with_reason(rules.join(", ")))
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
    let Opened { interaction, client, resource } = opened;
    let request: &ValidatedRequest = &interaction.request;
    let redirect_uri = &request.reply.redirect_uri;
    let host = redirect_uri.host();
    let words = |scope: &crate::oauth::scope::Scope| {
        resource.scopes.get(scope).map_or_else(|| scope.to_string(), |rule| rule.description.clone())
    };
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
            loopback_only: client.redirect_uris.iter().all(|uri| uri.reach() == Reach::Loopback),
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
                words: words(scope).as_str().into(),
                ticked: true,
            })
            .collect(),
        refused: decision
            .refused
            .iter()
            .filter(|(scope, _)| resource.scopes.contains_key(scope))
            .map(|(scope, reason)| pages::RefusedScope {
                words: words(scope).as_str().into(),
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

/// The person as pages show her.
pub(crate) async fn person(app: &App, signed_in: &SignedIn) -> Result<pages::Person, PageError> {
    let account =
        identities::find_enabled(&app.db, &signed_in.identity_id).await?.ok_or_else(PageError::stale_link)?;
    let provider =
        app.config.providers.get(&account.provider).map_or(account.provider.as_str(), |p| p.name.as_str());
    let name = account.name.or_else(|| account.email.clone()).unwrap_or(account.subject);
    Ok(pages::Person {
        name: name.as_str().into(),
        email: account.email.as_deref().map(Into::into),
        provider: provider.into(),
    })
}
