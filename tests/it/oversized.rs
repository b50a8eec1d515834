//! Requests beyond every measure are answered at once, and nothing comes of them.

use reqwest::{Method, header::CONTENT_TYPE};
use rstest::rstest;

use crate::support::{Browser, Client, On, Server};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

fn two_megabytes() -> Vec<u8> {
    [b"client_name=".as_slice(), &vec![b'x'; 2_000_000]].concat()
}

#[rstest]
#[case::token("/oauth/token", FORM)]
#[case::authorize("/oauth/authorize", FORM)]
#[case::register("/oauth/register", JSON)]
#[case::account("/account/applications/end", FORM)]
#[case::interaction("/interaction/nonsense", FORM)]
#[tokio::test]
async fn two_megabytes_are_too_many(#[case] path: &str, #[case] content_type: &str) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let request = server.request(Method::POST, path).header(CONTENT_TYPE, content_type);
    // The answer may come, and the connection end, before all of it was sent.
    if let Ok(answer) = request.body(two_megabytes()).send().await {
        assert!(answer.status().is_client_error(), "{path}: {}", answer.status());
    }
    let answer = server.request(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!((server.rows("clients").await, server.rows("interactions").await), (0, 0));
}

#[rstest]
#[case::array("[".repeat(30_000))]
#[case::object("{\"a\":".repeat(10_000))]
#[case::inside(format!("{{\"redirect_uris\":{}", "[".repeat(30_000)))]
#[tokio::test]
async fn a_deep_registration_is_refused(#[case] body: String) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let request = server.request(Method::POST, "/oauth/register").header(CONTENT_TYPE, JSON);
    let answer = request.body(body).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["error"], "invalid_client_metadata");
    assert_eq!(server.rows("clients").await, 0);
}

/// Long values and floods of parameters in an address are the application's mistake, shown on a page.
#[rstest]
#[case::long("state", "x".repeat(20_000))]
#[case::long_client("client_id", "x".repeat(20_000))]
#[case::long_scope("scope", "tickets:read ".repeat(2_000))]
#[tokio::test]
async fn an_oversized_parameter_is_refused(#[case] name: &str, #[case] value: String) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let url = Client::desk().with(name, &value).authorize_url(&server);
    let page = Browser::new().open_until(&url, "http://127.0.0.1:50123").await;
    let told = page.parameter("error").is_some() || (400..500).contains(&page.status);
    assert!(told, "{}: {}", page.status, page.url);
    assert_eq!(server.rows("interactions").await, 0);
}
