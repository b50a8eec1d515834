//! `POST /logout`: the person leaves this service, in this browser or everywhere, and what was born in the sessions that
//! end loses its access. What she allowed stays remembered.

use std::{collections::BTreeSet, sync::Arc};

use axum::{extract::State, http::StatusCode, response::Response};

use crate::{
    app::App,
    identity::{
        ending::{Cause, Ended, Ending, Extent},
        session::BrowserSession,
    },
    web::{
        error::PageError,
        page::{self, FormTargets},
        pages,
        request::{Origin, OwnForm},
    },
};

/// Ends the session of this browser, with `everywhere` all of the person's; a browser in which nobody is signed in is
/// answered alike.
pub(super) async fn leave(
    State(app): State<Arc<App>>,
    mut session: BrowserSession,
    origin: Origin,
    OwnForm(form): OwnForm,
) -> Result<Response, PageError> {
    session.check_csrf(form.get("csrf"))?;
    let everywhere = form.get("everywhere").is_some();
    let (mut ended, mut provider) = (Ended::default(), None);
    if let Some(signed_in) = session.signed_in() {
        let chance = (&app.clock, &app.entropy);
        let ending = Ending { origin: &origin.recorded, cause: Cause::Owner, chance };
        let mut tx = app.db.begin().await?;
        ended = if everywhere {
            ending.user(&mut tx, &signed_in.user_id, Extent::Browsers).await?
        } else {
            ending.session(&mut tx, &signed_in.id).await?
        };
        tx.commit().await?;
        provider = app.config.providers.get(&signed_in.provider);
    }
    session.forget().await?;
    let applications: BTreeSet<_> = ended.grants.iter().map(|grant| &grant.client_id).collect();
    let view = pages::Done {
        chrome: app.chrome(),
        heading: if everywhere { "You are signed out everywhere" } else { "You are signed out" }.into(),
        message: farewell(everywhere, applications.len(), provider.map(|p| p.name.as_str())).as_str().into(),
        link: Some(pages::Link { href: "/login".into(), text: "Sign in again".into() }),
    };
    Ok(page::render(StatusCode::OK, &view, &FormTargets::own()))
}

/// What has ended and what has not.
fn farewell(everywhere: bool, applications: usize, still_at: Option<&str>) -> String {
    let place = if everywhere { "in any browser" } else { "here since you signed in" };
    let lost = match applications {
        0 => format!("No app was connected {place}, so none has lost access."),
        1 => format!(
            "One app that you connected {place} has lost its access; a token that it still holds runs out within minutes."
        ),
        many => format!(
            "{many} apps that you connected {place} have lost their access; tokens that they still hold run out within minutes."
        ),
    };
    match still_at {
        Some(provider) => format!("{lost} You are still signed in at {provider}."),
        None => lost,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::farewell;

    #[rstest]
    #[case(false, 0, None, "No app was connected here since you signed in, so none has lost access.")]
    #[case(
        false,
        1,
        Some("Acme"),
        "One app that you connected here since you signed in has lost its access; a token that it still holds runs out within minutes. You are still signed in at Acme."
    )]
    #[case(
        true,
        3,
        None,
        "3 apps that you connected in any browser have lost their access; tokens that they still hold run out within minutes."
    )]
    fn the_page_says_what_ended(
        #[case] everywhere: bool,
        #[case] applications: usize,
        #[case] still_at: Option<&str>,
        #[case] words: &str,
    ) {
        assert_eq!(farewell(everywhere, applications, still_at), words);
    }
}
