//! Where to sign in: the choice among providers, and the stand-in provider of `chancery dev`.

use askama::Template;

use super::{
    Chrome,
    shown::{LocalPath, Name},
};

/// Lets the person choose among several providers.
#[derive(Template)]
#[template(path = "chooser.html")]
pub struct Chooser {
    /// The frame of the page.
    pub chrome: Chrome,
    /// For whom the sign-in is; `None` when the person came by herself.
    pub asking: Option<Asking>,
    /// Finds the provider by e-mail domain, where any provider names domains.
    pub email: Option<EmailForm>,
    /// The providers to choose from.
    pub providers: Vec<ProviderChoice>,
}

/// Who asks for the sign-in.
pub struct Asking {
    /// What the client is called.
    pub client: Name,
    /// What it wants to use; `None` where it wants to know who the person is.
    pub resource: Option<Name>,
}

/// A form with `email` and `csrf`, posted to `action`.
pub struct EmailForm {
    /// Where the form goes.
    pub action: LocalPath,
    /// Binds the form to this browser's session.
    pub csrf: String,
    /// What was typed before, or the client's `login_hint`; empty at first.
    pub email: String,
    /// The domain that no provider claims, when the form is shown again.
    pub unknown_domain: Option<Name>,
}

/// A provider, as a link.
pub struct ProviderChoice {
    /// What people call it.
    pub name: Name,
    /// `/login/{provider}` with what the login needs.
    pub href: LocalPath,
}

/// The sign-in page of the built-in provider of `chancery dev`: a form with `fields` and `user`.
#[derive(Template)]
#[template(path = "dev_sign_in.html")]
pub struct DevSignIn {
    /// The frame of the page.
    pub chrome: Chrome,
    /// Where the form goes.
    pub action: LocalPath,
    /// Hidden fields, by name and value.
    pub fields: Vec<(String, String)>,
    /// Who may be played.
    pub users: Vec<TestUser>,
}

/// A user of the built-in provider, as a button.
pub struct TestUser {
    /// The value of `user` that picks this one.
    pub value: String,
    /// The user's name.
    pub name: Name,
    /// The user's e-mail address.
    pub email: Name,
    /// What sets the user apart, such as the groups.
    pub note: Option<Name>,
}
