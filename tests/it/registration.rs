//! Clients that register themselves (RFC 7591): what real ones send, what nobody may, and when a registration ends.

use std::time::Duration;

use chancery::store::sweep::sweep;
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Browser, Client, On, Server, Setup, Tokens};

const DAY: Duration = Duration::from_secs(24 * 3600);
const CALLBACK: &str = "http://127.0.0.1:33418/callback";

async fn register(server: &Server, body: &Value) -> Tokens {
    Tokens::of(server.request(Method::POST, "/oauth/register").json(body).send().await.unwrap()).await
}

/// A registration that is accepted: its id.
async fn registered(server: &Server, body: &Value) -> String {
    let answer = register(server, body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body["client_id"].as_str().unwrap().to_owned()
}

fn minimal() -> Value {
    json!({ "client_name": "Desk agent", "redirect_uris": [CALLBACK] })
}

/// RFC 7591 §3.2.1: the answer holds everything that was assigned. MCP SDKs send this little and expect to be public
/// and to be refreshed.
#[rstest]
#[tokio::test]
async fn a_client_that_says_little_can_do_the_whole_journey(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let answer = register(&server, &minimal()).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["content-type"], "application/json");
    let id = answer.body["client_id"].as_str().unwrap();
    assert!(!id.starts_with("https://"), "a URL would name a metadata document");
    let mut rest = answer.body.clone();
    rest.as_object_mut().unwrap().remove("client_id");
    assert_eq!(
        rest,
        json!({
            "client_id_issued_at": server.clock.now().as_secs(),
            "client_name": "Desk agent",
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": "native",
        })
    );
    assert_eq!(server.recorded("client.registered").await, 1);

    let (client, browser) = (Client::known_as(id, "http://127.0.0.1:50999/callback"), Browser::new());
    let tokens = client.obtain(&server, &browser, "ada").await;
    assert_eq!(tokens.claims()["client_id"], id);
    assert_eq!(client.refresh(&server, tokens.refresh()).await.status, 200);
    let again = client.begin(&server, &browser, "ada").await;
    assert!(again.find_form("/interaction/").is_some(), "whoever registers is asked about every time");
}

/// Claude Code and other clients of today: extra members, `native`, a portless localhost.
#[rstest]
#[case::claude_code(json!({
    "client_name": "Claude Code", "redirect_uris": ["http://localhost/callback"],
    "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
    "token_endpoint_auth_method": "none", "scope": "offline_access tickets:read",
}))]
#[case::web_type_on_loopback(json!({
    "client_name": "A", "redirect_uris": ["http://localhost:3000/callback"], "application_type": "web",
}))]
#[case::more_grants_than_we_serve(json!({
    "redirect_uris": ["http://[::1]:9/cb"],
    "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code", "implicit"],
}))]
#[case::members_that_nobody_knows(json!({
    "client_name": "A", "redirect_uris": [CALLBACK], "logo_uri": 7, "client_name#de": "Ein", "x": { "y": [1, null] },
    "jwks": null, "contacts": ["a@acme.example"], "client_id": "mine", "client_secret": "mine",
}))]
#[tokio::test]
async fn what_real_clients_send_is_accepted(#[case] body: Value) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let answer = register(&server, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let members = answer.body.as_object().unwrap();
    for (name, sent) in body.as_object().unwrap() {
        let stored = members.get(name);
        if name == "grant_types" {
            assert!(stored.unwrap().as_array().unwrap().iter().all(|grant| grant != "implicit"));
        } else if name == "client_id" {
            assert_ne!(stored, Some(sent), "ids are ours to give");
        } else {
            assert!(stored.is_none() || stored == Some(sent), "{name}: {stored:?}");
        }
    }
    for unknown in ["logo_uri", "client_name#de", "x", "jwks", "contacts", "client_secret"] {
        assert_eq!(members.get(unknown), None, "{unknown} is dropped (RFC 7591 §2)");
    }
}

/// What only informs and is of no use is dropped, and the answer says what is kept (RFC 7591 §2, §3.2.1).
#[tokio::test]
async fn what_is_of_no_use_is_left_out() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let body = json!({
        "redirect_uris": [CALLBACK], "client_name": "  ", "application_type": "robot",
        "client_uri": "javascript:alert(1)", "software_id": "s".repeat(513), "software_version": "v".repeat(512),
    });
    let kept = register(&server, &body).await.body;
    assert_eq!(kept["client_name"], "An unnamed application");
    assert_eq!(kept["application_type"], "native");
    assert_eq!((kept.get("client_uri"), kept.get("software_id")), (None, None));
    assert_eq!(kept["software_version"], "v".repeat(512));
}

/// Cursor registers three addresses at once; a list that refuses its scheme refuses Cursor.
#[tokio::test]
async fn a_mixed_list_keeps_what_may_be_registered() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let cursor = [
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "https://www.cursor.com/agents/mcp/oauth/callback",
        "http://localhost:8787/callback",
    ];
    let answer = register(&server, &json!({ "client_name": "Cursor", "redirect_uris": cursor })).await;
    assert_eq!(answer.body["redirect_uris"], json!(cursor));

    let stranger = ["stranger://callback", "https://evil.example/callback", "http://localhost:8787/callback"];
    let answer = register(&server, &json!({ "client_name": "Other", "redirect_uris": stranger })).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.body["redirect_uris"], json!(["http://localhost:8787/callback"]));
    let id = answer.body["client_id"].as_str().unwrap();
    for left_out in ["stranger://callback", "https://evil.example/callback"] {
        let page = Browser::new().open(&Client::known_as(id, left_out).authorize_url(&server)).await;
        assert_eq!(page.status, 400);
        assert!(page.location().is_none());
    }
}

/// Registrations pile up otherwise: some clients make one at every start.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn equal_public_metadata_is_one_client(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let first = registered(&server, &minimal()).await;
    server.later(Duration::from_secs(61));
    let body = minimal();
    let again = crate::authorization::futures_join((0..8).map(|_| registered(&server, &body))).await;
    assert!(again.iter().all(|id| *id == first));
    assert_eq!((server.rows("clients").await, server.recorded("client.registered").await), (1, 1));
    let renamed = json!({ "client_name": "Desk Agent", "redirect_uris": [CALLBACK] });
    assert_ne!(registered(&server, &renamed).await, first);
    let elsewhere =
        json!({ "client_name": "Desk agent", "redirect_uris": ["http://127.0.0.1:33419/callback"] });
    assert_ne!(registered(&server, &elsewhere).await, first);
}

/// RFC 7591 §3.2.1 and OAuth 2.1 §2.4.1: a client that asks for a secret gets one of its own, and it counts.
#[rstest]
#[tokio::test]
async fn a_client_that_asks_for_a_secret_must_use_it(
    #[values("client_secret_basic", "client_secret_post")] method: &str,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(server) = Server::start(on).await else { return };
    let mut body = minimal();
    body["token_endpoint_auth_method"] = json!(method);
    let answer = register(&server, &body).await;
    assert_eq!(answer.body["token_endpoint_auth_method"], method);
    assert_eq!(answer.body["client_secret_expires_at"], 0, "required beside a secret");
    let (id, secret) =
        (answer.body["client_id"].as_str().unwrap(), answer.body["client_secret"].as_str().unwrap());
    let other = register(&server, &body).await;
    assert_ne!(other.body["client_id"], id, "a secret is never handed out twice");
    assert_ne!(other.body["client_secret"], secret);

    let client = Client::known_as(id, CALLBACK);
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    assert_eq!(client.exchange(&server, &code).await.error(), "invalid_client", "without the secret");
    let mut form = client.exchange_parameters(&code);
    form.push(("client_secret", other.body["client_secret"].as_str().unwrap().to_owned()));
    assert_eq!(crate::support::client::post(&server, &form).await.error(), "invalid_client", "another's");
    form.pop();
    let mut request = server.request(Method::POST, "/oauth/token");
    if method == "client_secret_basic" {
        request = request.basic_auth(id, Some(secret));
    } else {
        form.push(("client_secret", secret.to_owned()));
    }
    let tokens = Tokens::of(request.form(&form).send().await.unwrap()).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
}

/// RFC 7591 §3.2.2. Nothing is stored, nothing recorded.
#[rstest]
#[case::no_address(json!({}), "invalid_redirect_uri")]
#[case::empty_list(json!({ "redirect_uris": [] }), "invalid_redirect_uri")]
#[case::only_unknown(json!({ "redirect_uris": ["https://evil.example/cb"] }), "invalid_redirect_uri")]
#[case::only_unknown_scheme(json!({ "redirect_uris": ["evil.app:/cb"] }), "invalid_redirect_uri")]
#[case::near_match(json!({ "redirect_uris": ["https://claude.ai/api/mcp/auth_callback/"] }), "invalid_redirect_uri")]
#[case::script(json!({ "redirect_uris": [CALLBACK, "javascript:alert(1)"] }), "invalid_redirect_uri")]
#[case::script_in_capitals(json!({ "redirect_uris": [CALLBACK, "JaVaScRiPt://x/%0aalert(1)"] }), "invalid_redirect_uri")]
#[case::data(json!({ "redirect_uris": [CALLBACK, "data:text/html,x"] }), "invalid_redirect_uri")]
#[case::file(json!({ "redirect_uris": [CALLBACK, "file:///etc/passwd"] }), "invalid_redirect_uri")]
#[case::blob(json!({ "redirect_uris": [CALLBACK, "blob:https://x/y"] }), "invalid_redirect_uri")]
#[case::plain_http(json!({ "redirect_uris": ["http://claude.ai/api/mcp/auth_callback"] }), "invalid_redirect_uri")]
#[case::another_machine(json!({ "redirect_uris": ["http://127.0.0.1.evil.example/cb"] }), "invalid_redirect_uri")]
#[case::fragment(json!({ "redirect_uris": ["http://127.0.0.1/cb#x"] }), "invalid_redirect_uri")]
#[case::user_name(json!({ "redirect_uris": ["http://claude.ai@127.0.0.1/cb"] }), "invalid_redirect_uri")]
#[case::wildcard(json!({ "redirect_uris": ["*"] }), "invalid_redirect_uri")]
#[case::line_break(json!({ "redirect_uris": ["http://127.0.0.1/cb\r\nx: y"] }), "invalid_redirect_uri")]
#[case::long(json!({ "redirect_uris": [format!("http://127.0.0.1/{}", "x".repeat(2048))] }), "invalid_redirect_uri")]
#[case::many(json!({ "redirect_uris": vec![CALLBACK; 21] }), "invalid_redirect_uri")]
#[case::text_for_list(json!({ "redirect_uris": CALLBACK }), "invalid_client_metadata")]
#[case::number_in_list(json!({ "redirect_uris": [1] }), "invalid_client_metadata")]
#[case::list_for_name(json!({ "redirect_uris": [CALLBACK], "client_name": ["x"] }), "invalid_client_metadata")]
#[case::nul_in_name(json!({ "redirect_uris": [CALLBACK], "client_name": "a\0b" }), "invalid_client_metadata")]
#[case::nul_in_software(json!({ "redirect_uris": [CALLBACK], "software_id": "a\0b" }), "invalid_client_metadata")]
#[case::nul_in_home(json!({ "redirect_uris": [CALLBACK], "client_uri": "https://a\0b" }), "invalid_client_metadata")]
#[case::implicit(json!({ "redirect_uris": [CALLBACK], "grant_types": ["implicit"] }), "invalid_client_metadata")]
#[case::refresh_alone(json!({ "redirect_uris": [CALLBACK], "grant_types": ["refresh_token"] }), "invalid_client_metadata")]
#[case::token_response(json!({ "redirect_uris": [CALLBACK], "response_types": ["token"] }), "invalid_client_metadata")]
#[case::tls(json!({ "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "tls_client_auth" }), "invalid_client_metadata")]
#[case::statement(json!({ "redirect_uris": [CALLBACK], "software_statement": "eyJ" }), "invalid_client_metadata")]
#[case::no_object(json!([minimal()]), "invalid_client_metadata")]
#[tokio::test]
async fn what_cannot_be_honoured_is_refused(#[case] body: Value, #[case] error: &str) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let answer = register(&server, &body).await;
    assert_eq!((answer.status, answer.error()), (400, error), "{}", answer.body);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!((server.rows("clients").await, server.recorded("client.registered").await), (0, 0));
}

#[rstest]
#[case::form("application/x-www-form-urlencoded", b"redirect_uris=x".to_vec())]
#[case::text("text/plain", minimal().to_string().into_bytes())]
#[case::no_type("", minimal().to_string().into_bytes())]
#[case::broken_json("application/json", b"{\"redirect_uris\": [".to_vec())]
#[case::broken_utf8("application/json", b"{\"client_name\": \"\xff\"}".to_vec())]
#[case::empty("application/json", Vec::new())]
#[case::member_twice("application/json", br#"{"redirect_uris":["http://localhost/a"],"redirect_uris":["http://localhost/b"]}"#.to_vec())]
#[case::deep("application/json", ("{\"redirect_uris\":".to_owned() + &"[".repeat(30_000) + &"]".repeat(30_000) + "}").into_bytes())]
#[case::deep_and_unknown("application/json", ("{\"x\":".to_owned() + &"[".repeat(30_000) + &"]".repeat(30_000) + "}").into_bytes())]
#[case::large("application/json", format!("{{\"x\": \"{}\"}}", "y".repeat(64 * 1024)).into_bytes())]
#[case::two_megabytes("application/json", format!("{{\"x\": \"{}\"}}", "y".repeat(2 << 20)).into_bytes())]
#[tokio::test]
async fn a_body_that_is_no_registration_is_refused(#[case] content_type: &str, #[case] body: Vec<u8>) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let mut request = server.request(Method::POST, "/oauth/register").body(body);
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    let answer = Tokens::of(request.send().await.unwrap()).await;
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    assert!(["invalid_client_metadata", "invalid_redirect_uri"].contains(&answer.error()), "{}", answer.body);
    assert_eq!(server.rows("clients").await, 0);
}

#[tokio::test]
async fn a_body_of_almost_64_kilobytes_is_read() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let mut body = minimal();
    body["x"] = json!("y".repeat(60_000));
    registered(&server, &body).await;
}

#[rstest]
#[case("{ dynamic: closed, documents: { allow_hosts: [] } }", None, 403, "access_denied")]
#[case("{ dynamic: token, token: 0123456789abcdef0123456789abcdef }", None, 401, "invalid_token")]
#[case("{ dynamic: token, token: 0123456789abcdef0123456789abcdef }", Some("Bearer x"), 401, "invalid_token")]
#[case(
    "{ dynamic: token, token: 0123456789abcdef0123456789abcdef }",
    Some("Basic 0123456789abcdef0123456789abcdef"),
    401,
    "invalid_token"
)]
#[case(
    "{ dynamic: token, token: 0123456789abcdef0123456789abcdef }",
    Some("bearer 0123456789abcdef0123456789abcdef"),
    201,
    ""
)]
#[case("{ dynamic: open }", None, 201, "")]
#[case("{ dynamic: known_clients }", None, 400, "invalid_redirect_uri")]
#[tokio::test]
async fn the_operator_says_who_may_register(
    #[case] section: &str,
    #[case] authorization: Option<&str>,
    #[case] status: u16,
    #[case] error: &str,
) {
    let server = Setup::on(On::Sqlite)
        .replacing("{ dynamic: known_clients, documents: { allow_hosts: [\"*\"] } }", section)
        .start()
        .await
        .unwrap();
    let body = json!({ "client_name": "A", "redirect_uris": ["https://a.example/cb", "a.example:/cb"] });
    let mut request = server.request(Method::POST, "/oauth/register").json(&body);
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let answer = Tokens::of(request.send().await.unwrap()).await;
    assert_eq!((answer.status, answer.error()), (status, error), "{}", answer.body);
    assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "RFC 6750 §3");
    if status == 201 {
        assert_eq!(answer.body["redirect_uris"], body["redirect_uris"]);
        let script = json!({ "redirect_uris": ["https://a.example/cb", "javascript:alert(1)"] });
        let mut request = server.request(Method::POST, "/oauth/register").json(&script);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        assert_eq!(request.send().await.unwrap().status(), 400, "nobody may register these");
    }
}

#[tokio::test]
async fn registrations_of_one_address_are_bounded() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let body = minimal();
    for _ in 0..60 {
        registered(&server, &body).await;
    }
    let answer = register(&server, &body).await;
    assert_eq!((answer.status, answer.error()), (429, "temporarily_unavailable"));
    assert!(answer.headers.contains_key("retry-after"));
    server.later(Duration::from_secs(60));
    registered(&server, &body).await;
}

/// Unused registrations go after thirty days; one that somebody relies on stays until the last grant is over.
#[rstest]
#[tokio::test]
async fn a_registration_lives_as_long_as_it_is_used(#[values(On::Sqlite, On::Postgres)] on: On) {
    let sections = crate::support::PLAIN.to_owned() + "lifetimes: { refresh_idle: 60d }\n";
    let Some(server) = Server::start_with(on, &sections).await else { return };
    let used = registered(&server, &minimal()).await;
    let unused = registered(&server, &json!({ "client_name": "Unused", "redirect_uris": [CALLBACK] })).await;
    let (client, browser) = (Client::known_as(&used, CALLBACK), Browser::new());
    let tokens = client.obtain(&server, &browser, "ada").await;
    let known = async |id: &str| {
        sweep(&server.app.db, server.clock.now()).await.unwrap();
        let page = Browser::new().open(&Client::known_as(id, CALLBACK).authorize_url(&server)).await;
        assert!(page.status == 200 || page.text().contains("not known here"), "{}", page.text());
        page.status == 200
    };

    server.later(29 * DAY);
    assert!(known(&unused).await);
    server.later(2 * DAY);
    assert!(!known(&unused).await);
    assert!(known(&used).await, "a grant is live");
    let refreshed = client.refresh(&server, tokens.refresh()).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.body);

    let account = client.begin(&server, &browser, "ada").await;
    assert_eq!(account.status, 200);
    let account = browser.open(&server.url("/account")).await;
    browser.submit(&account.form("/account/applications/end")).await;
    assert!(known(&used).await, "it was used today");
    server.later(31 * DAY);
    assert!(!known(&used).await);
    let gone = client.refresh(&server, refreshed.refresh()).await;
    assert_eq!((gone.status, gone.error()), (401, "invalid_client"), "it registers again by itself");
}
