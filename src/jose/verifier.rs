//! Reading a signed JWT (RFC 7519) of somebody else's, by the rules of RFC 8725: its form, kind and algorithm are
//! settled before a key is looked for, its claims may be used only after the signature holds, and its dates are
//! compared by our clock.

use std::{sync::Arc, time::Duration};

use base64::{DecodeError, Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::{
    json::{Object, parse_object},
    jwks::JwksError,
    key_set::{LookupError, VerificationKey},
};
use crate::clock::Timestamp;

/// The longest token that is read: ID tokens with hundreds of groups fit.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The last second of the year 9999; a date beyond it is a mistake, most often milliseconds.
const MAX_NUMERIC_DATE: f64 = 253_402_300_799.0;

/// The kinds of JWT that we read, each with its `typ`, so that none passes for another (RFC 8725 §3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An ID token: `JWT` or none (OpenID Connect Core §2).
    IdToken,
    /// An access token: `at+jwt` (RFC 9068 §2.1).
    AccessToken,
    /// What a client proves itself with: `client-authentication+jwt` (RFC 7523bis §4), `JWT` or none (RFC 7523 §3).
    ClientAssertion,
}

impl Kind {
    fn admits(self, typ: Option<&str>) -> bool {
        const PREFIX: &str = "application/"; // may be left out, RFC 7515 §4.1.9
        let typ = typ.map(|typ| match typ.split_at_checked(PREFIX.len()) {
            Some((head, tail)) if head.eq_ignore_ascii_case(PREFIX) => tail,
            _ => typ,
        });
        match self {
            Self::IdToken => typ.is_none_or(|typ| typ.eq_ignore_ascii_case("JWT")),
            Self::ClientAssertion => typ.is_none_or(|typ| {
                typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("client-authentication+jwt")
            }),
            Self::AccessToken => typ.is_some_and(|typ| typ.eq_ignore_ascii_case("at+jwt")),
        }
    }
}

/// Why a token is refused. Nothing of the token is in the text.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Longer than 16 KB.
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three parts between two dots.
    #[error("the token is not a signed JWT")]
    NotCompact,
    /// A part is not base64url in its one canonical spelling.
    #[error("a part of the token is not base64url")]
    Base64(#[source] DecodeError),
    /// A part is not a JSON object, or one with repeated members or too much nesting.
    #[error("a part of the token is not JSON that can be read")]
    Json(#[source] serde_json::Error),
    /// A header member has the wrong type, or is one that we must refuse.
    #[error("the token's header member {0} cannot be accepted")]
    Header(&'static str),
    /// The `typ` of another kind of token.
    #[error("the token is of another kind")]
    Kind,
    /// An algorithm that is not on the list, `none` and the symmetric ones in any case.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// The signature does not belong to the key and the text.
    #[error("the token's signature does not hold")]
    Signature,
    /// No key, or no single one, fits the token.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// There are no keys, because of a fault that is not the token's: ask again later.
    #[error(transparent)]
    NoKeys(Arc<JwksError>),
    /// A claim is missing.
    #[error("the token's claim {0} is missing")]
    Missing(&'static str),
    /// A claim has the wrong type.
    #[error("the token's claim {0} cannot be understood")]
    Malformed(&'static str),
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` is longer ago than the caller allows.
    #[error("the token was issued too long ago")]
    TooOld,
}

/// A token of the right form, kind and algorithm that nothing has proved yet. What it says about itself may be used to
/// find its issuer and key, and for nothing else.
#[derive(Debug)]
pub struct Unverified<'t> {
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Object,
    signed: &'t str,
    signature: &'t str,
}

impl<'t> Unverified<'t> {
    /// Reads a compact serialisation (RFC 7515 §7.1). Keys and key addresses in the header are ignored; extensions
    /// that would have to be understood (`crit`) are refused.
    pub fn parse(token: &'t str, kind: Kind, algorithms: &[Algorithm]) -> Result<Self, VerifyError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(VerifyError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(VerifyError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(VerifyError::NotCompact)?;
        if payload.contains('.') || signature.is_empty() {
            return Err(VerifyError::NotCompact);
        }
        URL_SAFE_NO_PAD.decode(signature).map_err(VerifyError::Base64)?;
        let header = decode(header)?;
        let text = |name: &'static str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(VerifyError::Header(name)),
        };
        if header.contains_key("crit") {
            return Err(VerifyError::Header("crit"));
        }
        if !kind.admits(text("typ")?) {
            return Err(VerifyError::Kind);
        }
        let named: Option<Algorithm> = text("alg")?.and_then(|alg| alg.parse().ok());
        let algorithm = named.filter(|alg| is_asymmetric(*alg) && algorithms.contains(alg));
        Ok(Self {
            algorithm: algorithm.ok_or(VerifyError::Algorithm)?,
            kid: text("kid")?.map(str::to_owned),
            claims: decode(payload)?,
            signed,
            signature,
        })
    }

    /// Whom it names as its issuer.
    pub fn issuer(&self) -> Option<&str> {
        self.text("iss")
    }

    /// A claim that is text: what an issuer's template needs.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// The key it says it was signed with.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithm of its header, one of the accepted.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the signature was made with this key.
    pub(super) fn is_proved_by(&self, key: &VerificationKey) -> bool {
        key.proves(self.signed, self.signature, self.algorithm)
    }

    /// Checks the signature.
    pub fn verify(self, key: &VerificationKey) -> Result<Verified, VerifyError> {
        if self.is_proved_by(key) {
            Ok(Verified { claims: self.claims })
        } else {
            Err(VerifyError::Signature)
        }
    }
}

fn is_asymmetric(algorithm: Algorithm) -> bool {
    !matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

fn decode(part: &str) -> Result<Object, VerifyError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(VerifyError::Base64)?;
    parse_object(&bytes).map_err(VerifyError::Json)
}

/// The claims of a token whose signature holds. Issuer, audience and dates are the caller's to check.
#[derive(Debug)]
pub struct Verified {
    claims: Object,
}

/// The dates of a token that is good now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// `exp`.
    pub expires_at: Timestamp,
    /// `iat`.
    pub issued_at: Option<Timestamp>,
}

impl Verified {
    /// Claims that a test takes as proved.
    #[cfg(test)]
    pub(crate) const fn taken_as_proved(claims: Object) -> Self {
        Self { claims }
    }

    /// All claims.
    pub const fn claims(&self) -> &Object {
        &self.claims
    }

    /// A claim that must be there and be text.
    pub fn text(&self, claim: &'static str) -> Result<&str, VerifyError> {
        match self.claims.get(claim) {
            None => Err(VerifyError::Missing(claim)),
            Some(value) => value.as_str().ok_or(VerifyError::Malformed(claim)),
        }
    }

    /// `aud`: one text or a list of texts (RFC 7519 §4.1.3).
    pub fn audiences(&self) -> Result<Vec<&str>, VerifyError> {
        let malformed = VerifyError::Malformed("aud");
        match self.claims.get("aud") {
            None => Err(VerifyError::Missing("aud")),
            Some(Value::String(one)) => Ok(vec![one]),
            Some(Value::Array(several)) => {
                several.iter().map(Value::as_str).collect::<Option<_>>().ok_or(malformed)
            }
            Some(_) => Err(malformed),
        }
    }

    /// A `NumericDate` (RFC 7519 §2): a number, never a text.
    pub fn date(&self, claim: &'static str) -> Result<Option<Timestamp>, VerifyError> {
        let Some(value) = self.claims.get(claim) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| (0.0..=MAX_NUMERIC_DATE).contains(seconds));
        let seconds = seconds.ok_or(VerifyError::Malformed(claim))?;
        #[expect(clippy::cast_possible_truncation, reason = "within the range checked above")]
        Ok(Some(Timestamp::from_millis((seconds * 1000.0).floor() as i64)))
    }

    /// Checks `exp`, which must be there, `nbf` and `iat` (RFC 7519 §4.1.4 to §4.1.6), each by `leeway`. With
    /// `max_age`, `iat` must be there and no older.
    pub fn check_times(
        &self,
        now: Timestamp,
        leeway: Duration,
        max_age: Option<Duration>,
    ) -> Result<Times, VerifyError> {
        let expires_at = self.date("exp")?.ok_or(VerifyError::Missing("exp"))?;
        let issued_at = self.date("iat")?;
        if now.minus(leeway) >= expires_at {
            return Err(VerifyError::Expired);
        }
        if [self.date("nbf")?, issued_at].into_iter().flatten().any(|begin| begin > now.plus(leeway)) {
            return Err(VerifyError::NotYetValid);
        }
        if let Some(max_age) = max_age {
            let issued_at = issued_at.ok_or(VerifyError::Missing("iat"))?;
            if now.since(issued_at) > max_age.saturating_add(leeway) {
                return Err(VerifyError::TooOld);
            }
        }
        Ok(Times { expires_at, issued_at })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::jose::{KeySet, Signer, signer::SigningAlgorithm};

    const ES256: &[Algorithm] = &[Algorithm::ES256];

    fn b64(text: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    fn signer() -> Signer {
        let algorithm = SigningAlgorithm::Es256;
        Signer::from_pkcs8(algorithm, &algorithm.generate().unwrap()).unwrap()
    }

    fn keys(signer: &Signer) -> KeySet {
        KeySet::parse(json!({ "keys": [signer.public_jwk()] }).to_string().as_bytes()).unwrap()
    }

    fn verified(claims: &Value) -> Verified {
        let signer = signer();
        let token = signer.sign("JWT", claims).unwrap();
        let unverified = Unverified::parse(&token, Kind::IdToken, ES256).unwrap();
        unverified.verify(&keys(&signer).find(Some(signer.kid()), Algorithm::ES256).unwrap()).unwrap()
    }

    /// A token with a header and claims as written; its signature is 64 zero bytes.
    fn raw(header: &str, claims: &str) -> String {
        format!("{}.{}.{}", b64(header), b64(claims), b64([0; 64]))
    }

    fn refusal(token: &str) -> String {
        Unverified::parse(token, Kind::IdToken, ES256).unwrap_err().to_string()
    }

    #[rstest]
    #[case(r#"{"alg":"none"}"#)]
    #[case(r#"{"alg":"None"}"#)]
    #[case(r#"{"alg":"NONE"}"#)]
    #[case(r#"{"alg":""}"#)]
    #[case(r#"{"alg":"HS256"}"#)]
    #[case(r#"{"alg":"RS256"}"#)]
    #[case(r#"{"alg":"es256"}"#)]
    #[case(r#"{"alg":"ES256K"}"#)]
    #[case("{}")]
    fn only_listed_algorithms(#[case] header: &str) {
        assert_eq!(refusal(&raw(header, "{}")), "the token's algorithm is not accepted");
    }

    #[test]
    fn symmetric_algorithms_are_refused_even_if_somebody_lists_them() {
        let token = raw(r#"{"alg":"HS256"}"#, "{}");
        let listed = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        assert!(matches!(Unverified::parse(&token, Kind::IdToken, &listed), Err(VerifyError::Algorithm)));
    }

    #[rstest]
    #[case(r#"{"alg":"ES256","crit":["b64"],"b64":false}"#, "crit")]
    #[case(r#"{"alg":"ES256","crit":[]}"#, "crit")]
    #[case(r#"{"alg":"ES256","crit":null}"#, "crit")]
    #[case(r#"{"alg":["ES256"]}"#, "alg")]
    #[case(r#"{"alg":"ES256","kid":7}"#, "kid")]
    #[case(r#"{"alg":"ES256","kid":null}"#, "kid")]
    #[case(r#"{"alg":"ES256","typ":{}}"#, "typ")]
    fn header_members_that_cannot_be_accepted(#[case] header: &str, #[case] member: &str) {
        assert_eq!(
            refusal(&raw(header, "{}")),
            format!("the token's header member {member} cannot be accepted")
        );
    }

    #[rstest]
    #[case(Kind::IdToken, "", true)]
    #[case(Kind::IdToken, r#","typ":"JWT""#, true)]
    #[case(Kind::IdToken, r#","typ":"jwt""#, true)]
    #[case(Kind::IdToken, r#","typ":"application/jwt""#, true)]
    #[case(Kind::IdToken, r#","typ":"at+jwt""#, false)]
    #[case(Kind::IdToken, r#","typ":"logout+jwt""#, false)]
    #[case(Kind::IdToken, r#","typ":"oauth-id-jag+jwt""#, false)]
    #[case(Kind::ClientAssertion, "", true)]
    #[case(Kind::ClientAssertion, r#","typ":"JWT""#, true)]
    #[case(Kind::ClientAssertion, r#","typ":"client-authentication+jwt""#, true)]
    #[case(Kind::ClientAssertion, r#","typ":"at+jwt""#, false)]
    #[case(Kind::ClientAssertion, r#","typ":"oauth-id-jag+jwt""#, false)]
    #[case(Kind::IdToken, r#","typ":"client-authentication+jwt""#, false)]
    #[case(Kind::AccessToken, "", false)]
    #[case(Kind::AccessToken, r#","typ":"JWT""#, false)]
    #[case(Kind::AccessToken, r#","typ":"at+jwt""#, true)]
    #[case(Kind::AccessToken, r#","typ":"application/at+jwt""#, true)]
    #[case(Kind::AccessToken, r#","typ":"application/é""#, false)]
    fn one_kind_never_passes_for_another(#[case] kind: Kind, #[case] typ: &str, #[case] admitted: bool) {
        let token = raw(&format!(r#"{{"alg":"ES256"{typ}}}"#), "{}");
        match Unverified::parse(&token, kind, ES256) {
            Ok(_) => assert!(admitted, "{typ}"),
            Err(error) => assert!(!admitted && matches!(error, VerifyError::Kind), "{typ}: {error}"),
        }
    }

    #[test]
    fn the_form_is_three_parts_in_canonical_base64url() {
        let good = signer().sign("JWT", &json!({})).unwrap();
        assert!(Unverified::parse(&good, Kind::IdToken, ES256).is_ok());
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        let empty = b64("{}");
        for bad in [
            String::new(),
            ".".into(),
            "..".into(),
            "...".into(),
            signed.into(),
            format!("{signed}."),
            format!("{good}."),
            format!(".{good}"),
            format!("{good}.{signature}"),
            format!("{header}..{signature}"),
            format!("{good}="),
            format!("{good} "),
            format!("{good}\n"),
            format!("{header}=.{payload}.{signature}"),
            format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+") + "+"),
            // The last character of `e30` may only end in zero bits; `e31` decodes to the same bytes elsewhere.
            format!("{header}.{}.{signature}", empty.replace("e30", "e31")),
            ".".repeat(16_000),
            ".".repeat(100_000),
            "a".repeat(100_000),
            format!("{header}.{}.{signature}", b64(format!(r#"{{"a":"{}"}}"#, "x".repeat(20_000)))),
        ] {
            assert!(Unverified::parse(&bad, Kind::IdToken, ES256).is_err(), "{}", &bad[..bad.len().min(80)]);
        }
    }

    #[rstest]
    #[case(r#"{"sub":"a","sub":"b"}"#)]
    #[case(r#"{"act":{"sub":"a","sub":"b"}}"#)]
    #[case(r#"{"exp":NaN}"#)]
    #[case(r#"{"exp":1e999}"#)]
    #[case("[]")]
    #[case("null")]
    #[case("")]
    fn claims_that_could_be_read_in_two_ways(#[case] claims: &str) {
        assert_eq!(
            refusal(&raw(r#"{"alg":"ES256"}"#, claims)),
            "a part of the token is not JSON that can be read"
        );
    }

    #[test]
    fn deep_claims_and_repeated_header_members_are_refused() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert!(matches!(
            Unverified::parse(&raw(r#"{"alg":"ES256"}"#, &deep), Kind::IdToken, ES256),
            Err(VerifyError::Json(_))
        ));
        let twice = raw(r#"{"alg":"ES256","alg":"none"}"#, "{}");
        assert!(matches!(Unverified::parse(&twice, Kind::IdToken, ES256), Err(VerifyError::Json(_))));
    }

    #[test]
    fn a_changed_claim_or_another_key_breaks_the_signature() {
        let (ours, theirs) = (signer(), signer());
        let token = ours.sign("JWT", &json!({ "sub": "alice" })).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let forged =
            format!("{}.{}.{signature}", signed.split_once('.').unwrap().0, b64(r#"{"sub":"mallory"}"#));
        let zero = format!("{signed}.{}", b64([0; 64]));
        let short = format!("{signed}.{}", b64([1]));
        let key = keys(&ours).find(None, Algorithm::ES256).unwrap();
        let foreign = keys(&theirs).find(None, Algorithm::ES256).unwrap();
        for (token, key) in [(&forged, &key), (&zero, &key), (&short, &key), (&token, &foreign)] {
            let unverified = Unverified::parse(token, Kind::IdToken, ES256).unwrap();
            assert!(matches!(unverified.verify(key), Err(VerifyError::Signature)));
        }
        let unverified = Unverified::parse(&token, Kind::IdToken, ES256).unwrap();
        assert_eq!(unverified.text("sub"), Some("alice"));
        assert!(unverified.verify(&key).is_ok());
    }

    /// An attacker who puts his own key into the header, or its address, gains nothing.
    #[test]
    fn keys_in_the_header_are_ignored() {
        let (ours, mallory) = (signer(), signer());
        let header =
            json!({ "alg": "ES256", "jwk": mallory.public_jwk(), "jku": "https://evil.example/keys" });
        let theirs = mallory.sign("JWT", &json!({ "sub": "alice" })).unwrap();
        let signature = theirs.rsplit_once('.').unwrap().1;
        let token = format!("{}.{}.{signature}", b64(header.to_string()), b64(r#"{"sub":"alice"}"#));
        let unverified = Unverified::parse(&token, Kind::IdToken, ES256).unwrap();
        let key = keys(&ours).find(unverified.kid(), unverified.algorithm()).unwrap();
        assert!(matches!(unverified.verify(&key), Err(VerifyError::Signature)));
    }

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);
    const LEEWAY: Duration = Duration::from_secs(30);

    #[rstest]
    #[case(json!({ "exp": 1_000_001 }), None)]
    #[case(json!({ "exp": 999_971 }), None)]
    #[case(json!({ "exp": 999_970 }), Some("the token has expired"))]
    #[case(json!({ "exp": 0 }), Some("the token has expired"))]
    #[case(json!({}), Some("the token's claim exp is missing"))]
    #[case(json!({ "exp": "1000100" }), Some("the token's claim exp cannot be understood"))]
    #[case(json!({ "exp": null }), Some("the token's claim exp cannot be understood"))]
    #[case(json!({ "exp": true }), Some("the token's claim exp cannot be understood"))]
    #[case(json!({ "exp": [1_000_100] }), Some("the token's claim exp cannot be understood"))]
    #[case(json!({ "exp": -1 }), Some("the token's claim exp cannot be understood"))]
    #[case(json!({ "exp": 1e300 }), Some("the token's claim exp cannot be understood"))]
    #[case(json!({ "exp": u64::MAX }), Some("the token's claim exp cannot be understood"))]
    #[case(json!({ "exp": 1_795_219_200_000_u64 }), Some("the token's claim exp cannot be understood"))]
    #[case(json!({ "exp": 1_000_100.5 }), None)]
    #[case(json!({ "exp": 1_000_100, "nbf": 1_000_030 }), None)]
    #[case(json!({ "exp": 1_000_100, "nbf": 1_000_031 }), Some("the token is not valid yet"))]
    #[case(json!({ "exp": 1_000_100, "iat": 1_000_031 }), Some("the token is not valid yet"))]
    #[case(json!({ "exp": 1_000_100, "nbf": "1" }), Some("the token's claim nbf cannot be understood"))]
    #[case(json!({ "exp": 1_000_100, "iat": "1" }), Some("the token's claim iat cannot be understood"))]
    fn dates(#[case] claims: Value, #[case] error: Option<&str>) {
        let outcome = verified(&claims).check_times(NOW, LEEWAY, None);
        assert_eq!(outcome.err().map(|e| e.to_string()).as_deref(), error, "{claims}");
    }

    #[rstest]
    #[case(json!({ "exp": 1_000_100, "iat": 999_670 }), None)]
    #[case(json!({ "exp": 1_000_100, "iat": 999_669 }), Some("the token was issued too long ago"))]
    #[case(json!({ "exp": 1_000_100 }), Some("the token's claim iat is missing"))]
    fn age(#[case] claims: Value, #[case] error: Option<&str>) {
        let outcome = verified(&claims).check_times(NOW, LEEWAY, Some(Duration::from_secs(300)));
        assert_eq!(outcome.err().map(|e| e.to_string()).as_deref(), error, "{claims}");
    }

    #[rstest]
    #[case(json!({ "aud": "a" }), Some(vec!["a"]))]
    #[case(json!({ "aud": ["a", "b"] }), Some(vec!["a", "b"]))]
    #[case(json!({ "aud": [] }), Some(vec![]))]
    #[case(json!({ "aud": ["a", 1] }), None)]
    #[case(json!({ "aud": { "a": 1 } }), None)]
    #[case(json!({ "aud": null }), None)]
    #[case(json!({}), None)]
    fn audiences(#[case] claims: Value, #[case] expected: Option<Vec<&str>>) {
        assert_eq!(verified(&claims).audiences().ok(), expected);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,60}|([A-Za-z0-9_-]{0,20}\\.){0,4}") {
            prop_assert!(Unverified::parse(&text, Kind::IdToken, ES256).is_err());
        }

        #[test]
        fn any_header_and_claims_are_answered(header in r#"\{"alg":"(ES256|none)"(,"[a-z]{1,4}":("x"|1|\[\]|null)){0,3}\}"#, claims in "\\PC{0,60}") {
            let _ = Unverified::parse(&raw(&header, &claims), Kind::IdToken, ES256);
        }
    }
}
