//! What clients and resource servers read about us: the authorization server's metadata in both documents
//! (RFC 8414, OpenID Connect Discovery), the keys (RFC 7517), and the metadata of resources that ask us to host it
//! (RFC 9728).

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use crate::{
    app::App,
    config::{Config, client::ASSERTION_ALGS, registration::DynamicRegistration, resource::Resource},
    dpop::PROOF_ALGS,
    oauth::{
        grant_type::{ClientAuthMethod, GrantType},
        scope::Scope,
    },
};

/// What tells clients that identity assertions are worth something here (ID-JAG §7.2).
const ID_JAG_PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";
/// How long answers may be cached: short enough that a new key or scope is seen in time.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The documents below the issuer's path, where OpenID Connect Discovery §4 has them and many clients look first.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/.well-known/openid-configuration", get(metadata))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/.well-known/jwks.json", get(keys))
}

/// The documents at the host's root, with the issuer's path behind the suffix (RFC 8414 §3.1, RFC 9728 §3.1).
pub(super) fn well_known(base: &str) -> Router<Arc<App>> {
    let router =
        Router::new().route("/.well-known/oauth-protected-resource/{*path}", get(protected_resource));
    let router = router.route("/.well-known/oauth-protected-resource", get(root_resource));
    if base.is_empty() {
        return router;
    }
    router
        .route(&format!("/.well-known/oauth-authorization-server{base}"), get(metadata))
        .route(&format!("/.well-known/openid-configuration{base}"), get(metadata))
}

async fn metadata(State(app): State<Arc<App>>) -> Response {
    cached(Json(document(&app.config)).into_response())
}

async fn keys(State(app): State<Arc<App>>) -> Response {
    cached(([(header::CONTENT_TYPE, "application/jwk-set+json")], app.keys.jwks_json()).into_response())
}

/// An answer that anybody may keep for a while.
pub fn cached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE);
    response
}

/// The metadata. Both documents hold the same: clients read either.
fn document(config: &Config) -> Value {
    let issuer = &config.server.issuer;
    let methods: Vec<_> = ClientAuthMethod::ALL.iter().map(|method| method.as_str()).collect();
    let mut scopes: Vec<&str> =
        config.resources.values().flat_map(|resource| resource.scopes.keys()).map(Scope::as_str).collect();
    scopes.push("offline_access");
    scopes.sort_unstable();
    scopes.dedup();
    let assertions = config.providers.values().any(|provider| provider.id_jag.is_some());
    let workloads = config.providers.values().any(|provider| provider.workload.is_some());
    let is_served = |grant: &GrantType| *grant != GrantType::JwtBearer || assertions || workloads;
    let grants = GrantType::ALL.into_iter().filter(is_served);
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": issuer.url("/oauth/authorize"),
        "token_endpoint": issuer.url("/oauth/token"),
        "jwks_uri": issuer.url("/.well-known/jwks.json"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": grants.map(GrantType::as_str).collect::<Vec<_>>(),
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGS.map(|(name, _)| name),
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": PROOF_ALGS.map(|(name, _)| name),
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": !config.registration.documents.allow_hosts.is_empty(),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "prompt_values_supported": ["none", "login", "consent"],
        "protected_resources": config.resources.values().map(|resource| resource.uri.as_str()).collect::<Vec<_>>(),
    });
    let open = !matches!(config.registration.dynamic, DynamicRegistration::Closed);
    let optional = [
        ("registration_endpoint", open.then(|| json!(issuer.url("/oauth/register")))),
        ("authorization_grant_profiles_supported", assertions.then(|| json!([ID_JAG_PROFILE]))),
    ];
    if let Some(members) = document.as_object_mut() {
        let there = optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        members.extend(there);
    }
    document
}

async fn protected_resource(State(app): State<Arc<App>>, Path(path): Path<String>) -> Response {
    hosted(&app.config, &format!("/{path}"))
}

async fn root_resource(State(app): State<Arc<App>>) -> Response {
    hosted(&app.config, "/")
}

/// The metadata of the resource at this path of our own host (RFC 9728 §3.2).
fn hosted(config: &Config, path: &str) -> Response {
    let ours = |resource: &&Resource| resource.host_metadata && resource.uri.url().path() == path;
    let Some(resource) = config.resources.values().find(ours) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut document = json!({
        "resource": resource.uri,
        "resource_name": resource.name,
        "authorization_servers": [config.server.issuer],
        "scopes_supported": resource.scopes.keys().collect::<Vec<_>>(),
        "bearer_methods_supported": ["header"],
    });
    if resource.dpop_required
        && let Some(members) = document.as_object_mut()
    {
        members.insert("dpop_bound_access_tokens_required".to_owned(), json!(true));
    }
    cached(Json(document).into_response())
}
