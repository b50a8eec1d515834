//! Keys that clients of the identity provider prove (DPoP, RFC 9449), at its token endpoint and at userinfo.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Method, Response};
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{desk, section, serve};
use crate::support::{Browser, Client, DpopKey, On, PLAIN, Server, Tokens, dpop::claims_at};

/// Asks userinfo with this `Authorization` and these proofs.
async fn ask(server: &Server, authorization: &str, proofs: &[&str]) -> Response {
    let mut request = server.request(Method::POST, "/idp/userinfo").header("authorization", authorization);
    for proof in proofs {
        request = request.header("dpop", *proof);
    }
    request.send().await.unwrap()
}

/// A refusal of userinfo's: its status and what the challenge says.
fn refusal(answer: &Response) -> (u16, &str) {
    (answer.status().as_u16(), answer.headers()["www-authenticate"].to_str().unwrap())
}

/// A proof for userinfo with this token, one claim changed; `null` leaves it out.
fn proof(server: &Server, key: &DpopKey, token: &str, claim: &str, value: Value) -> String {
    let mut claims = claims_at(server, "/idp/userinfo");
    claims["ath"] = json!(URL_SAFE_NO_PAD.encode(Sha256::digest(token)));
    claims[claim] = value;
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    key.sign(&key.header(), &claims)
}

fn good(server: &Server, key: &DpopKey, token: &str) -> String {
    proof(server, key, token, "more", json!(true))
}

async fn obtain(server: &Server, client: &Client, key: &DpopKey) -> Tokens {
    let code = client.authorize(server, &Browser::new(), "ada").await;
    let tokens = key.exchange(server, client, &code).await;
    assert_eq!(tokens.body["token_type"], "DPoP", "{}", tokens.body);
    tokens
}

#[rstest]
#[tokio::test]
async fn userinfo_takes_a_bound_token_with_a_proof_once(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let (client, key) = (desk(), DpopKey::new());
    let tokens = obtain(&server, &client, &key).await;
    let token = tokens.access();
    let as_dpop = format!("DPoP {token}");
    let first = good(&server, &key, token);
    let told = ask(&server, &as_dpop, &[&first]).await;
    assert!(told.headers().contains_key("dpop-nonce"), "for the next proof");
    assert_eq!(told.json::<Value>().await.unwrap()["name"], "Ada Lovelace");
    let wrong_proof = (401, "DPoP realm=\"chancery\", error=\"invalid_dpop_proof\"");
    assert_eq!(refusal(&ask(&server, &as_dpop, &[&first]).await), wrong_proof, "used before");
    assert_eq!(refusal(&ask(&server, &as_dpop, &[]).await), wrong_proof);
    let stolen = good(&server, &DpopKey::new(), token);
    assert_eq!(refusal(&ask(&server, &as_dpop, &[&stolen]).await), wrong_proof);
    for (claim, value) in [
        ("htu", json!(format!("{}/idp/token", server.issuer))),
        ("htm", json!("GET")),
        ("ath", json!(null)),
        ("ath", json!("fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo")),
    ] {
        let bad = proof(&server, &key, token, claim, value);
        assert_eq!(refusal(&ask(&server, &as_dpop, &[&bad]).await), wrong_proof, "{claim}");
    }
    let next = good(&server, &key, token);
    assert_eq!(ask(&server, &as_dpop, &[&next]).await.status(), 200);
}

/// RFC 9449 §9.
#[tokio::test]
async fn userinfo_says_which_nonce_it_wants() {
    let server = serve(On::Sqlite).await.unwrap();
    let key = DpopKey::new();
    let tokens = obtain(&server, &desk(), &key).await;
    let as_dpop = format!("DPoP {}", tokens.access());
    for nonce in [json!(null), json!("x")] {
        let without = proof(&server, &key, tokens.access(), "nonce", nonce);
        let challenge = ask(&server, &as_dpop, &[&without]).await;
        assert_eq!(refusal(&challenge), (401, "DPoP realm=\"chancery\", error=\"use_dpop_nonce\""));
        let nonce = json!(challenge.headers()["dpop-nonce"].to_str().unwrap());
        let with = proof(&server, &key, tokens.access(), "nonce", nonce);
        assert_eq!(ask(&server, &as_dpop, &[&with]).await.status(), 200);
    }
}

#[tokio::test]
async fn a_token_is_sent_as_what_it_is() {
    let server = serve(On::Sqlite).await.unwrap();
    let key = DpopKey::new();
    let bound = obtain(&server, &desk(), &key).await;
    let proof = good(&server, &key, bound.access());
    let as_bearer = ask(&server, &format!("Bearer {}", bound.access()), &[&proof]).await;
    assert_eq!(refusal(&as_bearer), (401, "Bearer realm=\"chancery\", error=\"invalid_token\""));
    let plain = desk().obtain(&server, &Browser::new(), "ada").await;
    let proof = good(&server, &key, plain.access());
    let as_dpop = ask(&server, &format!("DPoP {}", plain.access()), &[&proof]).await;
    assert_eq!(refusal(&as_dpop), (401, "DPoP realm=\"chancery\", error=\"invalid_token\""));
    assert_eq!(ask(&server, &format!("Bearer {}", plain.access()), &[]).await.status(), 200);
}

/// What is proved to one issuer proves nothing to the other.
#[tokio::test]
async fn a_proof_is_for_one_token_endpoint() {
    let server = serve(On::Sqlite).await.unwrap();
    let key = DpopKey::new();
    for (client, other) in [(desk(), "/oauth/token"), (Client::desk(), "/idp/token")] {
        let code = client.authorize(&server, &Browser::new(), "ada").await;
        let wrong = key.sign(&key.header(), &claims_at(&server, other));
        let request = server.request(Method::POST, client.role.token_endpoint()).header("dpop", wrong);
        let refused =
            Tokens::of(request.form(&client.exchange_parameters(&code)).send().await.unwrap()).await;
        assert_eq!(refused.error(), "invalid_dpop_proof", "{}", refused.body);
        let tokens = key.exchange(&server, &client, &code).await;
        assert_eq!(tokens.claims()["cnf"]["jkt"], key.thumbprint());
    }
    let document = server.json("/idp/.well-known/openid-configuration").await;
    assert!(document["dpop_signing_alg_values_supported"].as_array().unwrap().contains(&json!("ES256")));
}

#[rstest]
#[tokio::test]
async fn a_client_here_may_have_bound_tokens_alone_too(#[values(On::Sqlite, On::Postgres)] on: On) {
    let section = section().replacen(
        "      name: Desk agent\n",
        "      name: Desk agent\n      dpop_bound_access_tokens: true\n",
        1,
    );
    let Some(server) = Server::start_with(on, &format!("{PLAIN}{section}")).await else { return };
    let (client, key) = (desk(), DpopKey::new());
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    assert_eq!(client.exchange(&server, &code).await.error(), "invalid_dpop_proof");
    let first = key.exchange(&server, &client, &code).await;
    assert_eq!(first.claims()["cnf"]["jkt"], key.thumbprint());
    assert_eq!(client.refresh(&server, first.refresh()).await.error(), "invalid_dpop_proof");
    let thief = DpopKey::new();
    assert_eq!(thief.refresh(&server, &client, first.refresh()).await.error(), "invalid_grant");
    assert_eq!(key.refresh(&server, &client, first.refresh()).await.body["token_type"], "DPoP");
}
