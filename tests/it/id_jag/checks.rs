//! Each check on an assertion, by its absence: one thing is wrong, the answer is the same dull one, the record names
//! the reason, and the identifier is not used up.

use chancery::jose::{Signer, signer::SigningAlgorithm};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    Agent, On, Server, Tokens, Upstream,
    agent::{ID_JAG, SECRET, sections},
    upstream::{json_of, signer},
};

/// What every assertion that is not accepted is answered.
const DULL: &str = "the assertion is not accepted: get a new one";

async fn is_refused(agent: &Agent, refused: &Tokens, reason: &str) {
    assert_eq!((refused.status, refused.error()), (400, "invalid_grant"), "{reason}: {}", refused.body);
    assert_eq!(refused.body, json!({ "error": "invalid_grant", "error_description": DULL }));
    assert_eq!(agent.server.reasons("token.refused").await, [reason], "{}", refused.body);
}

/// Seconds from now.
fn at(agent: &Agent, seconds: i64) -> Value {
    json!(agent.server.clock.now().as_secs() + seconds)
}

#[rstest]
#[case::issuer_missing("iss", json!(null), "assertion_issuer")]
#[case::issuer_unknown("iss", json!("https://idp.evil.example"), "assertion_issuer")]
#[case::issuer_no_text("iss", json!(["x"]), "assertion_issuer")]
#[case::subject_missing("sub", json!(null), "assertion_subject")]
#[case::subject_no_text("sub", json!({ "id": "ada-1" }), "assertion_subject")]
#[case::subject_empty("sub", json!(""), "assertion_subject")]
#[case::audience_missing("aud", json!(null), "assertion_claim")]
#[case::audience_other("aud", json!("https://other.example"), "assertion_audience")]
#[case::audience_none("aud", json!([]), "assertion_audience")]
#[case::audience_number("aud", json!(7), "assertion_claim")]
#[case::client_missing("client_id", json!(null), "assertion_claim")]
#[case::client_other("client_id", json!("other"), "assertion_client")]
#[case::client_prefix("client_id", json!("agent "), "assertion_client")]
#[case::client_list("client_id", json!(["agent"]), "assertion_claim")]
#[case::jti_missing("jti", json!(null), "assertion_claim")]
#[case::jti_empty("jti", json!(""), "assertion_jti")]
#[case::jti_number("jti", json!(7), "assertion_claim")]
#[case::jti_long("jti", json!("j".repeat(257)), "assertion_jti")]
#[case::jti_nul("jti", json!("a\u{0}"), "assertion_jti")]
#[case::exp_missing("exp", json!(null), "assertion_claim")]
#[case::exp_text("exp", json!("1795219500"), "assertion_claim")]
#[case::exp_infinite("exp", json!(1e300), "assertion_claim")]
#[case::iat_missing("iat", json!(null), "assertion_claim")]
#[case::iat_text("iat", json!("now"), "assertion_claim")]
#[case::nbf_text("nbf", json!(true), "assertion_claim")]
#[case::details("authorization_details", json!([{ "type": "payment" }]), "assertion_authorization_details")]
#[case::no_details("authorization_details", json!([]), "assertion_authorization_details")]
#[case::bound_to_a_key("cnf", json!({ "jkt": "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s" }), "assertion_confirmation")]
#[case::bound_to_a_certificate("cnf", json!({ "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" }), "assertion_confirmation")]
#[case::bound_to_nothing("cnf", json!({}), "assertion_confirmation")]
#[case::resource_number("resource", json!(7), "assertion_claim")]
#[case::resource_mixed("resource", json!(["https://mcp.acme.example/tickets", 7]), "assertion_claim")]
#[case::resource_other("resource", json!("https://mcp.acme.example/other"), "assertion_resource")]
#[case::resource_no_url("resource", json!("tickets"), "assertion_resource")]
#[case::resource_none("resource", json!([]), "assertion_resource")]
#[case::scope_list("scope", json!(["tickets:read"]), "assertion_claim")]
#[case::scope_elsewhere("scope", json!("wiki:read"), "assertion_scope")]
#[case::tenant_unexpected("tenant", json!("t1"), "assertion_subject")]
#[case::auth_time_text("auth_time", json!("yesterday"), "assertion_claim")]
#[tokio::test]
async fn a_claim_that_is_wrong(#[case] claim: &str, #[case] value: Value, #[case] reason: &str) {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let bad = agent.claims_with(claim, value);
    is_refused(&agent, &agent.trade(&bad).await, reason).await;
    let mut good = agent.claims();
    if claim != "jti" {
        good["jti"] = bad["jti"].clone();
    }
    let tokens = agent.trade(&good).await;
    assert_eq!(tokens.status, 200, "its identifier is as good as new: {}", tokens.body);
}

/// Its audience is our issuer, byte for byte, and nobody besides.
#[tokio::test]
async fn an_audience_that_is_not_ours_alone() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let ours = agent.server.issuer.clone();
    for audience in [
        json!([ours, "https://other.example"]),
        json!([ours, ours]),
        json!(format!("{ours}/")),
        json!(format!("{ours}/oauth/token")),
        json!(ours.to_uppercase()),
    ] {
        let refused = agent.trade(&agent.claims_with("aud", audience.clone())).await;
        assert_eq!(refused.error(), "invalid_grant", "{audience}");
    }
    assert_eq!(agent.server.reasons("token.refused").await, ["assertion_audience"; 5]);
    assert_eq!(agent.trade(&agent.claims_with("aud", json!([ours]))).await.status, 200);
}

/// The provider's clock may be a minute off, and no assertion lives longer than five.
#[rstest]
#[case::expired(-301, -61, "assertion_expired")]
#[case::at_once(-300, -60, "assertion_expired")]
#[case::made_tomorrow(61, 120, "assertion_not_yet_valid")]
#[case::too_long(0, 301, "assertion_lifetime")]
#[case::too_long_since_yesterday(-86_400, 100, "assertion_lifetime")]
#[case::backwards(100, 50, "assertion_not_yet_valid")]
#[tokio::test]
async fn dates_that_are_wrong(#[case] iat: i64, #[case] exp: i64, #[case] reason: &str) {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let mut claims = agent.claims();
    (claims["iat"], claims["exp"]) = (at(&agent, iat), at(&agent, exp));
    is_refused(&agent, &agent.trade(&claims).await, reason).await;
}

#[rstest]
#[case::a_minute_late(-359, -59)]
#[case::a_minute_early(60, 300)]
#[case::as_long_as_may_be(0, 300)]
#[tokio::test]
async fn dates_that_are_right(#[case] iat: i64, #[case] exp: i64) {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let mut claims = agent.claims();
    (claims["iat"], claims["exp"]) = (at(&agent, iat), at(&agent, exp));
    claims["exp"] = json!(claims["exp"].as_i64().unwrap().min(claims["iat"].as_i64().unwrap() + 300));
    let tokens = agent.trade(&claims).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
}

#[tokio::test]
async fn nbf_lies_ahead() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let refused = agent.trade(&agent.claims_with("nbf", at(&agent, 61))).await;
    is_refused(&agent, &refused, "assertion_not_yet_valid").await;
}

#[tokio::test]
async fn the_longest_life_is_the_operators_to_say() {
    let agent = Agent::start_with(On::Sqlite, "max_lifetime: 60s").await.unwrap();
    is_refused(&agent, &agent.trade(&agent.claims()).await, "assertion_lifetime").await;
    assert_eq!(agent.trade(&agent.claims_with("exp", at(&agent, 60))).await.status, 200);
}

/// Letter for letter: nothing else that the provider signs passes for an assertion, nor it for anything else.
#[rstest]
#[case::a_workloads("JWT", "assertion_issuer")]
#[case("at+jwt", "assertion_type")]
#[case("OAUTH-ID-JAG+JWT", "assertion_type")]
#[case("application/oauth-id-jag+jwt", "assertion_type")]
#[case("oauth-id-jag+jwt ", "assertion_type")]
#[tokio::test]
async fn another_type_of_token(#[case] typ: &'static str, #[case] reason: &str) {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let token = agent.upstream.signer.sign(typ, &agent.claims()).unwrap();
    is_refused(&agent, &agent.present(&token, &[]).await, reason).await;
}

/// Signed by whom, in the name of whom.
#[tokio::test]
async fn a_signature_that_does_not_hold() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let claims = agent.claims();
    let good = agent.sign(&claims);
    let forged = signer().sign(ID_JAG, &claims).unwrap();
    let (signed, _) = good.rsplit_once('.').unwrap();
    let (_, others) = forged.rsplit_once('.').unwrap();
    let refused = agent.present(&format!("{signed}.{others}"), &[]).await;
    is_refused(&agent, &refused, "assertion_signature").await;
    assert_eq!(agent.present(&forged, &[]).await.error(), "invalid_grant");
    let reasons = agent.server.reasons("token.refused").await;
    assert_eq!(reasons, ["assertion_key", "assertion_signature"]);
    assert_eq!(agent.present(&good, &[]).await.status, 200, "nothing was used up by forgeries");
}

#[tokio::test]
async fn an_algorithm_that_its_issuer_does_not_use() {
    let agent = Agent::start_with(On::Sqlite, "algorithms: [ES256, RS256]").await.unwrap();
    let pkcs8 = SigningAlgorithm::EdDsa.generate().unwrap();
    let edwards = Signer::from_pkcs8(SigningAlgorithm::EdDsa, &pkcs8).unwrap();
    agent.upstream.publishes(&[&agent.upstream.signer, &edwards]);
    let token = edwards.sign(ID_JAG, &agent.claims()).unwrap();
    is_refused(&agent, &agent.present(&token, &[]).await, "assertion_algorithm").await;
    let agent = Agent::start_with(On::Sqlite, "algorithms: [EdDSA]").await.unwrap();
    agent.upstream.publishes(&[&edwards]);
    let token = edwards.sign(ID_JAG, &agent.claims()).unwrap();
    assert_eq!(agent.present(&token, &[]).await.status, 200);
}

/// Several issuers of one provider, each with keys of its own: none signs for another.
#[tokio::test]
async fn a_key_of_another_issuer() {
    let (upstream, second) = (Upstream::start().await, Upstream::start().await);
    let keys = format!(
        "issuers: [{{ issuer: \"{}\" }}, {{ issuer: \"{}\", same_subjects: true }}]",
        upstream.issuer(),
        second.issuer()
    );
    let server = Server::start_with(On::Sqlite, &sections(&upstream, &keys)).await.unwrap();
    let agent = Agent { server, upstream };
    let theirs = agent.claims_with("iss", json!(second.issuer()));
    let refused = agent.trade(&theirs).await;
    is_refused(&agent, &refused, "assertion_key").await;
    let tokens = agent.present(&second.signer.sign(ID_JAG, &theirs).unwrap(), &[]).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    let own = agent.trade(&agent.claims()).await;
    assert_eq!(own.claims()["sub"], tokens.claims()["sub"], "the two name the same people");
    let refused = agent.present(&second.signer.sign(ID_JAG, &agent.claims()).unwrap(), &[]).await;
    assert_eq!(refused.error(), "invalid_grant");
}

/// An issuer that names people by itself knows nobody of the other's.
#[tokio::test]
async fn a_subject_of_another_issuer_is_another_person() {
    let (upstream, second) = (Upstream::start().await, Upstream::start().await);
    second.answers(
        "/.well-known/openid-configuration",
        json_of(&json!({ "issuer": second.issuer(), "jwks_uri": format!("{}/keys", second.issuer()) })),
    );
    let keys =
        format!("issuers: [{{ issuer: \"{}\" }}, {{ issuer: \"{}\" }}]", upstream.issuer(), second.issuer());
    let server = Server::start_with(On::Sqlite, &sections(&upstream, &keys)).await.unwrap();
    let agent = Agent { server, upstream };
    let theirs = agent.claims_with("iss", json!(second.issuer()));
    let theirs = agent.present(&second.signer.sign(ID_JAG, &theirs).unwrap(), &[]).await;
    let ours = agent.trade(&agent.claims()).await;
    assert_eq!((theirs.status, ours.status), (200, 200), "{} {}", theirs.body, ours.body);
    assert_ne!(theirs.claims()["sub"], ours.claims()["sub"]);
}

/// Where an issuer's keys are, its own metadata says; metadata of somebody else, or keys behind no address that we may
/// ask, give none, which is nobody's refusal.
#[rstest]
#[case::of_another(|own: &str| json!({ "issuer": "https://evil.example", "jwks_uri": format!("{own}/keys") }))]
#[case::without_keys(|own: &str| json!({ "issuer": own }))]
#[case::with_keys_nowhere(|own: &str| json!({ "issuer": own, "jwks_uri": "ftp://keys.example/keys" }))]
#[tokio::test]
async fn an_issuer_whose_metadata_is_of_no_use(#[case] document: fn(&str) -> Value) {
    let (upstream, second) = (Upstream::start().await, Upstream::start().await);
    second.answers("/.well-known/openid-configuration", json_of(&document(&second.issuer())));
    let keys = format!("issuers: [{{ issuer: \"{}\" }}]", second.issuer());
    let server = Server::start_with(On::Sqlite, &sections(&upstream, &keys)).await.unwrap();
    let agent = Agent { server, upstream };
    let claims = agent.claims_with("iss", json!(second.issuer()));
    let assertion = second.signer.sign(ID_JAG, &claims).unwrap();
    let refused = agent.present(&assertion, &[]).await;
    assert_eq!((refused.status, refused.error()), (503, "temporarily_unavailable"), "{}", refused.body);
    assert!(second.requests("/keys").await.is_empty());
    second.answers(
        "/.well-known/openid-configuration",
        json_of(&json!({ "issuer": second.issuer(), "jwks_uri": format!("{}/keys", second.issuer()) })),
    );
    agent.server.later(std::time::Duration::from_secs(60));
    assert_eq!(agent.present(&assertion, &[]).await.status, 200, "nothing was used up");
}

/// The client goes first: an assertion that nobody proved to hold is not looked at.
#[tokio::test]
async fn a_client_that_is_not_who_it_says() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let good = agent.sign(&agent.claims());
    for secret in ["", "a-wrong-secret-0123456789"] {
        let refused = agent.present(&good, &[("client_secret", secret)]).await;
        assert_eq!((refused.status, refused.error()), (401, "invalid_client"));
    }
    let other = agent.present(&good, &[("client_id", "other"), ("client_secret", SECRET)]).await;
    assert_eq!((other.status, other.error()), (400, "invalid_grant"));
    assert_eq!(agent.present(&good, &[]).await.status, 200);
}

/// Whom we trust is not to be learnt from the time that a refusal takes (§9.4).
#[tokio::test]
async fn an_issuer_that_nobody_trusts_takes_the_way_of_one_that_is() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let refused = agent.trade(&agent.claims_with("iss", json!("https://idp.evil.example"))).await;
    is_refused(&agent, &refused, "assertion_issuer").await;
    assert_eq!(agent.upstream.requests("/keys").await.len(), 1);
}
