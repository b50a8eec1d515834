//! A key whose possession a client proves (RFC 9449), and proofs by it in every shape.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair,
    },
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chancery::{entropy::Entropy, oauth::purpose::Role};
use jsonwebtoken::{
    Algorithm, EncodingKey,
    jwk::{Jwk, ThumbprintHash},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Client, Server, Tokens};

/// A private key, and the algorithm that it signs with.
pub(crate) struct DpopKey {
    key: EncodingKey,
    algorithm: Algorithm,
    public: Jwk,
}

impl DpopKey {
    /// A key on P-256, as most clients have.
    pub(crate) fn new() -> Self {
        Self::of(Algorithm::ES256)
    }

    /// A key for this algorithm.
    pub(crate) fn of(algorithm: Algorithm) -> Self {
        let on_curve = |curve: &'static EcdsaSigningAlgorithm| {
            let pkcs8 = EcdsaKeyPair::generate(curve).unwrap().to_pkcs8v1().unwrap();
            EncodingKey::from_ec_der(pkcs8.as_ref())
        };
        let key = match algorithm {
            Algorithm::ES256 => on_curve(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => on_curve(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDSA => {
                EncodingKey::from_ed_der(Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref())
            }
            _ => {
                let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
                let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
                let pem = format!(
                    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                    STANDARD.encode(pkcs8.as_ref())
                );
                EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
            }
        };
        let public = Jwk::from_encoding_key(&key, algorithm).unwrap();
        Self { key, algorithm, public }
    }

    /// The public half.
    pub(crate) fn jwk(&self) -> Value {
        serde_json::to_value(&self.public).unwrap()
    }

    /// Its thumbprint (RFC 7638 §3).
    pub(crate) fn thumbprint(&self) -> String {
        self.public.thumbprint(ThumbprintHash::SHA256).unwrap()
    }

    /// The header of a good proof.
    pub(crate) fn header(&self) -> Value {
        json!({ "typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.jwk() })
    }

    /// A proof with this header and these claims, signed.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{text}.{signature}")
    }

    /// A good proof for the token endpoint, never used before.
    pub(crate) fn proof(&self, server: &Server) -> String {
        self.sign(&self.header(), &claims(server))
    }

    /// Exchanges a code with a proof.
    pub(crate) async fn exchange(&self, server: &Server, client: &Client, code: &str) -> Tokens {
        self.post(server, client.role, &client.exchange_parameters(code)).await
    }

    /// Refreshes with a proof.
    pub(crate) async fn refresh(&self, server: &Server, client: &Client, token: &str) -> Tokens {
        self.post(server, client.role, &client.refresh_parameters(token)).await
    }

    /// Asks the token endpoint of a role with a proof.
    pub(crate) async fn post(&self, server: &Server, role: Role, parameters: &[(&str, String)]) -> Tokens {
        let proof = self.sign(&self.header(), &claims_at(server, role.token_endpoint()));
        send(server, role, parameters, &[&proof]).await
    }
}

/// The claims of a good proof for the token endpoint.
pub(crate) fn claims(server: &Server) -> Value {
    claims_at(server, Role::AuthorizationServer.token_endpoint())
}

/// The claims of a good proof for a `POST` to this path.
pub(crate) fn claims_at(server: &Server, path: &str) -> Value {
    let now = server.app.clock.now();
    json!({
        "htm": "POST", "htu": format!("{}{path}", server.issuer), "iat": now.as_secs(),
        "jti": Entropy::System.token(), "nonce": server.app.nonces.current(now),
    })
}

/// Posts to the token endpoint with these proofs.
pub(crate) async fn post_with(server: &Server, parameters: &[(&str, String)], proofs: &[&str]) -> Tokens {
    send(server, Role::AuthorizationServer, parameters, proofs).await
}

async fn send(server: &Server, role: Role, parameters: &[(&str, String)], proofs: &[&str]) -> Tokens {
    let mut request = server.request(Method::POST, role.token_endpoint()).form(parameters);
    for proof in proofs {
        request = request.header("dpop", *proof);
    }
    Tokens::of(request.send().await.unwrap()).await
}
