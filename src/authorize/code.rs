//! The code that answers an interaction (OAuth 2.1 §4.1.2).

use axum::response::Response;
use sqlx::types::Json;

use crate::{
    app::App,
    audit::{Event, Kind},
    authorize::opened::Opened,
    identity::session::BrowserSession,
    oauth::scope::ScopeSet,
    secret::AuthorizationCode,
    store::{
        codes::{self, Code, Permission},
        consents::{self, Consent},
        interactions,
        sessions::{self, SignedIn},
    },
    web::{error::PageError, page::see_other, request::Origin},
};

/// What a person answered.
pub(super) struct Answered {
    /// What she allowed.
    pub(super) consent: Consent,
    /// What she was asked for.
    pub(super) asked: ScopeSet,
}

/// Answers the interaction with a code, in one transaction with the record and, unless an earlier one is remembered,
/// the consent.
pub(super) async fn issue_code(
    app: &App,
    opened: &Opened<'_>,
    session: &BrowserSession,
    signed_in: &SignedIn,
    scope: ScopeSet,
    answered: Option<&Answered>,
    origin: &Origin,
) -> Result<Response, PageError> {
    let request = &opened.interaction.request;
    let now = app.clock.now();
    let code = AuthorizationCode::new(&app.entropy);
    let event = event(Kind::ConsentGranted, origin, opened, signed_in)
        .scope(&scope)
        .reason(if answered.is_some() { "asked" } else { "remembered" });
    let row = Code {
        hash: code.hash(),
        client_id: opened.client.id.clone(),
        user_id: signed_in.user_id.clone(),
        session_id: Some(signed_in.id.clone()),
        permission: Json(Permission {
            identity_id: signed_in.identity_id.clone(),
            purpose: opened.audience.purpose(),
            scope,
            redirect_uri: request.reply.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            nonce: request.nonce.clone(),
            auth_time: signed_in.auth_time,
            acr: signed_in.acr.clone(),
            amr: signed_in.amr.0.clone(),
            jkt: request.dpop_jkt.clone(),
        }),
        created_at: now,
        expires_at: now.plus(app.config.lifetimes.code),
        consumed_at: None,
        grant_id: None,
    };
    let mut tx = app.db.begin().await?;
    if !sessions::hold(&mut tx, &signed_in.id, now).await? {
        return Err(PageError::stale_link().with_reason("the session ended meanwhile"));
    }
    if !interactions::answer(&mut tx, &opened.interaction.id, &session.browser_hash(), now).await? {
        return Err(PageError::stale_link());
    }
    if let Some(Answered { consent, asked }) = answered {
        consents::answer(&mut tx, consent, (asked, opened.interaction.created_at)).await?;
    }
    codes::insert(&mut tx, &row).await?;
    app.record(&mut tx, &event).await?;
    tx.commit().await?;
    Ok(see_other(&request.reply.with_code(code.expose())))
}

/// What is recorded of an answer.
pub(super) fn event(kind: Kind, origin: &Origin, opened: &Opened<'_>, signed_in: &SignedIn) -> Event {
    Event::new(kind, &origin.recorded)
        .user(&signed_in.user_id)
        .provider(&signed_in.provider)
        .client(&opened.client.id)
        .resource(opened.audience.uri())
}
