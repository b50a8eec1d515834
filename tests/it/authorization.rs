//! From an authorization request to a token that one resource alone accepts.

use std::time::Duration;

use reqwest::Method;
use rstest::rstest;
use serde_json::json;

use crate::support::{Browser, Client, On, Server, client::post};

#[rstest]
#[tokio::test]
async fn a_person_signs_in_consents_and_the_client_gets_a_token(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let tokens =
        Client::desk().scope("tickets:read tickets:write").obtain(&server, &Browser::new(), "ada").await;

    assert_eq!(tokens.headers["cache-control"], "no-store");
    assert_eq!(tokens.body["token_type"], "Bearer");
    assert_eq!(tokens.body["expires_in"], 600);
    assert_eq!(tokens.body["scope"], "tickets:read tickets:write");
    let verified = server.app.keys.verify_own(tokens.access()).expect("signed by us as at+jwt");
    drop(verified);
    let claims = tokens.claims();
    assert_eq!(claims["iss"], server.issuer.as_str());
    assert_eq!(claims["aud"], "https://mcp.acme.example/tickets");
    assert_eq!(claims["client_id"], "desk");
    assert_eq!(claims["scope"], "tickets:read tickets:write");
    assert_eq!(claims["org_id"], "acme");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    assert!(claims["jti"].is_string() && claims["sub"].is_string() && claims["auth_time"].is_i64());
    assert_eq!(claims.get("groups"), None, "only where the resource asks");
    for event in ["sign_in", "consent.granted", "token.issued"] {
        assert_eq!(server.recorded(event).await, 1, "{event}");
    }
}

#[rstest]
#[tokio::test]
async fn without_scope_the_resources_defaults_are_granted(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let tokens = Client::desk().obtain(&server, &Browser::new(), "ada").await;
    assert_eq!(tokens.body["scope"], "tickets:read");
}

#[rstest]
#[case::repeated_slash("https://mcp.acme.example/tickets/")]
#[case::unknown("https://mcp.acme.example/other")]
#[case::fragment("https://mcp.acme.example/tickets#x")]
#[case::relative("/tickets")]
#[case::script("javascript:alert(1)")]
#[tokio::test]
async fn a_resource_that_is_not_ours_is_refused(#[case] resource: &str) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let client = Client { resource: Some(resource.to_owned()), ..Client::desk() };
    let back = client.begin(&server, &Browser::new(), "ada").await;
    assert_eq!(back.parameter("error").as_deref(), Some("invalid_target"));
    assert_eq!(back.parameter("iss").as_deref(), Some(server.issuer.as_str()));
    assert_eq!(back.parameter("state").as_deref(), Some(client.state.as_str()));
}

#[rstest]
#[case::upper_case("HTTPS://MCP.ACME.EXAMPLE/tickets")]
#[case::port("https://mcp.acme.example:443/tickets")]
#[tokio::test]
async fn a_resource_in_another_spelling_is_the_same(#[case] resource: &str) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let client = Client { resource: Some(resource.to_owned()), ..Client::desk() };
    let tokens = client.obtain(&server, &Browser::new(), "ada").await;
    assert_eq!(tokens.claims()["aud"], "https://mcp.acme.example/tickets");
}

#[tokio::test]
async fn a_missing_resource_is_refused_where_several_exist() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let client = Client { resource: None, ..Client::desk() };
    let back = client.begin(&server, &Browser::new(), "ada").await;
    assert_eq!(back.parameter("error").as_deref(), Some("invalid_target"));
}

#[tokio::test]
async fn two_resources_at_once_are_refused() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let client = Client::desk();
    let url = format!("{}&resource=https%3A%2F%2Fmcp.acme.example%2Fwiki", client.authorize_url(&server));
    let back = Browser::new().open_until(&url, &client.redirect_uri).await;
    assert_eq!(back.parameter("error").as_deref(), Some("invalid_target"));
}

#[rstest]
#[case("response_type", "token", "unsupported_response_type")]
#[case("response_type", "(absent)", "invalid_request")]
#[case("code_challenge", "(absent)", "invalid_request")]
#[case("code_challenge", "short", "invalid_request")]
#[case("code_challenge_method", "plain", "invalid_request")]
#[case("code_challenge_method", "(absent)", "invalid_request")]
#[case("response_mode", "fragment", "invalid_request")]
#[case("request", "eyJ", "request_not_supported")]
#[case("request_uri", "https://x", "request_uri_not_supported")]
#[case("scope", "tickets:read \"", "invalid_scope")]
#[case("scope", "wiki:read", "invalid_scope")]
#[case("prompt", "none", "login_required")]
#[case("prompt", "none login", "invalid_request")]
#[tokio::test]
async fn a_wrong_parameter_is_reported_to_the_client(
    #[case] name: &str,
    #[case] value: &str,
    #[case] error: &str,
) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let client = Client::desk().with(name, value);
    let back = client.begin(&server, &Browser::new(), "ada").await;
    assert_eq!(back.parameter("error").as_deref(), Some(error), "{} {}", back.url, back.text());
    assert_eq!(back.parameter("iss").as_deref(), Some(server.issuer.as_str()));
    assert_eq!(back.parameter("state").as_deref(), Some(client.state.as_str()));
}

#[rstest]
#[case("client_id", "nobody")]
#[case("client_id", "(absent)")]
#[case("redirect_uri", "http://127.0.0.1:50123/callback/")]
#[case("redirect_uri", "http://127.0.0.1:50123/callback?x=1")]
#[case("redirect_uri", "http://127.0.0.1.evil.example/callback")]
#[case("redirect_uri", "http://localhost:50123/callback")]
#[case("redirect_uri", "https://127.0.0.1:50123/callback")]
#[case("redirect_uri", "https://desk.acme.example/callback/../x")]
#[case("redirect_uri", "https://desk.acme.example:444/callback")]
#[case("redirect_uri", "javascript:alert(1)")]
#[case("redirect_uri", "data:text/html,x")]
#[case("redirect_uri", "(absent)")]
#[tokio::test]
async fn nothing_is_sent_to_an_address_that_is_not_the_clients(#[case] name: &str, #[case] value: &str) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let page = Browser::new().open(&Client::desk().with(name, value).authorize_url(&server)).await;
    assert_eq!(page.status, 400, "{}", page.text());
    assert!(page.url.as_str().starts_with(&server.issuer));
    assert!(page.text().contains("Reference"), "{}", page.text());
    assert!(page.text().contains("application's request cannot be answered"), "{}", page.text());
}

/// Whether it comes in the address or as a form.
#[tokio::test]
async fn a_request_without_end_is_refused_and_not_sent_on() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let most = Client::desk().with("state", &"s".repeat(4096));
    let page = Browser::new().open_until(&most.authorize_url(&server), &server.provider).await;
    assert_eq!(page.url.path(), "/authorize", "{}", page.text());
    let long = Client::desk().with("state", &"s".repeat(4097));
    let page = Browser::new().open(&long.authorize_url(&server)).await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("Its request is too long"), "{}", page.text());
    let endless = Client::desk().with("x", &"x".repeat(8 * 1024)).parameters();
    let answer = server.request(Method::POST, "/oauth/authorize").form(&endless).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await.unwrap().contains("Its request is too long"));
    assert_eq!(server.rows("interactions").await, 1, "the first alone");
}

/// Every way to exchange a code that must fail, and that must leave the code usable.
#[rstest]
#[case("code_verifier", "wrong-wrong-wrong-wrong-wrong-wrong-wrong-wrong", "invalid_grant")]
#[case("code_verifier", "short", "invalid_request")]
#[case("code_verifier", "", "invalid_request")]
#[case("redirect_uri", "http://127.0.0.1:50124/callback", "invalid_grant")]
#[case("client_id", "nobody", "invalid_client")]
#[case("client_id", "other", "invalid_grant")]
#[case("resource", "https://mcp.acme.example/wiki", "invalid_target")]
#[case("grant_type", "password", "unsupported_grant_type")]
#[case("grant_type", "", "invalid_request")]
#[case("code", "chy_ac_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "invalid_grant")]
#[case("code", "garbage", "invalid_grant")]
#[tokio::test]
async fn a_wrong_exchange_fails_and_consumes_nothing(
    #[case] name: &'static str,
    #[case] value: &str,
    #[case] error: &str,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let sections = crate::support::PLAIN.replace(
        "clients:\n",
        "clients:\n  other: { name: Other, redirect_uris: [\"http://127.0.0.1/callback\"] }\n",
    );
    let Some(server) = Server::start_with(on, &sections).await else { return };
    let client = Client::desk();
    let code = client.authorize(&server, &Browser::new(), "ada").await;

    let mut parameters = client.exchange_parameters(&code);
    parameters.retain(|(key, _)| *key != name);
    parameters.push((name, value.to_owned()));
    let refused = post(&server, &parameters).await;
    assert_eq!(refused.error(), error, "{}", refused.body);
    assert_eq!(refused.headers["cache-control"], "no-store");

    let tokens = client.exchange(&server, &code).await;
    assert_eq!(tokens.status, 200, "the refused request must not have used up the code: {}", tokens.body);
}

#[rstest]
#[tokio::test]
async fn a_code_expires(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    server.later(Duration::from_secs(61));
    assert_eq!(client.exchange(&server, &code).await.error(), "invalid_grant");
}

#[rstest]
#[tokio::test]
async fn a_code_used_twice_ends_what_it_issued(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let tokens = client.exchange(&server, &code).await;

    let thief = Client { verifier: "x".repeat(43), ..client.clone() };
    assert_eq!(thief.exchange(&server, &code).await.error(), "invalid_grant");
    let refreshed = client.refresh(&server, tokens.refresh()).await;
    assert_eq!(refreshed.status, 200, "a replay without the verifier changes nothing: {}", refreshed.body);

    assert_eq!(client.exchange(&server, &code).await.error(), "invalid_grant");
    assert_eq!(client.refresh(&server, refreshed.refresh()).await.error(), "invalid_grant");
    assert_eq!(server.recorded("code.reused").await, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_many_parallel_exchanges_one_at_most_succeeds(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let client = Client::desk();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let answers = futures_join((0..16).map(|_| client.exchange(&server, &code))).await;
    let granted = answers.iter().filter(|tokens| tokens.status == 200).count();
    assert_eq!(granted, 1);
    let winner = answers.iter().find(|tokens| tokens.status == 200).unwrap();
    assert_eq!(
        client.refresh(&server, winner.refresh()).await.error(),
        "invalid_grant",
        "the second use ended what the first one got"
    );
    assert_eq!(server.recorded("code.reused").await, 1);
    assert!(
        answers.iter().filter(|tokens| tokens.status != 200).all(|tokens| tokens.error() == "invalid_grant")
    );
}

pub(crate) async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in pending.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *slot = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn the_wire_tells_no_more_than_the_code() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let client = Client::desk();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let other = Client { verifier: "y".repeat(43), ..client.clone() };
    let wrong_verifier = other.exchange(&server, &code).await.body;
    let unknown_code =
        client.exchange(&server, "chy_ac_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await.body;
    assert_eq!(wrong_verifier, unknown_code);
    assert_eq!(
        wrong_verifier,
        json!({ "error": "invalid_grant", "error_description": "the code is invalid, expired or was used before" })
    );
}
