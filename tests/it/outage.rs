//! A database that is gone is nobody's refusal: each answer says to try again, and what a client holds stays good.

use reqwest::Method;
use rstest::rstest;

use crate::support::{Browser, Client, On, Server};

#[rstest]
#[tokio::test]
async fn a_stopped_database_is_a_503_everywhere(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser) = (Client::desk(), Browser::new());
    let code = client.authorize(&server, &browser, "ada").await;
    server.app.db.close().await;

    let tokens = client.exchange(&server, &code).await;
    assert_eq!((tokens.status, tokens.error()), (503, "temporarily_unavailable"));
    assert!(tokens.headers.contains_key("retry-after"));
    let registration = serde_json::json!({ "redirect_uris": ["http://127.0.0.1/callback"] });
    let answer = server.request(Method::POST, "/oauth/register").json(&registration).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    for path in ["/account", "/readyz"] {
        assert_eq!(browser.open(&server.url(path)).await.status, 503, "{path}");
    }
    let page = browser.open(&client.authorize_url(&server)).await;
    assert_eq!(page.status, 503);
    assert!(page.headers.contains_key("retry-after"));
    assert!(page.text().contains("We cannot answer just now"), "{}", page.text());
    for word in ["sql", "pool", "database"] {
        assert!(!page.body.to_lowercase().contains(word), "{word} is nobody's business: {}", page.body);
    }
    let alive = ["/healthz", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"];
    for path in alive {
        assert_eq!(server.request(Method::GET, path).send().await.unwrap().status(), 200, "{path}");
    }
}
