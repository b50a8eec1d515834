//! The way out that leads through the provider (OpenID Connect RP-Initiated Logout 1.0): whoever signs out here is sent
//! to sign out there too, and comes back to a page that says what has ended.
//!
//! Everything of ours has ended before the browser is sent on. So whatever becomes of the person there, she is out
//! here.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use url::Url;

use super::{
    login,
    logout::{Farewell, There},
};
use crate::{
    app::{App, Unopened},
    clock::Timestamp,
    config::provider::{Logout, Provider},
    identity::session::BrowserSession,
    ids::{ProviderId, SessionId},
    oauth::issuer::Issuer,
    seal::{ReadyKey, SealContext},
    secret::Secret,
    store::sessions::EndedSession,
    web::{
        error::PageError,
        page::{self, see_other},
        pages,
        request::PageForm,
    },
};

/// The key of the browser's note of what it left.
const LEFT: &str = "left";

/// A longer ID token is not sent: it stands in the head of our answer and in the provider's address, and proxies are
/// often set to 4 KB for the one and servers to 8 KB for the other.
const LONGEST_HINT: usize = 3 * 1024;

/// What a browser that was sent to sign out at a provider comes back to.
#[derive(Serialize, Deserialize)]
struct Left {
    provider: ProviderId,
    state: String,
    farewell: Farewell,
}

/// Where the browser comes back to; to be registered at the provider (`post_logout_redirect_uris`).
pub(super) fn return_uri(issuer: &Issuer, provider: &ProviderId) -> String {
    issuer.url(&format!("/login/{provider}/signed-out"))
}

/// Keys to seal the ID token with that a sign-in brings, one for each session that it may become part of; none unless
/// the person's sign-out leads through the provider. The token shows there whose session is to end (§2,
/// `id_token_hint`), is kept as long as the session, and for nothing else.
pub(super) struct Keeping(Vec<(SessionId, ReadyKey)>);

impl Keeping {
    pub(super) async fn prepare(
        app: &App,
        provider: &Provider,
        sessions: impl IntoIterator<Item = SessionId>,
        now: Timestamp,
    ) -> Result<Self, PageError> {
        let mut keys = Vec::new();
        if provider.logout == Logout::Provider {
            for id in sessions {
                let context = seal_context(&id, &provider.id, now);
                let key = app.sealer.prepare(&app.entropy, &context).await?;
                keys.push((id, key));
            }
        }
        Ok(Self(keys))
    }

    /// The ID token as the row of this session keeps it.
    pub(super) fn seal(self, session: &SessionId, id_token: &Secret) -> Option<crate::seal::Sealed> {
        let text = id_token.expose();
        let (_, key) = self.0.into_iter().find(|(id, _)| id == session)?;
        (text.len() <= LONGEST_HINT).then(|| key.seal(text.as_bytes()))
    }
}

/// The sign-in that a session follows from is part of it, so that an earlier one's token does not open.
fn seal_context<'a>(session: &'a SessionId, provider: &'a ProviderId, since: Timestamp) -> SealContext<'a> {
    SealContext {
        table: "sessions",
        column: "id_token",
        row: session.as_str(),
        owner: "",
        provider: provider.as_str(),
        version: since.as_millis(),
    }
}

/// Sends a browser in which everything has ended on to sign out at the provider.
pub(super) async fn send(
    app: &App,
    (provider, ended): (&Provider, Option<&EndedSession>),
    session: &BrowserSession,
    farewell: Farewell,
) -> Result<Response, PageError> {
    let reached = app.federation.reach(provider, &app.upstream, &app.clock).await;
    let reached =
        reached.inspect_err(|error| tracing::warn!(provider = %provider.id, "the provider {error}"));
    let endpoint = reached.ok().and_then(|reached| reached.metadata.end_session_endpoint.clone());
    let Some(endpoint) = endpoint else {
        return Ok(farewell.page(app, Some((provider, There::Unreached))));
    };
    let left = Left { provider: provider.id.clone(), state: app.entropy.token(), farewell };
    session.leave_note(LEFT, &left).await?;
    let hint = match ended {
        Some(ended) => hint(app, ended).await,
        None => None,
    };
    let back = return_uri(&app.config.server.issuer, &provider.id);
    let url = logout_url(endpoint, (&provider.client_id, hint.as_deref()), (&back, &left.state));
    let view = pages::Leaving {
        chrome: app.chrome(),
        heading: left.farewell.heading().into(),
        message: left.farewell.ours().as_str().into(),
        provider: provider.name.as_str().into(),
        href: url.to_string(),
    };
    Ok(page::lead_on(&view, &url))
}

/// The ID token of the session that ended. Without it the provider asks her whether she means it, so none of what may
/// be wrong with it is worth an error.
async fn hint(app: &App, ended: &EndedSession) -> Option<String> {
    let context = seal_context(&ended.id, &ended.provider, ended.created_at);
    let opened = app.sealer.open(&context, ended.id_token.as_ref()?).await;
    if let Err(error) = &opened {
        let (row, user) = (ended.id.as_str(), Some(&ended.user_id));
        app.unopened(Unopened { table: "sessions", row, user, error }).await.ok()?;
    }
    String::from_utf8(opened.ok()?.to_vec()).ok()
}

/// The request of §2. `client_id` is always there: without the hint nothing else would say whose address to return to.
fn logout_url(
    mut endpoint: Url,
    (client_id, hint): (&str, Option<&str>),
    (back, state): (&str, &str),
) -> Url {
    endpoint
        .query_pairs_mut()
        .extend_pairs(hint.map(|hint| ("id_token_hint", hint)))
        .append_pair("client_id", client_id)
        .append_pair("post_logout_redirect_uri", back)
        .append_pair("state", state);
    endpoint
}

/// `GET /login/{provider}/signed-out`: the browser is back (§3). It can be asked for again and changes nothing.
pub(super) async fn back(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    session: BrowserSession,
    form: Result<PageForm, PageError>,
) -> Result<Response, PageError> {
    let provider = login::provider_of(&app, &id)?;
    let PageForm(params) = form?;
    if session.signed_in().is_some() {
        return Ok(see_other(&app.path("/account")));
    }
    let state = params.get("state").unwrap_or_default();
    let is_this = |left: &Left| {
        left.provider == provider.id && bool::from(left.state.as_bytes().ct_eq(state.as_bytes()))
    };
    let left: Option<Left> = session.note(LEFT).await?;
    let left = left.filter(is_this).ok_or_else(|| {
        PageError::stale_link().with_reason("nobody signed out by this state in this browser of late")
    })?;
    Ok(left.farewell.page(&app, Some((provider, There::Asked))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_keeps_the_query_that_it_has() {
        let endpoint = Url::parse("https://idp.acme.com/logout?flow=b2b").unwrap();
        let url = logout_url(endpoint, ("us&them", None), ("https://us.example/back", "s"));
        assert_eq!(
            url.as_str(),
            "https://idp.acme.com/logout?flow=b2b&client_id=us%26them&\
             post_logout_redirect_uri=https%3A%2F%2Fus.example%2Fback&state=s"
        );
    }
}
