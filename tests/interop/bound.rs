//! Tokens that are bound to a key (DPoP, RFC 9449), by clients and a resource server that we did not write.

use serde_json::json;

use super::{
    claims, client,
    house::{
        House, PROGRAM, PROGRAM_SECRET, Plan, http,
        peer::{play, python},
    },
    options, step,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_binds_its_tokens_and_its_server_wants_the_proof() {
    let house = House::build(Plan::default()).await;
    let mut options = options(&house.sample, &json!(null));
    options["dpop"] = json!(true);
    let steps = client("sdk2.mjs", &options);
    assert_eq!(step(&steps, "step-up")["granted"], "notes:read notes:write");
    let done = step(&steps, "done");
    assert_eq!(done["token_type"], "DPoP");
    let token = done["access_token"].as_str().unwrap();
    assert!(claims(token)["cnf"]["jkt"].is_string());
    assert!(house.log().contains("use_dpop_nonce"), "it was told a nonce, and came back with it");
    let stolen = http().post(&house.sample).bearer_auth(token).json(&json!({})).send().await.unwrap();
    assert_eq!(stolen.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn authplanes_provider_gets_a_bound_token_and_its_verifier_wants_the_proof() {
    let house = House::build(Plan::default()).await;
    let dpop = json!({
        "issuer": house.issuer, "client_id": PROGRAM, "client_secret": PROGRAM_SECRET, "resource": house.sample,
    });
    let answers = play(python("authplane_dpop.py").env("DPOP", dpop.to_string()), "");
    let [issued, presented @ ..] = answers.as_slice() else { panic!("no answer") };
    assert_eq!(issued["issued"]["token_type"], "DPoP");
    assert_eq!(claims(issued["issued"]["access_token"].as_str().unwrap())["cnf"]["jkt"], issued["jkt"]);
    assert!(house.log().contains("use_dpop_nonce"), "it was told a nonce, and came back with it");
    let [good, refused @ ..] = presented else { panic!("{answers:?}") };
    assert_eq!(good["accepted"], issued["jkt"], "{good}");
    let refused: Vec<_> = refused.iter().map(|answer| answer["refused"].as_str().unwrap()).collect();
    let [replayed, missing, mismatch, invalid] = [
        "DPoPReplayDetectedError",
        "DPoPProofMissingError",
        "DPoPBindingMismatchError",
        "InvalidDPoPProofError",
    ];
    assert_eq!(refused, [replayed, missing, mismatch, mismatch, invalid]);
}
