//! Whether an access token is good here (RFC 9068 §4): signed by our issuer, meant for this resource and no other, not
//! yet expired; and if it is bound to a key, sent by whoever has that key (RFC 9449 §7).

use std::{collections::BTreeSet, time::Duration};

use jsonwebtoken::Algorithm;
use moka::sync::Cache;
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::Url;

use crate::{
    clock::Clock,
    dpop::{BindingError, Presented},
    jose::{Jwks, Unverified, Verified, VerifyError, verifier::Kind},
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
    #[error(transparent)]
    Binding(#[from] BindingError),
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
            Self::Used => "invalid_dpop_proof",
            Self::Binding(error) if error.is_the_proofs() => "invalid_dpop_proof",
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
        let proof = presented.check_binding(&token, &self.resource, self.clock.now())?;
        if let Some(once) = proof.map(|proof| proof.one_time())
            && !self.proofs.entry((once.issuer, once.jti)).or_insert(()).is_fresh()
        {
            return Err(Rejected::Used);
        }
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
