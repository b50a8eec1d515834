//! `private_key_jwt` (RFC 7523 §2.2, RFC 7521 §4.2): a client proves itself by a signed assertion that is made for us
//! alone, lives for minutes and counts once.
//!
//! Nothing is spent here. The `jti` is spent by [`TokenRequest::begin`](crate::token::TokenRequest::begin), in the
//! transaction in which a grant takes effect: whatever is wrong with the rest of a request leaves the assertion good, a
//! request that ended in a fault of ours can be sent again as it stands, and one durable write does for both. Before
//! that commit an assertion has given nobody anything, so nothing can be replayed.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use url::Url;

use crate::{
    app::App,
    clock::{Clock, Timestamp},
    config::client::{ClientKeys, KeySource},
    ids::ClientId,
    jose::{Jwks, Unverified, Verified, VerifyError, verifier::Kind},
    net::{Guarded, Upstream},
    oauth::{error::ErrorCode, issuer::Issuer, params::Params, purpose::Role},
    store::replays::{OneTime, OneTimeKind},
    web::error::ApiError,
};

/// `client_assertion_type` (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The longest life of an assertion: what SEP-1046 allows clients. It bounds how long a `jti` is kept.
const MAX_LIFETIME: Duration = Duration::from_secs(5 * 60);
/// How far a client's clock may be from ours.
const LEEWAY: Duration = Duration::from_secs(60);
/// The longest `jti`; a UUID has 36, a hash in hexadecimal 64.
const MAX_JTI_BYTES: usize = 256;
/// How many clients' key addresses are remembered; beyond that the least used are forgotten.
const MAX_ADDRESSES: u64 = 1000;

/// Why an assertion proves nothing.
#[derive(Debug, thiserror::Error)]
enum AssertionError {
    /// Its form, signature or dates.
    #[error(transparent)]
    Jwt(#[from] VerifyError),
    /// Signed with what this client does not sign with.
    #[error("the algorithm is not one of the client's")]
    Algorithm,
    /// Not the client's own word.
    #[error("iss and sub are not both the client")]
    Issuer,
    /// Not made for us, or not for us alone.
    #[error("aud is not our issuer alone")]
    Audience,
    /// It could be used for too long.
    #[error("it lives longer than {} s", MAX_LIFETIME.as_secs())]
    Lifetime,
    /// Empty, overlong, or with control characters.
    #[error("jti cannot be accepted")]
    Jti,
}

/// An assertion of the right form, of which nothing is proved.
#[derive(Debug)]
pub(super) struct Presented<'p>(Unverified<'p>);

/// The assertion that a request carries, and the client that it names: `client_id` may be left out, and must be the
/// same where it is not (RFC 7521 §4.2).
pub(super) fn presented(params: &Params) -> Result<Option<(ClientId, Presented<'_>)>, ApiError> {
    let refused = |reason: String| ApiError::invalid_client(false, reason);
    let assertion = match (params.get("client_assertion_type"), params.get("client_assertion")) {
        (None, None) => return Ok(None),
        (Some(ASSERTION_TYPE), Some(assertion)) => assertion,
        (Some(_), Some(_)) => return Err(refused("client_assertion_type is not known".to_owned())),
        (None, Some(_)) | (Some(_), None) => {
            let text = "client_assertion and client_assertion_type are sent together";
            return Err(ApiError::new(ErrorCode::InvalidRequest, text));
        }
    };
    let assertion = Unverified::parse(assertion, Kind::ClientAssertion, &ClientKeys::any_algorithm())
        .map_err(|error| refused(format!("client assertion: {error}")))?;
    let id = assertion
        .text("sub")
        .and_then(|sub| ClientId::try_from(sub.to_owned()).ok())
        .filter(|sub| params.get("client_id").is_none_or(|id| id == sub.as_str()))
        .ok_or_else(|| refused("client assertion: sub is not the client of the request".to_owned()))?;
    Ok(Some((id, Presented(assertion))))
}

/// Verifies everything but that it was not used before. It must be made for the issuer that was asked.
pub(super) async fn prove(
    app: &App,
    role: Role,
    (client, keys): (&ClientId, &ClientKeys),
    Presented(assertion): Presented<'_>,
) -> Result<OneTime, ApiError> {
    let verified = verify(app, keys, assertion).await;
    verified.and_then(|verified| check(&verified, client, app.config.issuer(role), app.clock.now())).map_err(
        |error| match error {
            AssertionError::Jwt(VerifyError::NoKeys(reason)) if reason.is_transient() => {
                ApiError::unavailable(format!("the keys of client {client}: its jwks_uri {reason}"))
            }
            error => ApiError::invalid_client(false, format!("client assertion of {client}: {error}")),
        },
    )
}

async fn verify(app: &App, keys: &ClientKeys, assertion: Unverified<'_>) -> Result<Verified, AssertionError> {
    if !keys.algorithms.contains(&assertion.algorithm()) {
        return Err(AssertionError::Algorithm);
    }
    Ok(match &keys.source {
        KeySource::Inline(keys) => {
            let key = keys.find(assertion.kid(), assertion.algorithm()).map_err(VerifyError::from)?;
            assertion.verify(&key)?
        }
        KeySource::Configured(url) => app.client_keys.configured(url).verify(assertion).await?,
        KeySource::Published(url) => app.client_keys.published(url).verify(assertion).await?,
    })
}

/// What an assertion whose signature holds must say (RFC 7523 §3, RFC 7523bis §4).
fn check(
    verified: &Verified,
    client: &ClientId,
    issuer: &Issuer,
    now: Timestamp,
) -> Result<OneTime, AssertionError> {
    if verified.text("iss")? != client.as_str() || verified.text("sub")? != client.as_str() {
        return Err(AssertionError::Issuer);
    }
    match verified.audiences()?.as_slice() {
        [audience] if audience.strip_suffix('/').unwrap_or(audience) == issuer.as_str() => {}
        _ => return Err(AssertionError::Audience),
    }
    let times = verified.check_times(now, LEEWAY, None)?;
    let longest = MAX_LIFETIME.saturating_add(LEEWAY);
    if times.expires_at > now.plus(longest)
        || times.issued_at.is_some_and(|issued_at| times.expires_at > issued_at.plus(longest))
    {
        return Err(AssertionError::Lifetime);
    }
    let jti = verified.text("jti")?;
    if !(1..=MAX_JTI_BYTES).contains(&jti.len()) || jti.chars().any(char::is_control) {
        return Err(AssertionError::Jti);
    }
    Ok(OneTime {
        kind: OneTimeKind::ClientAssertion,
        issuer: client.as_str().to_owned(),
        jti: jti.to_owned(),
        expires_at: times.expires_at.plus(LEEWAY),
        holder: None,
    })
}

/// The keys that clients publish, fetched when they are needed and kept. Addresses that strangers wrote are kept apart
/// from those that the operator did, so that each is asked by its own client and none pushes out the other.
pub struct PublishedKeys {
    upstream: Upstream,
    guarded: Guarded,
    clock: Clock,
    configured: Cache<Url, Arc<Jwks>>,
    published: Cache<Url, Arc<Jwks>>,
}

impl PublishedKeys {
    /// Nothing is fetched yet.
    pub fn new(upstream: Upstream, guarded: Guarded, clock: Clock) -> Self {
        let (configured, published) = (Cache::new(MAX_ADDRESSES), Cache::new(MAX_ADDRESSES));
        Self { upstream, guarded, clock, configured, published }
    }

    fn configured(&self, url: &Url) -> Arc<Jwks> {
        let jwks = || Arc::new(Jwks::new(self.upstream.clone(), url.clone(), self.clock.clone()));
        self.configured.get_with_by_ref(url, jwks)
    }

    fn published(&self, url: &Url) -> Arc<Jwks> {
        let jwks = || Arc::new(Jwks::new(self.guarded.clone(), url.clone(), self.clock.clone()));
        self.published.get_with_by_ref(url, jwks)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_219_200);

    /// The outcome for claims that are good but for one; `null` leaves it out.
    fn checked(claim: &str, value: &Value) -> Result<OneTime, String> {
        let now = NOW.as_secs();
        let mut claims = json!({
            "iss": "agent", "sub": "agent", "aud": "https://auth.acme.com", "jti": "j",
            "iat": now, "nbf": now, "exp": now + 300,
        });
        claims[claim] = value.clone();
        let mut claims = claims.as_object().unwrap().clone();
        claims.retain(|_, value| !value.is_null());
        let client = ClientId::try_from("agent".to_owned()).unwrap();
        let issuer = Issuer::try_from("https://auth.acme.com".to_owned()).unwrap();
        check(&Verified::taken_as_proved(claims), &client, &issuer, NOW).map_err(|error| error.to_string())
    }

    #[rstest]
    #[case("aud", json!("https://auth.acme.com/"))]
    #[case("aud", json!(["https://auth.acme.com"]))]
    #[case("iat", json!(null))]
    #[case("nbf", json!(null))]
    #[case("iat", json!(NOW.as_secs() + 60))]
    #[case("iat", json!(NOW.as_secs() - 60))]
    #[case("exp", json!(NOW.as_secs() - 59))]
    #[case("exp", json!(NOW.as_secs() + 360))]
    #[case("exp", json!(1_795_219_260.5))]
    #[case("jti", json!("j".repeat(256)))]
    #[case("scope", json!("anything else is not read"))]
    fn what_is_accepted(#[case] claim: &str, #[case] value: Value) {
        assert!(checked(claim, &value).is_ok(), "{claim}: {value}");
    }

    #[rstest]
    #[case("iss", json!("other"), "iss and sub are not both the client")]
    #[case("sub", json!("other"), "iss and sub are not both the client")]
    #[case("iss", json!(null), "the token's claim iss is missing")]
    #[case("sub", json!(null), "the token's claim sub is missing")]
    #[case("aud", json!(null), "the token's claim aud is missing")]
    #[case("aud", json!([]), "aud is not our issuer alone")]
    #[case("aud", json!("https://auth.acme.com/oauth/token"), "aud is not our issuer alone")]
    #[case("aud", json!("https://auth.acme.com//"), "aud is not our issuer alone")]
    #[case("aud", json!("https://auth.acme.com.evil"), "aud is not our issuer alone")]
    #[case("aud", json!(["https://auth.acme.com", "https://other"]), "aud is not our issuer alone")]
    #[case("aud", json!(["https://auth.acme.com", 1]), "the token's claim aud cannot be understood")]
    #[case("exp", json!(null), "the token's claim exp is missing")]
    #[case("exp", json!("1795219500"), "the token's claim exp cannot be understood")]
    #[case("exp", json!(NOW.as_secs() - 60), "the token has expired")]
    #[case("exp", json!(NOW.as_secs() + 361), "it lives longer than 300 s")]
    #[case("exp", json!(253_402_300_799_i64), "it lives longer than 300 s")]
    #[case("iat", json!(NOW.as_secs() - 61), "it lives longer than 300 s")]
    #[case("iat", json!(NOW.as_secs() + 61), "the token is not valid yet")]
    #[case("iat", json!("x"), "the token's claim iat cannot be understood")]
    #[case("nbf", json!(NOW.as_secs() + 61), "the token is not valid yet")]
    #[case("jti", json!(null), "the token's claim jti is missing")]
    #[case("jti", json!(7), "the token's claim jti cannot be understood")]
    #[case("jti", json!(""), "jti cannot be accepted")]
    #[case("jti", json!("a\u{0}"), "jti cannot be accepted")]
    #[case("jti", json!("j".repeat(257)), "jti cannot be accepted")]
    fn what_is_refused(#[case] claim: &str, #[case] value: Value, #[case] why: &str) {
        assert_eq!(checked(claim, &value).unwrap_err(), why);
    }

    #[test]
    fn a_jti_is_kept_as_long_as_the_assertion_would_be_accepted() {
        let once = checked("exp", &json!(NOW.as_secs() + 100)).unwrap();
        assert_eq!((once.issuer.as_str(), once.jti.as_str()), ("agent", "j"));
        assert_eq!(once.expires_at, NOW.plus(Duration::from_secs(160)));
    }
}
