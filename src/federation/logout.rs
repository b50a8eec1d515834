//! `POST /logout`: the person leaves this service, in this browser or everywhere, and what was born in the sessions
//! that end loses its access. What she allowed stays remembered.

use std::{collections::BTreeSet, sync::Arc};

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};

use super::signed_out;
use crate::{
    app::App,
    config::provider::{Logout, Provider},
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
    let signed_in = session.signed_in().cloned();
    let mut ended = Ended::default();
    if let Some(signed_in) = &signed_in {
        let chance = (&app.clock, &app.entropy);
        let ending = Ending { origin: &origin.recorded, cause: Cause::Owner, chance };
        let mut tx = app.db.begin().await?;
        ended = if everywhere {
            ending.user(&mut tx, &signed_in.user_id, Extent::Browsers).await?
        } else {
            ending.session(&mut tx, &signed_in.id).await?
        };
        tx.commit().await?;
    }
    session.forget().await?;
    let applications: BTreeSet<_> = ended.grants.iter().map(|grant| &grant.client_id).collect();
    let farewell = Farewell { everywhere, applications: applications.len() };
    let provider = signed_in.as_ref().and_then(|here| app.config.providers.get(&here.provider));
    match provider {
        Some(provider) if provider.logout == Logout::Provider => {
            let here = ended.sessions.iter().find(|one| signed_in.as_ref().is_some_and(|it| it.id == one.id));
            signed_out::send(&app, (provider, here), &session, farewell).await
        }
        _ => Ok(farewell.page(&app, provider.map(|provider| (provider, There::StillIn)))),
    }
}

/// What a person who left is told.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Farewell {
    /// Whether all her sessions have ended, and not this browser's alone.
    pub(super) everywhere: bool,
    /// How many applications have lost their access.
    pub(super) applications: usize,
}

/// How she stands at her provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// As before.
    StillIn,
    /// As before, since it could not be asked to sign her out.
    Unreached,
    /// It was asked to sign her out, and has sent her back. Whether it did, or she changed her mind, it does not say.
    Asked,
}

impl Farewell {
    /// In a few words.
    pub(super) const fn heading(self) -> &'static str {
        if self.everywhere { "You are signed out everywhere" } else { "You are signed out" }
    }

    /// What has ended of ours.
    pub(super) fn ours(self) -> String {
        let place = if self.everywhere { "in any browser" } else { "here since you signed in" };
        match self.applications {
            0 => format!("No app was connected {place}, so none has lost access."),
            1 => format!(
                "One app that you connected {place} has lost its access; a token that it still holds runs out within \
                 minutes."
            ),
            many => format!(
                "{many} apps that you connected {place} have lost their access; tokens that they still hold run out \
                 within minutes."
            ),
        }
    }

    /// What has ended, and what has not.
    fn words(self, there: Option<(&str, There)>) -> String {
        let ours = self.ours();
        match there {
            None => ours,
            Some((provider, There::StillIn)) => format!("{ours} You are still signed in at {provider}."),
            Some((provider, There::Unreached)) => {
                format!(
                    "{ours} You are still signed in at {provider}, which could not be asked to sign you out."
                )
            }
            Some((provider, There::Asked)) => format!(
                "{ours} {provider} was asked to sign you out too, and sent you back here. Other applications that you \
                 use with it may stay signed in until they learn of it."
            ),
        }
    }

    /// The page that ends it.
    pub(super) fn page(self, app: &App, there: Option<(&Provider, There)>) -> Response {
        let there = there.map(|(provider, there)| (provider.name.as_str(), there));
        let view = pages::Done {
            chrome: app.chrome(),
            heading: self.heading().into(),
            message: self.words(there).as_str().into(),
            link: Some(pages::Link { href: "/login".into(), text: "Sign in again".into() }),
            away: None,
        };
        page::render(StatusCode::OK, &view, &FormTargets::own())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Farewell, There};

    #[rstest]
    #[case(false, 0, None, "No app was connected here since you signed in, so none has lost access.")]
    #[case(
        false,
        1,
        Some(("Acme", There::StillIn)),
        "One app that you connected here since you signed in has lost its access; a token that it still holds runs out within minutes. You are still signed in at Acme."
    )]
    #[case(
        false,
        0,
        Some(("Acme", There::Unreached)),
        "No app was connected here since you signed in, so none has lost access. You are still signed in at Acme, which could not be asked to sign you out."
    )]
    #[case(
        true,
        0,
        Some(("Acme", There::Asked)),
        "No app was connected in any browser, so none has lost access. Acme was asked to sign you out too, and sent you back here. Other applications that you use with it may stay signed in until they learn of it."
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
        #[case] there: Option<(&str, There)>,
        #[case] words: &str,
    ) {
        assert_eq!(Farewell { everywhere, applications }.words(there), words);
    }
}
