//! Sign-in at an upstream OpenID provider (OIDC Core §3.1), and the way out of a session of ours.
//!
//! `GET /login` chooses the provider, `GET /login/{provider}` sends the browser there, the callback makes a session of
//! what comes back. Other rooms know none of it: they send the browser to `/login?interaction=ID` and find it back at
//! `/interaction/ID`, with a session; or to `/login?onward=/connect/…`, and find it back there. No vendor is named
//! here; how each behaves is in its preset.

mod backchannel;
mod callback;
mod chooser;
mod conversation;
mod discovery;
mod enter;
mod exchange;
mod failure;
mod id_token;
mod inspect;
mod issuer_keys;
mod login;
mod logout;
mod logout_token;
mod onward;
mod providers;
mod signed_out;
mod userinfo;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

pub use discovery::{DiscoveryError, Metadata};
pub use inspect::{Finding, Verdict, inspect};
pub use providers::{Federation, Reached};

use crate::app::App;

/// The routes of this room.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/login", get(chooser::show).post(chooser::route))
        .route("/login/{provider}", get(login::begin))
        .route("/login/{provider}/callback", get(callback::finish))
        .route("/login/{provider}/signed-out", get(signed_out::back))
        .route("/login/{provider}/backchannel-logout", post(backchannel::logout))
        .route("/logout", post(logout::leave))
}
