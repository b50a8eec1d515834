//! What acts for a person, where she is signed in, and an end to either.

use askama::Template;

use super::{
    Chrome, Connected, Offered, Person,
    shown::{Host, Moment, Name, Prose},
};

/// The account page. Every form carries `csrf`: `POST /account/applications/end` with `grant`; `POST
/// /account/connections/end` and `/default` with `connection`, and `/label` with `label` besides; `POST
/// /account/sessions/end` with `session`, for another browser; `POST /logout` for this one, with `everywhere` for all.
#[derive(Template)]
#[template(path = "account.html")]
pub struct Account {
    /// The frame of the page.
    pub chrome: Chrome,
    /// Binds the forms to this browser's session.
    pub csrf: String,
    /// Whose account it is.
    pub person: Person,
    /// What was just done, after a form came back here.
    pub notice: Option<Prose>,
    /// The grants in force, the newest first.
    pub applications: Vec<Application>,
    /// The accounts that she connected, the defaults first.
    pub connections: Vec<Connected>,
    /// What she may connect.
    pub offered: Vec<Offered>,
    /// The live sessions, this browser's first.
    pub sessions: Vec<Session>,
    /// The provider at which signing out of this browser ends, too.
    pub leads_to: Option<Name>,
    /// The accounts at providers by which the person is known here, the oldest first.
    pub identities: Vec<LinkedAccount>,
}

/// A grant: an app that may act for the person.
pub struct Application {
    /// The id that the form posts as `grant`.
    pub grant: String,
    /// What the client is called.
    pub client: Name,
    /// The host of its metadata document.
    pub client_host: Option<Host>,
    /// What it may use.
    pub resource: Name,
    /// What it may do there, in words.
    pub scopes: Vec<Prose>,
    /// The provider that allowed it in her stead, by whose word alone it ends.
    pub managed_by: Option<Name>,
    /// When it was allowed.
    pub granted: Moment,
    /// When it last got a token; `None` before the first.
    pub last_used: Option<Moment>,
}

/// A browser in which the person is signed in.
pub struct Session {
    /// The id that the form posts as `session`: never the cookie's value.
    pub session: String,
    /// Whether it is the browser that reads the page.
    pub current: bool,
    /// A description of the browser: `Firefox on Linux`.
    pub browser: Name,
    /// Where the person signed in.
    pub provider: Name,
    /// When she signed in.
    pub signed_in: Moment,
    /// When the browser was last seen.
    pub last_seen: Moment,
}

/// An account at a provider by which the person is known here.
pub struct LinkedAccount {
    /// The provider.
    pub provider: Name,
    /// What the account is called there.
    pub label: Name,
    /// When she was first known by it.
    pub since: Moment,
}
