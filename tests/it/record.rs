//! What goes on record although nothing came of it, and what the house does of its own accord.

use std::time::Duration;

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{On, Server};

async fn register(server: &Server, body: &Value) -> u16 {
    server.request(Method::POST, "/oauth/register").json(body).send().await.unwrap().status().as_u16()
}

#[rstest]
#[tokio::test]
async fn a_registration_that_is_turned_away_is_recorded(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    assert_eq!(register(&server, &json!({ "redirect_uris": ["javascript:alert(1)"] })).await, 400);
    assert_eq!(register(&server, &json!({ "redirect_uris": ["http://127.0.0.1/cb"] })).await, 201);
    assert_eq!(server.reasons("registration.refused").await, ["invalid_redirect_uri"]);
    assert_eq!((server.rows("clients").await, server.recorded("client.registered").await), (1, 1));
}

/// A flood of them is refused on, and fills the record no further.
#[tokio::test]
async fn refusals_of_one_address_are_recorded_within_a_bound() {
    const RECORDED_A_MINUTE: i64 = 120;
    let server = Server::start(On::Sqlite).await.unwrap();
    let nonsense = json!({ "redirect_uris": [] });
    for _ in 0..RECORDED_A_MINUTE + 5 {
        assert!(matches!(register(&server, &nonsense).await, 400 | 429));
    }
    assert_eq!(server.recorded("registration.refused").await, RECORDED_A_MINUTE);
    server.later(Duration::from_secs(60));
    assert_eq!(register(&server, &nonsense).await, 400);
    assert_eq!(server.recorded("registration.refused").await, RECORDED_A_MINUTE + 1);
}

#[rstest]
#[tokio::test]
async fn keys_are_on_record(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    assert_eq!(server.recorded("key.created").await, 2, "the encryption key and the first signing key");
    let app = &server.app;
    app.keys.rotate(&app.db, &app.sealer, &app.entropy, Duration::from_secs(600)).await.unwrap();
    assert_eq!((server.recorded("key.created").await, server.recorded("key.retired").await), (3, 1));
}
