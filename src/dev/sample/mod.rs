//! A sample MCP server that trusts Chancery, built on the official Rust SDK: two tools, one scope each.
//!
//! It is also the example to copy. A protected MCP server is an ordinary one plus three things: a metadata document
//! that says who issues its tokens (RFC 9728), a guard that answers 401 and 403 with a challenge a client can act on
//! ([`guard`]), and a verifier of access tokens ([`token`]). The tools ([`notes`]) know only who is calling.

mod guard;
mod notes;
mod token;

use std::sync::Arc;

use axum::{
    Json, Router,
    http::{HeaderValue, Method, header, request::Parts},
    middleware,
    routing::get,
};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};
use url::{Host, Url};

pub use self::notes::{READ, WRITE};
use self::{guard::Guard, notes::Notes, token::Verifier};
use crate::{clock::Clock, dpop::PROOF_ALGS, oauth::issuer::Issuer};

/// Where the MCP endpoint lies on the server's origin.
const PATH: &str = "/mcp";

/// The server, bound and not yet serving.
#[derive(Debug)]
pub struct SampleServer {
    listener: TcpListener,
    guard: Arc<Guard>,
    origin: String,
}

impl SampleServer {
    /// Binds `127.0.0.1:port` (0 lets the system choose). Tokens are those of `issuer`, whose metadata and keys are
    /// fetched when the first token comes, so the broker may start later.
    ///
    /// # Errors
    /// When the port is taken, or the HTTP client cannot be built.
    pub async fn bind(port: u16, issuer: &Issuer, clock: Clock) -> std::io::Result<Self> {
        let (listener, origin) = super::bind_loopback(port).await?;
        let resource = format!("{origin}{PATH}");
        let verifier = Verifier::new(issuer.clone(), resource, clock).map_err(std::io::Error::other)?;
        let metadata_url = format!("{origin}/.well-known/oauth-protected-resource{PATH}");
        Ok(Self { listener, guard: Arc::new(Guard { verifier, metadata_url }), origin })
    }

    /// The resource identifier, such as `http://127.0.0.1:9020/mcp`: the URL to paste into an MCP client, and the
    /// audience that its tokens must have.
    pub fn resource(&self) -> &str {
        &self.guard.verifier.resource
    }

    /// The origin alone, such as `http://127.0.0.1:9020`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Answers until `shutdown` is cancelled.
    pub async fn serve(self, shutdown: CancellationToken) -> std::io::Result<()> {
        axum::serve(self.listener, router(self.guard, &shutdown))
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
    }
}

fn router(guard: Arc<Guard>, shutdown: &CancellationToken) -> Router {
    let metadata = Json(json!({
        "resource": guard.verifier.resource,
        "resource_name": "Sample notes",
        "authorization_servers": [guard.verifier.issuer],
        "scopes_supported": [READ, WRITE],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": PROOF_ALGS.map(|(name, _)| name),
    }));
    let open_to_all = CorsLayer::new().allow_origin(Any).allow_methods([Method::GET]).allow_headers(Any);
    let metadata = Router::new()
        .route(&format!("/.well-known/oauth-protected-resource{PATH}"), get(async || metadata))
        .layer(open_to_all);

    // Every request proves itself by its token, so no session is kept that could be taken over. Clients of the 2025
    // protocol versions are told so by the missing `Mcp-Session-Id`; those of 2026-07-28 never have one.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"])
        .with_cancellation_token(shutdown.child_token());
    let notes = Notes::default();
    let service = StreamableHttpService::new(
        move || Ok(notes.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    let browser_clients = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(is_loopback))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::WWW_AUTHENTICATE, header::HeaderName::from_static("mcp-session-id")]);
    let mcp = Router::new()
        .route_service(PATH, service)
        .layer(middleware::from_fn_with_state(guard, guard::require_token))
        .layer(browser_clients);

    metadata.merge(mcp)
}

/// Whether a browser client (the MCP Inspector, say) runs on this machine, as this server does.
fn is_loopback(origin: &HeaderValue, _: &Parts) -> bool {
    let url = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
    match url.as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests;
