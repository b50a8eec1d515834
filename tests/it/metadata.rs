//! What clients and resource servers read about us, and which of it a script of another site may read.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use reqwest::{Method, Response};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Browser, Client, On, PLAIN, Server, Setup, http};

/// RFC 8414 §2 and OpenID Connect Discovery §3, with what MCP adds: both documents hold all of it.
#[rstest]
#[tokio::test]
async fn both_documents_say_what_clients_need(
    #[values("oauth-authorization-server", "openid-configuration")] name: &str,
) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let answer = server.request(Method::GET, &format!("/.well-known/{name}")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=300");
    let document: Value = answer.json().await.unwrap();
    let issuer = &server.issuer;
    for (member, value) in [
        ("issuer", json!(issuer)),
        ("authorization_endpoint", json!(format!("{issuer}/oauth/authorize"))),
        ("token_endpoint", json!(format!("{issuer}/oauth/token"))),
        ("registration_endpoint", json!(format!("{issuer}/oauth/register"))),
        ("jwks_uri", json!(format!("{issuer}/.well-known/jwks.json"))),
        ("response_types_supported", json!(["code"])),
        (
            "grant_types_supported",
            json!([
                "authorization_code",
                "refresh_token",
                "client_credentials",
                "urn:ietf:params:oauth:grant-type:token-exchange"
            ]),
        ),
        ("code_challenge_methods_supported", json!(["S256"])),
        ("authorization_response_iss_parameter_supported", json!(true)),
        ("client_id_metadata_document_supported", json!(true)),
        (
            "scopes_supported",
            json!(["offline_access", "tickets:close", "tickets:read", "tickets:write", "wiki:read"]),
        ),
        ("subject_types_supported", json!(["public"])),
        ("id_token_signing_alg_values_supported", json!(["ES256"])),
    ] {
        assert_eq!(document[member], value, "{member}");
    }
    let mut methods: Vec<&str> =
        document["token_endpoint_auth_methods_supported"].as_array().unwrap().iter().map(text).collect();
    methods.sort_unstable();
    assert_eq!(methods, ["client_secret_basic", "client_secret_post", "none", "private_key_jwt"]);
    let signed_with = document["token_endpoint_auth_signing_alg_values_supported"].as_array().unwrap();
    assert!(signed_with.contains(&json!("ES256")) && !signed_with.contains(&json!("none")));
    assert!(signed_with.iter().all(|alg| !text(alg).starts_with("HS")), "{signed_with:?}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// What is announced is served (RFC 8414 §3.2): every endpoint in the document answers something other than 404.
#[tokio::test]
async fn every_announced_endpoint_is_there() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let document = server.json("/.well-known/oauth-authorization-server").await;
    for (member, value) in document.as_object().unwrap() {
        if member.ends_with("_endpoint") || member == "jwks_uri" {
            let answer = http().get(text(value)).send().await.unwrap();
            assert_ne!(answer.status(), 404, "{member}");
        }
    }
}

/// RFC 8414 §2: a `registration_endpoint` only where one may register; and CIMD's flag only where documents are read.
#[tokio::test]
async fn what_is_switched_off_is_not_announced() {
    let server = Setup::on(On::Sqlite)
        .replacing("dynamic: known_clients", "dynamic: closed")
        .replacing("allow_hosts: [\"*\"]", "allow_hosts: []")
        .start()
        .await
        .unwrap();
    let document = server.json("/.well-known/oauth-authorization-server").await;
    assert_eq!(document.get("registration_endpoint"), None);
    assert_eq!(document["client_id_metadata_document_supported"], false);
}

/// RFC 8414 §3.3: no document for an issuer that we are not.
#[rstest]
#[case("/.well-known/oauth-authorization-server/t1")]
#[case("/.well-known/openid-configuration/t1")]
#[case("/t1/.well-known/openid-configuration")]
#[case("/.well-known/oauth-authorization-server/")]
#[case("/.well-known/oauth-authorization-serverx")]
#[tokio::test]
async fn another_issuers_document_is_not_ours_to_give(#[case] path: &str) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let answer = server.request(Method::GET, path).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.headers().get("location"), None, "clients do not follow redirects here");
}

/// RFC 7517 §4 and §5, RFC 9068 §4: a resource server that knows nothing but the JWKS can verify a token.
#[rstest]
#[tokio::test]
async fn a_stranger_verifies_our_token_with_our_keys(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let tokens = Client::desk().obtain(&server, &Browser::new(), "ada").await;

    let answer = server.request(Method::GET, "/.well-known/jwks.json").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/jwk-set+json");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=300");
    let published = answer.text().await.unwrap();
    let raw: Value = serde_json::from_str(&published).unwrap();
    for key in raw["keys"].as_array().unwrap() {
        assert_eq!((&key["kty"], &key["crv"]), (&json!("EC"), &json!("P-256")));
        assert_eq!((&key["use"], &key["alg"]), (&json!("sig"), &json!("ES256")));
        assert_eq!(key.get("d"), None, "the private half stays here");
    }

    let header = jsonwebtoken::decode_header(tokens.access()).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("at+jwt"), Algorithm::ES256));
    let keys: JwkSet = serde_json::from_str(&published).unwrap();
    let key = keys.find(&header.kid.unwrap()).expect("the token names one of the keys");
    let mut rules = Validation::new(Algorithm::ES256);
    rules.validate_exp = false;
    rules.set_issuer(&[&server.issuer]);
    rules.set_audience(&["https://mcp.acme.example/tickets"]);
    let verified =
        jsonwebtoken::decode::<Value>(tokens.access(), &DecodingKey::from_jwk(key).unwrap(), &rules).unwrap();
    assert_eq!(verified.claims["client_id"], "desk");
    rules.set_audience(&["https://mcp.acme.example/wiki"]);
    let elsewhere =
        jsonwebtoken::decode::<Value>(tokens.access(), &DecodingKey::from_jwk(key).unwrap(), &rules);
    assert!(elsewhere.is_err(), "no other resource may take it");

    let (signed, signature) = tokens.access().rsplit_once('.').unwrap();
    let mut bits = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bits[7] ^= 1;
    let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bits));
    assert!(server.app.keys.verify_own(&forged).is_err());
}

/// RFC 9728 §3: the metadata of a resource that asks us to host it, at its own path; of no other.
#[tokio::test]
async fn resources_are_described_where_they_ask_for_it() {
    let sections =
        PLAIN.replace("    name: Ticket desk\n", "    name: Ticket desk\n    host_metadata: true\n").replace(
            "  wiki:\n",
            "  home:\n    uri: https://mcp.acme.example\n    name: Home\n    host_metadata: true\n    \
             scopes: { home: { description: Be home, default: true } }\n  wiki:\n",
        );
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let answer = server
        .request(Method::GET, "/.well-known/oauth-protected-resource/tickets")
        .header("origin", "https://inspector.example")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["cache-control"], "public, max-age=300");
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let document: Value = answer.json().await.unwrap();
    assert_eq!(
        document,
        json!({
            "resource": "https://mcp.acme.example/tickets",
            "resource_name": "Ticket desk",
            "authorization_servers": [server.issuer],
            "scopes_supported": ["tickets:read", "tickets:write", "tickets:close"],
            "bearer_methods_supported": ["header"],
        })
    );
    let root = server.json("/.well-known/oauth-protected-resource").await;
    assert_eq!(root["resource"], "https://mcp.acme.example", "in the form that the operator wrote");
    for path in ["/wiki", "/nothing", "/tickets/", "/tickets/x"] {
        let path = format!("/.well-known/oauth-protected-resource{path}");
        assert_eq!(server.request(Method::GET, &path).send().await.unwrap().status(), 404, "{path}");
    }
}

async fn preflight(server: &Server, path: &str, method: &str, headers: &str) -> Response {
    server
        .request(Method::OPTIONS, path)
        .header("origin", "https://inspector.example")
        .header("access-control-request-method", method)
        .header("access-control-request-headers", headers)
        .send()
        .await
        .unwrap()
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// OAuth 2.1 §3.2, MCP clients in browsers: the preflight of what programs fetch passes, with the headers they send.
#[rstest]
#[case("GET", "/.well-known/oauth-authorization-server", "mcp-protocol-version")]
#[case("GET", "/.well-known/openid-configuration", "mcp-protocol-version")]
#[case("GET", "/.well-known/oauth-protected-resource/tickets", "mcp-protocol-version")]
#[case("GET", "/.well-known/jwks.json", "mcp-protocol-version")]
#[case("POST", "/oauth/token", "authorization, content-type, mcp-protocol-version")]
#[case("POST", "/oauth/register", "authorization, content-type, mcp-protocol-version")]
#[tokio::test]
async fn scripts_of_other_sites_may_ask(#[case] method: &str, #[case] path: &str, #[case] sends: &str) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let answer = preflight(&server, path, method, sends).await;
    assert!(answer.status().is_success(), "{}", answer.status());
    assert_eq!(header(&answer, "access-control-allow-origin"), "*");
    assert!(header(&answer, "access-control-allow-methods").contains(method));
    let allowed = header(&answer, "access-control-allow-headers").to_ascii_lowercase();
    for name in sends.split(", ") {
        assert!(allowed.contains(name), "{name} is not in {allowed}");
    }
    assert_eq!(header(&answer, "access-control-allow-credentials"), "");

    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let answer =
        server.request(method, path).header("origin", "https://inspector.example").send().await.unwrap();
    assert_eq!(header(&answer, "access-control-allow-origin"), "*", "errors are readable too");
    assert_eq!(header(&answer, "access-control-allow-credentials"), "");
    assert_eq!(header(&answer, "set-cookie"), "", "what is open to all sites holds no session");
    let exposed = header(&answer, "access-control-expose-headers").to_ascii_lowercase();
    assert!(exposed.contains("www-authenticate"), "{exposed}");
}

/// OAuth 2.1 §3.1: pages are never open to scripts of other sites.
#[rstest]
#[case("GET", "/oauth/authorize")]
#[case("POST", "/oauth/authorize")]
#[case("GET", "/interaction/01938f5e-8c00-7000-8000-000000000000")]
#[case("POST", "/interaction/01938f5e-8c00-7000-8000-000000000000")]
#[case("GET", "/login")]
#[case("GET", "/login/test")]
#[case("GET", "/login/test/callback")]
#[case("POST", "/logout")]
#[case("GET", "/login/test/signed-out")]
#[case("GET", "/account")]
#[case("POST", "/account/applications/end")]
#[case("GET", "/nothing-here")]
#[tokio::test]
async fn pages_are_closed_to_scripts_of_other_sites(#[case] method: &str, #[case] path: &str) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let asked = preflight(&server, path, method, "content-type").await;
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let answered =
        server.request(method, path).header("origin", "https://evil.example").send().await.unwrap();
    for answer in [asked, answered] {
        let open = answer.headers().keys().find(|name| name.as_str().starts_with("access-control-"));
        assert_eq!(open, None);
        assert_eq!(header(&answer, "x-frame-options"), "DENY");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    }
}
