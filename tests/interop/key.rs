//! Keys that others sign with, as they want to be given them.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, ThumbprintHash},
};
use serde_json::{Value, json};

pub(super) struct Key {
    algorithm: Algorithm,
    private: EncodingKey,
    /// The private half: PKCS #8.
    pub(super) pem: String,
    /// The public half, with `kid` and `alg`.
    pub(super) jwk: Value,
}

impl Key {
    pub(super) fn of(algorithm: Algorithm) -> Self {
        let (der, key) = match algorithm {
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
                let der = pair.to_pkcs8v1().unwrap().as_ref().to_vec();
                let key = EncodingKey::from_ec_der(&der);
                (der, key)
            }
            Algorithm::EdDSA => {
                let der = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref().to_vec();
                let key = EncodingKey::from_ed_der(&der);
                (der, key)
            }
            _ => {
                let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
                let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
                let der = der.as_ref().to_vec();
                let key = EncodingKey::from_rsa_pem(pem(&der).as_bytes()).unwrap();
                (der, key)
            }
        };
        let public = Jwk::from_encoding_key(&key, algorithm).unwrap();
        let mut jwk = serde_json::to_value(&public).unwrap();
        jwk["kid"] = public.thumbprint(ThumbprintHash::SHA256).unwrap().into();
        jwk["alg"] = serde_json::to_value(algorithm).unwrap();
        Self { algorithm, private: key, pem: pem(&der), jwk }
    }

    /// A key set of this key alone.
    pub(super) fn set(&self) -> Value {
        json!({ "keys": [self.jwk] })
    }

    /// A JWT of these claims.
    pub(super) fn sign(&self, claims: &Value) -> String {
        let kid = self.jwk["kid"].as_str().map(str::to_owned);
        jsonwebtoken::encode(&Header { kid, ..Header::new(self.algorithm) }, claims, &self.private).unwrap()
    }
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}
