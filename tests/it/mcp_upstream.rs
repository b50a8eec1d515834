//! A remote MCP server as upstream: found by its own metadata, with our document as client, its tokens for it alone.

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

use crate::support::{Browser, On, PLAIN, Server, Setup, client::sign_in};

fn connected_to(url: &str, keys: &str) -> String {
    format!("{PLAIN}connections: {{ notes: {{ preset: mcp, name: Notes, url: \"{url}\" {keys} }} }}\n")
}

fn notes(server: &Server) -> Connection {
    let name = ConnectionName::try_from("notes".to_owned()).unwrap();
    server.app.config.connections.get(&name).unwrap().clone()
}

fn payload(token: &str) -> Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// The other company's Chancery stands before its MCP server, and knows us by nothing but our document.
#[rstest]
#[tokio::test]
async fn another_chancery_issues_tokens_for_its_server(#[values(On::Sqlite, On::Postgres)] on: On) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}/tickets", listener.local_addr().unwrap());
    let sections = PLAIN.replace(
        "uri: https://mcp.acme.example/tickets",
        &format!("uri: \"{server}\"\n    host_metadata: true"),
    );
    let Some(theirs) = Setup::on(on).sections(&sections).at(listener).start().await else { return };
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
        let claims = payload(tokens.access_token.expose());
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

/// An operator's own MCP server may lie in his own network: where he configured an address, it is asked.
#[tokio::test]
async fn a_server_of_the_operators_own_network_is_asked() {
    let ours =
        Server::start_with(On::Sqlite, &connected_to("https://10.255.255.1:1/notes", "")).await.unwrap();
    let error = ask_where(&ours).await.unwrap_err();
    assert!(matches!(error, VendorError::Unavailable { .. }), "asked, and nobody there: {error:?}");
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
