use axum::http::HeaderValue;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_795_219_200);
const URL: &str = "https://auth.acme.com/t1/oauth/token";

/// The outcome for claims that are good but for one; `null` leaves it out.
fn checked(claim: &str, value: &Value) -> Result<Proof, String> {
    let mut claims = json!({ "htm": "POST", "htu": URL, "iat": NOW.as_secs(), "jti": "j" });
    claims[claim] = value.clone();
    let mut claims = claims.as_object().unwrap().clone();
    claims.retain(|_, value| !value.is_null());
    let key = Thumbprint::try_from("k".repeat(43)).unwrap();
    check(&Verified::taken_as_proved(claims), key, &Method::POST, URL, NOW).map_err(|error| error.to_string())
}

#[rstest]
#[case("htu", json!("HTTPS://AUTH.acme.com:443/t1/./x/../oauth/%74oken?x=1#y"))]
#[case("iat", json!(NOW.as_secs() + 60))]
#[case("iat", json!(NOW.as_secs() - 120))]
#[case("iat", json!(1_795_219_200.5))]
#[case("exp", json!(NOW.as_secs() - 59))]
#[case("nbf", json!(NOW.as_secs() + 60))]
#[case("jti", json!("j".repeat(256)))]
#[case("nonce", json!("n"))]
#[case("ath", json!("a"))]
#[case("scope", json!("anything else is not read"))]
fn what_is_accepted(#[case] claim: &str, #[case] value: Value) {
    assert!(checked(claim, &value).is_ok(), "{claim}: {value}");
}

#[rstest]
#[case("htm", json!(null), "the token's claim htm is missing")]
#[case("htm", json!("GET"), "htm is not the method of the request")]
#[case("htm", json!("post"), "htm is not the method of the request")]
#[case("htm", json!(["POST"]), "the token's claim htm cannot be understood")]
#[case("htu", json!(null), "the token's claim htu is missing")]
#[case("htu", json!("https://auth.acme.com/oauth/token"), "htu is not the address of the request")]
#[case("htu", json!("https://auth.acme.com/t2/oauth/token"), "htu is not the address of the request")]
#[case("htu", json!("https://auth.acme.com/t1/oauth/token/"), "htu is not the address of the request")]
#[case("htu", json!("https://auth.acme.com/t1/oauth%2ftoken"), "htu is not the address of the request")]
#[case("htu", json!("https://auth.acme.com/t1/oauth/Token"), "htu is not the address of the request")]
#[case("htu", json!("https://auth.acme.com:8443/t1/oauth/token"), "htu is not the address of the request")]
#[case("htu", json!("http://auth.acme.com/t1/oauth/token"), "htu is not the address of the request")]
#[case("htu", json!("https://u@auth.acme.com/t1/oauth/token"), "htu is not the address of the request")]
#[case("htu", json!("https://auth.acme.com.evil/t1/oauth/token"), "htu is not the address of the request")]
#[case("htu", json!("https://auth.acme.com\\t1\\oauth\\token"), "htu is not the address of the request")]
#[case("htu", json!(" https://auth.acme.com/t1/oauth/token"), "htu is not the address of the request")]
#[case("htu", json!("https://auth.acme.com/t1/oauth/token%"), "htu is not the address of the request")]
#[case("htu", json!("/t1/oauth/token"), "htu is not the address of the request")]
#[case("iat", json!(null), "the token's claim iat is missing")]
#[case("iat", json!("1795219200"), "the token's claim iat cannot be understood")]
#[case("iat", json!(NOW.as_millis()), "the token's claim iat cannot be understood")]
#[case("iat", json!(-1), "the token's claim iat cannot be understood")]
#[case("iat", json!(NOW.as_secs() + 61), "the token is not valid yet")]
#[case("iat", json!(NOW.as_secs() - 121), "the token was issued too long ago")]
#[case("exp", json!(NOW.as_secs() - 60), "the token has expired")]
#[case("exp", json!("x"), "the token's claim exp cannot be understood")]
#[case("nbf", json!(NOW.as_secs() + 61), "the token is not valid yet")]
#[case("jti", json!(null), "the token's claim jti is missing")]
#[case("jti", json!(7), "the token's claim jti cannot be understood")]
#[case("jti", json!(""), "jti cannot be accepted")]
#[case("jti", json!("a\u{0}"), "jti cannot be accepted")]
#[case("jti", json!("j".repeat(257)), "jti cannot be accepted")]
#[case("nonce", json!(7), "the token's claim nonce cannot be understood")]
#[case("ath", json!(["a"]), "the token's claim ath cannot be understood")]
fn what_is_refused(#[case] claim: &str, #[case] value: Value, #[case] why: &str) {
    assert_eq!(checked(claim, &value).unwrap_err(), why);
}

#[test]
fn it_is_remembered_for_longer_than_it_is_accepted() {
    let oldest = checked("iat", &json!(NOW.as_secs() - 120)).unwrap().one_time();
    assert_eq!((oldest.issuer.as_str(), oldest.jti.as_str()), ("k".repeat(43).as_str(), "j"));
    assert!(oldest.expires_at > NOW);
}

/// RFC 9449 §7.1: the access token of its example, and the `ath` in the proof that goes with it.
#[test]
fn it_is_for_one_access_token() {
    let proof = checked("ath", &json!("fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo")).unwrap();
    assert!(proof.is_for("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"));
    assert!(!proof.is_for("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxu"));
    assert!(!checked("ath", &json!(null)).unwrap().is_for(""));
}

proptest! {
    #[test]
    fn the_one_spelling_of_an_address_is_its_own(path in "(/|%[0-9a-fA-F]{2}|%2[eE]|[a-zA-Z.%~]){0,12}") {
        if let Some(once) = canonical(&format!("https://auth.acme.com/{path}")) {
            prop_assert_eq!(canonical(&once), Some(once));
        }
    }

    #[test]
    fn any_header_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let headers = HeaderMap::from_iter([(PROOF_HEADER, value)]);
            prop_assert!(Proof::of(&headers, &Method::POST, URL, NOW).is_err());
        }
    }
}
