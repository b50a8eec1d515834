//! What strangers, and people at another's keyboard, try: to get round a fresh sign-in, to fill the record, to take
//! the server's time, to keep what was taken from them.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Method, header};
use rstest::rstest;
use serde_json::{Value, json};
use url::Url;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{Browser, Client, On, PLAIN, Server, Setup, Upstream, client::sign_in};

/// A client that insists on a fresh sign-in gets one that was made for it, not one that was made beside it.
#[rstest]
#[case::prompt("prompt", "login")]
#[case::max_age("max_age", "60")]
#[tokio::test]
async fn a_sign_in_for_something_else_is_not_the_one_that_was_asked_for(
    #[case] name: &str,
    #[case] value: &str,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let upstream = Upstream::start().await;
    let providers =
        upstream.entry("acme", "client_auth: none, organization: acme, sign_in: { anyone: true }");
    let resources = &PLAIN[PLAIN.find("resources:").unwrap()..];
    let Some(server) = Server::start_with(on, &format!("providers:\n{providers}{resources}")).await else {
        return;
    };
    let browser = Browser::new();
    let long_ago =
        |claims: &mut Value| claims["auth_time"] = json!(claims["iat"].as_i64().unwrap() - 9 * 3600);
    upstream.sign_in(&server, &browser, long_ago).await;
    let client = Client::desk().with(name, value);
    let url = Url::parse(&client.authorize_url(&server)).unwrap();
    let interaction = browser.send(Method::GET, &url, None).await.location().unwrap();
    upstream.sign_in(&server, &browser, long_ago).await;
    let page = browser.open_until(interaction.as_str(), &upstream.issuer()).await;
    assert!(page.url.as_str().starts_with(&upstream.issuer()), "not asked again: {}", page.text());
}

/// PostgreSQL holds no NUL in text or JSON: what carries one is answered all the same.
#[rstest]
#[tokio::test]
async fn a_nul_in_what_a_provider_says_is_no_outage(#[values(On::Sqlite, On::Postgres)] on: On) {
    let upstream = Upstream::start().await;
    let entry = "client_auth: none, claims: { groups: groups }, sign_in: { anyone: true }";
    let resources = &PLAIN[PLAIN.find("resources:").unwrap()..].replace("[acme]", "[]");
    let sections = format!("providers:\n{}{resources}", upstream.entry("acme", entry));
    let Some(server) =
        Server::start_with(on, &sections.replace("    allow: { organizations: [] }\n", "")).await
    else {
        return;
    };
    let page = upstream
        .sign_in(&server, &Browser::new(), |claims| {
            (claims["name"], claims["groups"]) = (json!("A\u{0}da"), json!(["staff", "a\u{0}b"]));
        })
        .await;
    assert_eq!((page.status, page.url.path()), (200, "/account"), "{}", page.text());
}

/// A secret that HTTP Basic can be read in two ways is right in one of them: the other is no failed guess.
#[tokio::test]
async fn a_right_secret_is_never_counted_as_a_guess() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let credentials = STANDARD.encode("backend:correct-horse-battery-staple-+%-0123456789");
    for _ in 0..30 {
        let answer = server
            .request(Method::POST, "/oauth/token")
            .header(header::AUTHORIZATION, format!("Basic {credentials}"))
            .form(&[("grant_type", "authorization_code"), ("code", "x"), ("code_verifier", &"v".repeat(43))])
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 400, "{}", answer.text().await.unwrap());
    }
}

/// Who may use a resource at all is asked at every refresh, also of a grant that holds no scope.
#[rstest]
#[tokio::test]
async fn a_grant_without_scopes_ends_with_the_right_to_the_resource(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let wiki = "      \"wiki:read\": { description: Read the wiki, default: true }\n";
    let reserved = "      \"wiki:read\": { description: Read the wiki, default: false }\n    allow: { groups: [support] }\n";
    let Some(server) = Setup::on(on).replacing(wiki, reserved).start().await else { return };
    let client = Client { resource: Some("https://mcp.acme.example/wiki".into()), ..Client::desk() };
    let tokens = client.obtain(&server, &Browser::new(), "ada").await;
    assert_eq!(tokens.body["scope"], "");
    let tokens = client.refresh(&server, tokens.refresh()).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    server.execute("UPDATE identities SET groups = '[]'").await;
    assert_eq!(client.refresh(&server, tokens.refresh()).await.error(), "invalid_grant");
}

/// The account page is where access is ended: no client can keep it from being shown by not answering.
#[tokio::test]
async fn the_account_page_waits_for_no_client() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let host = MockServer::start().await;
    let id = format!("{}/client.json", host.uri());
    let document =
        json!({ "client_id": id, "client_name": "Leech", "redirect_uris": ["http://127.0.0.1/callback"] });
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(document)).mount(&host).await;
    let (client, browser) = (Client { id, ..Client::desk() }, Browser::new());
    client.obtain(&server, &browser, "ada").await;
    let page = browser.open(&server.url("/account")).await;
    assert!(page.text().contains("Leech"), "{}", page.text());
    let asked = host.received_requests().await.unwrap().len();
    server.later(Duration::from_secs(3600));
    let page = browser.open(&server.url("/account")).await;
    assert!(page.text().contains("End access") && page.text().contains("127.0.0.1"), "{}", page.text());
    assert_eq!(host.received_requests().await.unwrap().len(), asked, "nobody was asked");
}

#[tokio::test]
async fn a_flood_of_refusals_does_not_fill_the_record() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let url = Client::desk().with("response_type", "token").authorize_url(&server);
    for _ in 0..150 {
        Browser::new().open_until(&url, "http://127.0.0.1:50123").await;
    }
    assert_eq!(server.recorded("authorization.refused").await, 120);
}

#[tokio::test]
async fn the_page_that_offers_providers_is_not_opened_without_end() {
    let provider = |id: &str, issuer: &str| {
        format!(
            "  {id}: {{ preset: oidc, issuer: \"{issuer}\", client_id: c, client_auth: none, sign_in: {{ anyone: true }} }}\n"
        )
    };
    let resources =
        &PLAIN[PLAIN.find("resources:").unwrap()..].replace("    allow: { organizations: [acme] }\n", "");
    let two = provider("a", "http://127.0.0.1:1") + &provider("b", "http://127.0.0.1:2");
    let server = Server::start_with(On::Sqlite, &format!("providers:\n{two}{resources}")).await.unwrap();
    let mut last = 200;
    for _ in 0..=600 {
        last = server.request(Method::GET, "/login").send().await.unwrap().status().as_u16();
    }
    assert_eq!(last, 429);
    assert!(server.rows("browser_sessions").await <= 600);
}

/// Each begins something that is written down: what one address may begin is bounded, and ends with the minute.
#[tokio::test]
async fn nobody_begins_sign_ins_without_end() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let authorize = Client::desk().authorize_url(&server).replace(&server.issuer, "");
    let begin = async |path: &str| server.request(Method::GET, path).send().await.unwrap();
    for _ in 0..600 {
        assert_eq!(begin(&authorize).await.status(), 303);
    }
    let rows = async || (server.rows("interactions").await, server.rows("logins").await);
    let before = rows().await;
    for path in [authorize.as_str(), "/login/test"] {
        let answer = begin(path).await;
        assert_eq!(answer.status(), 429, "{path}");
        assert!(answer.text().await.unwrap().contains("too many sign-ins"));
    }
    assert_eq!(rows().await, before);
    server.later(Duration::from_secs(60));
    assert_eq!(begin(&authorize).await.status(), 303);
}

#[tokio::test]
async fn whatever_is_unavailable_says_when_to_come_back() {
    let server = Server::start(On::Sqlite).await.unwrap();
    server.app.db.close().await;
    let answer = server.request(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
}

/// A consent page that was shown to one person cannot be answered by the next in the same browser.
#[tokio::test]
async fn a_second_person_in_the_same_browser_does_not_answer_for_the_first() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let (client, browser) = (Client::desk(), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    let again = browser.open(&server.url("/login/test?prompt=login")).await;
    sign_in(&server, &browser, again, "grace", "nowhere:").await;
    let answer = browser.submit(&page.form("/interaction/").set("decision", "allow")).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
}

/// A client's further address, which anybody may register along with it, does not hide that this answer stays on the
/// computer, where any program can ask in the client's name.
#[tokio::test]
async fn a_second_address_does_not_hide_the_caution() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let local = Client::desk().redirect_uri;
    let body = json!({
        "client_name": "Claude", "redirect_uris": [local, "https://claude.ai/api/mcp/auth_callback"],
    });
    let answer = server.request(Method::POST, "/oauth/register").json(&body).send().await.unwrap();
    let registered: Value = answer.json().await.unwrap();
    let id = registered["client_id"].as_str().unwrap().to_owned();
    let client = Client { id, ..Client::desk() };
    let page = client.begin(&server, &Browser::new(), "ada").await;
    assert!(page.text().contains("Any program on your computer"), "{}", page.text());
    let web = Client { redirect_uri: "https://claude.ai/api/mcp/auth_callback".to_owned(), ..client };
    let page = web.begin(&server, &Browser::new(), "ada").await;
    assert!(!page.text().contains("Any program on your computer"), "{}", page.text());
}

#[tokio::test]
async fn endless_headers_are_not_kept() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let answer =
        server.request(Method::GET, "/healthz").header("x-padding", "x".repeat(100 * 1024)).send().await;
    assert_eq!(answer.unwrap().status(), 431);
}
