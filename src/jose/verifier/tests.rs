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
    assert_eq!(refusal(&raw(header, "{}")), format!("the token's header member {member} cannot be accepted"));
}

#[rstest]
#[case(Kind::IdToken, "", true)]
#[case(Kind::IdToken, r#","typ":"JWT""#, true)]
#[case(Kind::IdToken, r#","typ":"jwt""#, true)]
#[case(Kind::IdToken, r#","typ":"application/jwt""#, true)]
#[case(Kind::IdToken, r#","typ":"at+jwt""#, false)]
#[case(Kind::IdToken, r#","typ":"logout+jwt""#, false)]
#[case(Kind::IdToken, r#","typ":"oauth-id-jag+jwt""#, false)]
#[case(Kind::IdJag, r#","typ":"oauth-id-jag+jwt""#, true)]
#[case(Kind::IdJag, r#","typ":"OAUTH-ID-JAG+JWT""#, false)]
#[case(Kind::IdJag, r#","typ":"application/oauth-id-jag+jwt""#, false)]
#[case(Kind::IdJag, r#","typ":"JWT""#, false)]
#[case(Kind::IdJag, "", false)]
#[case(Kind::AuthorizationGrant, "", true)]
#[case(Kind::AuthorizationGrant, r#","typ":"JWT""#, true)]
#[case(Kind::AuthorizationGrant, r#","typ":"oauth-id-jag+jwt""#, false)]
#[case(Kind::AuthorizationGrant, r#","typ":"OAUTH-ID-JAG+JWT""#, false)]
#[case(Kind::AuthorizationGrant, r#","typ":"application/oauth-id-jag+jwt""#, false)]
#[case(Kind::AuthorizationGrant, r#","typ":"at+jwt""#, false)]
#[case(Kind::ClientAssertion, "", true)]
#[case(Kind::ClientAssertion, r#","typ":"JWT""#, true)]
#[case(Kind::ClientAssertion, r#","typ":"client-authentication+jwt""#, true)]
#[case(Kind::ClientAssertion, r#","typ":"at+jwt""#, false)]
#[case(Kind::ClientAssertion, r#","typ":"oauth-id-jag+jwt""#, false)]
#[case(Kind::IdToken, r#","typ":"client-authentication+jwt""#, false)]
#[case(Kind::LogoutToken, "", true)]
#[case(Kind::LogoutToken, r#","typ":"logout+jwt""#, true)]
#[case(Kind::LogoutToken, r#","typ":"application/logout+jwt""#, true)]
#[case(Kind::LogoutToken, r#","typ":"JWT""#, false)]
#[case(Kind::LogoutToken, r#","typ":"at+jwt""#, false)]
#[case(Kind::AccessToken, r#","typ":"logout+jwt""#, false)]
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
    let forged = format!("{}.{}.{signature}", signed.split_once('.').unwrap().0, b64(r#"{"sub":"mallory"}"#));
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
    let header = json!({ "alg": "ES256", "jwk": mallory.public_jwk(), "jku": "https://evil.example/keys" });
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
