//! The question of all questions: may this app act for this person, here, with these scopes?

use askama::Template;

use super::{
    Chrome, Person,
    shown::{Host, Name, Prose, Span},
};

/// Asks for consent. `POST /interaction/{id}` with `csrf`, `told`, `scope` once for each ticked box, and
/// `decision` = `allow` or `deny`. The "not you?" button is `POST /logout` with `csrf` and `interaction`.
#[derive(Template)]
#[template(path = "consent.html")]
pub struct Consent {
    /// The frame of the page.
    pub chrome: Chrome,
    /// The id of the interaction, for the path.
    pub interaction: String,
    /// Binds both forms to this browser's session.
    pub csrf: String,
    /// All that the page says of the person's accounts elsewhere, so that it comes back with the answer.
    pub told: String,
    /// Who asks.
    pub client: Client,
    /// Where the browser goes with the answer.
    pub returns_to: ReturnsTo,
    /// What is asked for.
    pub asks: Asks,
    /// Who answers.
    pub person: Person,
    /// What may be allowed.
    pub scopes: Vec<Scope>,
    /// What was asked but the rules refuse.
    pub refused: Vec<RefusedScope>,
    /// The life of an access token, or of the ID token.
    pub access_lasts: Span,
    /// How long the client may keep access while the person is away; `None` without a refresh token.
    pub refresh_lasts: Option<Span>,
    /// The answer will be remembered, and not asked again.
    pub remembered: bool,
    /// Why the page is shown again, such as when no scope was left ticked.
    pub problem: Option<Prose>,
}

/// What is asked for.
pub enum Asks {
    /// To use a resource.
    Access {
        /// What it is called.
        resource: Name,
        /// The host of its URI.
        host: Host,
    },
    /// To know who the person is, and to ask in her name for access at these services of others.
    SignIn {
        /// What they are called.
        acts_at: Vec<Name>,
    },
}

/// The client, and how far its name can be believed.
pub struct Client {
    /// What it calls itself, or what the operator calls it.
    pub name: Name,
    /// The host of its metadata document.
    pub host: Option<Host>,
    /// Declared by the administrator.
    pub declared: bool,
    /// The answer stays on the person's computer, where any program could claim the name.
    pub unproven: bool,
}

/// Where the answer is sent: the kind of the redirect URI.
pub enum ReturnsTo {
    /// A web site, by the host of its redirect URI.
    Site(Host),
    /// A program that listens on this computer, by the loopback host.
    ThisComputer(Host),
    /// The program that owns a private-use scheme (RFC 8252 §7.1), by the scheme.
    Scheme(Host),
}

/// A scope that may be allowed, as a checkbox.
pub struct Scope {
    /// The scope value, posted when ticked.
    pub value: String,
    /// What it allows, in words.
    pub words: Prose,
    /// What the resource may then use elsewhere for the person.
    pub further: Vec<Further>,
    /// What the resource may use of the person's accounts elsewhere.
    pub accounts: Vec<VendorAccount>,
    /// Whether the box is ticked at first.
    pub ticked: bool,
}

/// Another resource that the one asked for may use for the person.
pub struct Further {
    /// What it is called.
    pub resource: Name,
    /// What may be done there, in words.
    pub words: Vec<Prose>,
}

/// A person's account at a vendor, as far as a resource may use it.
pub struct VendorAccount {
    /// Whether it is the person's own, and not one that the operator has for everybody.
    pub is_hers: bool,
    /// What the vendor is called.
    pub vendor: Name,
    /// The vendor's scopes that are needed; none where it is about the account alone.
    pub scopes: Vec<Name>,
}

/// A scope that the client asked for and the rules refuse.
pub struct RefusedScope {
    /// What it would have allowed, in words.
    pub words: Prose,
    /// Why not, as a sentence.
    pub reason: Prose,
}
