//! A client that knows the person has her and nobody else sign in again (`id_token_hint`, OpenID Connect Core
//! §3.1.2.1).

use std::time::Duration;

use rstest::rstest;

use super::{desk, serve};
use crate::support::{Browser, Client, On, Server, client::sign_in};

/// The client at an address where what is allowed is remembered.
fn web() -> Client {
    Client { redirect_uri: "https://desk.acme.example/callback".into(), ..desk() }
}

/// The error at the end of the way back.
async fn error(server: &Server, browser: &Browser, client: &Client) -> Option<String> {
    let page = browser.open_until(&client.authorize_url(server), &client.redirect_uri).await;
    assert!(page.url.as_str().starts_with(&client.redirect_uri), "{}: {}", page.url, page.text());
    page.parameter("error")
}

#[rstest]
#[tokio::test]
async fn silently_she_alone_is_told_of(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let browser = Browser::new();
    let hers = web().obtain(&server, &browser, "ada").await;
    let his = web().obtain(&server, &Browser::new(), "grace").await;
    let silent = |token: &str| web().with("prompt", "none").with("id_token_hint", token);
    server.later(Duration::from_secs(2 * 3600));
    assert_eq!(error(&server, &browser, &silent(hers.id_token())).await, None, "however old the token is");
    let refused = error(&server, &browser, &silent(his.id_token())).await;
    assert_eq!(refused.as_deref(), Some("login_required"));
    let nobody = error(&server, &Browser::new(), &silent(hers.id_token())).await;
    assert_eq!(nobody.as_deref(), Some("login_required"));
}

#[rstest]
#[tokio::test]
async fn she_is_asked_to_sign_in_where_somebody_else_is(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values("ada", "grace")] comes: &str,
) {
    let Some(server) = serve(on).await else { return };
    let browser = Browser::new();
    web().obtain(&server, &browser, "grace").await;
    let hers = web().obtain(&server, &Browser::new(), "ada").await;

    let client = web().with("id_token_hint", hers.id_token());
    let page = browser.open_until(&client.authorize_url(&server), &client.redirect_uri).await;
    assert!(page.url.as_str().starts_with(&server.provider), "{}: {}", page.url, page.text());
    assert_eq!(page.parameter("prompt").as_deref(), Some("login"), "or the provider would send him back");
    let back = sign_in(&server, &browser, page, comes, &client.redirect_uri).await;
    if comes == "ada" {
        let tokens = client.exchange(&server, &client.code(&server, &back)).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
    } else {
        assert_eq!(back.parameter("error").as_deref(), Some("login_required"), "{}", back.url);
    }
}

/// A token that is none of ours for this client says nothing of anybody.
#[tokio::test]
async fn a_hint_that_is_none_is_refused() {
    let server = serve(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let hers = web().obtain(&server, &browser, "ada").await;
    let backend = Client {
        id: "backend".into(),
        redirect_uri: "https://back.acme.example/callback".into(),
        ..desk().scope("openid")
    };
    let page = backend.begin(&server, &browser, "ada").await;
    let form = page.form("/interaction/").set("decision", "allow");
    let code = backend.code(&server, &browser.submit_until(&form, &backend.redirect_uri).await);
    let elsewhere = super::sign_in::exchange(&server, &backend, &code).await;
    let (head, rest) = hers.id_token().split_once('.').unwrap();
    let (payload, _) = rest.split_once('.').unwrap();
    let (_, signature) = elsewhere.id_token().rsplit_once('.').unwrap();
    let forged = format!("{head}.{payload}.{signature}");
    for hint in [forged.as_str(), elsewhere.id_token(), hers.access(), "x"] {
        let client = web().with("id_token_hint", hint);
        assert_eq!(error(&server, &browser, &client).await.as_deref(), Some("invalid_request"), "{hint}");
    }
    let whys = server.details("authorization.refused").await;
    assert_eq!(whys[0]["why"], "id_token_hint is no ID token that this issuer gave this client");

    let other = Client::desk().with("id_token_hint", "x");
    let page = other.begin(&server, &browser, "ada").await;
    assert!(page.find_form("/interaction/").is_some(), "the other issuer gives none, and asks for none");
}
