//! A key-encryption key in the Transit engine of an OpenBao or HashiCorp Vault: data keys go there to be wrapped, and
//! nothing else ever does.
//!
//! The commitment to the data key is ours: what Transit decrypts with is its own affair, so the envelope says itself
//! which data key belongs to it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hkdf::Hkdf;
use oauth2::{
    HttpRequest,
    http::{HeaderValue, Method, header},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{
    KeysError,
    envelope::{COMMITMENT, SALT},
    key::{Algorithm, DataKey, Wrapped},
};
use crate::{
    clock::{Clock, Timestamp},
    config::encryption::{self, TransitAuth},
    entropy::Entropy,
    net::{NetError, Upstream},
    secret::Secret,
};

/// Tells the commitment from any other use of a data key.
const COMMIT_LABEL: &[u8] = b"chancery seal 2: commitment";

/// The longest text that a wrapped key may be: Transit's take 90 characters, and twenty times as much is not one.
const MAX_WRAPPED: usize = 2048;

/// How much of what the service says about a mistake is kept for the log.
const MAX_TOLD: usize = 200;

/// Why the service that keeps a key did not do what it was asked. The text continues a sentence that begins with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// Nothing usable came back; the text says what did.
    #[error("{0}")]
    Unanswered(String),
    /// It is in trouble, sealed, or a standby.
    #[error("answered with the status {0}")]
    Trouble(u16),
    /// Our token is not good, or not for this: it has expired, or its policy lacks `update` on encrypt and decrypt.
    #[error(
        "does not let us in (status 403): the token has expired, or its policy lacks encrypt and decrypt"
    )]
    Denied,
    /// It will not do this with this key; its own words.
    #[error("answered {0:?}")]
    Refused(String),
    /// The file that holds our token cannot be read.
    #[error("cannot be asked, since the file with our token cannot be read: {0}")]
    Token(String),
}

impl From<NetError> for Outage {
    fn from(error: NetError) -> Self {
        Self::Unanswered(error.to_string())
    }
}

/// One key there, and what we log in with.
#[derive(Debug)]
pub(super) struct Transit {
    pub(super) id: String,
    encrypt: String,
    decrypt: String,
    login: String,
    namespace: Option<HeaderValue>,
    auth: TransitAuth,
    client: Upstream,
    clock: Clock,
    session: Mutex<Option<Session>>,
}

/// A token that we got by logging in.
#[derive(Debug, Clone)]
struct Session {
    token: Secret,
    /// From when on it may be about to expire. `None`: it never does.
    renew_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: Secret,
}

#[derive(Deserialize)]
struct Login {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Secret,
    /// In seconds; 0: for ever.
    lease_duration: u32,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

impl Transit {
    pub(super) fn new(id: &str, config: &encryption::Transit, clock: &Clock) -> Result<Self, KeysError> {
        let base = config.address.as_str().trim_end_matches('/');
        let of_key = |does: &str| format!("{base}/v1/{}/{does}/{}", config.mount, config.key);
        let login = match &config.auth {
            TransitAuth::AppRole { mount, .. } => format!("{base}/v1/auth/{mount}/login"),
            TransitAuth::Token(_) | TransitAuth::TokenFile(_) => String::new(),
        };
        let client = Upstream::to_keys(&config.ca)
            .map_err(|error| KeysError::Client { id: id.into(), why: error.to_string() })?;
        Ok(Self {
            id: id.into(),
            encrypt: of_key("encrypt"),
            decrypt: of_key("decrypt"),
            login,
            namespace: config.namespace.as_deref().and_then(|name| HeaderValue::from_str(name).ok()),
            auth: config.auth.clone(),
            client,
            clock: clock.clone(),
            session: Mutex::default(),
        })
    }

    pub(super) async fn wrap(
        &self,
        entropy: &Entropy,
        data_key: &DataKey,
        associated_data: &[u8],
    ) -> Result<Wrapped, Outage> {
        let plaintext = Zeroizing::new(STANDARD.encode(data_key.as_slice()));
        let body = json!({ "plaintext": *plaintext, "associated_data": STANDARD.encode(associated_data) });
        let Answer { data: Encrypted { ciphertext } } = self.ask(&self.encrypt, &body).await?;
        if ciphertext.len() > MAX_WRAPPED {
            return Err(Outage::Unanswered("answered with a wrapped key that is too long".into()));
        }
        let salt = entropy.bytes::<SALT>();
        let commitment = commit(data_key, &salt);
        Ok(Wrapped { algorithm: Algorithm::Transit, salt, commitment, data_key: ciphertext.into_bytes() })
    }

    /// `None`: this is not what was wrapped for this place.
    pub(super) async fn unwrap(
        &self,
        wrapped: &Wrapped,
        associated_data: &[u8],
    ) -> Result<Option<DataKey>, Outage> {
        let Ok(ciphertext) = std::str::from_utf8(&wrapped.data_key) else { return Ok(None) };
        let body = json!({ "ciphertext": ciphertext, "associated_data": STANDARD.encode(associated_data) });
        let plaintext = match self.ask(&self.decrypt, &body).await {
            Ok(Answer { data: Decrypted { plaintext } }) => plaintext,
            Err(Outage::Refused(words)) if is_of_the_ciphertext(&words) => return Ok(None),
            Err(outage) => return Err(outage),
        };
        let bytes = STANDARD.decode(plaintext.expose()).map(Zeroizing::new).unwrap_or_default();
        let data_key = bytes.as_slice().try_into().map(Zeroizing::new).ok();
        Ok(data_key.filter(|key| commit(key, &wrapped.salt).ct_eq(&wrapped.commitment).into()))
    }

    /// Asks with our token. One that we got ourselves and that is not good any more is replaced once.
    async fn ask<T: DeserializeOwned>(&self, url: &str, body: &Value) -> Result<T, Outage> {
        let token = self.token().await?;
        match self.post(url, Some(&token), body).await {
            Err(Outage::Denied) if matches!(self.auth, TransitAuth::AppRole { .. }) => {
                self.forget(&token).await;
                self.post(url, Some(&self.token().await?), body).await
            }
            answer => answer,
        }
    }

    async fn token(&self) -> Result<Secret, Outage> {
        match &self.auth {
            TransitAuth::Token(token) => Ok(token.clone()),
            TransitAuth::TokenFile(path) => {
                let text = tokio::fs::read_to_string(path).await.map(Zeroizing::new);
                let text = text.map_err(|error| Outage::Token(error.kind().to_string()))?;
                Ok(Secret::new(text.trim().to_owned()))
            }
            TransitAuth::AppRole { role_id, secret_id, .. } => {
                let mut session = self.session.lock().await;
                let now = self.clock.now();
                let good = |session: &&Session| session.renew_at.is_none_or(|at| now < at);
                if let Some(session) = session.as_ref().filter(good) {
                    return Ok(session.token.clone());
                }
                let body = json!({ "role_id": role_id.expose(), "secret_id": secret_id.expose() });
                let Login { auth } = self.post(&self.login, None, &body).await?;
                // At two thirds of its life, so that none expires under way.
                let life = std::time::Duration::from_secs(auth.lease_duration.into()) * 2 / 3;
                let renew_at = (!life.is_zero()).then(|| now.plus(life));
                let fresh = session.insert(Session { token: auth.client_token, renew_at });
                Ok(fresh.token.clone())
            }
        }
    }

    /// Unless somebody has replaced it already.
    async fn forget(&self, token: &Secret) {
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|session| token.matches(session.token.expose())) {
            *session = None;
        }
    }

    async fn post<T: DeserializeOwned>(
        &self,
        url: &str,
        token: Option<&Secret>,
        body: &Value,
    ) -> Result<T, Outage> {
        let unusable = |what: &str| Outage::Unanswered(format!("cannot be asked: {what}"));
        let body = serde_json::to_vec(body).map_err(|_| unusable("the request"))?;
        let mut request = HttpRequest::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse().map_err(|_| unusable("its address"))?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Agents may demand it, so that no browser can be made to ask them.
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = &self.namespace {
            headers.insert("x-vault-namespace", namespace.clone());
        }
        if let Some(token) = token {
            let mut token = HeaderValue::from_str(token.expose()).map_err(|_| unusable("our token"))?;
            token.set_sensitive(true);
            headers.insert("x-vault-token", token);
        }
        let answer = self.client.execute(request).await?;
        let status = answer.status().as_u16();
        let body = Zeroizing::new(answer.into_body());
        match status {
            200 => serde_json::from_slice(&body)
                .map_err(|_| Outage::Unanswered("did not answer as Transit does".into())),
            403 => Err(Outage::Denied),
            400 | 404 => Err(Outage::Refused(words(&body))),
            status => Err(Outage::Trouble(status)),
        }
    }
}

/// What the service says is wrong. It repeats nothing of what it was sent.
fn words(body: &[u8]) -> String {
    let told = serde_json::from_slice(body).map(|Errors { errors }| errors.join("; "));
    told.unwrap_or_else(|_| "no reason".into()).chars().take(MAX_TOLD).collect()
}

/// Whether it is the ciphertext that is wrong, rather than the key that is missing, or too old, or behind a backup.
fn is_of_the_ciphertext(words: &str) -> bool {
    words.ends_with("message authentication failed")
        || (words.starts_with("invalid ciphertext") && !words.ends_with("version is too new"))
}

#[expect(clippy::expect_used, reason = "HKDF gives up to 255 times 32 bytes, and this asks for 32")]
fn commit(data_key: &DataKey, salt: &[u8; SALT]) -> [u8; COMMITMENT] {
    let mut commitment = [0; COMMITMENT];
    Hkdf::<Sha256>::new(Some(salt), data_key.as_slice())
        .expand(COMMIT_LABEL, &mut commitment)
        .expect("32 bytes are few enough");
    commitment
}

#[cfg(test)]
mod tests;
