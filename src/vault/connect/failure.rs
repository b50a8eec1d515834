//! Why an account was not connected, and the page that says so. The page names the vendor, says whose turn it is, and
//! holds nothing that a vendor or an attacker wrote; the log has the whole reason.

use axum::http::StatusCode;

use super::visit::Way;
use crate::{
    app::App,
    audit::{About, Event, Kind},
    config::connection::Connection as Configured,
    ids::UserId,
    store::{StoreError, connects::Connect},
    vault::vendor::VendorError,
    web::{
        error::{Fault, PageError},
        request::Origin,
    },
};

/// Why nothing was connected. Nothing is left of it but, where somebody refused, the line in the record.
#[derive(Debug, thiserror::Error)]
pub(in crate::vault) enum NotConnected {
    /// The vendor gave nothing that is of use.
    #[error(transparent)]
    Vendor(#[from] VendorError),
    /// It answered the person with an error (RFC 6749 §4.1.2.1).
    #[error("answered with the error {0:?} instead of a code")]
    Response(String),
    /// It sent her back with neither a code nor an error.
    #[error("sent the person back with no code")]
    NoCode,
    /// All of it took too long.
    #[error("did not finish in time")]
    TooSlow,
    /// It does not take what the person entered.
    #[error("does not take what was entered")]
    NotTaken,
    /// The account does not meet the rule of this name.
    #[error("vouches for an account that may not be connected: account.require.{0}")]
    Rule(&'static str),
    /// Another account than this one is connected.
    #[error("vouches for another account than the one that is connected")]
    AnotherAccount(Option<String>),
    /// An operator switched it off meanwhile.
    #[error("is switched off")]
    Disabled,
}

/// What it means for the person.
enum Meaning {
    Unreachable,
    Untrustworthy,
    Unregistered,
    Declined,
    Again,
    NotTaken,
    Rule(&'static str),
    AnotherAccount,
    Disabled,
}

impl NotConnected {
    fn meaning(&self) -> Meaning {
        match self {
            Self::Vendor(VendorError::Unavailable { .. }) | Self::TooSlow => Meaning::Unreachable,
            Self::Vendor(VendorError::Malformed { .. }) | Self::NoCode => Meaning::Untrustworthy,
            Self::Vendor(VendorError::Refused { .. }) => Meaning::Unregistered,
            Self::Vendor(VendorError::Reconnect { .. }) => Meaning::Again,
            Self::Response(code) => match code.as_str() {
                "access_denied" | "consent_required" => Meaning::Declined,
                "temporarily_unavailable" | "server_error" => Meaning::Unreachable,
                "login_required" | "interaction_required" | "account_selection_required" => Meaning::Again,
                _ => Meaning::Unregistered,
            },
            Self::NotTaken => Meaning::NotTaken,
            Self::Rule(rule) => Meaning::Rule(rule),
            Self::AnotherAccount(_) => Meaning::AnotherAccount,
            Self::Disabled => Meaning::Disabled,
        }
    }

    /// A stable code for the record. `None`: nobody decided anything, so there is nothing to record.
    fn code(&self) -> Option<&'static str> {
        match self.meaning() {
            Meaning::Untrustworthy => Some("vendor_untrustworthy"),
            Meaning::Declined => Some("vendor_declined"),
            Meaning::NotTaken => Some("credential_refused"),
            Meaning::Rule(_) => Some("account_rule"),
            Meaning::AnotherAccount => Some("another_account"),
            Meaning::Disabled => Some("connection_disabled"),
            Meaning::Unreachable | Meaning::Unregistered | Meaning::Again => None,
        }
    }

    /// What is on record of it. `None`: nobody decided anything, so there is nothing to record.
    pub(in crate::vault) fn event(
        &self,
        configured: &Configured,
        user: &UserId,
        origin: &Origin,
    ) -> Option<Event> {
        let event = Event::new(Kind::ConnectionRefused, &origin.recorded)
            .user(user)
            .reason(self.code()?)
            .detail("connection", &configured.name);
        Some(match self {
            Self::Rule(rule) => {
                let rule = format!("connections.{}.account.require.{rule}", configured.name);
                event.about(About::default().rules([rule]))
            }
            _ => event,
        })
    }

    /// Records that somebody was refused, where somebody decided it. `ended`: what became of tokens that had come.
    pub(super) async fn record(
        &self,
        app: &App,
        configured: &Configured,
        (connect, ended): (&Connect, Option<&'static str>),
        origin: &Origin,
    ) -> Result<(), StoreError> {
        let Some(mut event) = self.event(configured, &connect.user_id, origin) else { return Ok(()) };
        if let Some(ended) = ended {
            event = event.detail("tokens", ended);
        }
        app.record_refusal(origin, &event).await
    }

    /// The page. `way`: by which she may try again.
    pub(super) fn page(&self, configured: &Configured, way: &Way) -> PageError {
        let vendor = &configured.title;
        let page = match self.meaning() {
            Meaning::Unreachable => PageError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Fault::Vendor,
                format!("{vendor} does not answer"),
                format!(
                    "We wanted to connect your {vendor} account, but {vendor} is out of reach or in trouble."
                ),
                "Nothing was connected. Wait a moment and try again.",
            ),
            Meaning::Untrustworthy => PageError::new(
                StatusCode::BAD_GATEWAY,
                Fault::Vendor,
                format!("{vendor} gave an answer that we cannot trust"),
                format!("The answer of {vendor} did not pass our checks, so your account is not connected."),
                "Try again; if it happens again, tell the people who run this service.",
            ),
            Meaning::Unregistered => PageError::new(
                StatusCode::BAD_GATEWAY,
                Fault::Ourselves,
                format!("Connecting {vendor} is not set up correctly"),
                format!("{vendor} does not accept this service as it is registered there."),
                "Nothing was connected. Tell the people who run this service, and quote the number below.",
            ),
            Meaning::Declined => PageError::new(
                StatusCode::FORBIDDEN,
                Fault::Policy,
                format!("Your {vendor} account is not connected"),
                format!("Either you cancelled, or {vendor} does not let you allow this."),
                "If you want to connect it, try again. If you may not, ask the people who look after your account there.",
            ),
            Meaning::Again => PageError::new(
                StatusCode::BAD_REQUEST,
                Fault::Browser,
                "Please try once more",
                format!("{vendor} could not finish; perhaps it took too long."),
                "Nothing was connected. Try again.",
            ),
            Meaning::NotTaken => PageError::new(
                StatusCode::FORBIDDEN,
                Fault::Browser,
                format!("{vendor} does not take that"),
                format!("What you entered is not complete, or opens no account at {vendor}."),
                "Nothing was kept. Look at what you copied, and try again.",
            ),
            Meaning::Rule(rule) => PageError::new(
                StatusCode::FORBIDDEN,
                Fault::Policy,
                format!("This {vendor} account may not be connected"),
                in_words(rule, configured),
                format!(
                    "Nothing was kept of it. Sign in at {vendor} with your account for work, and try again."
                ),
            ),
            Meaning::AnotherAccount => {
                let pinned = match self {
                    Self::AnotherAccount(Some(name)) => format!("the account {name}"),
                    _ => "another account".to_owned(),
                };
                PageError::new(
                    StatusCode::FORBIDDEN,
                    Fault::Policy,
                    format!("This is another {vendor} account"),
                    format!(
                        "You have {pinned} connected, and it stays so. You came back with a different one."
                    ),
                    format!(
                        "Nothing was kept of it. Sign in at {vendor} with the account that is connected, or disconnect \
                         that one first."
                    ),
                )
            }
            Meaning::Disabled => disabled(configured),
        };
        let page = page.with_reason(format!("{}: {vendor} {self}", configured.name));
        match self.meaning() {
            Meaning::Unregistered | Meaning::Disabled => page,
            _ => page.with_link("Try again", way.path(configured)),
        }
    }
}

/// What an account must be.
fn in_words(rule: &str, configured: &Configured) -> String {
    let require = &configured.account.require;
    let any = |names: &[String]| names.join(" or ");
    match rule {
        "organizations" => format!("Only members of {} there may connect.", any(&require.organizations)),
        "tenants" => format!("Only accounts that belong to {} may be connected.", any(&require.tenants)),
        _ => {
            format!(
                "Only accounts with a confirmed e-mail address at {} may be connected.",
                any(&require.email_domains)
            )
        }
    }
}

/// An operator has switched the connection off.
pub(super) fn disabled(configured: &Configured) -> PageError {
    PageError::new(
        StatusCode::FORBIDDEN,
        Fault::Policy,
        format!("Your {} account has been switched off", configured.title),
        "The people who run this service do not let it be used at the moment.",
        "If you need it for your work, ask them, and quote the number below.",
    )
}
