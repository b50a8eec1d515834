//! The claims of an ID token whose signature holds (OIDC Core §3.1.3.7). Pure: every fact that the judgement depends
//! on is passed in.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

use crate::{
    clock::Timestamp,
    config::{claims::ClaimPath, provider::IssuerRule},
    identity::authentication::{Authentication, is_identifier},
    jose::{Verified, VerifyError},
};

/// What this one sign-in asked for, and what the token must therefore say.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    /// Which issuers the provider's tokens may name.
    pub(super) issuer: &'a IssuerRule,
    /// Where the tenant is that a templated issuer is filled in with.
    pub(super) tenant: Option<&'a ClaimPath>,
    /// Our `client_id` at the provider.
    pub(super) client_id: &'a str,
    /// What we sent with the authorization request.
    pub(super) nonce: &'a str,
    /// How old the authentication may be, if we asked.
    pub(super) max_age: Option<Duration>,
    /// The access token that came along.
    pub(super) access_token: &'a str,
    /// The `iss` of the authorization response, where there was one.
    pub(super) response_iss: Option<&'a str>,
    /// How far the provider's clock may be from ours.
    pub(super) leeway: Duration,
    /// Now, by our clock.
    pub(super) now: Timestamp,
}

/// What a good ID token says about this sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IdToken {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) authentication: Authentication,
}

/// Why an ID token is refused. The text repeats nothing of the token but its issuer.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdTokenError {
    /// It is no token that we read, nothing proves it, or a claim that every ID token has (OIDC Core §2) is missing,
    /// malformed or out of time.
    #[error(transparent)]
    Token(#[from] VerifyError),
    /// The token is of another issuer, or of a tenant that its `iss` contradicts.
    #[error("the token's issuer is {found:?} and not {expected:?}")]
    Issuer {
        /// What it says.
        found: String,
        /// What would be right, byte for byte.
        expected: String,
    },
    /// The authorization response came from another issuer than the token (RFC 9207 §2.4).
    #[error("the token's issuer is not the `iss` of the authorization response")]
    MixUp,
    /// The token is for another client.
    #[error("the token is for another client (aud or azp)")]
    Audience,
    /// The token answers another authorization request.
    #[error("the token's nonce is not the one we sent")]
    Nonce,
    /// The access token was exchanged for another.
    #[error("the token's at_hash does not fit the access token")]
    AccessTokenHash,
    /// `max_age` was asked for and is not kept (OIDC Core §3.1.2.1).
    #[error("the person's authentication is older than the max_age we sent, or its time is not stated")]
    TooOld,
}

/// Judges the claims of an ID token that `algorithm` signed.
pub(super) fn check(
    token: &Verified,
    algorithm: Algorithm,
    expected: &Expected<'_>,
) -> Result<IdToken, IdTokenError> {
    let issuer = issuer(token, expected)?;
    audience(token, expected.client_id)?;
    let times = token.check_times(expected.now, expected.leeway, None)?;
    times.issued_at.ok_or(VerifyError::Missing("iat"))?;
    if !bool::from(token.text("nonce")?.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(IdTokenError::Nonce);
    }
    if token.claims().contains_key("at_hash")
        && token.text("at_hash")? != half_hash(algorithm, expected.access_token)
    {
        return Err(IdTokenError::AccessTokenHash);
    }
    let subject = token.text("sub")?;
    if !is_identifier(subject) {
        return Err(VerifyError::Malformed("sub").into());
    }
    let authentication = Authentication::told_by(token, expected.now, expected.leeway)?;
    recent(authentication.auth_time, expected)?;
    Ok(IdToken { issuer: issuer.to_owned(), subject: subject.to_owned(), authentication })
}

fn issuer<'a>(token: &'a Verified, expected: &Expected<'_>) -> Result<&'a str, IdTokenError> {
    let found = token.text("iss")?;
    let right = match expected.issuer {
        IssuerRule::Exact(issuer) => issuer.clone(),
        IssuerRule::Template { template, .. } => template.replace("{tid}", tenant(token, expected.tenant)?),
    };
    if found != right {
        return Err(IdTokenError::Issuer { found: found.to_owned(), expected: right });
    }
    match expected.response_iss {
        Some(iss) if iss != found => Err(IdTokenError::MixUp),
        _ => Ok(found),
    }
}

/// The tenant that fills in the template: letters, digits and hyphens, so that it can be nothing but one segment.
fn tenant<'a>(token: &'a Verified, path: Option<&ClaimPath>) -> Result<&'a str, VerifyError> {
    let segment = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let claim = path.and_then(|path| path.lookup(token.claims())).ok_or(VerifyError::Missing("tid"))?;
    claim.as_str().filter(segment).ok_or(VerifyError::Malformed("tid"))
}

/// OIDC Core §3.1.3.7, items 3 to 5: the token is for us, and where it is for others too, it was issued to us.
pub(super) fn audience(token: &Verified, client_id: &str) -> Result<(), IdTokenError> {
    let audiences = token.audiences()?;
    if !audiences.contains(&client_id) {
        return Err(IdTokenError::Audience);
    }
    match token.claims().get("azp") {
        None if audiences.len() == 1 => Ok(()),
        Some(azp) if azp == client_id => Ok(()),
        _ => Err(IdTokenError::Audience),
    }
}

/// `max_age`, where it was asked for.
fn recent(auth_time: Option<Timestamp>, expected: &Expected<'_>) -> Result<(), IdTokenError> {
    let Some(max_age) = expected.max_age else { return Ok(()) };
    match auth_time {
        Some(at) if expected.now <= at.plus(max_age).plus(expected.leeway) => Ok(()),
        Some(_) | None => Err(IdTokenError::TooOld),
    }
}

/// The left half of the access token's hash, by the hash of the token's own algorithm (OIDC Core §3.1.3.6).
fn half_hash(algorithm: Algorithm, access_token: &str) -> String {
    use Algorithm::{ES384, EdDSA, PS384, PS512, RS384, RS512};
    let hash = match algorithm {
        RS384 | PS384 | ES384 => Sha384::digest(access_token).to_vec(),
        RS512 | PS512 | EdDSA => Sha512::digest(access_token).to_vec(),
        _ => Sha256::digest(access_token).to_vec(),
    };
    URL_SAFE_NO_PAD.encode(hash.get(..hash.len() / 2).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        config::provider::Provider,
        config::provider::fixture::{multi_tenant, provider},
    };

    const NOW: Timestamp = Timestamp::from_secs(1_795_219_200);
    /// OIDC Core appendix A.3 gives this `at_hash` for RS256.
    const ACCESS_TOKEN: &str = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    const AT_HASH: &str = "77QmUPtjPfzWtF2AnpK9RQ";

    fn good() -> Value {
        json!({
            "iss": "https://idp.acme.com", "sub": "ada", "aud": "us", "nonce": "n",
            "exp": NOW.as_secs() + 300, "iat": NOW.as_secs(),
        })
    }

    fn judged(provider: &Provider, claims: &Value, max_age: Option<u64>) -> Result<IdToken, IdTokenError> {
        let verified = Verified::taken_as_proved(claims.as_object().unwrap().clone());
        let expected = Expected {
            issuer: &provider.issuer,
            tenant: provider.claims.tenant.as_ref(),
            client_id: "us",
            nonce: "n",
            max_age: max_age.map(Duration::from_secs),
            access_token: ACCESS_TOKEN,
            response_iss: None,
            leeway: provider.leeway,
            now: NOW,
        };
        check(&verified, Algorithm::RS256, &expected)
    }

    fn with(changes: &[(&str, Value)]) -> Value {
        let mut claims = good();
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        claims
    }

    #[test]
    fn a_plain_token_passes() {
        let token = judged(&provider(), &good(), None).unwrap();
        assert_eq!((token.issuer.as_str(), token.subject.as_str()), ("https://idp.acme.com", "ada"));
    }

    #[rstest]
    #[case("several audiences, issued to us", &[("aud", json!(["us", "other"])), ("azp", json!("us"))])]
    #[case("a list of one", &[("aud", json!(["us"]))])]
    #[case("azp repeats the audience", &[("azp", json!("us"))])]
    #[case("expired within the leeway", &[("exp", json!(NOW.as_secs() - 29))])]
    #[case("their clock is ahead within the leeway", &[("iat", json!(NOW.as_secs() + 30))])]
    #[case("a date with a fraction", &[("exp", json!(1_795_219_300.5))])]
    #[case("at_hash fits", &[("at_hash", json!(AT_HASH))])]
    #[case("what only informs may be malformed", &[("acr", json!(1)), ("amr", json!({})), ("sid", json!([]))])]
    fn passes(#[case] why: &str, #[case] changes: &[(&str, Value)]) {
        assert!(judged(&provider(), &with(changes), None).is_ok(), "{why}");
    }

    #[rstest]
    #[case("another issuer", &[("iss", json!("https://evil.example"))])]
    #[case("the issuer but for a slash", &[("iss", json!("https://idp.acme.com/"))])]
    #[case("no issuer", &[("iss", json!(null))])]
    #[case("another audience", &[("aud", json!("other"))])]
    #[case("several audiences without azp", &[("aud", json!(["us", "other"]))])]
    #[case("several audiences, issued to another", &[("aud", json!(["us", "other"])), ("azp", json!("other"))])]
    #[case("issued to another", &[("azp", json!("other"))])]
    #[case("azp is a list", &[("azp", json!(["us"]))])]
    #[case("an audience is no text", &[("aud", json!(["us", 1]))])]
    #[case("an audience within an object", &[("aud", json!({ "us": 1 }))])]
    #[case("expired", &[("exp", json!(NOW.as_secs() - 30))])]
    #[case("exp is text", &[("exp", json!("1795219500"))])]
    #[case("exp is in milliseconds", &[("exp", json!(NOW.as_millis()))])]
    #[case("exp is negative", &[("exp", json!(-1))])]
    #[case("issued in the future", &[("iat", json!(NOW.as_secs() + 31))])]
    #[case("iat is text", &[("iat", json!("1795219200"))])]
    #[case("not valid yet", &[("nbf", json!(NOW.as_secs() + 31))])]
    #[case("another nonce", &[("nonce", json!("m"))])]
    #[case("a nonce that only begins right", &[("nonce", json!("nn"))])]
    #[case("nonce is a list", &[("nonce", json!(["n"]))])]
    #[case("at_hash of another token", &[("at_hash", json!("77QmUPtjPfzWtF2AnpK9RA"))])]
    #[case("at_hash is no text", &[("at_hash", json!(7))])]
    #[case("sub is a number", &[("sub", json!(1))])]
    #[case("sub is empty", &[("sub", json!(""))])]
    #[case("sub is endless", &[("sub", json!("x".repeat(256)))])]
    #[case("sub holds a control character", &[("sub", json!("ada\u{0}"))])]
    #[case("signed in tomorrow", &[("auth_time", json!(NOW.as_secs() + 31))])]
    fn refuses(#[case] why: &str, #[case] changes: &[(&str, Value)]) {
        assert!(judged(&provider(), &with(changes), None).is_err(), "{why}");
    }

    #[rstest]
    #[case("iss")]
    #[case("sub")]
    #[case("aud")]
    #[case("exp")]
    #[case("iat")]
    #[case("nonce")]
    fn every_required_claim_is_required(#[case] name: &str) {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(name);
        assert!(judged(&provider(), &claims, None).is_err());
    }

    #[rstest]
    #[case(json!(NOW.as_secs() - 90), true)]
    #[case(json!(NOW.as_secs() - 91), false)]
    #[case(json!("1795219200"), false)]
    #[case(json!(null), false)]
    fn max_age_binds_and_silence_does_not_meet_it(#[case] auth_time: Value, #[case] passes: bool) {
        assert_eq!(judged(&provider(), &with(&[("auth_time", auth_time)]), Some(60)).is_ok(), passes);
    }

    #[rstest]
    #[case("https://login.example/t1/v2.0", json!("t1"), true)]
    #[case("https://login.example/t9/v2.0", json!("t9"), true)] // the entry rules' affair
    #[case("https://login.example/t1/v2.0", json!("t2"), false)]
    #[case("https://login.example/{tid}/v2.0", json!("{tid}"), false)]
    #[case("https://login.example/a/b/v2.0", json!("a/b"), false)]
    #[case("https://login.example//v2.0", json!(""), false)]
    #[case("https://login.example/t1/v2.0", json!(null), false)]
    #[case("https://login.example/t1/v2.0", json!(["t1"]), false)]
    fn a_templated_issuer_is_filled_by_the_tokens_own_tenant(
        #[case] iss: &str,
        #[case] tid: Value,
        #[case] passes: bool,
    ) {
        let claims = with(&[("iss", json!(iss)), ("tid", tid)]);
        assert_eq!(judged(&multi_tenant(), &claims, None).is_ok(), passes);
    }

    #[test]
    fn the_response_and_the_token_name_one_issuer() {
        let provider = multi_tenant();
        let claims = with(&[("iss", json!("https://login.example/t1/v2.0")), ("tid", json!("t1"))]);
        let verified = Verified::taken_as_proved(claims.as_object().unwrap().clone());
        let expected = |response_iss| Expected {
            issuer: &provider.issuer,
            tenant: provider.claims.tenant.as_ref(),
            client_id: "us",
            nonce: "n",
            max_age: None,
            access_token: ACCESS_TOKEN,
            response_iss,
            leeway: provider.leeway,
            now: NOW,
        };
        let judged = |iss| check(&verified, Algorithm::ES256, &expected(iss));
        assert!(judged(Some("https://login.example/t1/v2.0")).is_ok());
        assert!(matches!(judged(Some("https://login.example/t2/v2.0")), Err(IdTokenError::MixUp)));
    }

    /// Ed25519 hashes with SHA-512 (RFC 8037), the others with the hash in their name.
    #[rstest]
    #[case(Algorithm::PS256, 16)]
    #[case(Algorithm::ES384, 24)]
    #[case(Algorithm::RS512, 32)]
    #[case(Algorithm::EdDSA, 32)]
    fn at_hash_is_half_of_the_algorithms_hash(#[case] algorithm: Algorithm, #[case] bytes: usize) {
        assert_eq!(URL_SAFE_NO_PAD.decode(half_hash(algorithm, "x")).unwrap().len(), bytes);
    }
}
