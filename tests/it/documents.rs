//! Clients that are known by a metadata document (CIMD): their journey, what a document cannot do, and where none is
//! fetched from.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use crate::support::{Browser, Client, On, Server, Setup, browser::Page, client::post};

/// A host with one document on it.
struct Host {
    server: MockServer,
    answer: Arc<Mutex<ResponseTemplate>>,
}

impl Host {
    async fn start() -> Self {
        let answer = Arc::new(Mutex::new(ResponseTemplate::new(404)));
        let server = MockServer::start().await;
        let given = Arc::clone(&answer);
        let respond = move |_: &Request| given.lock().unwrap().clone();
        Mock::given(any()).respond_with(respond).mount(&server).await;
        Self { server, answer }
    }

    /// The client's id: the address of its document.
    fn id(&self) -> String {
        format!("{}/client.json", self.server.uri())
    }

    /// What the document says, `client_id` added.
    fn says(&self, mut document: Value) {
        document["client_id"] = json!(self.id());
        self.answers(ResponseTemplate::new(200).set_body_json(document));
    }

    fn answers(&self, answer: ResponseTemplate) {
        *self.answer.lock().unwrap() = answer;
    }

    async fn asked(&self) -> usize {
        self.server.received_requests().await.unwrap().len()
    }

    fn client(&self, redirect_uri: &str) -> Client {
        Client::known_as(&self.id(), redirect_uri)
    }
}

/// As Claude Code describes itself.
fn claude_code() -> Value {
    json!({
        "client_name": "Claude Code",
        "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
}

/// An error that is shown and sent nowhere: the redirect URI was never proved (CIMD §4, OAuth 2.1 §2.3.5).
fn is_our_page(page: &Page, server: &Server) {
    assert!((400..600).contains(&page.status), "{} {}", page.status, page.text());
    assert!(page.url.as_str().starts_with(&server.base), "{}", page.url);
    assert!(!page.headers.contains_key("location"));
    assert!(page.text().contains("Reference"), "{}", page.text());
}

#[rstest]
#[case("http://localhost:52123/callback")]
#[case("http://127.0.0.1:52123/callback")]
#[tokio::test]
async fn a_client_that_nobody_registered_can_do_the_whole_journey(
    #[case] redirect_uri: &str,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(server) = Server::start(on).await else { return };
    let host = Host::start().await;
    host.says(claude_code());
    let (client, browser) = (host.client(redirect_uri), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    let text = page.text();
    assert!(text.contains("Claude Code") && text.contains("127.0.0.1"), "name and host: {text}");
    assert!(text.contains("Any program on your computer could use the name"), "{text}");
    let back = browser
        .submit_until(&page.form("/interaction/").set("decision", "allow"), &client.redirect_uri)
        .await;
    let tokens = client.exchange(&server, &client.code(&server, &back)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(tokens.claims()["client_id"], host.id());
    assert_eq!(client.refresh(&server, tokens.refresh()).await.status, 200);
    assert_eq!(host.asked().await, 1, "fetched once for the whole journey");
    let again = client.begin(&server, &browser, "ada").await;
    assert!(again.find_form("/interaction/").is_some());
    let account = browser.open(&server.url("/account")).await;
    assert!(account.text().contains("Claude Code"), "{}", account.text());
}

#[tokio::test]
async fn a_document_without_the_refresh_grant_gets_no_refresh_token() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let host = Host::start().await;
    host.says(json!({ "client_name": "A", "redirect_uris": ["http://localhost/cb"] }));
    let tokens = host.client("http://localhost:1234/cb").obtain(&server, &Browser::new(), "ada").await;
    assert_eq!(tokens.body.get("refresh_token"), None);
}

/// OAuth 2.1 §2.3.1: of an address nothing but a loopback's port may differ.
#[rstest]
#[case("http://localhost:1/callback/")]
#[case("http://localhost:1/other")]
#[case("http://localhost:1/callback?x=1")]
#[case("https://localhost:1/callback")]
#[case("http://[::1]:1/callback")]
#[case("http://127.0.0.2/callback")]
#[case("http://localhost.evil.example/callback")]
#[case("https://evil.example/callback")]
#[tokio::test]
async fn an_address_that_the_document_does_not_name_is_refused(#[case] redirect_uri: &str) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let host = Host::start().await;
    host.says(claude_code());
    let page = Browser::new().open(&host.client(redirect_uri).authorize_url(&server)).await;
    assert_eq!(page.status, 400);
    is_our_page(&page, &server);
}

/// Whatever is wrong with a document is shown as a page, stores nothing, and is not held against the next request.
#[rstest]
#[case::gone(ResponseTemplate::new(404))]
#[case::broken(ResponseTemplate::new(500))]
#[case::moved(ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/x"))]
#[case::moved_for_good(ResponseTemplate::new(308).insert_header("location", "/client2.json"))]
#[case::page(ResponseTemplate::new(200).set_body_raw("<script>alert(1)</script>", "text/html"))]
#[case::another_client(ResponseTemplate::new(200).set_body_json(json!({
    "client_id": "https://claude.ai/oauth/claude-code-client-metadata", "redirect_uris": ["http://localhost/callback"],
})))]
#[case::large(ResponseTemplate::new(200).set_body_json(json!({ "x": "y".repeat(6 * 1024) })))]
#[case::deep(ResponseTemplate::new(200).set_body_raw("[".repeat(5000), "application/json"))]
#[case::broken_utf8(ResponseTemplate::new(200).set_body_raw(b"{\"client_id\": \"\xff\"}".to_vec(), "application/json"))]
#[tokio::test]
async fn a_document_that_is_of_no_use_is_our_page_and_is_forgotten(#[case] answer: ResponseTemplate) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let host = Host::start().await;
    host.answers(answer);
    let client = host.client("http://localhost:1234/callback");
    let page = Browser::new().open(&client.authorize_url(&server)).await;
    is_our_page(&page, &server);
    assert!(!page.body.contains("alert(1)"));
    assert_eq!(server.rows("interactions").await, 0);
    let tokens = client.exchange(&server, "chy_ac_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await;
    assert!(
        (tokens.status, tokens.error()) == (401, "invalid_client")
            || (tokens.status == 503 && tokens.headers.contains_key("retry-after")),
        "{} {}",
        tokens.status,
        tokens.body
    );
    host.says(claude_code());
    client.obtain(&server, &Browser::new(), "ada").await;
}

/// `invalid_client` makes clients throw their tokens away: an outage of their own host must not read so.
#[tokio::test]
async fn an_outage_of_the_host_is_not_held_against_the_client() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let host = Host::start().await;
    host.says(claude_code());
    let client = host.client("http://localhost:1234/callback");
    let tokens = client.obtain(&server, &Browser::new(), "ada").await;
    server.later(Duration::from_secs(24 * 3600));
    host.answers(ResponseTemplate::new(503));
    let refused = client.refresh(&server, tokens.refresh()).await;
    assert_eq!((refused.status, refused.error()), (503, "temporarily_unavailable"), "{}", refused.body);
    assert!(refused.headers.contains_key("retry-after"));
    host.says(claude_code());
    assert_eq!(client.refresh(&server, tokens.refresh()).await.status, 200, "nothing was used up");
}

/// What the document says now counts, once the cached one is no longer fresh: also for what is under way.
#[tokio::test]
async fn an_address_that_the_document_dropped_gets_nothing_any_more() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let host = Host::start().await;
    host.says(claude_code());
    let (client, browser) = (host.client("http://localhost:1234/callback"), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    host.says(json!({ "client_name": "Claude Code", "redirect_uris": ["http://127.0.0.1/callback"] }));
    server.later(Duration::from_secs(301));
    let form = page.form("/interaction/").set("decision", "allow");
    let answer = browser.submit_until(&form, &client.redirect_uri).await;
    assert_eq!(answer.status, 400);
    is_our_page(&answer, &server);
    is_our_page(&browser.open(&client.authorize_url(&server)).await, &server);
    assert_eq!(server.rows("codes").await, 0);
}

/// Many who ask for one document at once make one request.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_fetches_a_document_once() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let host = Host::start().await;
    host.says(claude_code());
    let url = host.client("http://localhost:1234/callback").authorize_url(&server);
    let answers =
        crate::authorization::futures_join((0..12).map(|_| crate::support::http().get(&url).send())).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().status() == 303));
    assert_eq!(host.asked().await, 1);
}

#[tokio::test]
async fn only_hosts_that_the_operator_admits_are_asked() {
    let server = Setup::on(On::Sqlite)
        .replacing("allow_hosts: [\"*\"]", "allow_hosts: [claude.ai, \"*.acme.example\"]")
        .start()
        .await
        .unwrap();
    let host = Host::start().await;
    host.says(claude_code());
    let page = Browser::new().open(&host.client("http://localhost:1/callback").authorize_url(&server)).await;
    is_our_page(&page, &server);
    assert!(page.text().contains("descriptions from 127.0.0.1 are not accepted here"), "{}", page.text());
    assert_eq!(host.asked().await, 0);
}

/// Consent is remembered where the operator vouches for the host by name, and the answer goes to a web address.
#[rstest]
#[case::vouched_for("127.0.0.1", "https://app.acme.example/cb", true)]
#[case::nobody_vouches("\"*\"", "https://app.acme.example/cb", false)]
#[case::loopback("127.0.0.1", "http://localhost/cb", false)]
#[tokio::test]
async fn consent_is_remembered_for_hosts_that_the_operator_names(
    #[case] hosts: &str,
    #[case] redirect_uri: &str,
    #[case] remembered: bool,
) {
    let server = Setup::on(On::Sqlite)
        .replacing("allow_hosts: [\"*\"]", &format!("allow_hosts: [{hosts}]"))
        .start()
        .await
        .unwrap();
    let host = Host::start().await;
    host.says(json!({ "client_name": "App", "redirect_uris": [redirect_uri] }));
    let (client, browser) = (host.client(redirect_uri), Browser::new());
    client.obtain(&server, &browser, "ada").await;
    let second = client.begin(&server, &browser, "ada").await;
    assert_eq!(second.find_form("/interaction/").is_none(), remembered, "{}", second.url);
    if remembered {
        client.code(&server, &second);
    }
}

/// A consent was given to whoever has these addresses and keys: a document that names others is asked about again, and
/// nothing of what was allowed before goes over to it (CIMD §8.2).
#[rstest]
#[case::another_name(json!({ "client_name": "App 2", "logo_uri": "https://app.acme.example/2.png" }), true)]
#[case::another_address(json!({ "redirect_uris": ["https://app.acme.example/cb", "https://app.acme.example/2"] }), false)]
#[case::keys(json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://app.acme.example/k" }), false)]
#[tokio::test]
async fn a_consent_does_not_outlive_what_it_relied_on(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] change: Value,
    #[case] remembered: bool,
) {
    let setup = Setup::on(on).replacing("allow_hosts: [\"*\"]", "allow_hosts: [127.0.0.1]");
    let Some(server) = setup.start().await else { return };
    let host = Host::start().await;
    let mut document = json!({ "client_name": "App", "redirect_uris": ["https://app.acme.example/cb"] });
    host.says(document.clone());
    let (client, browser) = (host.client("https://app.acme.example/cb"), Browser::new());
    client.clone().scope("tickets:read tickets:write").authorize(&server, &browser, "ada").await;

    document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    host.says(document);
    server.later(Duration::from_secs(301));
    let skips = async |scope: &str| {
        let page = client.clone().scope(scope).begin(&server, &browser, "ada").await;
        (page.find_form("/interaction/").is_none(), page)
    };
    let (skipped, page) = skips("tickets:read").await;
    assert_eq!(skipped, remembered, "{}", page.url);
    if !skipped {
        let form = page.form("/interaction/").set("decision", "allow");
        client.code(&server, &browser.submit_until(&form, &client.redirect_uri).await);
        assert!(skips("tickets:read").await.0, "what was allowed anew is remembered");
    }
    assert_eq!(skips("tickets:write").await.0, remembered);
}

/// An error of a client that nobody vouches for does not send the browser anywhere unasked (OAuth 2.1 §7.13): the page
/// offers the way back.
#[rstest]
#[case("\"*\"", false)]
#[case("127.0.0.1", true)]
#[tokio::test]
async fn an_open_redirector_is_not_made_of_us(#[case] hosts: &str, #[case] sent: bool) {
    let server = Setup::on(On::Sqlite)
        .replacing("allow_hosts: [\"*\"]", &format!("allow_hosts: [{hosts}]"))
        .start()
        .await
        .unwrap();
    let host = Host::start().await;
    host.says(json!({ "client_name": "Evil", "redirect_uris": ["https://evil.example/phish"] }));
    let client = host.client("https://evil.example/phish").with("response_type", "token");
    let page = Browser::new().open_until(&client.authorize_url(&server), "https://evil.example").await;
    if sent {
        assert_eq!(page.parameter("error").as_deref(), Some("unsupported_response_type"));
    } else {
        is_our_page(&page, &server);
        assert!(page.body.contains("https://evil.example/phish?error=unsupported_response_type"));
        assert!(page.text().contains("Go back to evil.example"), "{}", page.text());
    }
}

/// A server that the world can reach asks no address inside anybody's network (RFC 6890), in whatever notation, at
/// either endpoint.
#[rstest]
#[case("https://127.0.0.1:PORT/client.json")]
#[case("https://localhost:PORT/client.json")]
#[case("http://127.0.0.1:PORT/client.json")]
#[case("http://claude.ai/client.json")]
#[case("https://127.1:PORT/client.json")]
#[case("https://2130706433:PORT/client.json")]
#[case("https://0x7f000001:PORT/client.json")]
#[case("https://0177.0.0.1:PORT/client.json")]
#[case("https://0.0.0.0:PORT/client.json")]
#[case("https://[::1]:PORT/client.json")]
#[case("https://[::]:PORT/client.json")]
#[case("https://[::ffff:127.0.0.1]:PORT/client.json")]
#[case("https://[::ffff:7f00:1]:PORT/client.json")]
#[case("https://[64:ff9b::7f00:1]:PORT/client.json")]
#[case("https://[fe80::1]/client.json")]
#[case("https://[fd00::1]/client.json")]
#[case("https://10.0.0.1/client.json")]
#[case("https://172.16.0.1/client.json")]
#[case("https://192.168.0.1/client.json")]
#[case("https://100.64.0.1/client.json")]
#[case("https://169.254.169.254/latest/meta-data")]
#[case("https://user@127.0.0.1:PORT/client.json")]
#[case("https://127.0.0.1:PORT/client.json#x")]
#[case("https://127.0.0.1:PORT/a/../client.json")]
#[case("https://127.0.0.1:PORT/%2e%2e/client.json")]
#[tokio::test]
async fn a_document_that_points_inwards_is_not_fetched(#[case] id: &str) {
    let server = Setup::on(On::Sqlite)
        .replacing("issuer: \"${PROVIDER}\"", "issuer: https://idp.acme.example")
        .known_as("https://auth.acme.example")
        .start()
        .await
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let id = id.replace("PORT", &listener.local_addr().unwrap().port().to_string());
    let client = Client::known_as(&id, "http://localhost:1/callback");
    let page = Browser::new().open(&client.authorize_url(&server)).await;
    assert_eq!(page.status, 400, "{}", page.text());
    is_our_page(&page, &server);
    let tokens = post(&server, &client.exchange_parameters("chy_ac_x")).await;
    assert!((400..500).contains(&tokens.status), "{} {}", tokens.status, tokens.body);
    assert!(["invalid_client", "invalid_request"].contains(&tokens.error()), "{}", tokens.body);
    let knocked = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(knocked.is_err(), "nobody knocks at an inner door");
}

/// Documents can be switched off; then a URL is a client that nobody knows.
#[tokio::test]
async fn without_hosts_there_are_no_documents() {
    let server =
        Setup::on(On::Sqlite).replacing("allow_hosts: [\"*\"]", "allow_hosts: []").start().await.unwrap();
    let host = Host::start().await;
    host.says(claude_code());
    let client = host.client("http://localhost:1/callback");
    is_our_page(&Browser::new().open(&client.authorize_url(&server)).await, &server);
    let answer = server
        .request(Method::POST, "/oauth/token")
        .form(&client.exchange_parameters("x"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(host.asked().await, 0);
}

/// Whoever describes itself as something else is no application that people sign in to.
#[tokio::test]
async fn a_client_without_the_grant_begins_nothing() {
    let (server, host) = (Server::start(On::Sqlite).await.unwrap(), Host::start().await);
    let mut document = claude_code();
    document["grant_types"] = json!(["urn:ietf:params:oauth:grant-type:jwt-bearer"]);
    document["response_types"] = json!([]);
    host.says(document);
    let page = host.client("http://localhost:7777/callback").begin(&server, &Browser::new(), "ada").await;
    assert_eq!(page.parameter("error").as_deref(), Some("unauthorized_client"), "{}", page.text());
}

/// Whoever can put a page on a host is not its owner.
#[tokio::test]
async fn a_good_document_that_is_served_as_a_page_is_none() {
    let (server, host) = (Server::start(On::Sqlite).await.unwrap(), Host::start().await);
    let mut document = claude_code();
    document["client_id"] = json!(host.id());
    host.answers(ResponseTemplate::new(200).set_body_raw(document.to_string(), "text/html"));
    let page = Browser::new().open(&host.client("http://localhost/callback").authorize_url(&server)).await;
    is_our_page(&page, &server);
}
