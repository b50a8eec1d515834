//! Whether an access token is good here (RFC 9068 §4): signed by our issuer, meant for this resource and no other, not
//! yet expired; and if it is bound to a key, sent by whoever has that key (RFC 9449 §7).

use std::{collections::BTreeSet, time::Duration};

use axum::http::{HeaderMap, Method};
use jsonwebtoken::Algorithm;
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use crate::{
    clock::Clock,
    dpop::{Proof, ProofError},
    jose::{Jwks, Thumbprint, Unverified, Verified, VerifyError, verifier::Kind},
    net::{NetError, Upstream},
    oauth::issuer::Issuer,
};

/// How far our clock and the issuer's may differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// The largest metadata document that is read.
const MAX_METADATA_BYTES: usize = 64 * 1024;
/// How many proofs are remembered, so that none counts twice: more than arrive while one is accepted.
const MAX_PROOFS: u64 = 100_000;
/// How long each is: longer than it is accepted.
const PROOFS_KEPT: Duration = Duration::from_secs(5 * 60);

/// What a request shows (RFC 6750 §2.1, RFC 9449 §7.1).
#[derive(Debug)]
pub(super) struct Presented<'r> {
    pub(super) scheme: Scheme,
    pub(super) token: &'r str,
    pub(super) method: &'r Method,
    pub(super) headers: &'r HeaderMap,
}

/// The scheme of the `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Bearer,
    Dpop,
}

/// Who is calling, and what the token lets her do.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) subject: String,
    pub(super) scopes: BTreeSet<String>,
}

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejected {
    #[error(transparent)]
    Token(#[from] VerifyError),
    #[error("the token is of another issuer")]
    Issuer,
    #[error("the token is for another resource")]
    Audience,
    /// RFC 9449 §7.2: as a mere bearer token, it may have been stolen.
    #[error("the token is bound to a key: send it with a proof of that key")]
    Bound,
    /// The client believes in a protection that the token does not have.
    #[error("the token is not bound to a key")]
    Unbound,
    /// Bound to something that is not understood here, such as a certificate.
    #[error("the token is bound in a way that this server does not know")]
    Confirmation,
    #[error("the DPoP proof is missing")]
    NoProof,
    #[error("the DPoP proof: {0}")]
    Proof(#[from] ProofError),
    #[error("the DPoP proof is by another key than the token's")]
    OtherKey,
    #[error("the DPoP proof was made for another token")]
    OtherToken,
    #[error("the DPoP proof was used before")]
    Used,
    #[error("the issuer cannot be asked for its keys")]
    Metadata(#[from] MetadataError),
}

impl Rejected {
    /// Whether the token may be good and only cannot be judged now.
    pub(super) fn is_an_outage(&self) -> bool {
        matches!(self, Self::Metadata(_) | Self::Token(VerifyError::NoKeys(_)))
    }

    /// The error code of the challenge (RFC 6750 §3.1, RFC 9449 §7.1).
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoProof | Self::Proof(_) | Self::OtherKey | Self::OtherToken | Self::Used => {
                "invalid_dpop_proof"
            }
            _ => "invalid_token",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum MetadataError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("the issuer is not at a URL")]
    Address(#[from] url::ParseError),
    #[error("the metadata is of another issuer")]
    OtherIssuer,
}

/// Judges the tokens for one resource.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) issuer: Issuer,
    /// Our own URI: what `aud` must be.
    pub(super) resource: String,
    clock: Clock,
    upstream: Upstream,
    keys: OnceCell<Jwks>,
    /// The proofs that came lately, by key and `jti`.
    proofs: Cache<(String, String), ()>,
}

impl Verifier {
    pub(super) fn new(issuer: Issuer, resource: String, clock: Clock) -> Result<Self, reqwest::Error> {
        let upstream = Upstream::new(&issuer)?;
        let proofs = Cache::builder().max_capacity(MAX_PROOFS).time_to_live(PROOFS_KEPT).build();
        Ok(Self { issuer, resource, clock, upstream, keys: OnceCell::new(), proofs })
    }

    /// The caller, if the token is good.
    pub(super) async fn verify(&self, presented: &Presented<'_>) -> Result<Caller, Rejected> {
        // The kind keeps an ID token of the same issuer out; the algorithm is ours to choose, never the token's.
        let token = Unverified::parse(presented.token, Kind::AccessToken, &[Algorithm::ES256])?;
        let keys = self.keys.get_or_try_init(async || self.discover_keys().await).await?;
        let token = keys.verify(token).await?;
        let caller = self.judge(&token)?;
        self.check_binding(&token, presented)?;
        Ok(caller)
    }

    fn judge(&self, token: &Verified) -> Result<Caller, Rejected> {
        if token.text("iss")? != self.issuer.as_str() {
            return Err(Rejected::Issuer);
        }
        if token.audiences()? != [self.resource.as_str()] {
            return Err(Rejected::Audience);
        }
        token.check_times(self.clock.now(), LEEWAY, None)?;
        let scopes = if token.claims().contains_key("scope") { token.text("scope")? } else { "" };
        Ok(Caller {
            subject: token.text("sub")?.to_owned(),
            scopes: scopes.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        })
    }

    /// A token that is bound to a key is good with a proof of that key, made for this token and this request and never
    /// used before; one that is not is a bearer token.
    fn check_binding(&self, token: &Verified, presented: &Presented<'_>) -> Result<(), Rejected> {
        let Some(confirmation) = token.claims().get("cnf") else {
            return if presented.scheme == Scheme::Bearer { Ok(()) } else { Err(Rejected::Unbound) };
        };
        if presented.scheme == Scheme::Bearer {
            return Err(Rejected::Bound);
        }
        let bound_to = confirmation
            .get("jkt")
            .and_then(Value::as_str)
            .and_then(|jkt| Thumbprint::try_from(jkt.to_owned()).ok())
            .ok_or(Rejected::Confirmation)?;
        let proof = Proof::of(presented.headers, presented.method, &self.resource, self.clock.now())?
            .ok_or(Rejected::NoProof)?;
        if !proof.key().is(&bound_to) {
            return Err(Rejected::OtherKey);
        }
        if !proof.is_for(presented.token) {
            return Err(Rejected::OtherToken);
        }
        let once = proof.one_time();
        if self.proofs.entry((once.issuer, once.jti)).or_insert(()).is_fresh() {
            Ok(())
        } else {
            Err(Rejected::Used)
        }
    }

    /// The issuer's metadata says where its keys are (RFC 8414 §3).
    async fn discover_keys(&self) -> Result<Jwks, MetadataError> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: Url,
        }
        let (origin, path) = (self.issuer.origin(), self.issuer.path());
        let address = Url::parse(&format!("{origin}/.well-known/oauth-authorization-server{path}"))?;
        let metadata: Metadata = self.upstream.get_json(&address, MAX_METADATA_BYTES).await?;
        if metadata.issuer != self.issuer.as_str() {
            return Err(MetadataError::OtherIssuer);
        }
        Ok(Jwks::new(self.upstream.clone(), metadata.jwks_uri, self.clock.clone()))
    }
}
