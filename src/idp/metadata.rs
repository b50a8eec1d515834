//! What clients and the authorization servers of others read about the identity provider that we are: metadata in both
//! documents (OpenID Connect Discovery, RFC 8414) and the keys.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use crate::{
    app::{App, cached},
    config::{Config, client::ASSERTION_ALGS, idp::IdpClient},
    dpop::PROOF_ALGS,
    oauth::{
        grant_type::{ClientAuthMethod, GrantType},
        purpose::Role,
        token_exchange::TokenType,
    },
};

pub(super) async fn metadata(State(app): State<Arc<App>>) -> Response {
    cached(Json(document(&app.config)).into_response())
}

pub(super) async fn keys(State(app): State<Arc<App>>) -> Response {
    let document = app.idp().map(|idp| idp.keys.jwks_json()).unwrap_or_default();
    cached(([(header::CONTENT_TYPE, "application/jwk-set+json")], document).into_response())
}

fn document(config: &Config) -> Value {
    let role = Role::IdentityProvider;
    let ours = |path: &str| config.server.issuer.url(path);
    let methods: Vec<_> = ClientAuthMethod::ALL.iter().map(|method| method.as_str()).collect();
    let grants: Vec<_> = GrantType::served(role).iter().map(|grant| grant.as_str()).collect();
    let documents = config
        .idp
        .as_ref()
        .is_some_and(|idp| idp.clients.values().any(|client| matches!(client, IdpClient::Document)));
    json!({
        "issuer": config.issuer(role),
        "authorization_endpoint": ours(role.authorization_endpoint()),
        "token_endpoint": ours(role.token_endpoint()),
        "userinfo_endpoint": ours("/idp/userinfo"),
        "jwks_uri": ours("/idp/jwks.json"),
        "scopes_supported": ["openid", "profile", "email", "groups", "offline_access"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "nonce", "auth_time", "acr", "amr", "sid",
            "name", "email", "email_verified", "groups",
        ],
        "claims_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": grants,
        "identity_chaining_requested_token_types_supported": [TokenType::IdJag.as_str()],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGS.map(|(name, _)| name),
        "dpop_signing_alg_values_supported": PROOF_ALGS.map(|(name, _)| name),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": documents,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "prompt_values_supported": ["none", "login", "consent"],
    })
}
