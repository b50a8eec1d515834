//! Which error to use where: a handler that a browser reached answers a [`PageError`]; a handler that a program
//! reached answers an [`ApiError`]. Both say little on the wire and carry their reason to the log, which shows the
//! same reference number as the page.

use std::{borrow::Cow, time::Duration};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    audit::About,
    oauth::{
        error::{ErrorCode, OAuthError},
        redirect_uri::RedirectUri,
    },
    seal::KeyUnavailable,
    store::StoreError,
};

/// After how many seconds a request that failed for an infrastructure fault may be tried again.
pub const RETRY_AFTER_SECS: u32 = 5;

/// Whose fault it is, in the words of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The program that sent the person here.
    Application,
    /// The person's identity provider.
    Provider,
    /// The service at which she has an account that is connected.
    Vendor,
    /// A rule of the organization.
    Policy,
    /// The way the person came: an old link, another browser, a second tab.
    Browser,
    /// This service.
    Ourselves,
}

/// An error that is shown to a person.
#[derive(Debug, Clone)]
pub struct PageError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The heading.
    pub title: Cow<'static, str>,
    /// What happened.
    pub what: Cow<'static, str>,
    /// Whose fault it is.
    pub fault: Fault,
    /// What to do.
    pub advice: Cow<'static, str>,
    /// Whom to ask, where another than the operator's general contact.
    pub contact: Option<String>,
    /// Where to try again or go on with us: a label and a path.
    pub link: Option<(Cow<'static, str>, String)>,
    /// The way back to the application.
    pub back: Option<(RedirectUri, String)>,
    /// What really happened, for the log alone.
    pub reason: Cow<'static, str>,
}

impl PageError {
    /// An error page with the parts that every one has.
    pub fn new(
        status: StatusCode,
        fault: Fault,
        title: impl Into<Cow<'static, str>>,
        what: impl Into<Cow<'static, str>>,
        advice: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            title: title.into(),
            what: what.into(),
            fault,
            advice: advice.into(),
            contact: None,
            link: None,
            back: None,
            reason: Cow::Borrowed(""),
        }
    }

    /// The application that sent the person here made a mistake; `what` names it.
    pub fn bad_application(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            Fault::Application,
            "This application's request cannot be answered",
            what,
            "Nothing was shared. Start again from the application; if it happens again, tell its makers.",
        )
    }

    /// The link is old, was used, or belongs to another browser.
    pub fn stale_link() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            Fault::Browser,
            "This page is no longer valid",
            "The link is too old, was already used, or was opened in another browser than the one it was made for.",
            "Nothing was shared. Go back to the application and connect again.",
        )
    }

    /// A form came from another site, or without the token that our page carries.
    pub fn forged() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            Fault::Browser,
            "This form could not be accepted",
            "It did not come from a page of ours that is open in this browser.",
            "Go back, reload the page and try again.",
        )
    }

    /// One address began too much at once.
    pub fn too_many() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            Fault::Application,
            "Too many attempts",
            "Your computer or network has begun too many sign-ins within a minute.",
            "Wait a minute and try again.",
        )
    }

    /// Nothing lives at this address.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Fault::Browser,
            "There is nothing here",
            "The address is not one of this service's pages.",
            "Check the address, or go to your account.",
        )
        .with_link("Your account", "/account")
    }

    /// Our own infrastructure failed; trying again may succeed.
    pub fn unavailable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Fault::Ourselves,
            "We cannot answer just now",
            "A part of this service is not available.",
            "Nothing was changed. Wait a moment and reload this page.",
        )
        .with_reason(reason)
    }

    /// Adds where to go from here.
    #[must_use]
    pub fn with_link(mut self, label: impl Into<Cow<'static, str>>, href: impl Into<String>) -> Self {
        self.link = Some((label.into(), href.into()));
        self
    }

    /// Adds a way back to the application at `redirect_uri`, where `href` carries the answer.
    #[must_use]
    pub fn with_way_back(mut self, redirect_uri: &RedirectUri, href: String) -> Self {
        self.back = Some((redirect_uri.clone(), href));
        self
    }

    /// Adds what really happened, for the log.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Adds whom to ask.
    #[must_use]
    pub fn with_contact(mut self, contact: Option<String>) -> Self {
        self.contact = contact;
        self
    }
}

/// The page itself is drawn by the outermost layer, which knows the service's name and the reference number.
impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<KeyUnavailable> for PageError {
    fn from(error: KeyUnavailable) -> Self {
        Self::unavailable(error.to_string())
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        Self::unavailable(format!("store: {error}"))
    }
}

/// An error that a program is answered, as RFC 6749 §5.2 writes it.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    error: OAuthError,
    challenge: Option<&'static str>,
    reason: Cow<'static, str>,
    about: Option<Box<About>>,
    members: Vec<(&'static str, Value)>,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// A refusal with the status that its code has.
    pub fn new(code: ErrorCode, description: impl Into<Cow<'static, str>>) -> Self {
        Self::from(OAuthError::new(code, description))
    }

    /// Client authentication failed. `challenge`: the client had tried HTTP Basic, so RFC 6749 §5.2 wants a
    /// `WWW-Authenticate` header.
    pub fn invalid_client(challenge: bool, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::new(ErrorCode::InvalidClient, "client authentication failed");
        error.challenge = challenge.then_some("Basic realm=\"chancery\"");
        error.reason = reason.into();
        error
    }

    /// A bearer token is missing or wrong (RFC 6750 §3.1).
    pub fn invalid_token(description: &'static str) -> Self {
        let mut error = Self::new(ErrorCode::InvalidToken, description);
        error.challenge = Some("Bearer realm=\"chancery\", error=\"invalid_token\"");
        error
    }

    /// A rule of the operator's keeps a token back: at a token endpoint that is a bad request like any other
    /// (RFC 6749 §5.2).
    pub fn access_denied(description: &'static str) -> Self {
        let mut error = Self::new(ErrorCode::AccessDenied, description);
        error.status = StatusCode::BAD_REQUEST;
        error
    }

    /// Our own infrastructure failed; trying again may succeed.
    pub fn unavailable(reason: impl Into<Cow<'static, str>>) -> Self {
        let error = OAuthError::new(ErrorCode::TemporarilyUnavailable, "try again in a moment");
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error,
            challenge: None,
            reason: reason.into(),
            about: None,
            members: Vec::new(),
            retry_after: None,
        }
    }

    /// What the request names is not the one's who asks; whether it exists at all is not said.
    pub fn not_found(description: &'static str) -> Self {
        Self { status: StatusCode::NOT_FOUND, ..Self::new(ErrorCode::InvalidTarget, description) }
    }

    /// A token that is bound to a key, or the proof that came with it, is not accepted (RFC 9449 §7.1, §9).
    pub fn not_proved(code: ErrorCode, description: &'static str) -> Self {
        let challenge = match code {
            ErrorCode::UseDpopNonce => "DPoP realm=\"chancery\", error=\"use_dpop_nonce\"",
            ErrorCode::InvalidDpopProof => "DPoP realm=\"chancery\", error=\"invalid_dpop_proof\"",
            _ => "DPoP realm=\"chancery\", error=\"invalid_token\"",
        };
        Self { status: StatusCode::UNAUTHORIZED, challenge: Some(challenge), ..Self::new(code, description) }
    }

    /// Too many requests from one source.
    pub fn too_many_requests() -> Self {
        let error = OAuthError::new(ErrorCode::TemporarilyUnavailable, "too many requests: slow down");
        let reason = Cow::Borrowed("rate limit");
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            error,
            challenge: None,
            reason,
            about: None,
            members: Vec::new(),
            retry_after: None,
        }
    }

    /// Adds what really happened, for the log and the record.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Adds what is known of the request, for the record.
    #[must_use]
    pub fn with_about(mut self, about: About) -> Self {
        self.about = Some(Box::new(about));
        self
    }

    /// Adds a member to the answer, such as what to ask of a person (RFC 9470 §3).
    #[must_use]
    pub fn with_member(mut self, name: &'static str, value: Value) -> Self {
        self.members.push((name, value));
        self
    }

    /// Says when to ask again, where that is known better than for any fault.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// What is known of the request.
    pub fn about(&self) -> Option<&About> {
        self.about.as_deref()
    }

    /// The code on the wire.
    pub const fn code(&self) -> ErrorCode {
        self.error.code
    }

    /// What really happened.
    pub fn reason(&self) -> &str {
        if self.reason.is_empty() { &self.error.description } else { &self.reason }
    }

    /// Whether this is our infrastructure's fault and no decision about the request.
    pub fn is_fault(&self) -> bool {
        self.status.is_server_error()
    }
}

impl From<OAuthError> for ApiError {
    fn from(error: OAuthError) -> Self {
        let status = match error.code {
            ErrorCode::InvalidClient | ErrorCode::InvalidToken => StatusCode::UNAUTHORIZED,
            ErrorCode::AccessDenied => StatusCode::FORBIDDEN,
            ErrorCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self {
            status,
            error,
            challenge: None,
            reason: Cow::Borrowed(""),
            about: None,
            members: Vec::new(),
            retry_after: None,
        }
    }
}

impl From<KeyUnavailable> for ApiError {
    fn from(error: KeyUnavailable) -> Self {
        Self::unavailable(error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::unavailable(format!("store: {error}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.is_fault() {
            tracing::error!(status = self.status.as_u16(), reason = self.reason(), "not answered");
        } else {
            tracing::info!(error = self.error.code.as_str(), reason = self.reason(), "refused");
        }
        let mut body =
            json!({ "error": self.error.code.as_str(), "error_description": self.error.description });
        if let Some(body) = body.as_object_mut() {
            body.extend(self.members.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            let wait = self.retry_after.map(|wait| wait.as_millis().div_ceil(1000));
            let secs = wait.map_or(RETRY_AFTER_SECS, |secs| u32::try_from(secs).unwrap_or(u32::MAX));
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;

    #[test]
    fn the_log_tells_a_fault_of_ours_from_a_refusal() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let writer = Arc::new(log.reopen().unwrap());
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
        tracing::subscriber::with_default(subscriber, || {
            let fault = ApiError::unavailable("store: gone").into_response();
            assert_eq!(
                (fault.status(), &fault.headers()[header::RETRY_AFTER]),
                (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from(5))
            );
            let refusal = ApiError::new(ErrorCode::InvalidGrant, "the code is unknown").into_response();
            assert_eq!(refusal.status(), StatusCode::BAD_REQUEST);
        });
        let log = fs::read_to_string(log.path()).unwrap();
        let levels: Vec<_> = log.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
        assert_eq!(levels, ["ERROR", "INFO"], "{log}");
        assert!(log.contains("store: gone"), "{log}");
    }
}
