//! `POST /logout`: the person leaves this service. Her session at the provider is hers to end there.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};

use crate::{
    app::App,
    audit::{Event, Kind},
    identity::session::BrowserSession,
    store::sessions,
    web::{
        error::PageError,
        page::{self, FormTargets},
        pages,
        request::{Origin, OwnForm},
    },
};

/// Ends the session of this browser; a browser without one is answered alike.
pub(super) async fn leave(
    State(app): State<Arc<App>>,
    mut session: BrowserSession,
    origin: Origin,
    OwnForm(form): OwnForm,
) -> Result<Response, PageError> {
    session.check_csrf(form.get("csrf"))?;
    if let Some(signed_in) = session.signed_in() {
        let mut tx = app.db.begin().await?;
        if sessions::delete(&mut tx, &signed_in.user_id, &signed_in.id).await? {
            let event = Event::new(Kind::SessionEnded, &origin.recorded)
                .user(&signed_in.user_id)
                .provider(&signed_in.provider)
                .reason("by_owner")
                .detail("session", &signed_in.id);
            app.record(&mut tx, &event).await?;
        }
        tx.commit().await?;
    }
    session.forget().await?;
    let view = pages::Done {
        chrome: app.chrome(),
        heading: "You are signed out".into(),
        message: "Applications keep the access that you gave them; you can end it on your account page."
            .into(),
        link: Some(pages::Link { href: "/login".into(), text: "Sign in again".into() }),
    };
    Ok(page::render(StatusCode::OK, &view, &FormTargets::own()))
}
