//! How we prove ourselves at an upstream's token endpoint.

use jsonwebtoken::EncodingKey;

use super::{AssertionAlg, AssertionAudience, UpstreamClientAuth};
use crate::{
    config::{
        form::{one_of, text},
        problem::Wrong,
        reader::Section,
    },
    secret::Secret,
};

/// The method alone, by its registered name (OIDC Core §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Method {
    ClientSecretBasic,
    ClientSecretPost,
    PrivateKeyJwt,
    None,
}

impl Method {
    pub(in crate::config) const NAMES: [(&str, Self); 4] = [
        ("client_secret_basic", Self::ClientSecretBasic),
        ("client_secret_post", Self::ClientSecretPost),
        ("private_key_jwt", Self::PrivateKeyJwt),
        ("none", Self::None),
    ];

    /// Its registered name.
    pub(in crate::config) fn name(self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(_, method)| *method == self).map(|(name, _)| *name)
    }

    const fn takes_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

const ALGORITHMS: [(&str, AssertionAlg); 5] = [
    ("RS256", AssertionAlg::Rs256),
    ("PS256", AssertionAlg::Ps256),
    ("ES256", AssertionAlg::Es256),
    ("ES384", AssertionAlg::Es384),
    ("EdDSA", AssertionAlg::EdDsa),
];

impl UpstreamClientAuth {
    /// `supported`: what the preset says the upstream can do, the preferred one first.
    pub(in crate::config) fn read(
        section: &Section<'_>,
        supported: &[Method],
        audience: AssertionAudience,
    ) -> Option<Self> {
        let names: Vec<_> =
            Method::NAMES.into_iter().filter(|(_, method)| supported.contains(method)).collect();
        let said = section.optional("client_auth", one_of(&names));
        let secret = section.optional("client_secret", |text| Ok::<_, Wrong>(Secret::new(text)));
        let kid = section.optional("private_key_id", text);
        let alg = section.optional("private_key_alg", one_of(&ALGORITHMS));
        let key = section.optional("private_key", |pem| private_key(pem, alg.unwrap_or(AssertionAlg::Rs256)));

        let preferred = |wanted: fn(Method) -> bool| supported.iter().copied().find(|method| wanted(*method));
        let implied = match (section.has("client_secret"), section.has("private_key")) {
            (true, false) => preferred(Method::takes_secret),
            (false, true) => preferred(|method| method == Method::PrivateKeyJwt),
            _ => None,
        };
        if section.has("client_auth") && said.is_none() {
            return None;
        }
        if said.is_none() && section.has("client_secret") && section.has("private_key") {
            section.problem("client_auth", "is missing: say which of client_secret and private_key it is");
            return None;
        }
        let method = said.or(implied);
        for (needed, key) in [
            (method.is_some_and(Method::takes_secret), "client_secret"),
            (method == Some(Method::PrivateKeyJwt), "private_key"),
        ] {
            if needed && !section.has(key) {
                section.problem(key, "is missing: what client_auth proves us with");
            } else if !needed && method.is_some() && section.has(key) {
                section.problem(key, "is of no use with this client_auth");
            }
        }
        for key in ["private_key_id", "private_key_alg"] {
            if section.has(key) && !section.has("private_key") {
                section.problem(key, "is of no use without private_key");
            }
        }
        match method {
            Some(Method::None) => Some(Self::None),
            Some(Method::ClientSecretBasic) => secret.map(Self::Basic),
            Some(Method::ClientSecretPost) => secret.map(Self::Post),
            Some(Method::PrivateKeyJwt) => {
                let alg = alg.unwrap_or(AssertionAlg::Rs256);
                Some(Self::PrivateKeyJwt { key: key?, kid, alg, audience })
            }
            None => {
                section.problem("client_secret", UNPROVEN);
                None
            }
        }
    }
}

const UNPROVEN: &str = "is missing: what proves us to the upstream; there is also private_key, and client_auth: none \
                        for a client without either";

fn private_key(pem: String, alg: AssertionAlg) -> Result<Secret, Wrong> {
    let (parsed, what) = match alg {
        AssertionAlg::Rs256 | AssertionAlg::Ps256 => (EncodingKey::from_rsa_pem(pem.as_bytes()), "an RSA"),
        AssertionAlg::Es256 | AssertionAlg::Es384 => (EncodingKey::from_ec_pem(pem.as_bytes()), "an EC"),
        AssertionAlg::EdDsa => (EncodingKey::from_ed_pem(pem.as_bytes()), "an Ed25519"),
    };
    match parsed {
        Ok(_) => Ok(Secret::new(pem)),
        Err(_) => {
            Err(format!("must be {what} private key in PEM (PKCS #8), as private_key_alg wants it").into())
        }
    }
}
