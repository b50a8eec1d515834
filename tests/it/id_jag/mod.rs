//! An agent that the enterprise's identity provider approves trades its assertion (ID-JAG) for a token, with no
//! consent, for the same user that signs in through the browser.

mod bad_input;
mod bound;
mod checks;
mod clients;
mod replay;
mod target;

use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use crate::support::{
    Agent, Browser, On, Server, Upstream,
    agent::{TICKETS, WIKI, sections},
};

#[rstest]
#[tokio::test]
async fn an_assertion_becomes_a_token_for_one_server(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    let sent = agent.claims();
    let tokens = agent.trade(&sent).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(tokens.headers["cache-control"], "no-store");
    assert_eq!(tokens.body["token_type"], "Bearer");
    assert_eq!(tokens.body["scope"], "tickets:read tickets:write");
    assert_eq!(tokens.body.get("refresh_token"), None, "the provider is asked anew each time");
    agent.server.app.keys.verify_own(tokens.access()).expect("signed by us as at+jwt");
    let claims = tokens.claims();
    assert_eq!((&claims["aud"], &claims["client_id"]), (&json!(TICKETS), &json!("agent")));
    assert_eq!(claims["org_id"], "acme");
    for claim in ["auth_time", "acr", "amr"] {
        assert_eq!(claims[claim], sent[claim], "{claim}");
    }
    assert_ne!(claims["sub"], "ada-1", "our name for her, not the provider's");
    assert_ne!(claims["jti"], sent["jti"]);
    assert!(claims["grant_id"].is_string());
    assert_eq!(agent.server.on_record("token.issued", "provider").await, ["acme"]);
    assert_eq!(agent.server.on_record("token.issued", "user_id").await, [claims["sub"].as_str().unwrap()]);
}

#[rstest]
#[tokio::test]
async fn the_agents_user_and_the_browsers_are_one(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    let tokens = agent.trade(&agent.claims()).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    let page = agent.upstream.sign_in(&agent.server, &Browser::new(), |_| ()).await;
    assert_eq!(page.url.path(), "/account");
    assert_eq!(agent.server.rows("users").await, 1);
    let text = page.text();
    for words in ["Build agent uses Ticket desk", "Allowed by your organization, through acme sign-in"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(page.forms("/account/applications/end").is_empty(), "an end that would only begin anew is none");
    let again = agent.trade(&agent.claims()).await;
    assert_eq!(again.claims()["sub"], tokens.claims()["sub"]);
}

/// What the assertion is silent about stays as it was said at the sign-in.
#[rstest]
#[tokio::test]
async fn an_assertion_takes_nothing_away_that_a_sign_in_said(#[values(On::Sqlite, On::Postgres)] on: On) {
    let rules = r#"allow: { tickets: { clients: [agent], scopes: ["tickets:read"], groups: [staff] } }"#;
    let Some(agent) = Agent::start_with(on, rules).await else { return };
    let refused = agent.trade(&agent.claims()).await;
    assert_eq!(refused.error(), "invalid_target", "nobody has said yet that she is in the group");
    agent.upstream.sign_in(&agent.server, &Browser::new(), |_| ()).await;
    for _ in 0..2 {
        let tokens = agent.trade(&agent.claims()).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
    }
    let refused = agent.trade(&agent.claims_with("groups", json!(["guests"]))).await;
    assert_eq!(refused.error(), "invalid_target", "what it does say holds");
}

#[rstest]
#[tokio::test]
async fn one_grant_stands_for_all_that_an_agent_gets_at_a_server(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    let server = &agent.server;
    let grant_of = async || agent.trade(&agent.claims()).await.claims()["grant_id"].clone();
    let first = grant_of().await;
    server.later(Duration::from_secs(300));
    assert_eq!(grant_of().await, first);
    let narrow = agent.trade(&agent.claims_with("scope", json!("tickets:read"))).await;
    assert_eq!(narrow.claims()["grant_id"], first);
    assert_eq!(server.rows("grants").await, 1);
    let other = agent.claims_with("resource", json!(WIKI));
    let other = agent.present(&agent.sign(&other), &[("scope", "")]).await;
    assert_eq!(other.error(), "invalid_grant", "scopes of the other server: {}", other.body);
    server.execute("UPDATE grants SET revoked_at = 1").await;
    let second = grant_of().await;
    assert_ne!(second, first, "an ended grant does not come back");
    assert_eq!(server.rows("grants").await, 2);
}

/// Whoever is shut out, or whom an entry rule keeps out, comes in by no assertion either.
#[rstest]
#[tokio::test]
async fn the_door_is_that_of_sign_in(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    assert_eq!(agent.trade(&agent.claims()).await.status, 200);
    agent.server.execute("UPDATE users SET disabled_at = 1").await;
    let assertion = agent.sign(&agent.claims());
    let refused = agent.present(&assertion, &[]).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_grant"));
    assert_eq!(agent.server.reasons("token.refused").await, ["user_disabled"]);
    agent.server.execute("UPDATE users SET disabled_at = NULL").await;
    assert_eq!(agent.present(&assertion, &[]).await.status, 200, "the refusal did not use it up");
}

#[rstest]
#[tokio::test]
async fn an_entry_rule_keeps_strangers_out(#[values(On::Sqlite, On::Postgres)] on: On) {
    let upstream = Upstream::start().await;
    let sections = sections(&upstream, "")
        .replace("sign_in: { anyone: true }", "sign_in: { email_domains: [acme.example] }");
    let Some(server) = Server::start_with(on, &sections).await else { return };
    let agent = Agent { server, upstream };
    for (claim, value) in
        [("email", json!("eve@evil.example")), ("email", json!(null)), ("email_verified", json!(false))]
    {
        let refused = agent.trade(&agent.claims_with(claim, value)).await;
        assert_eq!((refused.status, refused.error()), (400, "invalid_grant"), "{claim}");
    }
    assert_eq!(agent.server.rows("users").await, 0);
    assert_eq!(agent.server.reasons("token.refused").await, ["entry_email_domain"; 3]);
    assert_eq!(agent.trade(&agent.claims()).await.status, 200);
}

#[tokio::test]
async fn clients_are_told_where_assertions_count() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let told = agent.server.json("/.well-known/oauth-authorization-server").await;
    let holds = |member: &str, name: &str| told[member].as_array().unwrap().contains(&json!(name));
    assert!(holds("grant_types_supported", "urn:ietf:params:oauth:grant-type:jwt-bearer"));
    assert!(holds("authorization_grant_profiles_supported", "urn:ietf:params:oauth:grant-profile:id-jag"));
    assert!(!told.to_string().contains(&agent.upstream.issuer()), "whom we trust is nobody's business");
    let none = Server::start(On::Sqlite).await.unwrap();
    let told = none.json("/.well-known/oauth-authorization-server").await;
    assert!(!told.to_string().contains("jwt-bearer") && !told.to_string().contains("id-jag"));
}
