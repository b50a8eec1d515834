//! The built-in test OpenID provider (OpenID Connect Core 1.0, code flow): two users, no passwords, and the broker as
//! its client. Where an agent is added, it also writes identity assertions (ID-JAG) for it, as an enterprise's provider
//! does.
//!
//! It is strict where a real provider is (exact `redirect_uri`, PKCE, single-use codes, client authentication) and
//! remembers nothing between runs: keys, codes and tokens live in memory, and every sign-in is a fresh one.

mod authorize;
mod id_jag;
mod shelf;
mod token;
mod userinfo;
mod users;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::{
    shelf::Shelf,
    users::{TestUser, USERS},
};
use crate::{
    clock::{Clock, Timestamp},
    entropy::Entropy,
    jose::{Signer, signer::SigningAlgorithm},
    oauth::{
        pkce::CodeChallenge,
        redirect_uri::RedirectUri,
        resource::ResourceUri,
        scope::ScopeSet,
        token_exchange::{self, TokenType},
    },
    secret::Secret,
    web::pages,
};

/// How long a code waits for its exchange (RFC 6749 §4.1.2 allows ten minutes).
const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// How long ID and access tokens last.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// The scopes that are granted when asked for; others are left out of the answer.
const SCOPES: [&str; 4] = ["openid", "profile", "email", "groups"];
/// The largest request body; a token request has a few hundred bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A relying party that the provider knows.
#[derive(Debug, Clone)]
pub struct TestClient {
    /// Its `client_id`.
    pub id: String,
    /// Its secret, sent by `client_secret_basic`.
    pub secret: Secret,
    /// Its only `redirect_uri`, compared byte for byte.
    pub redirect_uri: RedirectUri,
}

/// An application for which the company has decided what it may reach elsewhere in people's names.
#[derive(Debug, Clone)]
pub struct TestAgent {
    /// As which it signs people in.
    pub client: TestClient,
    /// The issuer of the authorization server there.
    pub audience: String,
    /// Its `client_id` there.
    pub client_there: String,
    /// The MCP server there.
    pub resource: ResourceUri,
    /// What it may have of it.
    pub scope: ScopeSet,
}

/// The provider, bound and not yet serving.
pub struct TestProvider {
    listener: TcpListener,
    provider: Provider,
}

impl TestProvider {
    /// Binds `127.0.0.1:port` (0 lets the system choose) and makes a signing key for this run.
    ///
    /// # Errors
    /// When the port is taken, or the key cannot be made.
    pub async fn bind(
        port: u16,
        client: TestClient,
        clock: Clock,
        entropy: Entropy,
    ) -> std::io::Result<Self> {
        let (listener, issuer) = super::bind_loopback(port).await?;
        let signer = new_signer()?;
        let codes = Mutex::new(Shelf::lasting(CODE_LIFETIME));
        let access_tokens = Mutex::new(Shelf::lasting(TOKEN_LIFETIME));
        let provider = Provider {
            issuer,
            broker: client,
            agent: None,
            vault: None,
            clock,
            entropy,
            signer,
            codes,
            access_tokens,
        };
        Ok(Self { listener, provider })
    }

    /// The same, with an agent that may ask for assertions.
    #[must_use]
    pub fn with_agent(mut self, agent: TestAgent) -> Self {
        self.provider.agent = Some(agent);
        self
    }

    /// The same, with another client: whoever keeps people's accounts here for them.
    #[must_use]
    pub fn with_vault(mut self, client: TestClient) -> Self {
        self.provider.vault = Some(client);
        self
    }

    /// The issuer identifier, such as `http://127.0.0.1:9010`.
    pub fn issuer(&self) -> &str {
        &self.provider.issuer
    }

    /// Answers until `shutdown` is cancelled.
    pub async fn serve(self, shutdown: CancellationToken) -> std::io::Result<()> {
        axum::serve(self.listener, router(Arc::new(self.provider)))
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
    }
}

struct Provider {
    issuer: String,
    broker: TestClient,
    agent: Option<TestAgent>,
    vault: Option<TestClient>,
    clock: Clock,
    entropy: Entropy,
    signer: Signer,
    codes: Mutex<Shelf<SignedIn>>,
    access_tokens: Mutex<Shelf<&'static TestUser>>,
}

/// What a code stands for: who signed in, when, and for which request.
#[derive(Debug, Clone)]
struct SignedIn {
    /// The `client_id` of the request.
    client: String,
    user: &'static TestUser,
    at: Timestamp,
    nonce: Option<String>,
    challenge: CodeChallenge,
    scope: ScopeSet,
}

impl Provider {
    /// The client of this id.
    fn client(&self, id: &str) -> Option<&TestClient> {
        let agent = self.agent.as_ref().map(|agent| &agent.client);
        [Some(&self.broker), agent, self.vault.as_ref()].into_iter().flatten().find(|client| client.id == id)
    }
}

/// A shelf's content stays whole even if a thread died while holding it.
fn open<T>(shelf: &Mutex<Shelf<T>>) -> MutexGuard<'_, Shelf<T>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A key for this run.
fn new_signer() -> std::io::Result<Signer> {
    let algorithm = SigningAlgorithm::Es256;
    let key = algorithm.generate().map_err(std::io::Error::other)?;
    Signer::from_pkcs8(algorithm, &key).map_err(std::io::Error::other)
}

fn router(provider: Arc<Provider>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/authorize", get(authorize::by_query).post(authorize::by_form))
        .route("/sign-in", post(authorize::sign_in))
        .route("/token", post(token::exchange))
        .route("/userinfo", get(userinfo::answer).post(userinfo::answer))
        .route("/jwks", get(jwks))
        .route("/end_session", get(end_session).post(end_session))
        .merge(pages::assets())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(provider)
}

/// OpenID Connect Discovery 1.0 §4.
async fn discovery(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let issuer = &provider.issuer;
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "end_session_endpoint": format!("{issuer}/end_session"),
        "scopes_supported": SCOPES,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", token_exchange::GRANT_TYPE],
        "identity_chaining_requested_token_types_supported": [TokenType::IdJag.as_str()],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_supported": [
            "sub", "name", "email", "email_verified", "groups", "auth_time", "nonce", "at_hash",
        ],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn jwks(State(provider): State<Arc<Provider>>) -> Json<Value> {
    Json(json!({ "keys": [provider.signer.public_jwk()] }))
}

/// OpenID Connect RP-Initiated Logout 1.0. No session is kept, so there is none to end; nor is a
/// `post_logout_redirect_uri` followed, since none is registered (§3).
async fn end_session() -> &'static str {
    "You are signed out of the test provider.\n"
}

#[cfg(test)]
mod tests;
