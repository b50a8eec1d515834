//! A database that is gone, or that fails in the middle: every answer says "later", none says "no", and nothing has
//! happened by half.

use std::time::Duration;

use reqwest::{Method, Response};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Browser, Client, On, Server, Tokens, browser::Page, client::account};

const HOUR: Duration = Duration::from_secs(3600);

/// An infrastructure fault, told as one: 503 with `Retry-After`, never `invalid_grant` and never a 500.
async fn says_later(answer: Response, what: &str) {
    assert_eq!(answer.status(), 503, "{what}");
    assert!(answer.headers().contains_key("retry-after"), "{what}");
    let is_json = answer.headers()["content-type"] == "application/json";
    let body = answer.text().await.unwrap();
    if is_json {
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"], "temporarily_unavailable", "{what}");
    } else {
        assert!(body.contains("We cannot answer just now") && body.contains("Reference"), "{what}: {body}");
    }
    for word in ["sql", "pool", "database", "relation", "table"] {
        assert!(!body.to_lowercase().contains(word), "{what} says what we are made of: {body}");
    }
}

fn refresh(tokens: &Tokens) -> [(&'static str, String); 3] {
    [
        ("grant_type", "refresh_token".to_owned()),
        ("client_id", "desk".to_owned()),
        ("refresh_token", tokens.refresh().to_owned()),
    ]
}

async fn allow(browser: &Browser, page: &Page, client: &Client) -> Page {
    browser.submit_until(&page.form("/interaction/").set("decision", "allow"), &client.redirect_uri).await
}

#[rstest]
#[tokio::test]
async fn without_a_database_every_endpoint_says_later(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser, away) = (Client::desk(), Browser::new(), Browser::new());
    let tokens = client.obtain(&server, &browser, "ada").await;
    let code = client.authorize(&server, &browser, "ada").await;
    let consent = client.begin(&server, &browser, "ada").await;
    account(&server, &Browser::new(), "ada").await;
    let applications = account(&server, &browser, "ada").await;
    let provider = away.open(&client.authorize_url(&server)).await;
    let state = provider.parameter("state").unwrap();
    server.app.db.close().await;

    let token =
        |form: Vec<(&'static str, String)>| server.request(Method::POST, "/oauth/token").form(&form).send();
    let exchange = client.exchange_parameters(&code);
    says_later(server.request(Method::POST, "/oauth/token").form(&exchange).send().await.unwrap(), "code")
        .await;
    says_later(token(refresh(&tokens).to_vec()).await.unwrap(), "refresh").await;
    let mut stranger = refresh(&tokens).to_vec();
    stranger[1].1 = "chy_client_x".to_owned();
    says_later(token(stranger).await.unwrap(), "a client that may have registered itself").await;
    let body = json!({ "client_name": "A", "redirect_uris": ["http://localhost/cb"] });
    let answer = server.request(Method::POST, "/oauth/register").json(&body).send().await.unwrap();
    says_later(answer, "registration").await;

    let stranger = Client::known_as("chy_client_x", "http://localhost/cb").authorize_url(&server);
    let wrong = client.clone().with("response_type", "token").authorize_url(&server);
    let callback = format!("{}?state={state}&code=c", server.url("/login/test/callback"));
    for (who, url) in [
        (&browser, client.authorize_url(&server)),
        (&away, client.authorize_url(&server)),
        (&browser, stranger),
        (&browser, wrong),
        (&browser, consent.url.to_string()),
        (&browser, server.url("/account")),
        (&browser, server.url("/login")),
        (&away, server.url("/login/test")),
        (&away, callback),
    ] {
        says_later(server.request_as(who, Method::GET, &url).send().await.unwrap(), &url).await;
    }
    for form in [
        consent.form("/interaction/").set("decision", "allow"),
        consent.form("/interaction/").set("decision", "deny"),
        applications.form("/account/applications/end"),
        applications.form("/account/sessions/end"),
        applications.forms("/logout")[0].clone(),
        applications.forms("/logout")[1].clone(),
    ] {
        let request = server.request_as(&browser, Method::POST, form.action.as_str()).form(&form.fields);
        says_later(request.send().await.unwrap(), form.action.as_str()).await;
    }
    for path in ["/healthz", "/.well-known/oauth-authorization-server", "/.well-known/jwks.json"] {
        let answer = server.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "resource servers go on verifying: {path}");
    }
}

/// Whatever fails on the way, a code is used up only together with everything that it is used for.
#[rstest]
#[tokio::test]
async fn an_exchange_that_fails_half_way_has_not_happened(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let form = client.exchange_parameters(&code);
    for table in ["codes", "identities", "consents", "grants", "refresh_tokens", "clients", "audit"] {
        server.hide(table).await;
        let answer = server.request(Method::POST, "/oauth/token").form(&form).send().await.unwrap();
        says_later(answer, table).await;
        server.unhide(table).await;
        assert_eq!((server.rows("grants").await, server.recorded("token.issued").await), (0, 0), "{table}");
    }
    let tokens = client.exchange(&server, &code).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
}

#[rstest]
#[tokio::test]
async fn a_refresh_that_fails_half_way_has_not_happened(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    let tokens = client.obtain(&server, &Browser::new(), "ada").await;
    for table in ["refresh_tokens", "identities", "consents", "grants", "clients", "audit"] {
        server.hide(table).await;
        let request = server.request(Method::POST, "/oauth/token").form(&refresh(&tokens));
        says_later(request.send().await.unwrap(), table).await;
        server.unhide(table).await;
        assert_eq!(server.rows("refresh_tokens").await, 1, "{table}: no successor was made");
    }
    server.later(HOUR);
    let refreshed = client.refresh(&server, tokens.refresh()).await;
    assert_eq!(refreshed.status, 200, "not even a retry: {}", refreshed.body);
}

/// What cannot be recorded does not happen: neither consent nor refusal, end nor registration.
#[rstest]
#[tokio::test]
async fn an_answer_that_fails_half_way_can_be_given_again(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser) = (Client::desk(), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    for table in ["interactions", "codes", "consents", "audit"] {
        server.hide(table).await;
        assert_eq!(allow(&browser, &page, &client).await.status, 503, "{table}");
        server.unhide(table).await;
        assert_eq!((server.rows("codes").await, server.rows("consents").await), (0, 0), "{table}");
    }
    server.hide("audit").await;
    let deny = page.form("/interaction/").set("decision", "deny");
    assert_eq!(browser.submit_until(&deny, &client.redirect_uri).await.status, 503);
    server.unhide("audit").await;
    let back = allow(&browser, &page, &client).await;
    let tokens = client.exchange(&server, &client.code(&server, &back)).await;

    account(&server, &Browser::new(), "ada").await;
    let page = account(&server, &browser, "ada").await;
    server.hide("audit").await;
    for action in ["/account/applications/end", "/account/sessions/end", "/logout"] {
        for form in page.forms(action) {
            assert_eq!(browser.submit(&form).await.status, 503, "{action}");
        }
    }
    let body = json!({ "client_name": "A", "redirect_uris": ["http://localhost/cb"] });
    let answer = server.request(Method::POST, "/oauth/register").json(&body).send().await.unwrap();
    says_later(answer, "registration").await;
    server.unhide("audit").await;
    assert_eq!((server.rows("sessions").await, server.rows("clients").await), (2, 0));
    assert_eq!(client.refresh(&server, tokens.refresh()).await.status, 200);
}

/// A sign-in whose last step fails leaves nobody behind, neither user nor session.
#[rstest]
#[tokio::test]
async fn a_sign_in_that_fails_half_way_leaves_nobody_behind(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    for table in ["logins", "users", "identities", "sessions", "audit"] {
        let browser = Browser::new();
        let there = browser.open(&client.authorize_url(&server)).await;
        let form = there.form("/").set("user", "test-user-ada");
        server.hide(table).await;
        let failed = browser.submit_until(&form, &client.redirect_uri).await;
        assert_eq!(failed.status, 503, "{table}: {} {}", failed.url, failed.text());
        server.unhide(table).await;
        for table in ["users", "identities", "sessions"] {
            assert_eq!(server.rows(table).await, 0, "{table}");
        }
        let account = server.request_as(&browser, Method::GET, &server.url("/account")).send().await.unwrap();
        assert!(account.status().is_redirection(), "{table}: nobody is signed in");
    }
}

/// A database that restarts takes the connections with it: requests find new ones, or say "later" meanwhile.
#[tokio::test]
async fn connections_that_the_database_cut_are_made_anew() {
    let Some(server) = Server::start(On::Postgres).await else { return };
    let client = Client::desk();
    let mut tokens = client.obtain(&server, &Browser::new(), "ada").await;
    for _ in 0..3 {
        server.cut_connections().await;
        let mut said_later = 0;
        tokens = loop {
            let answer = client.refresh(&server, tokens.refresh()).await;
            if answer.status == 200 {
                break answer;
            }
            assert_eq!((answer.status, answer.error()), (503, "temporarily_unavailable"), "{}", answer.body);
            said_later += 1;
            assert!(said_later < 16, "no connection is tried for ever");
        };
    }
}
