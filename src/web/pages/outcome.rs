//! Where a journey ends, well or badly.

use askama::Template;

use super::Chrome;
use super::shown::{Host, LocalPath, Name, Prose};

/// Says what went wrong, a refused entry included.
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// The frame of the page.
    pub chrome: Chrome,
    /// A few words.
    pub title: Name,
    /// What happened.
    pub happened: Prose,
    /// Whose fault it is.
    pub fault: Prose,
    /// What the person can do.
    pub remedy: Prose,
    /// Whom to ask: an e-mail address, which becomes a link, or any words.
    pub contact: Option<Name>,
    /// What finds this event in the log.
    pub reference: Name,
    /// Where to go on or try again with us, if that can help.
    pub link: Option<Link>,
    /// The way back to the application, which the browser does not go by itself.
    pub back: Option<Back>,
}

impl ErrorPage {
    /// The contact as `mailto:` with the reference as subject, if it is one address and nothing else.
    fn mail(&self) -> Option<String> {
        let (mailbox, domain) = self.contact.as_ref()?.as_str().split_once('@')?;
        let plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c))
        };
        let reference: String =
            self.reference.as_str().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        (plain(mailbox) && plain(domain))
            .then(|| format!("mailto:{mailbox}@{domain}?subject=Reference%20{reference}"))
    }
}

/// Says that something is done: signed out, access ended.
#[derive(Template)]
#[template(path = "done.html")]
pub struct Done {
    /// The frame of the page.
    pub chrome: Chrome,
    /// What is done, in a few words.
    pub heading: Name,
    /// What that means.
    pub message: Prose,
    /// Where to go from here.
    pub link: Option<Link>,
    /// Where to go from here, where that is not with us.
    pub away: Option<Away>,
}

/// A link to a page that is not ours, whose address was checked.
pub struct Away {
    /// Where it goes.
    pub href: String,
    /// What it says.
    pub text: Name,
}

/// Says that something is done here, and leads on to a provider where it is yet to be done.
#[derive(Template)]
#[template(path = "leaving.html")]
pub struct Leaving {
    /// The frame of the page.
    pub chrome: Chrome,
    /// What is done, in a few words.
    pub heading: Name,
    /// What that means.
    pub message: Prose,
    /// Where it is yet to be done.
    pub provider: Name,
    /// The provider's own address for it.
    pub href: String,
}

/// A way back to an application: its checked redirect URI with the error.
pub struct Back {
    /// Where it goes.
    pub href: String,
    /// The host that it names.
    pub host: Host,
}

/// A link of a page to another of ours.
pub struct Link {
    /// Where it goes.
    pub href: LocalPath,
    /// What it says.
    pub text: Name,
}
