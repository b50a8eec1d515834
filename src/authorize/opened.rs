//! An interaction as one request of its browser finds it, and what can be said of it before anything is decided.

use std::sync::Arc;

use crate::{
    app::{App, Audience},
    authorize::{client_of, next},
    clients::Client,
    identity::{entry, session::BrowserSession},
    ids::InteractionId,
    oauth::scope::ScopeSet,
    policy::{self, Asked, Decision, Subject},
    store::{
        identities::{self, Identity},
        interactions::{self, Interaction},
        sessions::SignedIn,
    },
    web::{error::PageError, request::Origin},
};

/// An interaction with what belongs to it, for one request of its browser.
pub(super) struct Opened<'a> {
    pub(super) interaction: Interaction,
    pub(super) client: Client,
    pub(super) audience: Audience<'a>,
}

/// Finds an interaction that this browser began and that is not answered yet.
pub(super) async fn open<'a>(
    app: &'a Arc<App>,
    id: &str,
    (session, origin): (&BrowserSession, &Origin),
) -> Result<Opened<'a>, PageError> {
    let id = InteractionId::parse(id).ok_or_else(PageError::stale_link)?;
    let interaction = interactions::find(&app.db, &id, &session.browser_hash(), app.clock.now())
        .await?
        .filter(|interaction| interaction.answered_at.is_none())
        .ok_or_else(PageError::stale_link)?;
    let request = &interaction.request;
    let client = client_of(app, request.purpose.role(), Some(request.client.as_str()), origin).await?;
    let still_registered = client.redirect_uris.iter().any(|known| known.admits(&request.reply.redirect_uri));
    let audience = app.audience(&request.purpose).filter(|_| still_registered);
    let audience = audience.ok_or_else(PageError::stale_link)?;
    Ok(Opened { interaction, client, audience })
}

/// The person signed in in this browser, if her sign-in suffices for the request.
pub(super) fn sufficient<'s>(
    app: &App,
    opened: &Opened<'_>,
    session: &'s BrowserSession,
) -> Option<&'s SignedIn> {
    let now = app.clock.now();
    session.signed_in().filter(|signed_in| next::sign_in_suffices(&opened.interaction, now, signed_in))
}

/// What the policy says to `scope` for this person and client at the resource.
pub(super) async fn decide(
    app: &App,
    opened: &Opened<'_>,
    signed_in: &SignedIn,
    scope: &ScopeSet,
) -> Result<Decision, PageError> {
    let account = account_of(app, signed_in).await?;
    let provider = app.config.providers.get(&account.provider).ok_or_else(PageError::stale_link)?;
    if let Some(reason) = entry::bar(provider, &account) {
        return Ok(Decision::barred(reason));
    }
    let subject = subject(account);
    let client = &opened.client.id;
    Ok(match opened.audience {
        Audience::Resource(resource) => policy::decide(&subject, Asked { client, resource, scope }),
        // Whoever may come in may show who she is; what may be done in her name is decided when it is asked for.
        Audience::Idp(idp) => Decision::of(scope.intersection(&idp.declared.scopes_of(client))),
    })
}

/// What rules may speak of, of the person signed in.
pub(super) async fn subject_of(app: &App, signed_in: &SignedIn) -> Result<Subject, PageError> {
    account_of(app, signed_in).await.map(subject)
}

/// The account by which she signed in. Whoever was shut out meanwhile is nobody any more.
async fn account_of(app: &App, signed_in: &SignedIn) -> Result<Identity, PageError> {
    identities::find_enabled(&app.db, &signed_in.identity_id).await?.ok_or_else(PageError::stale_link)
}

fn subject(account: Identity) -> Subject {
    Subject { provider: account.provider, organization: account.organization, groups: account.groups.0 }
}
