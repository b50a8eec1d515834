//! The page of an interaction: shows or does whatever comes next.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};

use crate::{
    app::{App, Audience},
    audit::{About, Event, Kind},
    authorize::{
        code::issue_code,
        consent_page::{self, ask},
        next::{self, Step},
        opened::{Opened, decide, open, sufficient},
        send_error,
    },
    identity::session::BrowserSession,
    policy::Reason,
    store::{consents, sessions::SignedIn},
    web::{
        error::{Fault, PageError},
        request::Origin,
    },
};

/// `GET /interaction/{id}`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    session: BrowserSession,
    origin: Origin,
) -> Result<Response, PageError> {
    let opened = open(&app, &id, (&session, &origin)).await?;
    let request = &opened.interaction.request;
    let step = match sufficient(&app, &opened, &session) {
        None => next::without_session(&opened.interaction, session.signed_in()),
        Some(signed_in) => {
            let decision = decide(&app, &opened, signed_in, &request.scope).await?;
            let remembered =
                consents::find(&app.db, &signed_in.user_id, &opened.client.id, &request.purpose).await?;
            let told = consent_page::uses(&app.config, opened.audience, &decision.granted);
            let before = (&told, remembered.as_ref());
            let step = next::with_session(request, &opened.client, decision.clone(), before);
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
        (Step::Refuse(error), _) => Ok(send_error(&opened.client, &request.reply, &error)),
        (Step::NotEntitled(reasons), Some(signed_in)) => {
            Err(not_entitled(&app, &opened, signed_in, &reasons, &origin).await?)
        }
        _ => {
            Ok(Redirect::to(&app.path(&format!("/login?interaction={}", opened.interaction.id)))
                .into_response())
        }
    }
}

/// The page that says why a person may not, recorded.
async fn not_entitled(
    app: &App,
    opened: &Opened<'_>,
    signed_in: &SignedIn,
    reasons: &[Reason],
    origin: &Origin,
) -> Result<PageError, PageError> {
    let about = About::default()
        .user(&signed_in.user_id)
        .provider(&signed_in.provider)
        .client(&opened.client.id)
        .resource(opened.audience.uri())
        .asked(&opened.interaction.request.scope)
        .rules(reasons);
    let event = Event::new(Kind::AuthorizationRefused, &origin.recorded).reason("policy").about(about);
    app.record_refusal(origin, &event).await?;
    let name = match opened.audience {
        Audience::Resource(resource) => &resource.name,
        Audience::Idp(_) => &app.config.server.name,
    };
    let because = reasons
        .first()
        .map_or("a rule of your organization does not allow it", |reason| reason.kind.in_words());
    Ok(PageError::new(
        StatusCode::FORBIDDEN,
        Fault::Policy,
        format!("You may not use {name} this way"),
        format!("{} asked for access to {name}, but {because}.", opened.client.name),
        "If you need it for your work, ask for access and quote the number below.",
    )
    .with_reason(reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")))
}
