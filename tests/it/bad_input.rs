//! Requests that nobody honest sends: each ends in a clear refusal, with nothing consumed and never as a fault of ours.

use std::time::Duration;

use reqwest::Method;
use rstest::rstest;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Browser, Client, On, Server, http};

const INTERACTION: &str = "/interaction/01938f5e-8c00-7000-8000-000000000000";

/// Every address that takes parameters, with the method by which it does.
const ENDPOINTS: [(Method, &str); 15] = [
    (Method::GET, "/oauth/authorize"),
    (Method::POST, "/oauth/authorize"),
    (Method::POST, "/oauth/token"),
    (Method::POST, "/oauth/register"),
    (Method::GET, INTERACTION),
    (Method::POST, INTERACTION),
    (Method::GET, "/login"),
    (Method::POST, "/login"),
    (Method::GET, "/login/test"),
    (Method::GET, "/login/test/callback"),
    (Method::GET, "/login/test/signed-out"),
    (Method::POST, "/logout"),
    (Method::GET, "/account"),
    (Method::POST, "/account/applications/end"),
    (Method::POST, "/account/sessions/end"),
];

/// A refusal in the form that whoever asks can read: a page for a browser, RFC 6749 §5.2 for a program.
async fn is_refused(answer: reqwest::Response, what: &str) {
    let (status, headers) = (answer.status(), answer.headers().clone());
    assert!(status.is_client_error(), "{what}: {status}");
    assert!(!headers.contains_key("set-cookie"), "{what}: nothing is begun");
    let body = answer.text().await.unwrap();
    match headers.get("content-type").map(|value| value.to_str().unwrap()) {
        Some("application/json") => {
            let body: Value = serde_json::from_str(&body).unwrap();
            assert!(body["error"].is_string() && body["error_description"].is_string(), "{what}: {body}");
            assert_eq!(headers["cache-control"], "no-store", "{what}");
        }
        Some("text/html; charset=utf-8") => {
            assert!(body.contains("Reference"), "{what}: {body}");
            assert!(headers.contains_key("content-security-policy"), "{what}");
        }
        other => assert!(body.is_empty() || status == 405, "{what}: {status} {other:?} {body}"),
    }
}

/// Sends `encoded` where the endpoint takes its parameters, as our own page would.
async fn send(server: &Server, method: &Method, path: &str, encoded: Vec<u8>) -> reqwest::Response {
    let request = if *method == Method::GET {
        let query = String::from_utf8(encoded).unwrap();
        http().get(format!("{}?{query}", server.url(path)))
    } else {
        let request = server.request(method.clone(), path).header("sec-fetch-site", "same-origin");
        request.header("content-type", "application/x-www-form-urlencoded").body(encoded)
    };
    request.send().await.unwrap()
}

/// OAuth 2.1 §3.1: a parameter at most once; our own bounds; text that is text.
#[tokio::test]
async fn parameters_that_no_client_sends_are_refused_everywhere() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let many: String = (0..65).fold(String::new(), |all, i| format!("{all}p{i}=1&"));
    for (method, path) in ENDPOINTS {
        for (what, encoded) in [
            ("repeated", "client_id=desk&client_id=desk".to_owned()),
            ("repeated, once empty", "state=&client_id=desk&state=x".to_owned()),
            ("repeated in another encoding", "client_id=desk&client%5fid=desk".to_owned()),
            ("oversized", format!("state={}", "x".repeat(17 * 1024))),
            ("an oversized name", format!("{}=x", "x".repeat(300))),
            ("too many", many.clone()),
            ("NUL", "client_id=desk%00".to_owned()),
            ("broken UTF-8", "client_id=%ff%fe".to_owned()),
            ("an overlong encoding", "client_id=%c0%af".to_owned()),
            ("half a surrogate pair", "client_id=%ed%a0%80".to_owned()),
        ] {
            // The page of an interaction takes no parameters by GET: whatever is there is ignored, and it is nobody's.
            let what = format!("{method} {path}: {what}");
            is_refused(send(&server, &method, path, encoded.into_bytes()).await, &what).await;
        }
    }
    for table in ["interactions", "logins", "browser_sessions", "clients"] {
        assert_eq!(server.rows(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn raw_bytes_in_a_body_are_no_text() {
    let server = Server::start(On::Sqlite).await.unwrap();
    for (method, path) in ENDPOINTS.iter().filter(|(method, _)| *method == Method::POST) {
        for encoded in [b"client_id=\xff".to_vec(), b"client_id=a\0b".to_vec(), vec![0xff; 1000]] {
            is_refused(send(&server, method, path, encoded).await, path).await;
        }
    }
}

#[tokio::test]
async fn bodies_of_another_type_or_of_two_megabytes_are_refused() {
    let server = Server::start(On::Sqlite).await.unwrap();
    for (method, path) in ENDPOINTS.iter().filter(|(method, _)| *method == Method::POST) {
        for content_type in ["application/json", "multipart/form-data; boundary=x", "text/plain", ""] {
            let mut request = server
                .request(method.clone(), path)
                .header("sec-fetch-site", "same-origin")
                .body("client_id=desk");
            if !content_type.is_empty() {
                request = request.header("content-type", content_type);
            }
            is_refused(request.send().await.unwrap(), &format!("{path}: {content_type}")).await;
        }
        let large = format!("client_id=desk&x={}", "y".repeat(2 << 20)).into_bytes();
        is_refused(send(&server, method, path, large).await, &format!("{path}: 2 MB")).await;
    }
}

/// A request that is wrong in its form uses up nothing that it carries.
#[rstest]
#[case::repeated_code("&code=x", "application/x-www-form-urlencoded")]
#[case::repeated_verifier("&code_verifier=x", "application/x-www-form-urlencoded")]
#[case::repeated_grant("&grant_type=authorization_code", "application/x-www-form-urlencoded")]
#[case::repeated_client("&client_id=desk", "application/x-www-form-urlencoded")]
#[case::nul("&x=%00", "application/x-www-form-urlencoded")]
#[case::as_json("", "application/json")]
#[case::as_text("", "text/plain")]
#[tokio::test]
async fn a_malformed_exchange_leaves_the_code_alone(
    #[case] more: &str,
    #[case] content_type: &str,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let parameters = client.exchange_parameters(&code);
    let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
    let request = server.request(Method::POST, "/oauth/token").header("content-type", content_type);
    let answer = request.body(format!("{encoded}{more}")).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"], "invalid_request");

    let in_the_address = format!("{}?{encoded}", server.url("/oauth/token"));
    let answer = http().post(in_the_address).form(&[("x", "y")]).send().await.unwrap();
    assert!(answer.status().is_client_error(), "parameters in an address end in logs: they do not count");
    assert_eq!(client.exchange(&server, &code).await.status, 200);
}

#[tokio::test]
async fn other_methods_are_answered_with_those_that_are_there() {
    let server = Server::start(On::Sqlite).await.unwrap();
    for (path, allowed) in [
        ("/oauth/token", "POST"),
        ("/oauth/register", "POST"),
        ("/logout", "POST"),
        ("/account/applications/end", "POST"),
        ("/.well-known/oauth-authorization-server", "GET,HEAD"),
        ("/.well-known/jwks.json", "GET,HEAD"),
        ("/account", "GET,HEAD"),
        ("/oauth/authorize", "GET,HEAD,POST"),
        ("/healthz", "GET,HEAD"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "X"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = server.request(method.clone(), path).send().await.unwrap();
            let is_there = allowed.split(',').any(|known| known == method.as_str());
            assert_eq!(answer.status() == 405, !is_there, "{method} {path}: {}", answer.status());
            if !is_there {
                assert_eq!(answer.headers()["allow"], allowed, "{method} {path} (RFC 9110 §15.5.6)");
            }
        }
    }
}

/// RFC 9110 §9.3.2: HEAD is GET without the body.
#[tokio::test]
async fn head_says_what_get_says() {
    let server = Server::start(On::Sqlite).await.unwrap();
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
        "/account",
        "/nothing",
        "/healthz",
    ] {
        let get = server.request(Method::GET, path).send().await.unwrap();
        let head = server.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!(head.status(), get.status(), "{path}");
        for name in ["content-type", "cache-control", "location", "x-frame-options"] {
            assert_eq!(head.headers().get(name), get.headers().get(name), "{path}: {name}");
        }
        assert_eq!(head.text().await.unwrap(), "", "{path}");
    }
}

#[tokio::test]
async fn nothing_lives_at_other_addresses() {
    let server = Server::start(On::Sqlite).await.unwrap();
    for path in [
        "/",
        "/oauth",
        "/oauth/token/",
        "/oauth//token",
        "//oauth/token",
        "/OAuth/token",
        "/oauth/token%00",
        "/oauth%2ftoken",
        "/.well-known",
        "/.well-known/",
        "/.well-known/jwks.json/",
        "/.env",
        "/interaction/",
        "/interaction/x/y",
        "/assets/",
        "/assets/../account/x",
        "/login/test/callback/x",
        "/%ff",
        "/%2e%2e/account",
        "/account;x=y",
        "/wp-admin.php",
        "/oauth/revoke",
        "/authorize",
        "/token",
        "/register",
    ] {
        let answer =
            server.raw(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    for path in ["/interaction/x", "/interaction/%ff", "/interaction/%00", "/interaction/..%2faccount"] {
        let answer =
            server.raw(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
    }
}

/// What hyper is to refuse before any of ours is reached.
#[tokio::test]
async fn requests_that_are_no_http_are_cut_off() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let flood: String = (0..200).fold(String::new(), |all, i| format!("{all}x-{i}: y\r\n"));
    let large = format!("x: {}\r\n", "y".repeat(512 * 1024));
    for (what, request, statuses) in [
        ("many headers", format!("GET /account HTTP/1.1\r\nhost: x\r\n{flood}\r\n"), &["431"][..]),
        ("large headers", format!("GET /account HTTP/1.1\r\nhost: x\r\n{large}\r\n"), &["431"]),
        ("a long address", format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(70_000)), &["414", "431"]),
        ("garbage", "\0\x01\x02\r\n\r\n".to_owned(), &["400"]),
        ("a broken line", "GET\r\n\r\n".to_owned(), &["400"]),
        ("two lengths", "POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(), &["400"]),
        ("a wrong length", "POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".to_owned(), &["400"]),
        ("a broken chunk", "POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_owned(), &["400"]),
        ("a TLS greeting", "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(), &["400"]),
    ] {
        let answer = server.raw(&request).await;
        assert!(
            statuses.iter().any(|status| answer.starts_with(&format!("HTTP/1.1 {status} "))),
            "{what}: {}",
            answer.lines().next().unwrap_or("closed without a word")
        );
    }
    assert_eq!(server.request(Method::GET, "/healthz").send().await.unwrap().status(), 200);
}

/// axum's own server would wait for ever. The one slow story: it lasts as long as the server's patience.
#[tokio::test]
async fn a_client_that_dawdles_is_let_go() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let closed = async |greeting: &[u8]| {
        let mut stream = server.connect().await;
        stream.write_all(greeting).await.unwrap();
        stream.read(&mut [0; 16]).await.map_or(0, |read| read)
    };
    let drip = async {
        let mut stream = server.connect().await;
        for byte in b"GET /account HTTP/1.1\r\nhost: x\r\nx-slow: ".iter().chain(std::iter::repeat(&b'y')) {
            let pause = tokio::time::timeout(Duration::from_millis(200), stream.read_u8());
            if pause.await.is_ok() || stream.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    };
    let headers = async {
        let silent = async { tokio::join!(closed(b""), closed(b"P"), closed(b"PRI * HTTP/2.0\r\n\r\nSM")) };
        tokio::join!(drip, silent)
    };
    let headers = tokio::time::timeout(Duration::from_secs(12), headers);
    let body = async {
        let mut stream = server.connect().await;
        let head = "POST /oauth/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100\r\n\
                    content-type: application/x-www-form-urlencoded\r\n\r\ngrant_type=";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (headers, body) = tokio::join!(headers, tokio::time::timeout(Duration::from_secs(22), body));
    assert_eq!(headers.expect("closed by then").1, (0, 0, 0), "closed without a word");
    let body = body.expect("answered by then");
    assert!(body.starts_with("HTTP/1.1 503 ") && body.contains("\r\nretry-after: "), "{body}");
}
