//! Programs that prove who they are by a token of their own platform (RFC 7523 §2.1): each is the client that the
//! operator declared it to be, and nothing that people or their agents may have.

use std::time::Duration;

use chancery::entropy::Entropy;
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    authorization::futures_join,
    support::{
        Agent, On, Server, Tokens, Upstream,
        agent::{ID_JAG, JWT_BEARER, SECRET, TICKETS, present_at, sections},
        upstream::signer,
    },
};

const SUBJECT: &str = "repo:acme/api:ref:refs/heads/main";

/// A server that takes the tokens of a platform, which here is the provider of the people too.
async fn start(on: On, keys: &str) -> Option<Agent> {
    let upstream = Upstream::start().await;
    let workload =
        format!("workload: {{ {keys} subjects: {{ \"{SUBJECT}\": job, other: clerk }} }},\n    id_jag:");
    let clients = format!(
        "clients:\n  job: {{ name: Build job, grant_types: [\"{JWT_BEARER}\"], default_resource: tickets, resources: {{ tickets: [\"tickets:read\"] }} }}\n  \
         clerk: {{ secret: {SECRET}, grant_types: [\"{JWT_BEARER}\"], default_resource: tickets, resources: {{ tickets: [\"tickets:read\"] }} }}\n"
    );
    let sections = sections(&upstream, "")
        .replace("id_jag:", &workload)
        .replace("clients:\n  agent", &format!("{clients}  agent"));
    let server = Server::start_with(on, &sections).await?;
    Some(Agent { server, upstream })
}

/// The claims of a good token of the platform.
fn claims(agent: &Agent) -> Value {
    let now = agent.server.clock.now().as_secs();
    json!({
        "iss": agent.upstream.issuer(), "sub": SUBJECT, "aud": agent.server.issuer, "jti": Entropy::System.token(),
        "iat": now, "nbf": now, "exp": now + 600, "ref": "refs/heads/main",
    })
}

fn with(agent: &Agent, claim: &str, value: Value) -> Value {
    let mut claims = claims(agent);
    let members = claims.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(claim)
    } else {
        members.insert(claim.to_owned(), value)
    };
    claims
}

const AS_JOB: [(&str, &str); 2] = [("client_id", "job"), ("client_secret", "")];

async fn present(agent: &Agent, claims: &Value) -> Tokens {
    agent.present(&agent.upstream.signer.sign("JWT", claims).unwrap(), &AS_JOB).await
}

async fn is_refused(agent: &Agent, refused: &Tokens, reason: &str) {
    assert_eq!((refused.status, refused.error()), (400, "invalid_grant"), "{reason}: {}", refused.body);
    assert_eq!(refused.body["error_description"], "the assertion is not accepted: get a new one");
    assert_eq!(agent.server.reasons("token.refused").await, [reason]);
}

#[rstest]
#[tokio::test]
async fn a_job_is_the_client_that_it_was_declared_to_be(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = start(on, "").await else { return };
    let tokens = present(&agent, &claims(&agent)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!((&tokens.body["scope"], tokens.body.get("refresh_token")), (&json!("tickets:read"), None));
    let token = tokens.claims();
    assert_eq!(
        (&token["sub"], &token["client_id"], &token["aud"]),
        (&json!("job"), &json!("job"), &json!(TICKETS))
    );
    for of_people in ["grant_id", "auth_time", "org_id"] {
        assert_eq!(token.get(of_people), None);
    }
    assert_eq!((agent.server.rows("users").await, agent.server.rows("grants").await), (0, 0));
    assert_eq!(agent.server.on_record("token.issued", "provider").await, ["acme"]);
}

/// What it gets is what its own entry lists, as with `client_credentials`.
#[tokio::test]
async fn it_gets_what_is_listed_for_it() {
    let agent = start(On::Sqlite, "").await.unwrap();
    let token = |claims| agent.upstream.signer.sign("JWT", &claims).unwrap();
    for (parameter, value, error) in [
        ("resource", "https://mcp.acme.example/wiki", "invalid_target"),
        ("resource", "https://other.example", "invalid_target"),
        ("scope", "tickets:write", "invalid_scope"),
    ] {
        let parameters = [AS_JOB.as_slice(), &[("resource", TICKETS), (parameter, value)]].concat();
        let parameters: Vec<_> =
            parameters.into_iter().filter(|(name, sent)| *name != parameter || *sent == value).collect();
        let refused = agent.present(&token(claims(&agent)), &parameters).await;
        assert_eq!(refused.error(), error, "{value}");
    }
}

#[rstest]
#[case("iss", json!("https://evil.example"), "assertion_issuer")]
#[case("iss", json!(null), "assertion_issuer")]
#[case("sub", json!("repo:acme/api:ref:refs/heads/evil"), "assertion_subject")]
#[case("sub", json!("repo:acme/api:ref:refs/heads/main "), "assertion_subject")]
#[case("sub", json!("job"), "assertion_subject")]
#[case("sub", json!(null), "assertion_claim")]
#[case("sub", json!("other"), "assertion_client")]
#[case("aud", json!(null), "assertion_claim")]
#[case("aud", json!("https://other.example"), "assertion_audience")]
#[case("aud", json!([]), "assertion_audience")]
#[case("exp", json!(null), "assertion_claim")]
#[case("exp", json!(1_795_219_139), "assertion_expired")]
#[case("exp", json!(1_795_219_200 + 3661), "assertion_lifetime")]
#[case("iat", json!(1_795_219_200 + 61), "assertion_not_yet_valid")]
#[case("nbf", json!(1_795_219_200 + 61), "assertion_not_yet_valid")]
#[case("jti", json!(null), "assertion_claim")]
#[case("jti", json!(""), "assertion_jti")]
#[case("authorization_details", json!([]), "assertion_authorization_details")]
#[case("cnf", json!({ "jkt": "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s" }), "assertion_confirmation")]
#[case("cnf", json!({ "jwk": {} }), "assertion_confirmation")]
#[tokio::test]
async fn a_claim_that_is_wrong(#[case] claim: &str, #[case] value: Value, #[case] reason: &str) {
    let agent = start(On::Sqlite, "").await.unwrap();
    is_refused(&agent, &present(&agent, &with(&agent, claim, value)).await, reason).await;
}

/// Without `iat`, the end itself must be near.
#[tokio::test]
async fn one_that_does_not_say_when_it_began() {
    let agent = start(On::Sqlite, "").await.unwrap();
    let mut claims = with(&agent, "iat", Value::Null);
    claims["exp"] = json!(agent.server.clock.now().as_secs() + 3661);
    is_refused(&agent, &present(&agent, &claims).await, "assertion_lifetime").await;
    claims["exp"] = json!(agent.server.clock.now().as_secs() + 3600);
    assert_eq!(present(&agent, &claims).await.status, 200);
}

#[tokio::test]
async fn whom_it_is_made_for() {
    let agent = start(On::Sqlite, "").await.unwrap();
    let ours = agent.server.issuer.clone();
    let endpoint = format!("{ours}/oauth/token");
    for audience in [json!(ours), json!([ours]), json!(endpoint)] {
        assert_eq!(present(&agent, &with(&agent, "aud", audience)).await.status, 200);
    }
    for audience in [json!([ours, endpoint]), json!(format!("{ours}/")), json!(format!("{ours}/idp"))] {
        assert_eq!(present(&agent, &with(&agent, "aud", audience)).await.error(), "invalid_grant");
    }
    let agent = start(On::Sqlite, "audience: \"https://acme.example/jobs\",").await.unwrap();
    assert_eq!(present(&agent, &claims(&agent)).await.error(), "invalid_grant");
    assert_eq!(present(&agent, &with(&agent, "aud", json!("https://acme.example/jobs"))).await.status, 200);
}

/// By `typ`, letter for letter: what one provider signs of the one kind is nothing of the other.
#[tokio::test]
async fn the_two_kinds_are_never_mixed() {
    let agent = start(On::Sqlite, "").await.unwrap();
    let signer = &agent.upstream.signer;
    // The client's own agent assertion, named as a platform's token, and the other way round.
    let mut both = agent.claims();
    both["sub"] = json!(SUBJECT);
    both["client_id"] = json!("job");
    for (typ, as_client) in
        [(ID_JAG, "job"), ("OAUTH-ID-JAG+JWT", "job"), ("at+jwt", "job"), ("JWT", "agent")]
    {
        let secret = if as_client == "agent" { SECRET } else { "" };
        let assertion = signer.sign(typ, &both).unwrap();
        let refused = agent.present(&assertion, &[("client_id", as_client), ("client_secret", secret)]).await;
        assert_ne!(refused.status, 200, "{typ}: {}", refused.body);
    }
    let reasons = agent.server.reasons("token.refused").await;
    assert_eq!(reasons, ["assertion_client", "assertion_type", "assertion_type", "public_client"]);
    assert_eq!(present(&agent, &claims(&agent)).await.status, 200);
    let plain = Agent::start(On::Sqlite).await.unwrap();
    let assertion = plain.upstream.signer.sign("JWT", &plain.claims()).unwrap();
    is_refused(&plain, &plain.present(&assertion, &[]).await, "assertion_issuer").await;
}

/// A platform's word stands beside the client's own proof, where it has one, and in place of none.
#[tokio::test]
async fn a_client_that_can_prove_itself_has_to() {
    let agent = start(On::Sqlite, "").await.unwrap();
    let of_clerk = || agent.upstream.signer.sign("JWT", &with(&agent, "sub", json!("other"))).unwrap();
    let bare = agent.present(&of_clerk(), &[("client_id", "clerk"), ("client_secret", "")]).await;
    assert_eq!((bare.status, bare.error()), (401, "invalid_client"));
    assert_eq!(agent.present(&of_clerk(), &[("client_id", "clerk")]).await.status, 200);
}

#[tokio::test]
async fn a_forgery() {
    let agent = start(On::Sqlite, "").await.unwrap();
    let good = claims(&agent);
    let forged = signer().sign("JWT", &good).unwrap();
    is_refused(&agent, &agent.present(&forged, &AS_JOB).await, "assertion_key").await;
    assert_eq!(present(&agent, &good).await.status, 200, "which used nothing up");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_counts_once(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = start(on, "").await else { return };
    let assertion = agent.upstream.signer.sign("JWT", &claims(&agent)).unwrap();
    let answers = futures_join((0..16).map(|_| present_at(&agent.server, &assertion, &AS_JOB))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    agent.server.later(Duration::from_secs(659));
    assert_eq!(agent.present(&assertion, &AS_JOB).await.error(), "invalid_grant");
}

/// Some platforms keep one token for an hour, without an identifier.
#[tokio::test]
async fn or_again_where_the_operator_says_so() {
    let agent = start(On::Sqlite, "replay: same_client,").await.unwrap();
    let assertion = agent.upstream.signer.sign("JWT", &with(&agent, "jti", Value::Null)).unwrap();
    for _ in 0..2 {
        assert_eq!(agent.present(&assertion, &AS_JOB).await.status, 200);
    }
    agent.server.later(Duration::from_secs(660));
    assert_eq!(agent.present(&assertion, &AS_JOB).await.error(), "invalid_grant");
}
