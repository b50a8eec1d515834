//! What is said between us and a provider once a person has come back from it: the code becomes tokens, the ID token is
//! proved, userinfo fills the gaps, and what remains is an identity. Nothing is written meanwhile, so a provider that
//! fails half-way leaves nothing behind.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use oauth2::RedirectUrl;
use tokio::time::{Instant, timeout_at};

use super::{
    exchange::{self, Redemption},
    failure::SignInError,
    id_token::{self, Expected},
    providers::Reached,
    userinfo,
};
use crate::{
    clock::Clock,
    config::provider::Provider,
    entropy::Entropy,
    identity::{
        claims::{self, Claims},
        verified::VerifiedIdentity,
    },
    jose::{Unverified, verifier::Kind},
    net::Upstream,
    secret::Secret,
};

/// For all of it together, discovery included: up to four requests in a row, of which each may take five seconds. A
/// person before a page that does nothing reloads after about ten.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What we sent and what came back with the person.
#[derive(Debug)]
pub(super) struct Return<'a> {
    pub(super) code: &'a str,
    pub(super) response_iss: Option<&'a str>,
    pub(super) nonce: &'a str,
    pub(super) verifier: Option<&'a str>,
    pub(super) max_age: Option<Duration>,
    pub(super) redirect_uri: RedirectUrl,
}

/// A person whom a provider has vouched for, and what it calls her session.
#[derive(Debug)]
pub(super) struct Vouched<'p> {
    /// Who she is to us.
    pub(super) identity: VerifiedIdentity<'p>,
    /// The `sub` of the ID token: what the provider calls her when it ends her session.
    pub(super) subject: String,
    /// The ID token itself, as a hint for the sign-out there.
    pub(super) id_token: Secret,
    /// The answer of the token endpoint, as it came.
    pub(super) answer: Secret,
}

/// Who the person is, if the provider says so before the deadline.
pub(super) async fn identify<'p>(
    provider: &'p Provider,
    reached: &Reached,
    returned: Return<'_>,
    upstream: &Upstream,
    chance: (&Clock, &Entropy),
    deadline: Instant,
) -> Result<Vouched<'p>, SignInError> {
    timeout_at(deadline, talk(provider, reached, returned, upstream, chance))
        .await
        .unwrap_or(Err(SignInError::TooSlow))
}

async fn talk<'p>(
    provider: &'p Provider,
    Reached { metadata, jwks }: &Reached,
    returned: Return<'_>,
    upstream: &Upstream,
    (clock, entropy): (&Clock, &Entropy),
) -> Result<Vouched<'p>, SignInError> {
    let Return { code, verifier, redirect_uri, .. } = returned;
    let redemption = Redemption { code, verifier, redirect_uri };
    let tokens = exchange::redeem(provider, metadata, redemption, upstream, (clock, entropy)).await?;
    let accepted: Vec<Algorithm> = provider.id_token_algs.iter().map(|alg| alg.algorithm()).collect();
    let unverified = Unverified::parse(tokens.id_token.expose(), Kind::IdToken, &accepted)?;
    let signed_with = unverified.algorithm();
    let verified = jwks.verify(unverified).await?;
    let expected = Expected {
        issuer: &provider.issuer,
        tenant: provider.claims.tenant.as_ref(),
        client_id: &provider.client_id,
        nonce: returned.nonce,
        max_age: returned.max_age,
        access_token: tokens.access_token.expose(),
        response_iss: returned.response_iss,
        leeway: provider.leeway,
        now: clock.now(),
    };
    let token = id_token::check(&verified, signed_with, &expected)?;
    let more = match &metadata.userinfo_endpoint {
        Some(endpoint) if userinfo::is_wanted(provider, verified.claims()) => {
            Some(userinfo::ask(endpoint, &tokens.access_token, &token.subject, upstream).await?)
        }
        _ => None,
    };
    let claims = Claims { signed: verified.into_claims(), userinfo: more };
    let identity = claims::of_sign_in(provider, token.issuer, token.authentication, claims)?;
    Ok(Vouched { identity, subject: token.subject, id_token: tokens.id_token, answer: tokens.answer })
}
