//! The upstream provider: how it knows us, how it signs, and what becomes of a sign-in that it refuses.

use std::{process::Stdio, time::Duration};

use jsonwebtoken::Algorithm;
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    client,
    house::{DECLARED, House, LOGIN, Plan, http, peer::python},
    key::Key,
    options,
};

/// How long the broker leaves an upstream alone that has just failed.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(11);

/// Each way to prove ourselves at an upstream, and claims that only userinfo has.
#[rstest]
#[case::basic(json!({ "client_auth": "client_secret_basic" }), json!({ "token_endpoint_auth_method": "client_secret_basic" }))]
#[case::post(json!({ "client_auth": "client_secret_post" }), json!({ "token_endpoint_auth_method": "client_secret_post" }))]
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_knows_us(
    #[case] provider: Value,
    #[case] upstream_client: Value,
    #[values(false, true)] userinfo_only: bool,
) {
    let house = House::build(Plan { upstream_client, provider, userinfo_only, ..Plan::default() }).await;
    sign_in_works(&house);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_knows_us_by_our_key() {
    let key = Key::of(Algorithm::ES256);
    let plan = Plan {
        upstream_client: json!({
            "client_secret": null,
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "ES256",
            "jwks": key.set(),
        }),
        provider: json!({
            "client_secret": null,
            "private_key": key.pem,
            "private_key_id": key.jwk["kid"],
            "private_key_alg": "ES256",
        }),
        ..Plan::default()
    };
    sign_in_works(&House::build(plan).await);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_signs_as_it_likes(#[values("PS256", "ES256", "EdDSA")] algorithm: &str) {
    let upstream_client = json!({ "id_token_signed_response_alg": algorithm });
    sign_in_works(&House::build(Plan { upstream_client, ..Plan::default() }).await);
}

fn sign_in_works(house: &House) {
    let mut options = options(&house.sample, &json!(null));
    options["step_up"] = json!(null);
    client("sdk2.mjs", &options);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_may_change_its_keys() {
    let house = House::build(Plan::default()).await;
    sign_in_works(&house);
    let rotated = http()
        .post(format!("{}/rotate", house.upstream.as_ref().unwrap().said("control")))
        .send()
        .await
        .unwrap();
    assert!(rotated.status().is_success());
    sign_in_works(&house);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_from_elsewhere_is_told_which_rule_keeps_her_out() {
    let house = House::build(Plan::default()).await;
    let said = sign_in_fails(&house, "mallory");
    assert!(said.contains("403") && said.contains("acme.test") && said.contains("it@acme.test"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_whom_the_upstream_turns_away_is_told_so() {
    let house = House::build(Plan::default()).await;
    let said = sign_in_fails(&house, "nobody");
    assert!(said.contains("Acme") && !said.contains(" 500 "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_down_is_named_and_may_come_back() {
    let house = House::build(Plan::default()).await;
    let control = |body: Value| {
        let request =
            http().post(format!("{}/fail", house.upstream.as_ref().unwrap().said("control"))).json(&body);
        async move { assert!(request.send().await.unwrap().status().is_success()) }
    };
    control(json!({ "status": 503 })).await;
    let said = sign_in_fails(&house, LOGIN);
    assert!(said.contains("Acme") && said.contains("503"), "{said}");
    control(json!({})).await;
    tokio::time::sleep(ASKED_AGAIN_AFTER).await;
    sign_in_works(&house);
}

/// What the person's browser said at the end.
fn sign_in_fails(house: &House, login: &str) -> String {
    let mut options = options(&house.sample, &json!({ "client_id": DECLARED }));
    options["person"]["login"] = login.into();
    let mut command = python("mcp_client.py");
    let ended = command.env("CLIENT", options.to_string()).stdin(Stdio::null()).output().unwrap();
    assert!(!ended.status.success());
    String::from_utf8(ended.stdout).unwrap()
}
