//! One Chancery issues, another accepts: two companies, each with a server of its own, know no more of each other than
//! their operators wrote down (draft-ietf-oauth-identity-assertion-authz-grant §4).

use chancery::oauth::purpose::Role;
use rstest::rstest;
use serde_json::json;
use tokio::net::TcpListener;

use super::{SECRET, ask, desk};
use crate::support::{
    Browser, DpopKey, On, PLAIN, Server, Setup, Tokens,
    agent::JWT_BEARER,
    client::{post, sign_in},
};

const PAGES: &str = "https://mcp.other.example/pages";

/// The company whose people sign in, and the one that takes its word for them.
struct Two {
    ours: Server,
    theirs: Server,
}

impl Two {
    async fn start(on: On) -> Option<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = format!("http://{}", listener.local_addr().unwrap());
        let ours = Setup::on(on).sections(&issuing(&there)).start().await?;
        let theirs = Setup::on(on).sections(&accepting(&ours.issuer)).at(listener).start().await?;
        assert_eq!(theirs.issuer, there);
        Some(Self { ours, theirs })
    }

    /// What the first says of a person to the second, for `desk`.
    async fn word(&self, id_token: &str) -> Tokens {
        let (audience, resource) = (self.theirs.issuer.as_str(), PAGES);
        let wanted = [("audience", audience), ("resource", resource), ("scope", "pages:read pages:write")];
        ask(&self.ours, id_token, &wanted).await
    }

    /// Presents it at one of them.
    async fn present(at: &Server, client: &str, word: &str) -> Tokens {
        post(at, &presented(client, word)).await
    }
}

fn presented(client: &str, word: &str) -> [(&'static str, String); 4] {
    [("grant_type", JWT_BEARER), ("client_id", client), ("client_secret", SECRET), ("assertion", word)]
        .map(|(name, value)| (name, value.to_owned()))
}

/// The usual server, which takes assertions of its provider too, with the other company as target and as client.
fn issuing(there: &str) -> String {
    let taking = "sign_in: { anyone: true }
    id_jag: { allow: { tickets: { clients: [backend], scopes: [\"tickets:read\"] } } }";
    let sections = PLAIN.replace("sign_in: { anyone: true }", taking).replace(
        "redirect_uris: [\"https://back.acme.example/callback\"]",
        &format!("grant_types: [\"{JWT_BEARER}\"]"),
    );
    format!(
        r#"{sections}
idp:
  clients:
    desk: {{ name: Desk agent, redirect_uris: ["http://127.0.0.1/callback"] }}
    other: {{ name: The other company, secret: {SECRET}, redirect_uris: ["{there}/login/partner/callback"] }}
  targets:
    other:
      audience: "{there}"
      client_ids: {{ desk: acme-desk }}
      token_claims: [email]
      resources: {{ pages: {{ uri: {PAGES}, scopes: {{ "pages:read": {{}}, "pages:write": {{}} }} }} }}
"#
    )
}

/// The server of the other company, whose only provider is the first company's Chancery.
fn accepting(here: &str) -> String {
    format!(
        r#"
providers:
  partner:
    preset: oidc
    name: Acme
    issuer: "{here}/idp"
    client_id: other
    client_secret: {SECRET}
    organization: acme
    sign_in: {{ email_domains: [example.test] }}
    id_jag: {{ allow: {{ pages: {{ clients: [acme-desk], scopes: ["pages:read"] }} }} }}
resources:
  pages:
    uri: {PAGES}
    name: Pages
    scopes: {{ "pages:read": {{ description: Read, default: true }}, "pages:write": {{ description: Write }} }}
    allow: {{ organizations: [acme] }}
clients:
  acme-desk: {{ secret: {SECRET}, grant_types: ["{JWT_BEARER}"] }}
  another: {{ secret: {SECRET}, grant_types: ["{JWT_BEARER}"] }}
"#
    )
}

#[rstest]
#[tokio::test]
async fn what_one_issues_the_other_accepts(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(two) = Two::start(on).await else { return };
    let signed_in = desk().obtain(&two.ours, &Browser::new(), "ada").await;
    let word = two.word(signed_in.id_token()).await;
    assert_eq!(word.body["scope"], "pages:read pages:write", "{}", word.body);

    let own = Two::present(&two.ours, "backend", word.access()).await;
    assert_eq!((own.status, own.error()), (400, "invalid_grant"), "nobody takes his own word");
    assert_eq!(two.ours.reasons("token.refused").await, ["assertion_issuer"]);
    let stolen = Two::present(&two.theirs, "another", word.access()).await;
    assert_eq!((stolen.status, stolen.error()), (400, "invalid_grant"));
    assert_eq!(two.theirs.reasons("token.refused").await, ["assertion_client"]);

    let tokens = Two::present(&two.theirs, "acme-desk", word.access()).await;
    assert_eq!((tokens.status, &tokens.body["scope"]), (200, &json!("pages:read")), "{}", tokens.body);
    assert_eq!(tokens.body.get("refresh_token"), None);
    two.theirs.app.keys.verify_own(tokens.access()).expect("a token of the second");
    let claims = tokens.claims();
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(two.theirs.issuer), &json!(PAGES)));
    assert_eq!((&claims["client_id"], &claims["org_id"]), (&json!("acme-desk"), &json!("acme")));
    assert_eq!(claims["auth_time"], word.claims()["auth_time"], "when she signed in with the first");
    assert_ne!(claims["sub"], word.claims()["sub"], "the second's own name for her");

    let replayed = Two::present(&two.theirs, "acme-desk", word.access()).await;
    assert_eq!((replayed.status, replayed.error()), (400, "invalid_grant"));
    let issued = two.ours.details("id_jag.issued").await.remove(0);
    let accepted = two.theirs.details("token.issued").await.remove(0);
    assert_eq!(issued["jti"], accepted["assertion"], "both records name the same grant");
}

/// Signing in at the second through the first, and being spoken for by it, is the same person.
#[rstest]
#[tokio::test]
async fn the_agents_person_is_the_one_who_signs_in(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(two) = Two::start(on).await else { return };
    let browser = Browser::new();
    let signed_in = desk().obtain(&two.ours, &browser, "ada").await;
    let word = two.word(signed_in.id_token()).await;
    let tokens = Two::present(&two.theirs, "acme-desk", word.access()).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);

    let page = browser.open(&two.theirs.url("/account")).await;
    let page = sign_in(&two.ours, &browser, page, "ada", "nowhere:").await;
    assert!(page.url.as_str().starts_with(&two.ours.issuer), "asked by the first: {}", page.url);
    let allowed = page.form(&two.ours.path("/interaction/")).set("decision", "allow");
    let page = browser.submit(&allowed).await;
    assert_eq!(page.url.as_str(), two.theirs.url("/account"), "{}", page.text());
    assert!(page.text().contains("ada@example.test"), "{}", page.text());
    assert_eq!(two.theirs.rows("users").await, 1);
}

/// What ends at the first ends at the second with the next token.
#[rstest]
#[case::the_person("UPDATE users SET disabled_at = 1")]
#[case::her_permission("UPDATE grants SET revoked_at = 1")]
#[tokio::test]
async fn an_end_at_the_first_is_an_end_at_the_second(#[case] end: &str) {
    let two = Two::start(On::Sqlite).await.unwrap();
    let signed_in = desk().obtain(&two.ours, &Browser::new(), "ada").await;
    assert_eq!(two.word(signed_in.id_token()).await.status, 200);
    two.ours.execute(end).await;
    let refused = two.word(signed_in.id_token()).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_grant"));
}

/// ID-JAG §9.8.1: the key that is proved to the first must be proved to the second.
#[rstest]
#[tokio::test]
async fn a_key_is_bound_from_one_to_the_other(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(two) = Two::start(on).await else { return };
    let signed_in = desk().obtain(&two.ours, &Browser::new(), "ada").await;
    let key = DpopKey::new();
    let form = super::parameters(
        signed_in.id_token(),
        &[("audience", two.theirs.issuer.as_str()), ("resource", PAGES), ("scope", "pages:read")],
    );
    let word = key.post(&two.ours, Role::IdentityProvider, &form).await;
    assert_eq!(word.claims()["cnf"], json!({ "jkt": key.thumbprint() }), "{}", word.body);
    let form = presented("acme-desk", word.access());
    assert_eq!(post(&two.theirs, &form).await.error(), "invalid_grant", "without a proof");
    let thief = DpopKey::new();
    for (proving, status, token_type) in [(&thief, 400, json!(null)), (&key, 200, json!("DPoP"))] {
        let tokens = proving.post(&two.theirs, Role::AuthorizationServer, &form).await;
        assert_eq!((tokens.status, &tokens.body["token_type"]), (status, &token_type), "{}", tokens.body);
    }
}
