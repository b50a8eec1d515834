//! Assertions that only the holder of a key may present (ID-JAG §9.8.1.2), and tokens that only the holder may use.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    Agent, On, Server, Tokens, Upstream,
    agent::{form, sections},
    dpop::{DpopKey, post_with},
};

/// Presents one of these claims with a proof.
async fn present(
    agent: &Agent,
    key: &DpopKey,
    claims: &Value,
    parameters: &[(&'static str, &str)],
) -> Tokens {
    let proof = key.proof(&agent.server);
    post_with(&agent.server, &form(&agent.sign(claims), parameters), &[&proof]).await
}

#[rstest]
#[tokio::test]
async fn an_assertion_that_is_bound_to_a_key_takes_its_holder(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    let (key, other) = (DpopKey::new(), DpopKey::new());
    let bound = agent.claims_with("cnf", json!({ "jkt": key.thumbprint() }));
    let refused = [agent.trade(&bound).await, present(&agent, &other, &bound, &[]).await];
    for refused in refused {
        assert_eq!((refused.status, refused.error()), (400, "invalid_grant"));
    }
    assert_eq!(agent.server.reasons("token.refused").await, ["assertion_confirmation"; 2]);
    let tokens = present(&agent, &key, &bound, &[]).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(tokens.body["token_type"], "DPoP");
    assert_eq!(tokens.claims()["cnf"], json!({ "jkt": key.thumbprint() }));
}

#[rstest]
#[case::two_ways(json!({ "jkt": "KEY", "x5t#S256": "KEY" }))]
#[case::a_list(json!(["KEY"]))]
#[case::a_key(json!({ "jwk": { "kty": "EC" } }))]
#[case::no_thumbprint(json!({ "jkt": "KEYKEY" }))]
#[tokio::test]
async fn what_it_is_bound_to_must_be_understood(#[case] cnf: Value) {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let key = DpopKey::new();
    let cnf = serde_json::from_str(&cnf.to_string().replace("KEY", &key.thumbprint())).unwrap();
    let refused = present(&agent, &key, &agent.claims_with("cnf", cnf), &[]).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_grant"));
    assert_eq!(agent.server.reasons("token.refused").await, ["assertion_confirmation"]);
}

/// Whoever proves a key gets a token that is bound to it, though the assertion is not.
#[tokio::test]
async fn a_proof_binds_the_token() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let key = DpopKey::new();
    let tokens = present(&agent, &key, &agent.claims(), &[]).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(tokens.claims()["cnf"], json!({ "jkt": key.thumbprint() }));
}

/// A public client that proves a key is the same that proved it before.
#[tokio::test]
async fn a_key_tells_a_public_client_from_others() {
    let keys = r#"replay: same_client, public_clients: true,
        allow: { tickets: { clients: [open], scopes: ["tickets:read"] } }"#;
    let agent = Agent::start_with(On::Sqlite, keys).await.unwrap();
    let key = DpopKey::new();
    let mut claims = agent.claims_with("client_id", json!("open"));
    claims["cnf"] = json!({ "jkt": key.thumbprint() });
    let open = [("client_id", "open"), ("client_secret", "")];
    for _ in 0..2 {
        let tokens = present(&agent, &key, &claims, &open).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
    }
    // Of one that is not bound, anybody with a key could be the holder.
    let claims = agent.claims_with("client_id", json!("open"));
    assert_eq!(present(&agent, &key, &claims, &open).await.status, 200);
    assert_eq!(present(&agent, &DpopKey::new(), &claims, &open).await.error(), "invalid_grant");
}

/// Neither a proof that is missing nor one that was used costs anybody the assertion.
#[rstest]
#[tokio::test]
async fn what_is_refused_for_its_proof_leaves_the_assertion_good(#[values(On::Sqlite, On::Postgres)] on: On) {
    let upstream = Upstream::start().await;
    let required = "    name: Ticket desk\n    dpop: required\n";
    let sections = sections(&upstream, "").replace("    name: Ticket desk\n", required);
    let Some(server) = Server::start_with(on, &sections).await else { return };
    let agent = Agent { server, upstream };
    let key = DpopKey::new();
    let [first, assertion] = [(); 2].map(|()| form(&agent.sign(&agent.claims()), &[]));
    let used = key.proof(&agent.server);
    assert_eq!(post_with(&agent.server, &first, &[&used]).await.status, 200);
    for proofs in [&[][..], &[used.as_str()]] {
        assert_eq!(post_with(&agent.server, &assertion, proofs).await.error(), "invalid_dpop_proof");
    }
    let tokens = post_with(&agent.server, &assertion, &[&key.proof(&agent.server)]).await;
    assert_eq!(tokens.body["token_type"], "DPoP", "{}", tokens.body);
}
