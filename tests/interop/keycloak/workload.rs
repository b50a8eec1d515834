//! A program proves who it is by the token that Keycloak gave its service account.

use reqwest::Method;
use serde_json::{Value, json};

use super::realm::Realm;
use crate::{
    claims,
    house::{House, Plan, free_port, http},
};

/// The program, as Keycloak knows it and as we do.
const ACCOUNT: &str = "nightly";
const PROGRAM: &str = "nightly-job";
const SECRET: &str = "what the service account proves itself with";

/// A service account whose tokens are made for one audience.
async fn account(realm: &Realm, audience: &str) -> String {
    let client = json!({
        "clientId": ACCOUNT,
        "secret": SECRET,
        "serviceAccountsEnabled": true,
        "standardFlowEnabled": false,
        "fullScopeAllowed": false,
        "protocolMappers": [{
            "name": "audience",
            "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": { "included.custom.audience": audience, "access.token.claim": "true" },
        }],
    });
    realm.administer(Method::POST, "/clients", &client).await;
    let found = realm.administer(Method::GET, &format!("/clients?clientId={ACCOUNT}"), &json!(null)).await;
    let id = found[0]["id"].as_str().unwrap();
    let user = format!("/clients/{id}/service-account-user");
    let user = realm.administer(Method::GET, &user, &json!(null)).await;
    user["id"].as_str().unwrap().to_owned()
}

/// What Keycloak gives the account.
async fn token(realm: &Realm) -> String {
    let form = [("grant_type", "client_credentials"), ("client_id", ACCOUNT), ("client_secret", SECRET)];
    let url = realm.url("/protocol/openid-connect/token");
    let answer: Value = http().post(url).form(&form).send().await.unwrap().json().await.unwrap();
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

async fn present(house: &House, assertion: &str) -> Value {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("client_id", PROGRAM),
        ("resource", &house.sample),
        ("assertion", assertion),
    ];
    http().post(house.url("/oauth/token")).form(&form).send().await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_is_the_program_that_it_was_declared_to_be() {
    let port = free_port();
    let issuer = format!("http://127.0.0.1:{port}");
    let realm = Realm::for_broker(&issuer).await;
    let subject = account(&realm, &issuer).await;
    let plan = Plan {
        port: Some(port),
        provider: json!({ "workload": { "subjects": { subject: PROGRAM } } }),
        config: json!({ "clients": { PROGRAM: {
            "grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "resources": { "sample": ["notes:read"] },
        } } }),
        ..Plan::default()
    };
    let house = realm.opens(plan, None).await;
    let assertion = token(&realm).await;
    let tokens = present(&house, &assertion).await;
    assert_eq!(tokens["scope"], "notes:read", "{tokens}");
    let issued = claims(tokens["access_token"].as_str().unwrap());
    assert_eq!((&issued["sub"], &issued["aud"]), (&json!(PROGRAM), &json!(house.sample)));

    assert_eq!(present(&house, &assertion).await["error"], "invalid_grant", "it counts once");
    assert_eq!(present(&house, &token(&realm).await).await["scope"], "notes:read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_keycloak_for_somebody_else_is_worth_nothing() {
    let port = free_port();
    let realm = Realm::for_broker(&format!("http://127.0.0.1:{port}")).await;
    let subject = account(&realm, "https://elsewhere.test").await;
    let plan = Plan {
        port: Some(port),
        provider: json!({ "workload": { "subjects": { subject: PROGRAM } } }),
        config: json!({ "clients": { PROGRAM: {
            "grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "resources": { "sample": ["notes:read"] },
        } } }),
        ..Plan::default()
    };
    let house = realm.opens(plan, None).await;
    assert_eq!(present(&house, &token(&realm).await).await["error"], "invalid_grant");
    assert!(house.log().contains("aud does not name us alone"), "{}", house.log());
}
