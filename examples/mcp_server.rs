//! An MCP server that trusts Chancery, with rmcp: two tools, one scope each.
//!
//!     CHANCERY_ISSUER=https://auth.acme.com SERVER_URL=https://mcp.acme.com/mcp cargo run --example mcp_server

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use rmcp::{
    ErrorData, ServerHandler,
    handler::server::{common::Extension, wrapper::Parameters},
    tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::RwLock;
use url::Url;

/// How often the keys are fetched again. A new key is published a quarter of an hour before it signs.
const KEYS_LIVE: Duration = Duration::from_secs(300);

struct Guard {
    issuer: String,
    url: Url,
    keys: RwLock<JwkSet>,
}

/// What we want to know from a token.
#[derive(Clone, Deserialize)]
struct Caller {
    scope: String,
}

impl Guard {
    async fn verify(&self, token: &str) -> Option<Caller> {
        let kid = decode_header(token).ok()?.kid?;
        let key = DecodingKey::from_jwk(self.keys.read().await.find(&kid)?).ok()?;
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[self.url.as_str()]);
        let token = decode::<Caller>(token, &key, &rules).ok()?;
        (token.header.typ.as_deref() == Some("at+jwt")).then_some(token.claims)
    }

    async fn fetch_keys(&self) -> reqwest::Result<()> {
        let keys = reqwest::get(format!("{}/.well-known/jwks.json", self.issuer)).await?.json().await?;
        *self.keys.write().await = keys;
        Ok(())
    }
}

/// Lets a request with a good token pass; answers any other with the way to one (RFC 9728 §5.1).
async fn require_token(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let caller = match sent.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(token) => guard.verify(token).await,
        None => None,
    };
    let Some(caller) = caller else {
        let metadata = guard.url.join("/.well-known/oauth-protected-resource").map(String::from);
        let challenge = format!(
            "Bearer resource_metadata=\"{}{}\", scope=\"notes:read\"",
            metadata.unwrap_or_default(),
            guard.url.path()
        );
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

#[derive(Deserialize, JsonSchema)]
struct NewNote {
    text: String,
}

#[tool_router]
impl Notes {
    /// Read the notes.
    #[tool]
    fn read_notes(&self, Extension(parts): Extension<Parts>) -> Result<String, ErrorData> {
        require(&parts, "notes:read")?;
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n"))
    }

    /// Write a note down.
    #[tool]
    fn write_note(
        &self,
        Parameters(note): Parameters<NewNote>,
        Extension(parts): Extension<Parts>,
    ) -> Result<String, ErrorData> {
        require(&parts, "notes:write")?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(note.text);
        Ok("Noted.".to_owned())
    }
}

#[tool_handler]
impl ServerHandler for Notes {}

/// For a client to step up by itself, answer 403 before the tool runs, as `src/dev/sample/guard.rs` does.
fn require(parts: &Parts, scope: &str) -> Result<(), ErrorData> {
    let caller = parts.extensions.get::<Caller>();
    if caller.is_some_and(|caller| caller.scope.split(' ').any(|held| held == scope)) {
        return Ok(());
    }
    Err(ErrorData::invalid_request(format!("this needs the scope {scope}"), None))
}

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "an example reads its own environment")]
async fn main() -> Result<(), Box<dyn Error>> {
    let or = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let issuer = or("CHANCERY_ISSUER", "http://localhost:9000");
    let url: Url = or("SERVER_URL", "http://localhost:9030/mcp").parse()?;
    let metadata = json!({
        "resource": url,
        "authorization_servers": [issuer],
        "scopes_supported": ["notes:read", "notes:write"],
    });
    let guard = Arc::new(Guard { issuer, url: url.clone(), keys: RwLock::new(JwkSet { keys: Vec::new() }) });
    guard.fetch_keys().await?;
    let fresh = Arc::clone(&guard);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(KEYS_LIVE).await;
            // While the issuer is away, the keys that we have serve on.
            let _ = fresh.fetch_keys().await;
        }
    });

    let notes = Notes::default();
    let config =
        StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true);
    let sessions = Arc::new(NeverSessionManager::default());
    let mcp = StreamableHttpService::new(move || Ok(notes.clone()), sessions, config);
    let router = Router::new()
        .route_service(url.path(), mcp)
        .layer(middleware::from_fn_with_state(guard, require_token))
        .route(
            &format!("/.well-known/oauth-protected-resource{}", url.path()),
            get(|| async { Json(metadata) }),
        );
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", url.port().unwrap_or(9030))).await?;
    Ok(axum::serve(listener, router).await?)
}
