//! What an operator wants to know of a provider before people sign in through it: is it there, is it who it says it is,
//! does it publish usable keys, does it accept us; and of others who sign assertions for it, where their keys are.

use std::fmt;

use url::Url;

use super::{
    discovery::{self, Metadata},
    exchange::{self, ExchangeError, Redemption},
    issuer_keys, signed_out,
};
use crate::{
    clock::Clock,
    config::provider::{
        IdTokenAlg, IssuerKeys, Logout, Provider, TrustedIssuer, UpstreamClientAuth, Userinfo,
    },
    entropy::Entropy,
    jose::{Jwks, key_set::LookupError},
    net::Upstream,
    oauth::issuer::Issuer,
};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it stands.
    pub verdict: Verdict,
    /// What was found, as a line for a terminal.
    pub text: String,
}

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Perhaps not as the operator thinks.
    Doubtful,
    /// Nobody will be able to sign in, or no assertion of that issuer will be accepted.
    Wrong,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "ok",
            Self::Doubtful => "look",
            Self::Wrong => "wrong",
        })
    }
}

fn good(text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Good, text: text.into() }
}

fn doubtful(text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Doubtful, text: text.into() }
}

fn wrong(text: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Wrong, text: text.into() }
}

/// Asks the provider for its discovery document and its keys, and offers it a code that it never issued, by whose
/// refusal it shows whether it knows us; and asks each issuer of assertions for its keys.
pub async fn inspect(
    provider: &Provider,
    issuer: &Issuer,
    upstream: &Upstream,
    (clock, entropy): (&Clock, &Entropy),
) -> Vec<Finding> {
    let metadata = discovery::fetch(provider, upstream).await;
    let mut findings = match &metadata {
        Ok(metadata) => sign_in((provider, metadata), issuer, upstream, (clock, entropy)).await,
        Err(error) => vec![wrong(format!("it {error}"))],
    };
    let own_keys = metadata.ok().map(|metadata| metadata.jwks_uri);
    for assertions in Assertions::of(provider) {
        findings.extend(assertions.look((provider, own_keys.as_ref()), upstream, clock).await);
    }
    findings
}

async fn sign_in(
    (provider, metadata): (&Provider, &Metadata),
    issuer: &Issuer,
    upstream: &Upstream,
    (clock, entropy): (&Clock, &Entropy),
) -> Vec<Finding> {
    let mut findings = vec![
        good(format!("{} answers, and its issuer is as configured", provider.discovery_url)),
        good(format!("people are sent to {}", metadata.authorization_endpoint)),
    ];
    findings.extend(promises(provider, metadata));
    findings.extend(way_out(provider, metadata, issuer));
    let jwks = Jwks::new(upstream.clone(), metadata.jwks_uri.clone(), clock.clone());
    let fit = keys((&provider.id_token_algs, "id_token_algs"), &jwks).await;
    findings.push(fit.map_or_else(|trouble| wrong(format!("it {trouble}")), good));
    findings.push(acceptance(provider, metadata, issuer, upstream, (clock, entropy)).await);
    findings
}

/// What a section takes of an issuer.
struct Assertions<'a> {
    issuer: &'a TrustedIssuer,
    algorithms: &'a [IdTokenAlg],
    /// The key that says which algorithms.
    key: &'static str,
}

impl<'a> Assertions<'a> {
    fn of(provider: &'a Provider) -> impl Iterator<Item = Self> {
        let of_people = provider.id_jag.iter().flat_map(|id_jag| {
            id_jag.issuers.iter().map(|issuer| Self {
                issuer: &issuer.trusted,
                algorithms: &id_jag.algorithms,
                key: "id_jag.algorithms",
            })
        });
        let of_programs = provider.workload.iter().map(|workload| Self {
            issuer: &workload.issuer,
            algorithms: &workload.algorithms,
            key: "workload.algorithms",
        });
        of_people.chain(of_programs)
    }

    /// Whether keys are there by which its assertions can be believed. Nothing, where that is what sign-in shows.
    async fn look(
        &self,
        (provider, own_keys): (&Provider, Option<&Url>),
        upstream: &Upstream,
        clock: &Clock,
    ) -> Option<Finding> {
        let issuer = &self.issuer.issuer;
        let url = match &self.issuer.keys {
            IssuerKeys::OfSignIn if self.algorithms == provider.id_token_algs => return None,
            IssuerKeys::OfSignIn => own_keys?.clone(),
            IssuerKeys::At(url) => url.clone(),
            IssuerKeys::Announced => match issuer_keys::fetch(issuer, upstream).await {
                Ok(url) => url,
                Err(error) => return Some(wrong(format!("{issuer}, whose assertions are taken, {error}"))),
            },
        };
        let jwks = Jwks::new(upstream.clone(), url, clock.clone());
        Some(match keys((self.algorithms, self.key), &jwks).await {
            Ok(fit) => good(format!("{fit}, for the assertions of {issuer}")),
            Err(trouble) => wrong(format!("{issuer}, whose assertions are taken, {trouble}")),
        })
    }
}

/// What the document says that does not fit what is configured. Documents are often incomplete, so none of it is
/// certain to fail.
fn promises(provider: &Provider, metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    let accepts = |alg: &IdTokenAlg| metadata.id_token_algs.iter().any(|name| name == alg_name(*alg));
    if !provider.id_token_algs.iter().any(accepts) {
        let theirs = metadata.id_token_algs.join(", ");
        findings.push(doubtful(format!(
            "it says that it signs ID tokens with {theirs}, of which id_token_algs allows none"
        )));
    }
    let method = auth_method(&provider.client_auth);
    if !metadata.auth_methods.is_empty() && !metadata.auth_methods.iter().any(|name| name == method) {
        let theirs = metadata.auth_methods.join(", ");
        findings.push(doubtful(format!(
            "it does not name {method} among the ways to prove who we are: {theirs}"
        )));
    }
    if provider.pkce && metadata.s256 == Some(false) {
        findings.push(doubtful("it says that it does not know PKCE S256, which pkce sends"));
    }
    if provider.userinfo != Userinfo::Never && metadata.userinfo_endpoint.is_none() {
        findings.push(doubtful("it has no userinfo endpoint, so every claim must be in the ID token"));
    }
    findings
}

/// Where people go who sign out, where that is not here.
fn way_out(provider: &Provider, metadata: &Metadata, issuer: &Issuer) -> Option<Finding> {
    (provider.logout == Logout::Provider).then(|| match &metadata.end_session_endpoint {
        Some(endpoint) => good(format!(
            "people who sign out are sent to {endpoint}, and must be let back to {}",
            signed_out::return_uri(issuer, &provider.id)
        )),
        None => doubtful(
            "it has no end_session_endpoint that may be used, so people who sign out stay signed in there, \
             whatever sign_in.logout says",
        ),
    })
}

/// Which of the accepted algorithms there are keys for, or why there is none; `key` is what says which are accepted.
async fn keys((accepted, key): (&[IdTokenAlg], &str), jwks: &Jwks) -> Result<String, String> {
    let url = jwks.url();
    let published = jwks.look().await.map_err(|error| format!("{error} ({url})"))?;
    let fits = |alg: &&IdTokenAlg| published.find(None, alg.algorithm()).err() != Some(LookupError::Unknown);
    let names: Vec<_> = accepted.iter().filter(fits).map(|alg| alg_name(*alg)).collect();
    if names.is_empty() {
        return Err(format!("has no key at {url} that fits an algorithm that {key} allows"));
    }
    Ok(format!("{url} has keys for {}", names.join(", ")))
}

async fn acceptance(
    provider: &Provider,
    metadata: &Metadata,
    issuer: &Issuer,
    upstream: &Upstream,
    chance: (&Clock, &Entropy),
) -> Finding {
    let Ok(redirect_uri) = super::login::redirect_uri(issuer, &provider.id) else {
        return wrong("our own redirect URI is no URL");
    };
    let redemption = Redemption { code: "chancery-check", verifier: None, redirect_uri };
    match exchange::redeem(provider, metadata, redemption, upstream, chance).await {
        Err(ExchangeError::Code(_)) => {
            good(format!("{} accepts us as {}", metadata.token_endpoint, provider.client_id))
        }
        Err(error @ (ExchangeError::Client(_) | ExchangeError::Key(_))) => wrong(format!("it {error}")),
        Err(error) => {
            doubtful(format!("whether it accepts us is not certain: asked with a made-up code, it {error}"))
        }
        Ok(_) => wrong("it gave tokens for a code that nobody issued"),
    }
}

/// Its name in a JWT header (RFC 7518 §3.1, RFC 8037 §3.1).
fn alg_name(alg: IdTokenAlg) -> &'static str {
    IdTokenAlg::NAMES.iter().find(|(_, known)| *known == alg).map_or("", |(name, _)| name)
}

/// Its name in metadata (OIDC Core §9).
const fn auth_method(auth: &UpstreamClientAuth) -> &'static str {
    match auth {
        UpstreamClientAuth::None => "none",
        UpstreamClientAuth::Basic(_) => "client_secret_basic",
        UpstreamClientAuth::Post(_) => "client_secret_post",
        UpstreamClientAuth::PrivateKeyJwt { .. } => "private_key_jwt",
    }
}

#[cfg(test)]
mod tests;
