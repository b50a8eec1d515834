//! A remote MCP server as upstream: found by its own metadata, with our document as client, its tokens for it alone.

use std::time::Duration;

use chancery::{
    config::connection::Connection,
    entropy::Entropy,
    ids::ConnectionName,
    oauth::{pkce::CodeChallenge, scope::ScopeSet},
    secret::Secret,
    vault::vendor::{Authorization, Redemption, VendorError},
};
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use crate::support::{
    Browser, Client, On, PLAIN, Server, Setup, Tokens,
    client::{account, claims_of, sign_in, trade},
};

fn connected_to(url: &str, keys: &str) -> String {
    format!("{PLAIN}connections: {{ notes: {{ preset: mcp, name: Notes, url: \"{url}\" {keys} }} }}\n")
}

/// The same, used by our ticket desk.
fn used(url: &str) -> String {
    let clients = "clients:\n  tickets-server: { secret: 0123456789-server-secret, serves: tickets }\n";
    connected_to(url, ", use: { tickets: { \"tickets:read\": [\"tickets:read\"] } }")
        .replace("clients:\n", clients)
}

fn notes(server: &Server) -> Connection {
    let name = ConnectionName::try_from("notes".to_owned()).unwrap();
    server.app.config.connections.get(&name).unwrap().clone()
}

/// The other company's Chancery, which stands before its MCP server and takes documents of clients from `hosts`, and
/// the address of that server.
async fn theirs(on: On, hosts: &str) -> Option<(Server, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}/tickets", listener.local_addr().unwrap());
    let sections = PLAIN.replace(
        "uri: https://mcp.acme.example/tickets",
        &format!("uri: \"{server}\"\n    host_metadata: true"),
    );
    let sections = sections.replace(r#"allow_hosts: ["*"]"#, &format!("allow_hosts: [{hosts}]"));
    let theirs = Setup::on(on).sections(&sections).at(listener).start().await?;
    Some((theirs, server))
}

/// Somebody who uses our ticket desk has an account there. She connects it, the desk's server gets its token, and when
/// that is about to end another one.
async fn connects_and_is_served(ours: &Server, theirs: &Server, server: &str) {
    let before = ours.recorded("connection.refreshed").await;
    let (redirect_uri, browser) = (ours.url("/connect/notes/callback"), Browser::new());
    account(ours, &browser, "ada").await;
    let page = browser.open(&ours.url("/connect/notes")).await;
    let page = browser.submit(&page.form("/connect/")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let away = page.headers["refresh"].to_str().unwrap().strip_prefix("0; url=").unwrap().to_owned();
    let page = browser.open_until(&away, &redirect_uri).await;
    let page = sign_in(theirs, &browser, page, "grace", &redirect_uri).await;
    let allowed = page.form(&theirs.path("/interaction/")).set("decision", "allow");
    let done = browser.submit(&allowed).await;
    assert!(done.text().contains("Your Notes account is connected"), "{}", done.text());

    let first = asks(ours, &browser, server).await;
    assert_eq!((first.status, &first.body["scope"]), (200, &json!("tickets:read")), "{}", first.body);
    ours.later(Duration::from_secs(first.body["expires_in"].as_u64().unwrap() - 30));
    let second = asks(ours, &browser, server).await;
    let refreshed = ours.recorded("connection.refreshed").await;
    assert_eq!((second.status, refreshed), (200, before + 1), "{}", second.body);
    for got in [&first, &second] {
        let claims = claims_of(got.access());
        assert_eq!((&claims["aud"], &claims["iss"]), (&json!(server), &json!(theirs.issuer)));
        theirs.app.keys.verify_own(got.access()).expect("a token of theirs");
    }
    assert_ne!(first.access(), second.access());
}

/// The desk's server asks for the token of hers.
async fn asks(ours: &Server, browser: &Browser, server: &str) -> Tokens {
    let sent = Client::desk().scope("tickets:read").obtain(ours, browser, "ada").await;
    trade(ours, ("tickets-server", "0123456789-server-secret"), sent.access(), ("resource", server)).await
}

#[rstest]
#[tokio::test]
async fn an_account_at_another_chancery_is_connected_and_used(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((theirs, server)) = theirs(on, "'*'").await else { return };
    let ours = Server::start_with(on, &used(&server)).await.unwrap();
    connects_and_is_served(&ours, &theirs, &server).await;
}

/// The other company's Chancery knows us by nothing but our document.
#[rstest]
#[tokio::test]
async fn another_chancery_issues_tokens_for_its_server(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((theirs, server)) = theirs(on, "'*'").await else { return };
    let ours = Server::start_with(on, &connected_to(&server, "")).await.unwrap();
    let (connection, vendors) = (notes(&ours), &ours.app.vault.vendors);
    let document = ours.json("/connect/notes/client.json").await;
    assert_eq!(document["client_id"], ours.url("/connect/notes/client.json"));

    let (verifier, scopes) = (Entropy::System.token(), ScopeSet::parse("tickets:read").unwrap());
    let redirect_uri = ours.url("/connect/notes/callback");
    let authorization = Authorization {
        redirect_uri: &redirect_uri,
        state: "state",
        challenge: &CodeChallenge::of(&verifier),
        scopes: &scopes,
        held: &ScopeSet::default(),
    };
    let url = vendors.authorize_url(&connection, &authorization).await.unwrap();
    let browser = Browser::new();
    let page = browser.open_until(url.as_str(), &redirect_uri).await;
    let page = sign_in(&theirs, &browser, page, "ada", &redirect_uri).await;
    assert!(page.text().contains("Chancery"), "the name in our document: {}", page.text());
    let allowed = page.form(&theirs.path("/interaction/")).set("decision", "allow");
    let back = browser.submit_until(&allowed, &redirect_uri).await;
    assert!(back.url.as_str().starts_with(&redirect_uri), "{}", back.url);
    vendors.answered_by(&connection, back.parameter("iss").as_deref()).await.unwrap();
    assert!(vendors.answered_by(&connection, Some(&ours.issuer)).await.is_err(), "another's answer");
    assert!(vendors.answered_by(&connection, None).await.is_err(), "theirs always names itself");

    let redemption = Redemption {
        code: &Secret::new(back.parameter("code").unwrap()),
        verifier: &Secret::new(verifier.clone()),
        redirect_uri: &redirect_uri,
        scopes: &scopes,
    };
    let first = vendors.exchange(&connection, &redemption).await.unwrap();
    let second = vendors.refresh(&connection, first.refresh_token.as_ref().unwrap(), &scopes).await.unwrap();
    for tokens in [&first, &second] {
        let claims = claims_of(tokens.access_token.expose());
        assert_eq!((&claims["aud"], &claims["iss"]), (&json!(server), &json!(theirs.issuer)));
        assert_eq!(claims["client_id"], document["client_id"]);
        assert_eq!(tokens.scopes, scopes);
        theirs.app.keys.verify_own(tokens.access_token.expose()).expect("a token of theirs");
    }
    assert_ne!(
        first.refresh_token.as_ref().map(Secret::expose),
        second.refresh_token.as_ref().map(Secret::expose)
    );
}

/// A host with these documents.
async fn host(about: impl Fn(&str) -> Value, server: impl Fn(&str) -> Value) -> MockServer {
    let host = MockServer::start().await;
    let at = host.uri();
    for (place, document) in [
        ("/.well-known/oauth-protected-resource/notes", about(&at)),
        ("/.well-known/oauth-authorization-server", server(&at)),
    ] {
        Mock::given(path(place))
            .respond_with(ResponseTemplate::new(200).set_body_json(document))
            .mount(&host)
            .await;
    }
    host
}

fn about(at: &str) -> Value {
    json!({ "resource": format!("{at}/notes"), "authorization_servers": [at] })
}

fn issuing(at: &str) -> Value {
    json!({
        "issuer": at, "authorization_endpoint": format!("{at}/authorize"), "token_endpoint": format!("{at}/token"),
        "code_challenge_methods_supported": ["S256"], "client_id_metadata_document_supported": true,
    })
}

fn with(mut document: Value, name: &str, value: Value) -> Value {
    document[name] = value;
    document
}

async fn sent_to(host: &MockServer, keys: &str) -> Result<Url, VendorError> {
    let ours =
        Server::start_with(On::Sqlite, &connected_to(&format!("{}/notes", host.uri()), keys)).await.unwrap();
    ask_where(&ours).await
}

async fn ask_where(ours: &Server) -> Result<Url, VendorError> {
    let authorization = Authorization {
        redirect_uri: "http://127.0.0.1/callback",
        state: "state",
        challenge: &CodeChallenge::of("verifier"),
        scopes: &ScopeSet::default(),
        held: &ScopeSet::default(),
    };
    ours.app.vault.vendors.authorize_url(&notes(ours), &authorization).await
}

#[tokio::test]
async fn a_server_that_says_everything_right_is_gone_to() {
    let host = host(about, issuing).await;
    let url = sent_to(&host, "").await.unwrap();
    assert!(url.as_str().starts_with(&format!("{}/authorize?", host.uri())), "{url}");
    assert!(
        url.query_pairs().any(|(name, value)| name == "resource" && value == format!("{}/notes", host.uri()))
    );
    let pinned = sent_to(&host, &format!(", issuer: \"{}\"", host.uri())).await;
    assert!(pinned.is_ok(), "{pinned:?}");
}

/// An address without a path is the same with a slash, which some servers add. The issuer's own word is what `iss` is
/// compared with.
#[rstest]
#[case::at_the_resource("/", "")]
#[case::at_the_issuer("", "/")]
#[tokio::test]
async fn a_slash_makes_no_other_issuer(
    #[case] named: &str,
    #[case] own: &str,
    #[values("", "/")] pinned: &str,
    #[values(true, false)] is_pinned: bool,
) {
    let announced = "authorization_response_iss_parameter_supported";
    let host = host(
        |at| with(about(at), "authorization_servers", json!([format!("{at}{named}")])),
        |at| with(with(issuing(at), "issuer", json!(format!("{at}{own}"))), announced, json!(true)),
    )
    .await;
    let keys = format!(", issuer: \"{}{pinned}\"", host.uri());
    let keys = if is_pinned { keys.as_str() } else { "" };
    let sections = connected_to(&format!("{}/notes", host.uri()), keys);
    let ours = Server::start_with(On::Sqlite, &sections).await.unwrap();
    ask_where(&ours).await.unwrap();
    let answered = |iss: String| {
        let (connection, vendors) = (notes(&ours), &ours.app.vault.vendors);
        async move { vendors.answered_by(&connection, Some(&iss)).await.is_ok() }
    };
    assert!(answered(format!("{}{own}", host.uri())).await);
    assert!(!answered(format!("{}{own}x", host.uri())).await);
}

#[rstest]
#[case::another_resource(("resource", json!("https://mcp.acme.com/other")), ("", Value::Null), "another resource")]
#[case::nobody(("authorization_servers", json!([])), ("", Value::Null), "names no authorization server")]
#[case::no_url(("authorization_servers", json!(["somebody"])), ("", Value::Null), "is no URL")]
#[case::insecure_server(("authorization_servers", json!(["http://10.0.0.1"])), ("", Value::Null), "https://")]
#[case::inwards(("authorization_servers", json!(["https://10.0.0.1"])), ("", Value::Null), "public internet")]
#[case::metadata_service(("authorization_servers", json!(["https://169.254.169.254"])), ("", Value::Null), "public internet")]
#[case::token_inwards(("", Value::Null), ("token_endpoint", json!("https://169.254.169.254/token")), "may not be used")]
#[case::authorize_inwards(("", Value::Null), ("authorization_endpoint", json!("https://[fd00::1]/a")), "may not be used")]
#[case::revocation_inwards(("", Value::Null), ("revocation_endpoint", json!("https://192.168.1.1/r")), "may not be used")]
#[case::userinfo_inwards(("", Value::Null), ("userinfo_endpoint", json!("https://10.0.0.1/me")), "may not be used")]
#[case::impostor(("", Value::Null), ("issuer", json!("https://login.acme.com")), "calls itself something else")]
#[case::insecure(("", Value::Null), ("token_endpoint", json!("http://login.acme.com/token")), "may not be used")]
#[case::no_pkce(("", Value::Null), ("code_challenge_methods_supported", json!(["plain"])), "PKCE")]
#[case::pkce_unsaid(("", Value::Null), ("code_challenge_methods_supported", json!([])), "PKCE")]
#[case::no_documents(("", Value::Null), ("client_id_metadata_document_supported", json!(false)), "register Chancery")]
#[case::registers_inwards(("", Value::Null), ("registration_endpoint", json!("https://10.0.0.1/register")), "may not be used")]
#[tokio::test]
async fn a_server_that_says_something_wrong_is_not_gone_to(
    #[case] (of_resource, its_value): (&str, Value),
    #[case] (of_server, server_value): (&str, Value),
    #[case] told: &str,
) {
    let host = host(
        |at| if of_resource.is_empty() { about(at) } else { with(about(at), of_resource, its_value.clone()) },
        |at| {
            if of_server.is_empty() {
                issuing(at)
            } else {
                with(issuing(at), of_server, server_value.clone())
            }
        },
    )
    .await;
    let error = sent_to(&host, "").await.unwrap_err();
    assert!(error.to_string().contains(told), "{error}");
    assert!(matches!(error, VendorError::Malformed { .. }), "{error:?}");
}

/// A server may keep its document anywhere, and says where when it is called without a token.
#[rstest]
#[case::alone(&[r#"Bearer resource_metadata="AT/elsewhere""#], true)]
#[case::among_others(&[r#"Basic realm="x", Bearer error="invalid_token", Resource_Metadata="AT/elsewhere", scope="a""#], true)]
#[case::in_another_header(&[r#"Basic realm="x""#, r#"DPoP resource_metadata = "AT/elsewhere""#], true)]
#[case::unsaid(&["Bearer"], false)]
#[case::no_url(&[r#"Bearer resource_metadata="elsewhere""#], false)]
#[case::another_name(&[r#"Bearer x_resource_metadata="AT/elsewhere""#], false)]
#[case::gone(&[r#"Bearer resource_metadata="AT/nowhere""#], false)]
#[tokio::test]
async fn a_server_says_where_its_document_is(#[case] challenges: &[&str], #[case] found: bool) {
    let host = host(|_| json!({}), issuing).await;
    let refusal = challenges.iter().fold(ResponseTemplate::new(401), |refusal, challenge| {
        refusal.append_header("www-authenticate", challenge.replace("AT", &host.uri()))
    });
    Mock::given(path("/notes")).respond_with(refusal).mount(&host).await;
    let document = ResponseTemplate::new(200).set_body_json(about(&host.uri()));
    Mock::given(path("/elsewhere")).respond_with(document).mount(&host).await;
    let sent = sent_to(&host, "").await;
    assert_eq!(sent.is_ok(), found, "{sent:?}");
    let requests = host.received_requests().await.unwrap();
    let call = requests.iter().find(|request| request.url.path() == "/notes").unwrap();
    assert!(!call.headers.contains_key("authorization") && call.method.as_str() == "POST");
}

/// Nobody is led into our network by it.
#[rstest]
#[case("https://10.0.0.1/metadata", "public internet")]
#[case("http://169.254.169.254/latest", "https://")]
#[tokio::test]
async fn a_server_cannot_send_us_inwards_for_its_document(#[case] at: &str, #[case] told: &str) {
    let host = host(about, issuing).await;
    let challenge = format!("Bearer resource_metadata=\"{at}\"");
    let refusal = ResponseTemplate::new(401).append_header("www-authenticate", challenge);
    Mock::given(path("/notes")).respond_with(refusal).mount(&host).await;
    let error = sent_to(&host, "").await.unwrap_err();
    assert!(error.to_string().contains(told) && matches!(error, VendorError::Malformed { .. }), "{error:?}");
}

/// An operator's own MCP server may lie in his own network: where he configured an address, it is asked.
#[tokio::test]
async fn a_server_of_the_operators_own_network_is_asked() {
    let ours =
        Server::start_with(On::Sqlite, &connected_to("https://10.255.255.1:1/notes", "")).await.unwrap();
    let error = ask_where(&ours).await.unwrap_err();
    assert!(matches!(error, VendorError::Unavailable { .. }), "asked, and nobody there: {error:?}");
}

/// Where their server takes no documents it registers us, once for all our instances and for as long as it is the
/// issuer.
#[rstest]
#[tokio::test]
async fn a_server_that_takes_no_documents_registers_us(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((theirs, server)) = theirs(on, "").await else { return };
    let ours = Server::start_with(on, &used(&server)).await.unwrap();
    connects_and_is_served(&ours, &theirs, &server).await;
    let event = ours.last("connection.registered").await;
    assert_eq!((event.detail("connection"), event.detail("issuer")), ("notes".into(), theirs.issuer.clone()));
    let twin = ours.twin().await;
    let url = ask_where(&twin).await.unwrap();
    let client_id = url.query_pairs().find(|(name, _)| name == "client_id").unwrap().1.into_owned();
    assert_eq!(client_id, event.detail("client_id"));
    assert_eq!((ours.rows("vendor_clients").await, ours.recorded("connection.registered").await), (1, 1));
    assert_eq!(theirs.rows("clients").await, 1);
}

/// Their server has lost what it knew of us. Its people are told to connect again, and can.
#[rstest]
#[tokio::test]
async fn a_server_that_has_forgotten_us_registers_us_anew(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((theirs, server)) = theirs(on, "").await else { return };
    let ours = Server::start_with(on, &used(&server)).await.unwrap();
    connects_and_is_served(&ours, &theirs, &server).await;
    let lost = ours.last("connection.registered").await.detail("client_id");
    theirs.execute("DELETE FROM clients".to_owned()).await;
    ours.later(Duration::from_secs(3600));
    let browser = Browser::new();
    let got = asks(&ours, &browser, &server).await;
    assert_eq!((got.status, got.error()), (503, "temporarily_unavailable"), "{}", got.body);
    let event = ours.last("connection.unregistered").await;
    assert_eq!((event.detail("client_id"), event.detail("issuer")), (lost.clone(), theirs.issuer.clone()));
    assert_eq!(ours.reasons("connection.unregistered").await, ["invalid_client"]);
    ours.later(Duration::from_secs(60));
    let got = asks(&ours, &browser, &server).await;
    assert_eq!((got.status, got.error()), (400, "interaction_required"), "{}", got.body);
    assert_eq!(got.body["reason"], "needs_reconnect:revoked");
    assert_ne!(ours.last("connection.registered").await.detail("client_id"), lost);
    connects_and_is_served(&ours, &theirs, &server).await;
    assert_eq!((ours.rows("vendor_clients").await, ours.rows("connections").await), (1, 1));
}

/// All instances go by it at once.
#[rstest]
#[tokio::test]
async fn an_operator_has_us_registered_anew(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((theirs, server)) = theirs(on, "").await else { return };
    let ours = Server::start_with(on, &used(&server)).await.unwrap();
    let twin = ours.twin().await;
    let first = ask_where(&twin).await.unwrap();
    assert_eq!(ask_where(&ours).await.unwrap(), first);
    theirs.execute("DELETE FROM clients".to_owned()).await;
    assert_eq!(ask_where(&ours).await.unwrap(), first, "nobody told us");
    let told = ours.admin(&["connection", "unregister", "notes"]);
    let known_as = first.query_pairs().find(|(name, _)| name == "client_id").unwrap().1.into_owned();
    let line = format!("no longer used: 1\n  {known_as} at {}\nnumber    ", theirs.issuer);
    assert!(told.out.starts_with(&line), "{} {}", told.out, told.err);
    assert_eq!(ours.reasons("connection.unregistered").await, ["operator"]);
    let second = ask_where(&twin).await.unwrap();
    assert_ne!(second, first);
    assert_eq!((ask_where(&ours).await.unwrap(), theirs.rows("clients").await), (second, 1));
    let done = ours.operator(&["connection", "unregister", "notes"]);
    assert_eq!(done["clients"].as_array().map(Vec::len), Some(1));
    let told = ours.admin(&["connection", "unregister", "notes"]);
    assert_eq!((told.code, told.out.as_str()), (0, "connection notes: no server had registered us\n"));
}

/// However many ask at one instance, it registers us once.
#[tokio::test]
async fn an_instance_registers_once_at_a_time() {
    let host = host(about, registering).await;
    let answer = json!({ "client_id": "c", "token_endpoint_auth_method": "none" });
    let answer = ResponseTemplate::new(201).set_body_json(answer).set_delay(Duration::from_millis(100));
    Mock::given(path("/register")).respond_with(answer).expect(1).mount(&host).await;
    let keys = connected_to(&format!("{}/notes", host.uri()), "");
    let ours = Server::start_with(On::Sqlite, &keys).await.unwrap();
    let (one, two, three) = tokio::join!(ask_where(&ours), ask_where(&ours), ask_where(&ours));
    assert!(one.is_ok() && one == two && two == three, "{one:?} {two:?} {three:?}");
}

/// Two instances that register at the same moment go on as one client.
#[rstest]
#[tokio::test]
async fn instances_that_register_at_once_are_one_client(#[values(On::Sqlite, On::Postgres)] on: On) {
    let host = host(about, registering).await;
    let given = std::sync::atomic::AtomicUsize::new(0);
    Mock::given(path("/register"))
        .respond_with(move |_: &wiremock::Request| {
            let number = given.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            ResponseTemplate::new(201)
                .set_body_json(
                    json!({ "client_id": format!("c-{number}"), "token_endpoint_auth_method": "none" }),
                )
                .set_delay(Duration::from_millis(100))
        })
        .mount(&host)
        .await;
    let Some(ours) = Server::start_with(on, &connected_to(&format!("{}/notes", host.uri()), "")).await else {
        return;
    };
    let twin = ours.twin().await;
    let (one, two) = tokio::join!(ask_where(&ours), ask_where(&twin));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(ours.rows("vendor_clients").await, 1);
    let requests = host.received_requests().await.unwrap();
    let sent = requests.iter().find(|request| request.url.path() == "/register").unwrap();
    let sent: Value = serde_json::from_slice(&sent.body).unwrap();
    let expected = json!({
        "client_name": "Chancery", "client_uri": ours.issuer, "redirect_uris": [ours.url("/connect/notes/callback")],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    assert_eq!(sent, expected);
}

fn registering(at: &str) -> Value {
    let document = with(issuing(at), "client_id_metadata_document_supported", json!(false));
    with(document, "registration_endpoint", json!(format!("{at}/register")))
}

#[rstest]
#[case::a_secret(201, json!({ "client_id": "c", "client_secret": "s", "token_endpoint_auth_method": "client_secret_post" }), "only with a secret")]
#[case::a_secret_unsaid(201, json!({ "client_id": "c", "client_secret": "s" }), "only with a secret")]
#[case::no_name(201, json!({ "client_id": "" }), "cannot be used")]
#[case::nothing(201, json!({}), "something that is none")]
#[case::no_json(200, json!("<html>"), "something that is none")]
#[case::refused(400, json!({ "error": "invalid_redirect_uri" }), "refused the request: invalid_redirect_uri")]
#[case::closed(403, json!({}), "refused the request: http_403")]
#[case::down(503, json!({}), "status 503")]
#[case::inwards(307, json!({}), "redirect")]
#[tokio::test]
async fn a_registration_that_is_none_is_not_kept(
    #[case] status: u16,
    #[case] body: Value,
    #[case] told: &str,
) {
    let host = host(about, registering).await;
    let answer = ResponseTemplate::new(status)
        .insert_header("location", "http://169.254.169.254/")
        .set_body_json(body);
    Mock::given(path("/register")).respond_with(answer).mount(&host).await;
    let ours =
        Server::start_with(On::Sqlite, &connected_to(&format!("{}/notes", host.uri()), "")).await.unwrap();
    let error = ask_where(&ours).await.unwrap_err();
    assert!(error.to_string().contains(told), "{error}");
    assert_eq!((ours.rows("vendor_clients").await, ours.recorded("connection.registered").await), (0, 0));
}

/// The operator said who may issue; the server cannot say otherwise.
#[tokio::test]
async fn a_pinned_issuer_is_the_only_one() {
    let host = host(about, issuing).await;
    let error = sent_to(&host, ", issuer: \"https://login.acme.com\"").await.unwrap_err();
    assert!(error.to_string().contains("not the configured one"), "{error}");
}

/// Where we are registered by hand there is no document, and a client that has a secret has none either.
#[tokio::test]
async fn a_document_is_for_connections_that_need_one() {
    let url = "https://mcp.acme.com/notes";
    let ours = Server::start_with(On::Sqlite, &connected_to(url, ", client_id: us, client_secret: s"))
        .await
        .unwrap();
    for name in ["notes", "nothing", "NOT%20A%20NAME"] {
        let path = format!("/connect/{name}/client.json");
        assert_eq!(ours.request(Method::GET, &path).send().await.unwrap().status(), 404, "{name}");
    }
}
