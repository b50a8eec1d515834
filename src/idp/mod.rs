//! Chancery as an identity provider, at an issuer of its own: `{server.issuer}/idp`.
//!
//! It signs people in for the clients that the operator declared there (OpenID Connect), through the operator's
//! providers as always; and it gives those clients grants (ID-JAG) at the authorization servers of others, as far as a
//! table of the operator's and the rules go. The rooms `authorize` and `token` serve both issuers; here is what only
//! this one has: the ID token, userinfo, the exchange for a grant, its metadata and keys.

mod exchange;
mod id_jag;
pub mod id_token;
mod metadata;
pub mod scopes;
mod subject_token;
mod userinfo;

use std::sync::Arc;

use axum::{Router, routing::get};

pub use self::exchange::exchange;

use crate::{app::App, authorize, oauth::purpose::Role, token};

/// The routes that browsers come to.
pub fn browser_router() -> Router<Arc<App>> {
    let role = Role::IdentityProvider;
    Router::new().route(role.authorization_endpoint(), authorize::endpoint(role))
}

/// The routes that programs come to.
pub fn router() -> Router<Arc<App>> {
    let role = Role::IdentityProvider;
    Router::new()
        .route(role.token_endpoint(), token::endpoint(role))
        .route("/idp/userinfo", get(userinfo::tell).post(userinfo::tell))
        .route("/idp/jwks.json", get(metadata::keys))
        .route("/idp/.well-known/openid-configuration", get(metadata::metadata))
        .route("/idp/.well-known/oauth-authorization-server", get(metadata::metadata))
}

/// The metadata at the host's root, with the issuer's path behind the suffix (RFC 8414 §3.1).
pub fn well_known(base: &str) -> Router<Arc<App>> {
    Router::new()
        .route(&format!("/.well-known/oauth-authorization-server{base}/idp"), get(metadata::metadata))
        .route(&format!("/.well-known/openid-configuration{base}/idp"), get(metadata::metadata))
}
