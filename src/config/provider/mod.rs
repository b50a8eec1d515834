//! `providers:` the upstream identity providers, each a preset filled in by the operator.

pub(super) mod behaviour;
pub(super) mod client_auth;
mod entry;
#[cfg(test)]
pub(crate) mod fixture;
pub mod id_jag;
mod identity;
mod issuer;
mod keeps;
mod read;
mod workload;

use std::{collections::BTreeSet, time::Duration};

use indexmap::IndexMap;
use jsonwebtoken::Algorithm;
use url::Url;

use self::id_jag::IdJag;
pub(super) use self::read::RESERVED_KEYS;
pub use self::{
    entry::{EntryRules, Logout, Recheck, Requirements},
    identity::IdentityRules,
    issuer::{IssuerKeys, TrustedIssuer},
    keeps::KeepsTokens,
    workload::Workload,
};
use super::claims::ClaimPaths;
use crate::{ids::ProviderId, secret::Secret};

/// One entry under `providers:`, with its preset already applied: nothing in it is left to look up.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its name in the file and in URLs.
    pub id: ProviderId,
    /// The preset it was built on.
    pub preset: String,
    /// What people call it: the label of its button.
    pub name: String,
    /// Whom people ask when this provider lets them down; the server's contact unless set.
    pub contact: Option<String>,
    /// Which `iss` its tokens may carry.
    pub issuer: IssuerRule,
    /// Its discovery document.
    pub discovery_url: Url,
    /// Our `client_id` there.
    pub client_id: String,
    /// How we prove ourselves at its token endpoint.
    pub client_auth: UpstreamClientAuth,
    /// What we ask for; `openid` is among them.
    pub scopes: Vec<String>,
    /// Further parameters of the authorization request; none that the protocol sets itself.
    pub authorize_params: IndexMap<String, String>,
    /// Whether PKCE S256 is sent.
    pub pkce: bool,
    /// The `prompt` at which it asks the person again, and does not just let her last sign-in stand.
    pub prompt_login: String,
    /// How old the upstream sign-in may be: sent as `max_age`, checked by `auth_time` (OIDC Core §3.1.2.1).
    pub max_age: Option<Duration>,
    /// What is made of `iss` in the authorization response.
    pub response_iss: ResponseIss,
    /// The signatures accepted on its ID tokens; never empty.
    pub id_token_algs: Vec<IdTokenAlg>,
    /// Where its claims are.
    pub claims: ClaimPaths,
    /// When the userinfo endpoint is asked.
    pub userinfo: Userinfo,
    /// How far its clock may be from ours.
    pub leeway: Duration,
    /// The operator's tenant that its users belong to (`org_id`).
    pub organization: Option<String>,
    /// The e-mail domains whose people are sent here when several providers are there (home-realm discovery).
    /// A route, not a rule; lower case.
    pub email_domains: Vec<String>,
    /// Who may come in.
    pub sign_in: EntryRules,
    /// Where signing out ends.
    pub logout: Logout,
    /// Whom a refresh asks about its people; upstream only where the tokens of sign-ins are kept.
    pub recheck: Recheck,
    /// What becomes of the tokens that come with a sign-in; nothing unless the operator says so.
    pub keeps: Option<KeepsTokens>,
    /// When accounts at several issuers are one person's.
    pub identity: IdentityRules,
    /// What its identity assertions (ID-JAG) are worth here; nothing unless the operator says so.
    pub id_jag: Option<IdJag>,
    /// Which programs prove themselves by assertions of their platform.
    pub workload: Option<Workload>,
}

impl Provider {
    /// Every issuer whose assertions it speaks for.
    pub fn trusted_issuers(&self) -> impl Iterator<Item = &TrustedIssuer> {
        self.id_jag
            .iter()
            .flat_map(|id_jag| &id_jag.issuers)
            .map(|issuer| &issuer.trusted)
            .chain(self.workload.iter().map(|workload| &workload.issuer))
    }
}

/// Which issuers an ID token may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerRule {
    /// This one, byte for byte, and the discovery document says the same.
    Exact(String),
    /// One for each tenant (the discovery document's own issuer is then a template too and is not compared).
    Template {
        /// Holds `{tid}`, which the token's tenant claim replaces.
        template: String,
        /// The tenants that are let in.
        tenants: Tenants,
    },
}

impl IssuerRule {
    /// Whether this is an issuer by which people sign in.
    fn admits(&self, issuer: &str) -> bool {
        match self {
            Self::Exact(own) => own == issuer,
            Self::Template { template, tenants } => {
                tenants.iter().any(|tenant| template.replace("{tid}", tenant) == issuer)
            }
        }
    }
}

/// Exact tenant ids; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenants(BTreeSet<String>);

impl Tenants {
    /// `None` when there are none: an empty list would let everybody or nobody in, and neither was said.
    pub fn new(ids: impl IntoIterator<Item = String>) -> Option<Self> {
        let ids: BTreeSet<_> = ids.into_iter().collect();
        (!ids.is_empty()).then_some(Self(ids))
    }

    /// Whether there is more than one.
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Whether `id` is let in.
    pub fn contains(&self, id: &str) -> bool {
        self.0.contains(id)
    }

    /// The ids in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// How we prove ourselves at the upstream's token endpoint.
#[derive(Debug, Clone)]
pub enum UpstreamClientAuth {
    /// A public client: PKCE alone.
    None,
    /// `client_secret_basic`.
    Basic(Secret),
    /// `client_secret_post`.
    Post(Secret),
    /// `private_key_jwt` (RFC 7523 §2.2).
    PrivateKeyJwt {
        /// A PKCS #8 PEM.
        key: Secret,
        /// The key's name at the upstream.
        kid: Option<String>,
        /// What it signs with.
        alg: AssertionAlg,
        /// Whom it is made for.
        audience: AssertionAudience,
    },
}

/// Whom a client assertion is made for (`aud`). Upstreams differ: older ones know their token endpoint alone, newer
/// ones their issuer alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AssertionAudience {
    /// The URL of the token endpoint (RFC 7523 §3).
    #[default]
    TokenEndpoint,
    /// The issuer of the discovery document (draft-ietf-oauth-rfc7523bis §4).
    Issuer,
}

/// What a client assertion may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssertionAlg {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// What an upstream's ID token may be signed with: asymmetric algorithms alone, so that neither `none` nor a
/// public key taken for a shared secret can pass (RFC 8725 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdTokenAlg {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl IdTokenAlg {
    /// All of them by their names (RFC 7518 §3.1, RFC 8037 §3.1).
    pub const NAMES: [(&str, Self); 9] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// As jsonwebtoken names it.
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Rs384 => Algorithm::RS384,
            Self::Rs512 => Algorithm::RS512,
            Self::Ps256 => Algorithm::PS256,
            Self::Ps384 => Algorithm::PS384,
            Self::Ps512 => Algorithm::PS512,
            Self::Es256 => Algorithm::ES256,
            Self::Es384 => Algorithm::ES384,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// What is made of `iss` in the authorization response (RFC 9207).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseIss {
    /// Compared when it is there; required when the discovery document announces it.
    WhenAnnounced,
    /// Required.
    Required,
}

/// When the userinfo endpoint is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Userinfo {
    /// When the ID token lacks a claim that is wanted.
    WhenMissing,
    /// Not at all.
    Never,
    /// At every sign-in.
    Always,
}
