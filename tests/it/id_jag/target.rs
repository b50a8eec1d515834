//! Which server a token is for, and with which scopes: what the assertion, the rules and the request have in common.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    Agent, On, Server, Upstream,
    agent::{TICKETS, WIKI, sections},
};

/// `claim`: what the assertion names; `asked`: what the request does; `default`: the operator's.
#[rstest]
#[case::named_by_the_assertion(json!(TICKETS), &[], "", TICKETS)]
#[case::a_list_of_one(json!([TICKETS]), &[], "", TICKETS)]
#[case::in_another_spelling(json!("HTTPS://MCP.acme.example:443/tickets"), &[], "", TICKETS)]
#[case::named_by_both(json!(TICKETS), &[TICKETS], "", TICKETS)]
#[case::named_twice(json!(TICKETS), &[TICKETS, TICKETS], "", TICKETS)]
#[case::chosen_among_several(json!([TICKETS, WIKI]), &[WIKI], "", WIKI)]
#[case::one_of_ours_among_others(json!([TICKETS, "https://other.example", "urn:x"]), &[], "", TICKETS)]
#[case::the_default_among_several(json!([TICKETS, WIKI]), &[], "wiki", WIKI)]
#[case::named_by_the_request_alone(json!(null), &[WIKI], "", WIKI)]
#[case::the_default(json!(null), &[], "wiki", WIKI)]
#[case::the_request_before_the_default(json!(null), &[TICKETS], "wiki", TICKETS)]
#[case::none_of_several(json!([TICKETS, WIKI]), &[], "", "invalid_target")]
#[case::by_nobody(json!(null), &[], "", "invalid_target")]
#[case::another_than_the_assertions(json!(TICKETS), &[WIKI], "", "invalid_target")]
#[case::another_than_the_assertions_in_spite_of_a_default(json!(TICKETS), &[WIKI], "wiki", "invalid_target")]
#[case::the_default_is_not_the_assertions(json!([TICKETS]), &[], "wiki", TICKETS)]
#[case::two(json!([TICKETS, WIKI]), &[TICKETS, WIKI], "", "invalid_target")]
#[case::none_of_ours(json!(null), &["https://other.example"], "", "invalid_target")]
#[case::no_url(json!(null), &["tickets"], "", "invalid_target")]
#[case::a_list_of_others(json!(["https://other.example"]), &[], "tickets", "invalid_grant")]
#[case::others_though_asked_for_ours(json!(["https://other.example"]), &[TICKETS], "", "invalid_grant")]
#[tokio::test]
async fn the_server(
    #[case] claim: Value,
    #[case] asked: &[&'static str],
    #[case] default: &str,
    #[case] outcome: &str,
) {
    let keys = if default.is_empty() { String::new() } else { format!("default_resource: {default}") };
    let agent = Agent::start_with(On::Sqlite, &keys).await.unwrap();
    let mut claims = agent.claims_with("resource", claim);
    claims.as_object_mut().unwrap().remove("scope");
    let parameters: Vec<_> = asked.iter().map(|resource| ("resource", *resource)).collect();
    let tokens = agent.present(&agent.sign(&claims), &parameters).await;
    if outcome.starts_with("https:") {
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        assert_eq!(tokens.claims()["aud"], outcome);
    } else {
        assert_eq!((tokens.status, tokens.error()), (400, outcome));
        assert_eq!(agent.server.reasons("token.refused").await, ["assertion_resource"]);
    }
}

/// Where an assertion names several, the default counts only if it is one of them.
#[tokio::test]
async fn the_default_is_none_of_the_several() {
    let upstream = Upstream::start().await;
    let blog = "resources:\n  blog:\n    uri: https://mcp.acme.example/blog\n    name: Blog\n    \
                scopes: { \"blog:read\": { description: Read, default: true } }\n";
    let sections = sections(&upstream, "default_resource: blog").replacen("resources:\n", blog, 1);
    let agent = Agent { server: Server::start_with(On::Sqlite, &sections).await.unwrap(), upstream };
    let tokens = agent.trade(&agent.claims_with("resource", json!([TICKETS, WIKI]))).await;
    assert_eq!((tokens.status, tokens.error()), (400, "invalid_target"), "{}", tokens.body);
    assert_eq!(agent.server.reasons("token.refused").await, ["assertion_resource"]);
}

/// The rules give the agent reading and writing; the resource would give closing to nobody but `support`.
#[rstest]
#[case::all_that_the_assertion_gives(json!("tickets:read tickets:write"), "", "tickets:read tickets:write")]
#[case::what_the_request_wants_of_it(json!("tickets:read tickets:write"), "tickets:write", "tickets:write")]
#[case::no_more_than_the_assertion_gives(json!("tickets:read"), "tickets:read tickets:write", "tickets:read")]
#[case::no_more_than_the_rules_give(json!("tickets:read tickets:close"), "", "tickets:read")]
#[case::the_default_of_an_assertion_without_scope(json!(null), "", "tickets:read")]
#[case::what_the_rules_give_of_what_is_asked(json!(null), "tickets:write tickets:close", "tickets:write")]
#[case::unknown_ones_aside(json!("tickets:read else:where"), "", "tickets:read")]
#[case::openid_says_nothing(json!("openid profile"), "openid profile offline_access", "tickets:read")]
#[case::openid_beside_others(json!("openid tickets:write"), "openid", "tickets:write")]
#[case::nothing_in_common(json!("tickets:read"), "tickets:write", "invalid_scope")]
#[case::nothing_that_the_rules_give(json!("tickets:close"), "", "invalid_scope")]
#[case::nothing_given(json!(""), "", "invalid_scope")]
#[case::unknown(json!(null), "else:where", "invalid_scope")]
#[case::no_scope_at_all(json!(null), "a\\b", "invalid_scope")]
#[tokio::test]
async fn the_scopes(#[case] claim: Value, #[case] asked: &str, #[case] outcome: &str) {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let assertion = agent.sign(&agent.claims_with("scope", claim));
    let tokens = agent.present(&assertion, &[("scope", asked)]).await;
    if outcome == "invalid_scope" {
        assert_eq!((tokens.status, tokens.error()), (400, outcome));
        assert_eq!(agent.server.recorded("token.refused").await, 1);
    } else {
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        assert_eq!((&tokens.body["scope"], &tokens.claims()["scope"]), (&json!(outcome), &json!(outcome)));
    }
}

/// What is not listed is refused: the resource, and the client at it.
#[rstest]
#[case(r#"allow: { wiki: { clients: [agent], scopes: ["wiki:read"] } }"#, "providers.acme.id_jag.allow")]
#[case(
    r#"allow: { tickets: { clients: [other], scopes: ["tickets:read"] } }"#,
    "providers.acme.id_jag.allow.tickets.clients"
)]
#[tokio::test]
async fn nothing_is_given_that_is_not_listed(#[case] keys: &str, #[case] rule: &str) {
    let agent = Agent::start_with(On::Sqlite, keys).await.unwrap();
    let refused = agent.trade(&agent.claims()).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_target"));
    assert_eq!(agent.server.reasons("token.refused").await, ["policy"]);
    assert_eq!(agent.server.on_record("token.refused", "provider").await, ["acme"]);
    let details = agent.server.on_record("token.refused", "CAST(details AS TEXT)").await;
    assert!(details[0].contains(rule) && details[0].contains("ada-1"), "{details:?}");
    assert_eq!(agent.server.rows("users").await, 0, "nobody is made of a refusal");
}
