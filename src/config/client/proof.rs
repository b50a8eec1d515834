//! How a declared client proves itself at the token endpoint.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use url::Url;

use super::strong_secret;
use crate::{
    config::{
        form::{one_of, upstream_url},
        problem::Wrong,
        reader::Section,
    },
    jose::KeySet,
    secret::Secret,
};

/// What a client assertion may be signed with (RFC 7518 §3.1, RFC 8037 §3.1): asymmetric algorithms alone, so that what
/// we keep of a client cannot sign in its name.
pub const ASSERTION_ALGS: [(&str, Algorithm); 9] = [
    ("ES256", Algorithm::ES256),
    ("EdDSA", Algorithm::EdDSA),
    ("RS256", Algorithm::RS256),
    ("PS256", Algorithm::PS256),
    ("ES384", Algorithm::ES384),
    ("RS384", Algorithm::RS384),
    ("PS384", Algorithm::PS384),
    ("RS512", Algorithm::RS512),
    ("PS512", Algorithm::PS512),
];

/// How a client proves itself: in one way alone.
#[derive(Debug, Clone)]
pub enum ClientProof {
    /// It cannot: a public client.
    None,
    /// By a secret.
    Secret(Secret),
    /// By a signature (`private_key_jwt`, RFC 7523 §2.2).
    Keys(ClientKeys),
}

/// The keys that a client signs with.
#[derive(Debug, Clone)]
pub struct ClientKeys {
    /// Where they are.
    pub source: KeySource,
    /// What it may sign with.
    pub algorithms: Vec<Algorithm>,
}

/// Where a client's public keys are.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// In what the client was declared with.
    Inline(Arc<KeySet>),
    /// At an address that the operator wrote.
    Configured(Url),
    /// At an address that the client's own metadata document names.
    Published(Url),
}

impl ClientKeys {
    /// Every algorithm that an assertion may be signed with.
    pub fn any_algorithm() -> Vec<Algorithm> {
        ASSERTION_ALGS.map(|(_, algorithm)| algorithm).to_vec()
    }
}

impl ClientProof {
    pub(in crate::config) fn read(section: &Section<'_>, loopback: bool) -> Self {
        let secret = section.optional("secret", strong_secret);
        let inline = section.optional("jwks", key_set);
        let address = section.optional("jwks_uri", |written| upstream_url(&written, loopback));
        let algorithms = section.list("assertion_algs", algorithm).unwrap_or_else(ClientKeys::any_algorithm);
        let said: Vec<_> = KEYS.into_iter().filter(|key| section.has(key)).collect();
        if let [first, second, ..] = said.as_slice() {
            section.problem(second, format!("a client proves itself in one way, and here is {first} too"));
        }
        if section.has("assertion_algs") && !section.has("jwks") && !section.has("jwks_uri") {
            section.problem("assertion_algs", "is of no use without jwks or jwks_uri");
        }
        let source = inline
            .map(|keys| KeySource::Inline(Arc::new(keys)))
            .or_else(|| address.map(KeySource::Configured));
        match (secret, source) {
            (Some(secret), _) => Self::Secret(secret),
            (None, Some(source)) => Self::Keys(ClientKeys { source, algorithms }),
            (None, None) => Self::None,
        }
    }
}

/// The keys that say how a client proves itself, of which one may be there.
pub(super) const KEYS: [&str; 3] = ["secret", "jwks", "jwks_uri"];

#[expect(clippy::needless_pass_by_value, reason = "it takes the text over, as TryFrom<String> does")]
fn key_set(written: String) -> Result<KeySet, Wrong> {
    let keys = KeySet::parse(written.as_bytes())
        .map_err(|_| "must be a JSON Web Key Set, such as ${file:agent.jwks.json}")?;
    if keys.is_empty() {
        return Err(
            "holds no public key that could prove a signature; a private one must not be in it".into()
        );
    }
    Ok(keys)
}

fn algorithm(written: String) -> Result<Algorithm, Wrong> {
    if written == "none" || written.starts_with("HS") {
        return Err("is not accepted: an assertion must be signed with a key that only the client has".into());
    }
    one_of(&ASSERTION_ALGS)(written)
}
