//! What was given stands only as long as today's entry rules would give it again: an operator who tightens a rule ends
//! it at the next token.

use chancery::config::{
    Config,
    claims::ClaimPath,
    provider::{EntryRules, Requirements},
};
use reqwest::Method;
use rstest::rstest;
use serde_json::json;

use crate::support::{Browser, Client, On, Server, Setup};

/// A rule on a claim that no fact of an identity's own is made of.
const RULES: &str = "sign_in: { require: { claims: { name: [Ada Lovelace, Grace Hopper] } } }";

async fn start(on: On) -> Option<Server> {
    Setup::on(on).replacing("sign_in: { anyone: true }", RULES).start().await
}

fn requiring(config: &Config, rules: Requirements) -> Config {
    let mut config = config.clone();
    config.providers[0].sign_in = EntryRules::Require(rules);
    config
}

fn claim(name: &str, value: &str) -> Requirements {
    let path = ClaimPath::try_from(name.to_owned()).unwrap();
    Requirements { claims: [(path, vec![json!(value)])].into_iter().collect(), ..Requirements::default() }
}

fn texts(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

#[rstest]
#[case::the_same_rule_narrower(claim("name", "Ada Lovelace"), None)]
#[case::another_value(claim("name", "Grace Hopper"), Some("sign_in.require.claims.name"))]
#[case::a_claim_that_no_rule_read(claim("email", "ada@example.test"), Some("sign_in.require.claims.email"))]
#[case::hosted_domain(
    Requirements { hosted_domains: texts("example.test"), ..Requirements::default() },
    Some("sign_in.require.hosted_domains")
)]
#[case::group_that_she_is_in(Requirements { groups: texts("staff"), ..Requirements::default() }, None)]
#[case::group_that_she_is_not_in(
    Requirements { groups: texts("admins"), ..Requirements::default() },
    Some("sign_in.require.groups")
)]
#[case::domain(
    Requirements { email_domains: texts("acme.example"), ..Requirements::default() },
    Some("sign_in.email_domains")
)]
#[case::tenant(
    Requirements { tenants: texts("t1"), ..Requirements::default() },
    Some("sign_in.require.tenants")
)]
#[tokio::test]
async fn a_tightened_rule_is_asked_at_the_next_refresh(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] rules: Requirements,
    #[case] refusing: Option<&str>,
) {
    let Some(server) = start(on).await else { return };
    let client = Client::desk();
    let tokens = client.obtain(&server, &Browser::new(), "ada").await;
    let stricter = server.twin_with(requiring(&server.app.config, rules)).await;
    let answer = client.refresh(&stricter, tokens.refresh()).await;
    let Some(rule) = refusing else {
        assert_eq!(answer.status, 200, "{}", answer.body);
        return;
    };
    assert_eq!(answer.error(), "invalid_grant", "{}", answer.body);
    assert!(!answer.body.to_string().contains("sign_in"), "the rule is nobody's business outside");
    let refused = stricter.last("token.refused").await;
    assert_eq!(refused.detail("rules"), format!("providers.test.{rule} (entry)"));
    assert_eq!(refused.detail("grant_type"), "refresh_token");
    assert_eq!(
        (refused.provider.as_deref(), refused.client_id.as_deref(), refused.scope.as_deref()),
        (Some("test"), Some("desk"), Some("tickets:read"))
    );
    assert_eq!(refused.resource.as_deref(), Some("https://mcp.acme.example/tickets"));
    assert_eq!(refused.user_id.as_deref(), tokens.claims()["sub"].as_str());
    let again = client.refresh(&server, tokens.refresh()).await;
    assert_eq!(again.status, 200, "a refusal uses nothing up: {}", again.body);
}

/// A code is no older than a minute, but a rule can be younger.
#[tokio::test]
async fn and_when_a_code_is_redeemed() {
    let server = start(On::Sqlite).await.unwrap();
    let client = Client::desk();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let stricter = server.twin_with(requiring(&server.app.config, claim("name", "Grace Hopper"))).await;
    assert_eq!(client.exchange(&stricter, &code).await.error(), "invalid_grant");
    assert_eq!(client.exchange(&server, &code).await.status, 200);
}

#[tokio::test]
async fn and_before_anything_else_is_allowed_in_a_session_from_before() {
    let server = start(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let client = Client::desk();
    client.obtain(&server, &browser, "ada").await;
    let stricter = server.twin_with(requiring(&server.app.config, claim("name", "Grace Hopper"))).await;
    let began = browser.open_until(&client.authorize_url(&server), &client.redirect_uri).await;
    assert_eq!(began.status, 200, "{}", began.text());
    let address = began.url.as_str().replace(&server.base, &stricter.base);
    let page = server.request_as(&browser, Method::GET, &address).send().await.unwrap();
    assert_eq!(page.status(), 403);
    let text = page.text().await.unwrap();
    assert!(text.contains("your account is no longer let in here"), "{text}");
    assert_eq!(stricter.reasons("authorization.refused").await, ["policy"]);
}
