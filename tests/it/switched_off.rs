//! Clients and providers that an operator switches off beside a running server: refused at once, and as they were once
//! they are on again.

use std::time::Duration;

use chancery::store::sweep::sweep;
use reqwest::Method;
use rstest::rstest;
use serde_json::json;

use crate::support::{
    Agent, Browser, Client, On, PLAIN, Server, Tokens, Upstream,
    agent::{JWT_BEARER, sections},
    client::{account, trade},
};

/// The declared web client, whose consent is remembered.
fn web() -> Client {
    Client { redirect_uri: "https://desk.acme.example/callback".into(), ..Client::desk() }
}

async fn is_refused(server: &Server, tokens: &Tokens, (code, reason): (&str, &str)) {
    assert_eq!((tokens.status, tokens.error()), (400, code), "{}", tokens.body);
    assert_eq!(server.on_record("token.refused", "reason").await.last().map(String::as_str), Some(reason));
    // The next line of the record is later.
    server.later(Duration::from_millis(1));
}

/// The usual configuration with a second provider, whose people have addresses of their own.
fn with_another(upstream: &Upstream) -> String {
    let keys = "client_auth: none, sign_in: { email_domains: [other.example] }";
    PLAIN.replace("providers:\n", &format!("providers:\n{}", upstream.entry("other", keys)))
}

#[rstest]
#[tokio::test]
async fn a_client_that_is_off_gets_nothing_and_loses_nothing(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser) = (web(), Browser::new());
    let mut tokens = client.obtain(&server, &browser, "ada").await;
    let asking = client.clone().with("prompt", "consent");
    let under_way = asking.begin(&server, &browser, "ada").await;
    let back = client.begin(&server, &browser, "ada").await;
    let code = client.code(&server, &back);

    let off = server.operator(&["client", "disable", "desk"]);
    assert_eq!((&off["enabled"], &off["changed"]), (&json!(false), &json!(true)));
    let reference = server.on_record("client.disabled", "reference").await;
    assert_eq!(reference, [off["reference"].as_str().unwrap()]);
    assert_eq!(server.on_record("client.disabled", "client_id").await, ["desk"]);
    let again = server.operator(&["client", "disable", "desk"]);
    assert_eq!((&again["changed"], &again["disabled_since"]), (&json!(false), &off["disabled_since"]));
    assert_eq!(server.recorded("client.disabled").await, 1);

    let refused = ("unauthorized_client", "client_disabled");
    is_refused(&server, &client.refresh(&server, tokens.refresh()).await, refused).await;
    is_refused(&server, &client.exchange(&server, &code).await, refused).await;
    let page = browser.open_until(&client.authorize_url(&server), &client.redirect_uri).await;
    assert_eq!(page.status, 403);
    assert!(page.text().contains("do not let Desk agent in"), "{}", page.text());
    let allow = under_way.form("/interaction/").set("decision", "allow");
    let page = browser.submit_until(&allow, &client.redirect_uri).await;
    assert!(page.text().contains("This application has been switched off"), "{}", page.text());
    assert_eq!(server.reasons("authorization.refused").await, ["client_disabled", "client_disabled"]);
    let listed = account(&server, &browser, "ada").await;
    assert!(listed.text().contains("Desk agent"), "she can still end its access: {}", listed.text());

    server.operator(&["client", "enable", "desk"]);
    assert_eq!(server.recorded("client.enabled").await, 1);
    tokens = client.refresh(&server, tokens.refresh()).await;
    assert_eq!(tokens.status, 200, "its grant was never ended: {}", tokens.body);
    assert_eq!(client.exchange(&server, &code).await.status, 200, "nor was the code used up");
}

/// Of a token that was issued before, other servers get nothing either.
#[rstest]
#[tokio::test]
async fn a_token_of_a_client_that_is_off_is_exchanged_by_nobody(#[values(On::Sqlite, On::Postgres)] on: On) {
    let server = "clients:\n  desk-server:\n    secret: 0123456789-server-secret\n    serves: tickets\n    \
                  exchange: { wiki: { \"tickets:read\": [\"wiki:read\"] } }\n";
    let Some(server) = Server::start_with(on, &PLAIN.replace("clients:\n", server)).await else { return };
    let sent = web().obtain(&server, &Browser::new(), "ada").await;
    let exchange = async || {
        trade(
            &server,
            ("desk-server", "0123456789-server-secret"),
            sent.access(),
            ("resource", "https://mcp.acme.example/wiki"),
        )
        .await
    };
    assert_eq!(exchange().await.status, 200);
    server.operator(&["client", "disable", "desk"]);
    is_refused(&server, &exchange().await, ("invalid_request", "client_disabled")).await;
    server.operator(&["client", "enable", "desk"]);
    assert_eq!(exchange().await.status, 200);
}

/// It would only come back under another id.
#[rstest]
#[tokio::test]
async fn a_registration_that_is_off_is_kept(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let mut ids = Vec::new();
    for name in ["Good agent", "Bad agent"] {
        let body = json!({ "client_name": name, "redirect_uris": ["http://127.0.0.1/callback"] });
        let answer = server.request(Method::POST, "/oauth/register").json(&body).send().await.unwrap();
        ids.push(Tokens::of(answer).await.body["client_id"].as_str().unwrap().to_owned());
    }
    server.operator(&["client", "disable", &ids[1]]);
    server.later(Duration::from_secs(40 * 86_400));
    sweep(&server.app.db, server.clock.now()).await.unwrap();
    assert_eq!(server.rows("clients").await, 1);
    let (bad, browser) = (Client::known_as(&ids[1], "http://127.0.0.1/callback"), Browser::new());
    let page = browser.open(&bad.authorize_url(&server)).await;
    assert!(page.text().contains("do not let Bad agent in"));
}

#[rstest]
#[tokio::test]
async fn a_provider_that_is_off_lets_nobody_in(#[values(On::Sqlite, On::Postgres)] on: On) {
    let other = Upstream::start().await;
    let Some(server) = Server::start_with(on, &with_another(&other)).await else { return };
    let (client, browser) = (web(), Browser::new());
    let choose = async || Browser::new().open(&server.url("/login")).await;
    assert!(choose().await.text().contains("other sign-in"));
    let begin = async |browser: &Browser| {
        let page = browser.open_until(&server.url("/login/test"), "nowhere:").await;
        page.form("/").set("user", "test-user-ada")
    };
    browser.submit(&begin(&browser).await).await;
    let page = client.begin(&server, &browser, "ada").await;
    let allow = page.form("/interaction/").set("decision", "allow");
    let back = browser.submit_until(&allow, &client.redirect_uri).await;
    let mut tokens = client.exchange(&server, &client.code(&server, &back)).await;
    let late = Browser::new();
    let at_provider = begin(&late).await;

    server.operator(&["provider", "disable", "test"]);
    assert_eq!(server.on_record("provider.disabled", "provider").await, ["test"]);
    let refused = client.refresh(&server, tokens.refresh()).await;
    is_refused(&server, &refused, ("invalid_grant", "provider_disabled")).await;
    let page = browser.open_until(&server.url("/account"), &other.issuer()).await;
    assert!(
        page.url.as_str().starts_with(&other.issuer()),
        "signed out, and one way in is left: {}",
        page.url
    );
    let page = browser.open(&server.url("/login/test")).await;
    assert_eq!(page.status, 403);
    assert!(page.text().contains("Signing in with Acme has been switched off"), "{}", page.text());
    let page = late.submit(&at_provider).await;
    assert_eq!(page.status, 403, "{}", page.text());
    assert!(page.text().contains("Signing in with Acme has been switched off"), "{}", page.text());
    assert_eq!(server.reasons("sign_in.refused").await, ["provider_disabled", "provider_disabled"]);
    assert_eq!(server.rows("sessions").await, 1, "the first one's, and no other");

    server.operator(&["provider", "disable", "other"]);
    let page = choose().await;
    assert!(page.text().contains("Signing in has been switched off"), "{}", page.text());

    server.operator(&["provider", "enable", "test"]);
    tokens = client.refresh(&server, tokens.refresh()).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert!(account(&server, &browser, "ada").await.text().contains("Ada Lovelace"));
}

/// With an address whose people are at home there, one is told so; if another provider claims it too, that one is next.
#[tokio::test]
async fn people_of_a_provider_that_is_off_are_told_so() {
    let (other, third) = (Upstream::start().await, Upstream::start().await);
    let keys = "client_auth: none, sign_in: { email_domains: [other.example] }";
    let sections =
        with_another(&other).replace("resources:\n", &format!("{}resources:\n", third.entry("third", keys)));
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let browser = Browser::new();
    let page = browser.open(&server.url("/login")).await;
    let form = page.form("/login").set("email", "eve@other.example");
    let typed = async || browser.submit(&form).await.text();
    assert!(typed().await.contains("On to other sign-in"));
    server.operator(&["provider", "disable", "other"]);
    assert!(typed().await.contains("On to third sign-in"));
    server.operator(&["provider", "disable", "third"]);
    assert!(typed().await.contains("On to other sign-in"), "where the page says that it is off");
}

/// The refusal costs no assertion: it counts once the provider, or the client, is on again.
#[rstest]
#[tokio::test]
async fn no_assertion_helps_past_a_switch(#[values(On::Sqlite, On::Postgres)] on: On) {
    let upstream = Upstream::start().await;
    let workload = "workload: { subjects: { job: job } },\n    id_jag:";
    let clients = format!(
        "clients:\n  job: {{ grant_types: [\"{JWT_BEARER}\"], default_resource: tickets, resources: {{ tickets: [\"tickets:read\"] }} }}\n"
    );
    let sections = sections(&upstream, "")
        .replace("id_jag:", workload)
        .replace("clients:\n  agent", &format!("{clients}  agent"));
    let Some(server) = Server::start_with(on, &sections).await else { return };
    let agent = Agent { server, upstream };
    let server = &agent.server;
    let now = server.clock.now().as_secs();
    let own = json!({
        "iss": agent.upstream.issuer(), "sub": "job", "aud": server.issuer, "jti": "once", "iat": now, "exp": now + 600,
    });
    let assertion = agent.sign(&agent.claims());
    let own = agent.upstream.signer.sign("JWT", &own).unwrap();
    let as_job = [("client_id", "job"), ("client_secret", "")];

    server.operator(&["provider", "disable", "acme"]);
    let refused = ("invalid_grant", "provider_disabled");
    is_refused(server, &agent.present(&assertion, &[]).await, refused).await;
    is_refused(server, &agent.present(&own, &as_job).await, refused).await;
    assert_eq!(server.on_record("token.refused", "provider").await, ["acme", "acme"]);
    server.operator(&["provider", "enable", "acme"]);

    server.operator(&["client", "disable", "agent"]);
    server.operator(&["client", "disable", "job"]);
    let refused = ("unauthorized_client", "client_disabled");
    is_refused(server, &agent.present(&assertion, &[]).await, refused).await;
    is_refused(server, &agent.present(&own, &as_job).await, refused).await;
    let wrong = agent.present(&assertion, &[("client_secret", "wrong")]).await;
    assert_eq!(wrong.error(), "invalid_client", "who does not prove itself does not learn it");
    server.operator(&["client", "enable", "agent"]);
    server.operator(&["client", "enable", "job"]);

    assert_eq!(agent.present(&assertion, &[]).await.status, 200);
    assert_eq!(agent.present(&own, &as_job).await.status, 200);
}

/// A misspelt name switches nothing off, and says what there is.
#[tokio::test]
async fn an_unknown_name_is_refused() {
    let server = Server::start(On::Sqlite).await.unwrap();
    for (arguments, words) in [
        (["provider", "disable", "tset"], "provider tset is not in the configuration; there is test"),
        (["provider", "enable", "tset"], "provider tset is not in the configuration; there is test"),
        (["provider", "disable", "Test!"], "a name here is 1 to 64 characters"),
        (
            ["client", "disable", "dask"],
            "client dask is neither declared nor registered; declared are desk, backend",
        ),
    ] {
        let told = server.admin(&arguments);
        assert_eq!((told.code, told.out.as_str()), (1, ""), "{arguments:?}");
        assert!(told.err.contains(words), "{arguments:?}: {}", told.err);
    }
    assert_eq!(server.rows("switched_off").await, 0);
    let document = server.admin(&["client", "disable", "https://agent.example/client.json"]);
    assert!(
        document.out.starts_with("client https://agent.example/client.json is switched off"),
        "{}",
        document.out
    );
    let on = server.admin(&["client", "enable", "https://agent.example/client.json"]);
    assert!(
        on.out.starts_with("client https://agent.example/client.json is switched on\nnumber    "),
        "{}",
        on.out
    );
}
