//! An identity provider that says whatever a story wants it to say.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use chancery::{
    clock::Timestamp,
    entropy::Entropy,
    jose::{Signer, signer::SigningAlgorithm},
};
use serde_json::{Value, json};
use url::Url;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use super::{Browser, PLAIN, Server, browser::Page, setup::BEGINNING};

/// The provider, and what it answers on each path.
pub(crate) struct Upstream {
    server: MockServer,
    answers: Arc<Mutex<BTreeMap<String, ResponseTemplate>>>,
    issued: Mutex<String>,
    pub(crate) signer: Signer,
}

/// The authorization request with which a browser came to the provider.
#[derive(Debug, Clone)]
pub(crate) struct Away(pub(crate) Url);

pub(crate) fn signer() -> Signer {
    let pkcs8 = SigningAlgorithm::Es256.generate().unwrap();
    Signer::from_pkcs8(SigningAlgorithm::Es256, &pkcs8).unwrap()
}

pub(crate) fn json_of(value: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(value)
}

impl Away {
    /// A parameter of the request.
    pub(crate) fn asked(&self, name: &str) -> Option<String> {
        self.0.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// Where the provider sends the browser back to, with `state` and these parameters.
    pub(crate) fn back(&self, parameters: &[(&str, &str)]) -> String {
        let mut url = Url::parse(&self.asked("redirect_uri").unwrap()).unwrap();
        url.query_pairs_mut().append_pair("state", &self.asked("state").unwrap()).extend_pairs(parameters);
        url.into()
    }
}

impl Upstream {
    /// A provider in good order that has no tokens to give yet.
    pub(crate) async fn start() -> Self {
        let answers: Arc<Mutex<BTreeMap<String, ResponseTemplate>>> = Arc::default();
        let server = MockServer::start().await;
        let known = Arc::clone(&answers);
        let answer = move |request: &Request| {
            let known = known.lock().unwrap();
            known.get(request.url.path()).cloned().unwrap_or_else(|| ResponseTemplate::new(404))
        };
        Mock::given(any()).respond_with(answer).mount(&server).await;
        let upstream = Self { server, answers, issued: Mutex::default(), signer: signer() };
        upstream.answers("/.well-known/openid-configuration", json_of(&upstream.document()));
        upstream.publishes(&[&upstream.signer]);
        upstream
    }

    pub(crate) fn issuer(&self) -> String {
        self.server.uri()
    }

    /// Its entry under `providers:`, with these further keys.
    pub(crate) fn entry(&self, id: &str, keys: &str) -> String {
        let issuer = self.issuer();
        format!(
            "  {id}: {{ preset: oidc, name: {id} sign-in, issuer: \"{issuer}\", client_id: us, {keys} }}\n"
        )
    }

    /// The usual configuration with this provider, `acme`, alone.
    pub(crate) fn sections(&self, keys: &str) -> String {
        let (_, rest) = PLAIN.split_once("resources:").unwrap();
        format!("providers:\n{}resources:{rest}", self.entry("acme", keys))
    }

    pub(crate) fn document(&self) -> Value {
        let issuer = self.issuer();
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "jwks_uri": format!("{issuer}/keys"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
        })
    }

    /// From now on it answers so on this path.
    pub(crate) fn answers(&self, path: &str, answer: ResponseTemplate) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// Its keys are these.
    pub(crate) fn publishes(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.public_jwk()).collect();
        self.answers("/keys", json_of(&json!({ "keys": keys })));
    }

    /// The claims of a good ID token for this request. Nothing is missing, so userinfo is not asked.
    pub(crate) fn claims(&self, away: &Away) -> Value {
        json!({
            "iss": self.issuer(), "sub": "ada-1", "aud": "us", "nonce": away.asked("nonce").unwrap(),
            "iat": BEGINNING.as_secs(), "exp": BEGINNING.as_secs() + 3600,
            "email": "ada@acme.example", "email_verified": true, "name": "Ada Lovelace", "groups": ["staff"],
        })
    }

    /// Codes are exchanged for this ID token.
    pub(crate) fn issues_token(&self, id_token: &str) {
        let answer = json!({ "access_token": "at-1", "token_type": "Bearer", "expires_in": 300, "id_token": id_token });
        self.answers("/token", json_of(&answer));
        id_token.clone_into(&mut self.issued.lock().unwrap());
    }

    /// The ID token that codes are exchanged for.
    pub(crate) fn id_token(&self) -> String {
        self.issued.lock().unwrap().clone()
    }

    /// Codes are exchanged for an ID token of these claims.
    pub(crate) fn issues(&self, claims: &Value) {
        self.issues_token(&self.signer.sign("JWT", claims).unwrap());
    }

    /// The claims of a good logout token (OpenID Connect Back-Channel Logout §2.4) that means nobody yet.
    pub(crate) fn logout_claims(&self, at: Timestamp) -> Value {
        json!({
            "iss": self.issuer(), "aud": "us", "iat": at.as_secs(), "exp": at.as_secs() + 120,
            "jti": Entropy::System.token(),
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        })
    }

    /// What it was asked on a path.
    pub(crate) async fn requests(&self, path: &str) -> Vec<Request> {
        let all = self.server.received_requests().await.unwrap();
        all.into_iter().filter(|request| request.url.path() == path).collect()
    }

    /// Sends the browser from `/login/…` of the server to this provider.
    pub(crate) async fn receives(&self, server: &Server, browser: &Browser, path: &str) -> Away {
        let page = browser.open_until(&server.url(path), &self.issuer()).await;
        assert!(
            page.url.as_str().starts_with(&self.issuer()),
            "not at the provider: {} {}",
            page.url,
            page.text()
        );
        Away(page.url)
    }

    /// A whole sign-in in which the good claims are changed; gives the page that the browser ends at.
    pub(crate) async fn sign_in(
        &self,
        server: &Server,
        browser: &Browser,
        change: impl FnOnce(&mut Value),
    ) -> Page {
        self.sign_in_as("acme", server, browser, change).await
    }

    /// The same where the server knows this provider by that id.
    pub(crate) async fn sign_in_as(
        &self,
        id: &str,
        server: &Server,
        browser: &Browser,
        change: impl FnOnce(&mut Value),
    ) -> Page {
        let away = self.receives(server, browser, &format!("/login/{id}")).await;
        let mut claims = self.claims(&away);
        change(&mut claims);
        self.issues(&claims);
        browser.open(&away.back(&[("code", "c-1")])).await
    }
}
