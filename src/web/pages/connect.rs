//! Before and after an account elsewhere is connected.

use askama::Template;

use super::{
    Chrome, Person,
    shown::{LocalPath, Name, Prose},
};

/// Says what would be allowed. `POST /connect/{connection}` with `csrf`, with `link` or `account` where the page had
/// them, and with `label`.
#[derive(Template)]
#[template(path = "connect.html")]
pub struct Connect {
    /// The frame of the page.
    pub chrome: Chrome,
    /// Binds the form to this browser's session.
    pub csrf: String,
    /// Where the form goes.
    pub action: LocalPath,
    /// The link that led here.
    pub link: Option<String>,
    /// The connection that is made again.
    pub account: Option<String>,
    /// What the vendor is called.
    pub vendor: Name,
    /// Whose account it would be here.
    pub person: Person,
    /// Who asks for it; `None` when she came by herself.
    pub asker: Option<Asker>,
    /// What the account is called there that is connected and would be connected again.
    pub connected_as: Option<Name>,
    /// Whether it would be another account beside one that is connected.
    pub further: bool,
    /// What it could be used for.
    pub uses: Vec<ConnectUse>,
    /// The programs that may use it while she is away.
    pub offline: Vec<Name>,
    /// What she enters here, where the vendor has no page of its own on which she would allow it: sent as `key`, or as
    /// `user` and `password`.
    pub entry: Option<Entry>,
    /// What the vendor calls what it will ask about.
    pub scopes: Vec<Name>,
}

/// What a person enters to connect an account.
pub enum Entry {
    /// A key that she made there.
    Key,
    /// Her user name and password there.
    Password,
}

/// Who asks that an account be connected.
pub struct Asker {
    /// What the client is called.
    pub client: Name,
    /// The resource that it serves.
    pub resource: Option<Name>,
}

/// What one resource could do with an account.
pub struct ConnectUse {
    /// What the resource is called.
    pub resource: Name,
    /// What it could do, in words.
    pub words: Vec<Prose>,
}

/// Asks with which site of an account to work. `POST /connect/{connection}/site` with `csrf`, `state` and `site`.
#[derive(Template)]
#[template(path = "connect_site.html")]
pub struct ConnectSite {
    /// The frame of the page.
    pub chrome: Chrome,
    /// Binds the form to this browser's session.
    pub csrf: String,
    /// Where the form goes.
    pub action: LocalPath,
    /// What was connected.
    pub state: String,
    /// What the vendor is called.
    pub vendor: Name,
    /// The sites.
    pub sites: Vec<SiteChoice>,
}

/// A site, as a button.
pub struct SiteChoice {
    /// The value of `site` that picks this one.
    pub value: String,
    /// What people call it.
    pub name: Name,
    /// Its address.
    pub address: Option<Name>,
}
