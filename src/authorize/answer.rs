//! The person's answer: a code with exactly the scopes that she left ticked, or a refusal.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use sqlx::types::Json;

use crate::{
    app::App,
    audit::{Event, Kind},
    authorize::{
        interaction::{self, Opened},
        see_other,
    },
    identity::session::BrowserSession,
    oauth::{
        error::{ErrorCode, OAuthError},
        scope::{Scope, ScopeSet},
    },
    secret::AuthorizationCode,
    store::{
        codes::{self, Code, Permission},
        consents::{self, Consent},
        interactions,
        sessions::SignedIn,
    },
    web::{
        error::PageError,
        request::{Origin, OwnForm},
    },
};

/// `POST /interaction/{id}`
pub(super) async fn answer(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    session: BrowserSession,
    origin: Origin,
    OwnForm(form): OwnForm,
) -> Result<Response, PageError> {
    session.check_csrf(form.get("csrf"))?;
    let opened = interaction::open(&app, &id, &session).await?;
    let signed_in = interaction::sufficient(&app, &opened, &session).ok_or_else(PageError::stale_link)?;
    match form.get("decision") {
        Some("allow") => {}
        Some("deny") => return deny(&app, &opened, &session, signed_in, &origin).await,
        _ => return Err(PageError::forged().with_reason("decision missing")),
    }
    let decision = interaction::decide(&app, &opened, signed_in, &opened.interaction.request.scope).await?;
    let ticked: ScopeSet =
        form.all("scope").filter_map(|text| Scope::try_from(text.to_owned()).ok()).collect();
    let allowed = ticked.intersection(&decision.granted);
    if !decision.is_allowed() || (allowed.is_empty() && !decision.granted.is_empty()) {
        let problem = "Tick at least one thing that the application may do, or choose not to allow it.";
        return interaction::ask(&app, &opened, &session, signed_in, &decision, Some(problem)).await;
    }
    let before = consents::find(&app.db, &signed_in.user_id, &opened.client.id, &opened.resource.id).await?;
    // What was asked now and left unticked is withdrawn; what was allowed before and not asked about stays.
    let kept = before.map(|consent| consent.scope.difference(&decision.granted)).unwrap_or_default();
    let consent = Consent {
        user_id: signed_in.user_id.clone(),
        client_id: opened.client.id.clone(),
        resource: opened.resource.id.clone(),
        scope: kept.union(&allowed),
        redirect_host: opened.interaction.request.reply.redirect_uri.host(),
        granted_at: app.clock.now(),
    };
    issue_code(&app, &opened, &session, signed_in, allowed, Some(&consent), &origin).await
}

/// Answers the interaction with a code, in one transaction with the record and, unless an earlier one is remembered,
/// the consent.
pub(super) async fn issue_code(
    app: &App,
    opened: &Opened<'_>,
    session: &BrowserSession,
    signed_in: &SignedIn,
    scope: ScopeSet,
    consent: Option<&Consent>,
    origin: &Origin,
) -> Result<Response, PageError> {
    let request = &opened.interaction.request;
    let now = app.clock.now();
    let code = AuthorizationCode::new(&app.entropy);
    let event = event(Kind::ConsentGranted, origin, opened, signed_in)
        .scope(&scope)
        .reason(if consent.is_some() { "asked" } else { "remembered" });
    let row = Code {
        hash: code.hash(),
        client_id: opened.client.id.clone(),
        user_id: signed_in.user_id.clone(),
        permission: Json(Permission {
            identity_id: signed_in.identity_id.clone(),
            session_id: signed_in.id.clone(),
            resource: opened.resource.id.clone(),
            scope,
            redirect_uri: request.reply.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            auth_time: signed_in.auth_time,
            acr: signed_in.acr.clone(),
            amr: signed_in.amr.0.clone(),
        }),
        created_at: now,
        expires_at: now.plus(app.config.lifetimes.code),
        consumed_at: None,
        grant_id: None,
    };
    let mut tx = app.db.begin().await?;
    if !interactions::answer(&mut tx, &opened.interaction.id, &session.browser_hash(), now).await? {
        return Err(PageError::stale_link());
    }
    if let Some(consent) = consent {
        consents::put(&mut tx, consent).await?;
    }
    codes::insert(&mut tx, &row).await?;
    app.record(&mut tx, &event).await?;
    tx.commit().await?;
    Ok(see_other(&request.reply.with_code(&app.config.server.issuer, code.expose())))
}

async fn deny(
    app: &App,
    opened: &Opened<'_>,
    session: &BrowserSession,
    signed_in: &SignedIn,
    origin: &Origin,
) -> Result<Response, PageError> {
    let mut tx = app.db.begin().await?;
    if !interactions::answer(&mut tx, &opened.interaction.id, &session.browser_hash(), app.clock.now())
        .await?
    {
        return Err(PageError::stale_link());
    }
    app.record(&mut tx, &event(Kind::ConsentDenied, origin, opened, signed_in)).await?;
    tx.commit().await?;
    let error = OAuthError::new(ErrorCode::AccessDenied, "the user did not allow it");
    Ok(see_other(&opened.interaction.request.reply.with_error(&app.config.server.issuer, &error)))
}

fn event(kind: Kind, origin: &Origin, opened: &Opened<'_>, signed_in: &SignedIn) -> Event {
    Event::new(kind, &origin.recorded)
        .user(&signed_in.user_id)
        .provider(&signed_in.provider)
        .client(&opened.client.id)
        .resource(&opened.resource.uri)
}
