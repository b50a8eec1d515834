//! Why a sign-in came to nothing, and the page that says so. The page names the provider, says whose turn it is, and
//! holds nothing that a provider or an attacker wrote; the log has the whole reason.

use axum::http::StatusCode;

use super::{
    discovery::DiscoveryError, exchange::ExchangeError, id_token::IdTokenError, login::Begin,
    userinfo::UserinfoError,
};
use crate::{
    app::App,
    audit::{About, Event, Kind},
    config::provider::Provider,
    identity::{claims::NoSubject, users::Refusal},
    jose::{JwksError, VerifyError},
    net::NetError,
    store::StoreError,
    web::{
        error::{Fault, PageError},
        request::Origin,
    },
};

/// Why nobody was signed in. Nothing was written of it but, where somebody refused, the line in the record.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignInError {
    /// The operator has switched the provider off.
    #[error("is switched off")]
    SwitchedOff,
    /// The provider's discovery document cannot be had or used.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The provider answered the person with an error (RFC 6749 §4.1.2.1, OIDC Core §3.1.2.6).
    #[error("answered with the error {0:?} instead of a code")]
    Response(String),
    /// The authorization response is without the `iss` that it must have, or of another issuer (RFC 9207 §2.4).
    #[error("sent the person back with a wrong or missing `iss`")]
    ResponseIssuer,
    /// The authorization response has neither a code nor an error.
    #[error("sent the person back with no code")]
    NoCode,
    /// The code became no tokens.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The ID token is refused.
    #[error("issued an ID token that is refused: {0}")]
    Token(#[from] IdTokenError),
    /// Userinfo was needed and is of no use.
    #[error(transparent)]
    Userinfo(#[from] UserinfoError),
    /// Nothing says who the person is.
    #[error("does not say who the person is: {0}")]
    NoSubject(#[from] NoSubject),
    /// All of it took too long.
    #[error("did not finish in time")]
    TooSlow,
    /// A rule or the operator keeps the person out.
    #[error("let somebody in who may not come in here: {0}")]
    Refused(#[from] Refusal),
}

impl From<VerifyError> for SignInError {
    fn from(error: VerifyError) -> Self {
        Self::Token(error.into())
    }
}

/// What a failure means for the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The provider is out of reach: later it will work. The text ends a sentence that says whom we asked.
    Unreachable(&'static str),
    /// The provider said something that cannot be trusted or understood.
    Untrustworthy,
    /// The provider does not know us, or not as we are configured.
    Unregistered,
    /// The provider, or the person there, said no.
    Declined,
    /// The way back took too long, or the provider wants to be asked again.
    Again,
    /// Not recent enough a proof.
    TooOld,
    /// The operator does not want it asked.
    SwitchedOff,
}

const TOO_SLOW: &str = "it did not answer in time";
const IN_TROUBLE: &str = "it is in trouble itself";

/// What happened, if it will pass by itself.
fn outage(error: &NetError) -> Option<&'static str> {
    error.is_transient().then_some(match error {
        NetError::Connect(_) => "it could not be reached",
        NetError::Timeout => TOO_SLOW,
        NetError::Busy => "too many people are signing in there at this moment",
        NetError::Broken(_) => "it broke off its answer",
        _ => IN_TROUBLE,
    })
}

impl SignInError {
    /// Records that somebody was refused, where somebody decided it.
    pub(super) async fn record(
        &self,
        app: &App,
        provider: &Provider,
        origin: &Origin,
    ) -> Result<(), StoreError> {
        let Some(code) = self.code() else { return Ok(()) };
        let event = Event::new(Kind::SignInRefused, &origin.recorded).provider(&provider.id).reason(code);
        let event = match self {
            Self::Refused(Refusal::Disabled(user)) => event.user(user),
            Self::Refused(Refusal::Entry(refusal)) => {
                event.about(About::default().rules([format!("providers.{}.{refusal}", provider.id)]))
            }
            _ => event,
        };
        app.record_refusal(origin, &event).await
    }

    /// A stable code for the record. `None`: nobody decided anything, so there is nothing to record.
    pub(super) fn code(&self) -> Option<&'static str> {
        match self.meaning() {
            Err(refusal) => Some(refusal.code()),
            Ok(Meaning::Untrustworthy) => Some("provider_untrustworthy"),
            Ok(Meaning::Declined) => Some("provider_declined"),
            Ok(Meaning::TooOld) => Some("authentication_too_old"),
            Ok(Meaning::SwitchedOff) => Some("provider_disabled"),
            Ok(Meaning::Unreachable(_) | Meaning::Unregistered | Meaning::Again) => None,
        }
    }

    /// What it means, unless it is we who refuse.
    fn meaning(&self) -> Result<Meaning, &Refusal> {
        use Meaning::{Again, Declined, SwitchedOff, TooOld, Unreachable, Unregistered, Untrustworthy};
        let net = |error: &NetError| outage(error).map_or(Untrustworthy, Unreachable);
        Ok(match self {
            Self::SwitchedOff => SwitchedOff,
            Self::Discovery(DiscoveryError::Fetch(error)) => net(error),
            Self::Response(code) => match code.as_str() {
                "access_denied" => Declined,
                "temporarily_unavailable" | "server_error" => Unreachable(IN_TROUBLE),
                "login_required"
                | "interaction_required"
                | "account_selection_required"
                | "consent_required" => Again,
                _ => Unregistered,
            },
            Self::Exchange(error) => match error {
                ExchangeError::Net(error) => net(error),
                ExchangeError::Code(_) => Again,
                ExchangeError::Client(_) | ExchangeError::Refused(_) | ExchangeError::Key(_) => Unregistered,
                ExchangeError::Form(_) => Untrustworthy,
            },
            Self::Token(IdTokenError::TooOld) => TooOld,
            Self::Token(IdTokenError::Token(VerifyError::NoKeys(error))) => match error.as_ref() {
                JwksError::Net(error) => net(error),
                JwksError::Document(_) | JwksError::Empty => Untrustworthy,
            },
            Self::Userinfo(UserinfoError::Net(error)) => net(error),
            Self::TooSlow => Unreachable(TOO_SLOW),
            Self::Discovery(_)
            | Self::ResponseIssuer
            | Self::NoCode
            | Self::Token(_)
            | Self::Userinfo(UserinfoError::Token | UserinfoError::Subject)
            | Self::NoSubject(_) => Untrustworthy,
            Self::Refused(refusal) => return Err(refusal),
        })
    }

    /// The page. Where the provider answered, trying again makes it ask the person: else it would say the same.
    pub(super) fn page(&self, provider: &Provider, begin: Begin<'_>) -> PageError {
        let name = &provider.name;
        let again = begin.path();
        let anew = Begin { anew: true, ..begin }.path();
        let page = match self.meaning() {
            Err(refusal) => PageError::new(
                StatusCode::FORBIDDEN,
                Fault::Policy,
                "You may not sign in here",
                refusal.in_words(),
                format!("If you have another account at {name}, use that one. Otherwise ask for access and quote the number below."),
            )
            .with_link("Sign in with another account", anew),
            Ok(Meaning::Unreachable(how)) => PageError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Fault::Provider,
                format!("{name} does not answer"),
                format!("We asked {name} who you are, but {how}."),
                "Nothing was shared. Wait a moment and try again.",
            )
            .with_link("Try again", again),
            Ok(Meaning::Untrustworthy) => PageError::new(
                StatusCode::BAD_GATEWAY,
                Fault::Provider,
                format!("{name} gave an answer that we cannot trust"),
                format!("We asked {name} who you are. Its answer did not pass our checks, so you are not signed in."),
                "Nothing was shared. Try again; if it happens again, tell the people who run this service.",
            )
            .with_link("Try again", again),
            Ok(Meaning::Unregistered) => PageError::new(
                StatusCode::BAD_GATEWAY,
                Fault::Ourselves,
                format!("Signing in with {name} is not set up correctly"),
                format!("{name} does not accept this service as it is registered there."),
                "Tell the people who run this service, and quote the number below.",
            ),
            Ok(Meaning::Declined) => PageError::new(
                StatusCode::FORBIDDEN,
                Fault::Policy,
                format!("{name} did not sign you in"),
                format!("Either you cancelled, or {name} does not let you use this service."),
                "Try again, or ask the people who look after your account.",
            )
            .with_link("Try again", anew),
            Ok(Meaning::Again) => PageError::new(
                StatusCode::BAD_REQUEST,
                Fault::Browser,
                "Please sign in once more",
                format!("{name} could not finish your sign-in; perhaps it took too long."),
                "Nothing was shared. Try again.",
            )
            .with_link("Try again", again),
            Ok(Meaning::TooOld) => PageError::new(
                StatusCode::FORBIDDEN,
                Fault::Provider,
                "This sign-in is not recent enough",
                format!("The application wants to be sure that it is you, and {name} did not ask you again."),
                "Nothing was shared. Sign in again, and tell the people who run this service if it does not help.",
            )
            .with_link("Sign in again", anew),
            Ok(Meaning::SwitchedOff) => PageError::new(
                StatusCode::FORBIDDEN,
                Fault::Policy,
                format!("Signing in with {name} has been switched off"),
                format!("The people who run this service do not let anybody in through {name} at the moment."),
                "Nothing was shared. If you need it for your work, ask them, and quote the number below.",
            ),
        };
        page.with_contact(provider.contact.clone())
            .with_reason(format!("{}: {} {self}", provider.id, provider.name))
    }
}
