//! What a person came to connect: by herself, by a link that was made for her, or because a connection of hers is of no
//! use any more.

use axum::http::StatusCode;

use crate::{
    app::App,
    audit::{Event, Kind},
    config::connection::Connection as Configured,
    ids::ConnectionId,
    oauth::{params::Params, scope::ScopeSet},
    secret::ConnectToken,
    store::{
        connect_links::{self, ConnectLink},
        connections::{self, Connection},
        sessions::SignedIn,
        switched_off::{self, Switch},
    },
    vault::state::State,
    web::{
        error::{Fault, PageError},
        request::Origin,
    },
};

use super::{failure, link};

/// The parameter that names the connection that is to be made again.
const ACCOUNT: &str = "account";

/// What a page or a form of ours was asked for, as text.
#[derive(Debug, Clone, Default)]
pub(super) struct Way {
    /// What stands in a link, in the clear.
    pub(super) link: Option<String>,
    /// The connection that is to be made again.
    pub(super) account: Option<ConnectionId>,
}

/// What is to be connected, and for whom.
pub(super) struct Visit<'a> {
    pub(super) configured: &'a Configured,
    pub(super) way: Way,
    /// The link that led here.
    pub(super) link: Option<ConnectLink>,
    /// The connection that is made again.
    pub(super) renews: Option<Connection>,
    /// Whether she has accounts connected beside which this would be another.
    pub(super) further: bool,
    /// What the account shall allow.
    pub(super) scopes: ScopeSet,
    /// What it allows already.
    pub(super) held: ScopeSet,
}

impl Way {
    /// Of a query or a form. What has not the form of a link of ours is none.
    pub(super) fn read(params: &Params) -> Result<Self, PageError> {
        let link = match params.get(link::PARAMETER) {
            Some(sent) => Some(ConnectToken::parse(sent).ok_or_else(stale)?.expose().to_owned()),
            None => None,
        };
        let account = match params.get(ACCOUNT) {
            Some(sent) => Some(ConnectionId::parse(sent).ok_or_else(stale)?),
            None => None,
        };
        Ok(Self { link, account })
    }

    /// The path of its page, below the issuer's.
    pub(super) fn path(&self, configured: &Configured) -> String {
        let mut path = format!("/connect/{}", configured.name);
        // Every character of either is one that a URL takes as it is.
        if let Some(link) = &self.link {
            path = format!("{path}?{}={link}", link::PARAMETER);
        } else if let Some(account) = &self.account {
            path = format!("{path}?{ACCOUNT}={account}");
        }
        path
    }

    /// The path of a sign-in that leads to its page. `anew`: as somebody else, perhaps.
    pub(super) fn through_sign_in(&self, configured: &Configured, anew: bool) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("onward", &self.path(configured));
        if anew {
            query.append_pair("prompt", "login");
        }
        format!("/login?{}", query.finish())
    }
}

impl<'a> Visit<'a> {
    /// Looks at all that may keep the person from connecting, and uses nothing up.
    pub(super) async fn of(
        app: &'a App,
        (configured, way): (&'a Configured, Way),
        signed_in: &SignedIn,
        origin: &Origin,
    ) -> Result<Self, PageError> {
        if switched_off::is_off(&app.db, Switch::Connection(&configured.name)).await? {
            return Err(failure::disabled(configured));
        }
        let link = match &way.link {
            Some(token) => Some(open_link(app, configured, (token, &way), signed_in, origin).await?),
            None => None,
        };
        let rows = connections::of_user_named(&app.db, &signed_in.user_id, &configured.name).await?;
        let further = configured.account.several && !rows.is_empty();
        let renews = match (&way.account, &link) {
            (Some(id), _) => Some(rows.into_iter().find(|row| row.id == *id).ok_or_else(stale)?),
            (None, None) if further => None,
            // What a link asks for is wanted of the account that is meant where nobody says which.
            (None, _) => rows.into_iter().next(),
        };
        if renews.as_ref().is_some_and(|row| row.state == State::Disabled) {
            return Err(failure::disabled(configured));
        }
        let wanted = match (&link, &renews) {
            (Some(link), _) => link.scope.clone(),
            (None, Some(_)) => ScopeSet::default(),
            (None, None) => configured.uses.all(),
        };
        let before = renews.as_ref().map(|row| row.scope.clone()).unwrap_or_default();
        let lost = renews.as_ref().is_some_and(|row| matches!(row.state, State::NeedsReconnect(_)));
        Ok(Self {
            scopes: configured.scopes.union(&wanted).union(&before),
            held: if lost { ScopeSet::default() } else { before },
            further: further && renews.is_none(),
            configured,
            way,
            link,
            renews,
        })
    }
}

/// The link, if it was made for her, for this, is not too old and was not used.
async fn open_link(
    app: &App,
    configured: &Configured,
    (token, way): (&str, &Way),
    signed_in: &SignedIn,
    origin: &Origin,
) -> Result<ConnectLink, PageError> {
    let token = ConnectToken::parse(token).ok_or_else(stale)?;
    let link = connect_links::find(&app.db, &token.hash()).await?.ok_or_else(stale)?;
    if link.user_id != signed_in.user_id {
        let event = Event::new(Kind::ConnectionRefused, &origin.recorded)
            .user(&signed_in.user_id)
            .client(&link.client_id)
            .reason("link_of_another")
            .detail("connection", &link.connection);
        app.record_refusal(origin, &event).await?;
        return Err(PageError::new(
            StatusCode::FORBIDDEN,
            Fault::Browser,
            "This link was made for somebody else",
            "Whoever it was made for is not signed in in this browser, so nothing was connected. The link is as good as \
             it was.",
            "If it was sent to you, sign in with the account that you use there. If somebody handed it to you, close \
             this page.",
        )
        .with_link("Sign in with another account", way.through_sign_in(configured, true))
        .with_reason("link of another user"));
    }
    if link.connection != configured.name || link.expires_at <= app.clock.now() {
        return Err(stale());
    }
    if link.used_at.is_some() {
        return Err(used());
    }
    Ok(link)
}

/// The link did its work already.
pub(super) fn used() -> PageError {
    PageError::new(
        StatusCode::BAD_REQUEST,
        Fault::Browser,
        "This is done already",
        "The account was connected by this link, which is good once.",
        "Go back to the application and go on there. What is connected stands on your account page.",
    )
    .with_link("Your account", "/account")
    .with_reason("link used already")
}

/// A link or a form that is of no use any more, or never was.
pub(super) fn stale() -> PageError {
    PageError::new(
        StatusCode::BAD_REQUEST,
        Fault::Browser,
        "This page is no longer valid",
        "The link is too old, was changed on its way, or was opened in another browser than the one it was made for.",
        "Nothing was connected. Go back to the application and ask again, or connect from your account page.",
    )
    .with_link("Your account", "/account")
}
