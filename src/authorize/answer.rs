//! The person's answer: a code with exactly the scopes that she left ticked, or a refusal.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use sqlx::types::Json;

use crate::{
    app::App,
    audit::Kind,
    authorize::{
        code::{Answered, event, issue_code},
        consent_page::{self, ask},
        opened::{Opened, decide, open, sufficient},
    },
    identity::session::BrowserSession,
    oauth::{
        error::{ErrorCode, OAuthError},
        scope::{Scope, ScopeSet},
    },
    store::{consents::Consent, interactions, sessions::SignedIn},
    web::{
        error::PageError,
        page::see_other,
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
    let opened = open(&app, &id, (&session, &origin)).await?;
    let signed_in = sufficient(&app, &opened, &session).ok_or_else(PageError::stale_link)?;
    match form.get("decision") {
        Some("allow") => {}
        Some("deny") => return deny(&app, &opened, &session, signed_in, &origin).await,
        _ => return Err(PageError::forged().with_reason("decision missing")),
    }
    let decision = decide(&app, &opened, signed_in, &opened.interaction.request.scope).await?;
    let ticked: ScopeSet =
        form.all("scope").filter_map(|text| Scope::try_from(text.to_owned()).ok()).collect();
    // What is not asked about, because sign-in is nothing without it, is allowed with the rest.
    let allowed = ticked.union(&consent_page::not_asked_about(&opened)).intersection(&decision.granted);
    if !decision.is_allowed() || (allowed.is_empty() && !decision.granted.is_empty()) {
        let problem = "Tick at least one thing that the application may do, or choose not to allow it.";
        return ask(&app, &opened, &session, signed_in, &decision, Some(problem)).await;
    }
    let uses = consent_page::uses(&app.config, opened.audience, &decision.granted);
    if form.get("told") != Some(uses.to_string().as_str()) {
        let problem = "What it would be able to do has changed in the meantime. Please read it again.";
        return ask(&app, &opened, &session, signed_in, &decision, Some(problem)).await;
    }
    let consent = Consent {
        user_id: signed_in.user_id.clone(),
        client_id: opened.client.id.clone(),
        purpose: opened.audience.purpose(),
        scope: allowed.clone(),
        uses: Json(uses),
        redirect_host: opened.interaction.request.reply.redirect_uri.host(),
        document: opened.client.fingerprint().cloned(),
        granted_at: app.clock.now(),
    };
    let answered = Answered { consent, asked: decision.granted };
    issue_code(&app, &opened, &session, signed_in, allowed, Some(&answered), &origin).await
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
    Ok(see_other(&opened.interaction.request.reply.with_error(&error)))
}
