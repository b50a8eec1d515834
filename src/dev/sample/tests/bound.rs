//! Tokens that are bound to a key, at a resource server (RFC 9449 §7).

use jsonwebtoken::jwk::ThumbprintHash;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::dpop::PROOF_HEADER;

impl Sample {
    /// A message with this `Authorization` and these proofs.
    async fn post_as(&self, authorization: &str, proofs: &[&str], message: impl Into<Body>) -> Response {
        let proofs = proofs.iter().map(|proof| (PROOF_HEADER, (*proof).to_owned()));
        let headers = std::iter::once((header::AUTHORIZATION, authorization.to_owned())).chain(proofs);
        self.post_with(headers, message).await
    }
}

/// A proof by this key for this token, with one claim changed; `null` leaves it out.
fn proof(sample: &Sample, key: &EncodingKey, token: &str, claim: &str, value: Value) -> String {
    let jwk = Jwk::from_encoding_key(key, Algorithm::ES256).unwrap();
    let header = Header { typ: Some("dpop+jwt".into()), jwk: Some(jwk), ..Header::new(Algorithm::ES256) };
    let ath = URL_SAFE_NO_PAD.encode(Sha256::digest(token));
    let mut claims = json!({
        "htm": "POST", "htu": sample.guard.verifier.resource, "iat": NOW, "jti": "1", "ath": ath,
    });
    claims[claim] = value;
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    jsonwebtoken::encode(&header, &claims, key).unwrap()
}

/// A token that is bound to a key, and the key.
fn bound(issuer: &FakeIssuer, sample: &Sample) -> (String, EncodingKey) {
    let key = new_key();
    let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    let mut claims = issuer.claims(sample);
    claims["cnf"] = json!({ "jkt": jwk.thumbprint(ThumbprintHash::SHA256).unwrap() });
    (issuer.token(&claims), key)
}

/// RFC 9449 §7.1.
#[tokio::test]
async fn a_bound_token_is_good_with_a_proof_once() {
    let (issuer, sample) = pair().await;
    let (token, key) = bound(&issuer, &sample);
    let as_dpop = format!("DPoP {token}");
    let first = proof(&sample, &key, &token, "jti", json!("1"));
    let answer = sample.post_as(&as_dpop, &[&first], list()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let again = sample.post_as(&as_dpop, &[&first], list()).await;
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
    assert!(challenge(&again).starts_with("DPoP algs=\"ES256 "), "{}", challenge(&again));
    assert!(challenge(&again).contains(r#"error="invalid_dpop_proof""#));
    let next = proof(&sample, &key, &token, "jti", json!("2"));
    let write = call("write_note", &json!({ "text": "x" })).to_string();
    let forbidden = sample.post_as(&as_dpop, &[&next], write).await;
    assert_eq!(forbidden.status(), StatusCode::FORBIDDEN);
    assert!(
        challenge(&forbidden).starts_with("DPoP ") && challenge(&forbidden).contains("insufficient_scope")
    );
}

#[rstest]
#[case::no_proof_for_a_token("ath", Value::Null)]
#[case::for_another_token("ath", json!("fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"))]
#[case::for_another_method("htm", json!("GET"))]
#[case::for_another_address("htu", json!("http://127.0.0.1:1/mcp"))]
#[case::old("iat", json!(NOW - 121))]
#[tokio::test]
async fn a_proof_that_does_not_fit_is_refused(#[case] claim: &str, #[case] value: Value) {
    let (issuer, sample) = pair().await;
    let (token, key) = bound(&issuer, &sample);
    let as_dpop = format!("DPoP {token}");
    let bad = proof(&sample, &key, &token, claim, value);
    let answer = sample.post_as(&as_dpop, &[&bad], list()).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(challenge(&answer).contains(r#"error="invalid_dpop_proof""#), "{}", challenge(&answer));
    let good = proof(&sample, &key, &token, "jti", json!("1"));
    assert_eq!(sample.post_as(&as_dpop, &[&good], list()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_token_and_its_proof_belong_together() {
    let (issuer, sample) = pair().await;
    let (token, key) = bound(&issuer, &sample);
    let (as_dpop, as_bearer) = (format!("DPoP {token}"), format!("Bearer {token}"));
    let thief = new_key();
    let good = proof(&sample, &key, &token, "jti", json!("1"));
    let stolen = proof(&sample, &thief, &token, "jti", json!("1"));
    let other = proof(&sample, &key, &token, "jti", json!("2"));
    let plain = issuer.token(&issuer.claims(&sample));
    let for_plain = proof(&sample, &key, &plain, "jti", json!("3"));
    let mut claims = issuer.claims(&sample);
    claims["cnf"] = json!({ "x5t#S256": "x" });
    let certified = issuer.token(&claims);
    let for_certified = proof(&sample, &key, &certified, "jti", json!("4"));
    for (what, authorization, proofs) in [
        ("no proof", &as_dpop, &[][..]),
        ("a thief's", &as_dpop, &[stolen.as_str()]),
        ("two", &as_dpop, &[good.as_str(), other.as_str()]),
        ("as bearer", &as_bearer, &[good.as_str()]),
        ("not bound", &format!("DPoP {plain}"), &[for_plain.as_str()]),
        ("bound otherwise", &format!("DPoP {certified}"), &[for_certified.as_str()]),
        ("bound otherwise, as bearer", &format!("Bearer {certified}"), &[]),
    ] {
        let answer = sample.post_as(authorization, proofs, list()).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{what}");
    }
    assert_eq!(sample.post_as(&as_dpop, &[&good], list()).await.status(), StatusCode::OK);
}
