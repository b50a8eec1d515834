//! What an agent gets for an ID token, and what not.

use super::*;

/// An ID token for this client, and the provider that wrote it.
async fn id_token(client: &str) -> (Arc<Provider>, String) {
    let provider = provider();
    let query = request(&[("client_id", Some(client))]);
    let code = value(&answer(&sign_in(&provider, &query, "test-user-ada").await), "code");
    let credentials = if client == "agent" { AGENT } else { "broker:s3cret%3A%2B+%25" };
    let tokens = token_as(&provider, credentials, &code, &[]).await.1;
    let id_token = tokens["id_token"].as_str().unwrap().to_owned();
    (provider, id_token)
}

async fn exchange(
    provider: &Arc<Provider>,
    credentials: &str,
    subject: &str,
    changes: &[(&str, Option<&str>)],
) -> (StatusCode, Value) {
    let mut all = vec![
        ("grant_type", Some("urn:ietf:params:oauth:grant-type:token-exchange")),
        ("requested_token_type", Some("urn:ietf:params:oauth:token-type:id-jag")),
        ("subject_token_type", Some("urn:ietf:params:oauth:token-type:id_token")),
        ("subject_token", Some(subject)),
        ("audience", Some(BROKER)),
        ("resource", Some(RESOURCE)),
    ];
    all.extend(changes);
    token_as(provider, credentials, "", &all).await
}

/// draft-ietf-oauth-identity-assertion-authz-grant §3.1, §4.3.4.
#[tokio::test]
async fn an_id_token_is_exchanged_for_an_assertion() {
    let (provider, id_token) = id_token("agent").await;
    let (status, answer) = exchange(&provider, AGENT, &id_token, &[]).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("N_A"), &json!(300)));
    assert_eq!(answer["issued_token_type"], "urn:ietf:params:oauth:token-type:id-jag");
    let assertion = answer["access_token"].as_str().unwrap();
    assert_eq!(jsonwebtoken::decode_header(assertion).unwrap().typ.as_deref(), Some("oauth-id-jag+jwt"));
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(provider.signer.public_jwk()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_exp = false;
    validation.set_audience(&[BROKER]);
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    let claims = jsonwebtoken::decode::<Value>(assertion, &key, &validation).unwrap().claims;
    let now = provider.clock.now().as_secs();
    for (claim, expected) in [
        ("iss", json!(ISSUER)),
        ("sub", json!("test-user-ada")),
        ("client_id", json!("agent-there")),
        ("resource", json!(RESOURCE)),
        ("scope", json!("notes:read notes:write")),
        ("iat", json!(now)),
        ("exp", json!(now + 300)),
        ("auth_time", json!(now)),
        ("email", json!("ada@example.test")),
    ] {
        assert_eq!(claims[claim], expected, "{claim}");
    }
    let narrow = exchange(&provider, AGENT, &id_token, &[("scope", Some("notes:read notes:fly"))]).await;
    assert_eq!(narrow.1["scope"], "notes:read");
}

#[rstest]
#[case::not_approved("broker", "broker:s3cret%3A%2B+%25", &[], "unauthorized_client")]
#[case::of_another_client("broker", AGENT, &[], "invalid_grant")]
#[case::no_token("agent", AGENT, &[("subject_token", Some("a.b.c"))], "invalid_grant")]
#[case::another_audience("agent", AGENT, &[("audience", Some("http://127.0.0.1:9999"))], "invalid_target")]
#[case::no_resource("agent", AGENT, &[("resource", None)], "invalid_target")]
#[case::another_resource("agent", AGENT, &[("resource", Some("http://127.0.0.1:9020/other"))], "invalid_target")]
#[case::no_scope_left("agent", AGENT, &[("scope", Some("notes:fly"))], "invalid_scope")]
#[case::another_type(
    "agent", AGENT, &[("requested_token_type", Some("urn:ietf:params:oauth:token-type:access_token"))], "invalid_request"
)]
#[tokio::test]
async fn what_the_company_did_not_approve_is_refused(
    #[case] of: &str,
    #[case] credentials: &str,
    #[case] changes: &[(&str, Option<&str>)],
    #[case] error: &str,
) {
    let (provider, id_token) = id_token(of).await;
    let (status, answer) = exchange(&provider, credentials, &id_token, changes).await;
    assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!(error)));
}

#[tokio::test]
async fn an_id_token_that_is_over_is_exchanged_for_nothing() {
    let (provider, id_token) = id_token("agent").await;
    provider.clock.advance(TOKEN_LIFETIME);
    assert_eq!(exchange(&provider, AGENT, &id_token, &[]).await.1["error"], "invalid_grant");
}
