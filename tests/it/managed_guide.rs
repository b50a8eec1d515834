//! The guide docs/enterprise-managed-authorization.md, word for word: its configurations, with a provider of the tests'
//! own in the place of the vendor's, and its request.

use chancery::oauth::purpose::Role;
use reqwest::{Method, header};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{
    Agent, Browser, Client, On, Server, Setup, Tokens, Upstream,
    agent::{JWT_BEARER, SECRET},
    client::{claims_of, post_to},
};
const GUIDE: &str = include_str!("../../docs/enterprise-managed-authorization.md");

/// The blocks of this kind in a chapter, in order.
fn blocks(chapter: &str, kind: &str) -> Vec<&'static str> {
    let chapter = GUIDE.split(&format!("\n{chapter}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let begin = format!("```{kind}\n");
    chapter.split(begin.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

const TAKING: &str = "## Take assertions of your provider";

/// The sections of a configuration of the guide that a story does not bring itself, with these texts replaced.
fn sections(block: &str, replaced: &[(&str, &str)]) -> String {
    let ours = |line: &&str| ["server:", "database:", "encryption:"].iter().any(|key| line.starts_with(key));
    let kept = block.lines().filter(|line| !ours(line));
    let text = kept.fold(String::new(), |text, line| text + line + "\n");
    let secrets =
        [("${OKTA_CLIENT_SECRET}", "a-secret"), ("${AGENT_SECRET}", SECRET), ("${DESK_SECRET}", SECRET)];
    let text = secrets.iter().fold(text, |text, (old, new)| text.replace(old, new));
    replaced.iter().fold(text, |text, (old, new)| {
        assert!(text.contains(old), "{old} is not in {text}");
        text.replace(old, new)
    })
}

/// A section of a configuration of the guide.
fn section(block: &str, name: &str) -> String {
    let from = block.find(&format!("{name}:\n")).unwrap();
    let inside = block[from..].lines().skip(1).take_while(|line| line.starts_with(' '));
    inside.fold(format!("{name}:\n"), |text, line| text + line + "\n")
}

/// What stands for Okta in a configuration, and what stands in its place here.
const OKTA: &str = "preset: okta\n    domain: acme.okta.com\n";

fn instead(of: &Upstream) -> String {
    format!("preset: oidc\n    issuer: \"{}\"\n", of.issuer())
}

async fn start(sections: &str) -> Server {
    Setup::on(On::Sqlite).sections(sections).start().await.unwrap()
}

/// An assertion as the guide's table has the provider make it.
fn claims(agent: &Agent, client: &str) -> Value {
    let mut claims = agent.claims_with("resource", json!("https://mcp.acme.com/tickets"));
    (claims["client_id"], claims["email"]) = (json!(client), json!("ada@acme.com"));
    claims
}

#[tokio::test]
async fn assertions_are_taken_with_what_it_says_to_write() {
    let upstream = Upstream::start().await;
    let server = start(&sections(blocks(TAKING, "yaml")[0], &[(OKTA, &instead(&upstream))])).await;
    let agent = Agent { server, upstream };
    let tokens =
        agent.present(&agent.sign(&claims(&agent, "code-agent")), &[("client_id", "code-agent")]).await;
    assert_eq!((tokens.status, &tokens.body["scope"]), (200, &json!("tickets:read")), "{}", tokens.body);
}

/// A client that is public, known by its document, and silent about the resource.
#[tokio::test]
async fn so_they_are_of_a_client_that_keeps_no_secret() {
    let [plain, public] = [0, 1].map(|number| blocks(TAKING, "yaml")[number]);
    let host = MockServer::start().await;
    let id: &'static str = format!("{}/oauth/mcp-oauth-client-metadata", host.uri()).leak();
    let document = json!({
        "client_id": id, "client_name": "Claude", "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"],
        "grant_types": ["authorization_code", "refresh_token", JWT_BEARER], "token_endpoint_auth_method": "none",
    });
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(document)).mount(&host).await;
    let upstream = Upstream::start().await;
    let written = [public, &section(plain, "resources")].concat();
    let replaced = [(OKTA, &*instead(&upstream)), ("https://claude.ai/oauth/mcp-oauth-client-metadata", id)];
    let agent = Agent { server: start(&sections(&written, &replaced)).await, upstream };
    let mut claims = claims(&agent, id);
    claims.as_object_mut().unwrap().remove("resource");
    let tokens = agent.present(&agent.sign(&claims), &[("client_id", id), ("client_secret", "")]).await;
    assert_eq!((tokens.status, &tokens.body["scope"]), (200, &json!("tickets:read")), "{}", tokens.body);
}

/// Where people sign in by a custom authorization server and the organization's own signs the assertions.
#[tokio::test]
async fn a_person_of_oktas_two_servers_is_one() {
    let [plain, custom] = [blocks(TAKING, "yaml")[0], blocks("### Okta", "yaml")[0]];
    let (people, organization) = (Upstream::start().await, Upstream::start().await);
    let written = [custom, &section(plain, "resources")].concat();
    let replaced = [
        (&*format!("{OKTA}    authorization_server: default\n"), &*instead(&people)),
        ("issuer: https://acme.okta.com\n", &*format!("issuer: \"{}\"\n", organization.issuer())),
        ("client_id: 0oa1b2c3d4", "client_id: us"),
    ];
    let server = start(&sections(&written, &replaced)).await;
    let hers = |claims: &mut Value| {
        claims["sub"] = json!("00u1ada");
        claims["email"] = json!("ada@acme.com");
    };
    let page = people.sign_in(&server, &Browser::new(), hers).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let agent = Agent { server, upstream: organization };
    let mut claims = claims(&agent, "code-agent");
    hers(&mut claims);
    let tokens = agent.present(&agent.sign(&claims), &[("client_id", "code-agent")]).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(agent.server.rows("users").await, 1);
}

/// Chancery as the one that issues, up to the request that the guide shows.
#[tokio::test]
async fn grants_are_issued_with_what_it_says_to_write_and_to_send() {
    let upstream = Upstream::start().await;
    let plain = section(blocks(TAKING, "yaml")[0], "resources");
    let issuing = blocks("### What to write", "yaml")[0];
    let provider =
        upstream.entry("acme", "client_auth: none, claims: { groups: groups }, sign_in: { anyone: true }");
    let server = start(&sections(&format!("providers:\n{provider}{plain}{issuing}"), &[])).await;
    let client = Client {
        role: Role::IdentityProvider,
        id: "desk-app".into(),
        redirect_uri: "https://desk.acme.com/callback".into(),
        resource: None,
        ..Client::desk().scope("openid")
    };
    let browser = Browser::new();
    upstream.sign_in(&server, &browser, |claims| claims["groups"] = json!(["mcp-users"])).await;
    let page = browser.open_until(&client.authorize_url(&server), &client.redirect_uri).await;
    let form = page.form("/interaction/").set("decision", "allow");
    let back = browser.submit_until(&form, &client.redirect_uri).await;
    let code = client.code(&server, &back);
    let mut exchange = client.exchange_parameters(&code);
    exchange.push(("client_secret", SECRET.to_owned()));
    let signed_in = post_to(&server, client.role, &exchange).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.body);

    let (head, body) = blocks("### What a client sends", "http")[0].split_once("\n\n").unwrap();
    assert!(head.starts_with("POST /idp/token HTTP/1.1\n"), "{head}");
    let body = body.replace('\n', "").replacen('…', signed_in.id_token(), 1).replacen('…', SECRET, 1);
    let request = server.request(Method::POST, "/idp/token").body(body);
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let granted = Tokens::of(request.send().await.unwrap()).await;
    assert_eq!((granted.status, &granted.body["token_type"]), (200, &json!("N_A")), "{}", granted.body);
    let claims = claims_of(granted.access());
    for (name, value) in [
        ("iss", json!(format!("{}/idp", server.issuer))),
        ("aud", json!("https://auth.wiki.example")),
        ("client_id", json!("acme-desk")),
        ("resource", json!("https://mcp.wiki.example/pages")),
        ("scope", json!("pages:read")),
    ] {
        assert_eq!(claims[name], value, "{name}: {claims}");
    }
    let metadata = server.json("/idp/.well-known/openid-configuration").await;
    assert_eq!(metadata["jwks_uri"], server.url("/idp/jwks.json"));
}
