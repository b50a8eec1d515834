//! Answers with a page: the template's text and the headers that keep it ours.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use url::Url;

use super::pages;

/// Where the forms of a page may lead. Browsers apply `form-action` to the redirect that answers a form too, so a page
/// whose form ends at a client or a provider must name it.
#[derive(Debug, Clone, Default)]
pub struct FormTargets(Option<String>);

impl FormTargets {
    /// Ourselves alone.
    pub const fn own() -> Self {
        Self(None)
    }

    /// Ourselves and `source`, a CSP source expression such as `https://app.example` or `cursor:`.
    pub const fn also(source: String) -> Self {
        Self(Some(source))
    }
}

/// Renders a page with its Content-Security-Policy: nothing runs, nothing frames it, nothing is fetched but our
/// stylesheet.
pub fn render(status: StatusCode, view: &impl Template, targets: &FormTargets) -> Response {
    let mut response = pages::page(status, view);
    let also = targets.0.as_deref().map(|source| format!(" {source}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'{also}; frame-ancestors 'none'; \
         base-uri 'none'"
    );
    if let Ok(policy) = HeaderValue::try_from(policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Renders a page that sends the browser on to `href` by itself. A form's redirect must stay within the `form-action`
/// of the form's page, and through which hosts a provider or a vendor leads people nobody knows; a page may lead
/// anywhere.
pub fn lead_on(view: &impl Template, href: &Url) -> Response {
    let mut response = render(StatusCode::OK, view, &FormTargets::own());
    if let Ok(refresh) = HeaderValue::try_from(format!("0; url={href}")) {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    response
}

/// 303, never 307: a form that was posted here must not be posted on (OAuth 2.1 §7.5.3). The answer must not be kept.
pub fn see_other(target: &str) -> Response {
    let headers = [
        (header::LOCATION, target),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}
