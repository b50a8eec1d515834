//! The pages that people see. Each is a struct of plain values that a room fills and askama renders from
//! `templates/`; the types of [`shown`] keep what strangers wrote from reordering or flooding a page.
//!
//! No page holds a script, an inline style or anything from another host, so the policy `default-src 'none'; style-src
//! 'self'; img-src 'self'` fits them all. Links and forms name paths of ours, save the way [`Back`] to a client,
//! [`Leaving`] for a provider and [`Away`]; [`Chrome`] puts the issuer's path before them.

mod account;
mod connect;
mod connected;
mod consent;
mod outcome;
pub mod shown;
mod sign_in;

use std::sync::LazyLock;

use askama::Template;
use axum::{
    Router,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

pub use self::account::{Account, Application, LinkedAccount, Session};
pub use self::connect::{Asker, Connect, ConnectSite, ConnectUse, Entry, SiteChoice};
pub use self::connected::{Connected, Offered, Use};
pub use self::consent::{Asks, Client, Consent, Further, RefusedScope, ReturnsTo, Scope, VendorAccount};
pub use self::outcome::{Away, Back, Done, ErrorPage, Leaving, Link};
pub use self::shown::{Host, LocalPath, Moment, Name, Plain, Prose, Span};
pub use self::sign_in::{Asking, Chooser, DevSignIn, EmailForm, ProviderChoice, TestUser};

const STYLE: &str = include_str!("../../templates/style.css");
const MARK: &str = include_str!("../../templates/mark.svg");

static STYLE_PATH: LazyLock<String> = LazyLock::new(|| format!("/assets/style-{}.css", fingerprint(STYLE)));
static MARK_PATH: LazyLock<String> = LazyLock::new(|| format!("/assets/mark-{}.svg", fingerprint(MARK)));

/// What frames every page.
#[derive(Clone, Debug)]
pub struct Chrome {
    /// What the operator calls this service.
    pub service_name: Name,
    /// Says on every page that this is not for production.
    pub dev: bool,
    base: String,
}

impl Chrome {
    /// `issuer_path` is the path of the issuer under which browsers reach us: `/`, or `/auth`.
    pub fn new(service_name: impl Into<Name>, issuer_path: &str, dev: bool) -> Self {
        let base = LocalPath::from(issuer_path).to_string();
        Self { service_name: service_name.into(), dev, base: base.trim_end_matches('/').to_owned() }
    }

    fn stylesheet(&self) -> String {
        format!("{}{}", self.base, *STYLE_PATH)
    }

    fn mark(&self) -> String {
        format!("{}{}", self.base, *MARK_PATH)
    }
}

/// A person who signed in.
#[derive(Clone, Debug)]
pub struct Person {
    /// Her name, or what the provider gave in its place.
    pub name: Name,
    /// Shown as a label only.
    pub email: Option<Name>,
    /// Where she signed in.
    pub provider: Name,
}

/// Renders a page that no cache may keep.
pub fn page(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, [(header::CACHE_CONTROL, "no-store")], Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The path and the text of the stylesheet. The path changes with the text.
pub fn stylesheet() -> (&'static str, &'static str) {
    (&STYLE_PATH, STYLE)
}

/// Serves the stylesheet and the mark. Their paths name their content, so browsers keep them for good.
pub fn assets<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let asset = |content_type: &'static str, body: &'static str| {
        get(move || async move {
            let forever = "public, max-age=31536000, immutable";
            ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, forever)], body)
        })
    };
    Router::new()
        .route(&STYLE_PATH, asset("text/css; charset=utf-8", STYLE))
        .route(&MARK_PATH, asset("image/svg+xml", MARK))
}

fn fingerprint(text: &str) -> String {
    let mut name = URL_SAFE_NO_PAD.encode(Sha256::digest(text));
    name.truncate(12);
    name
}

#[cfg(test)]
mod tests;
