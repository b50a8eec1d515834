//! Who may use a code or a refresh token: the client that proves itself by its own method, and no other
//! (OAuth 2.1 §2.4).

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use rstest::rstest;

use crate::support::{Browser, Client, On, Server, Setup, Tokens, client::post};

const SECRET: &str = "correct-horse-battery-staple-+%-0123456789";
const OTHER_SECRET: &str = "another-random-secret-0123456789";
const CALLBACK: &str = "https://back.acme.example/callback";

async fn start(on: On) -> Option<Server> {
    let other = format!(
        "clients:\n  other: {{ name: Other, secret: {OTHER_SECRET}, redirect_uris: [\"https://other.acme.example/cb\"] }}\n"
    );
    Setup::on(on).replacing("clients:\n", &other).start().await
}

fn backend() -> Client {
    Client::known_as("backend", CALLBACK)
}

/// The exchange's parameters without `client_id`.
fn form(client: &Client, code: &str) -> Vec<(&'static str, String)> {
    let mut form = vec![
        ("grant_type", "authorization_code".to_owned()),
        ("code", code.to_owned()),
        ("redirect_uri", client.redirect_uri.clone()),
        ("code_verifier", client.verifier.clone()),
    ];
    form.extend(client.resource.iter().map(|resource| ("resource", resource.clone())));
    form
}

async fn with_header(server: &Server, authorization: &str, form: &[(&str, String)]) -> Tokens {
    let request = server.request(Method::POST, "/oauth/token").header("authorization", authorization);
    Tokens::of(request.form(form).send().await.unwrap()).await
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Half of the field form-encodes the two parts of a Basic header (RFC 6749 §2.3.1), half does not; the Python SDK
/// repeats the id in the body, which makes no second method.
#[rstest]
#[case::raw(Some(basic("backend", SECRET)), &[])]
#[case::encoded(Some(basic("backend", &encoded(SECRET))), &[])]
#[case::lower_case_scheme(Some(basic("backend", SECRET).replace("Basic", "basic")), &[])]
#[case::id_in_the_body_too(Some(basic("backend", SECRET)), &[("client_id", "backend")])]
#[case::post(None, &[("client_id", "backend"), ("client_secret", SECRET)])]
#[tokio::test]
async fn a_secret_counts_however_it_is_sent(
    #[case] authorization: Option<String>,
    #[case] more: &[(&'static str, &str)],
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(server) = start(on).await else { return };
    let client = backend();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let mut exchange = form(&client, &code);
    exchange.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let tokens = match &authorization {
        Some(authorization) => with_header(&server, authorization, &exchange).await,
        None => post(&server, &exchange).await,
    };
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(tokens.claims()["client_id"], "backend");

    let mut refresh = vec![("grant_type", "refresh_token".to_owned())];
    refresh.push(("refresh_token", tokens.refresh().to_owned()));
    refresh.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let refreshed = match &authorization {
        Some(authorization) => with_header(&server, authorization, &refresh).await,
        None => post(&server, &refresh).await,
    };
    assert_eq!(refreshed.status, 200, "{}", refreshed.body);
}

/// Each is refused and leaves the code as good as it was (verify before consume).
#[rstest]
#[case::no_client(None, &[], 401, "invalid_client")]
#[case::no_secret(None, &[("client_id", "backend")], 401, "invalid_client")]
#[case::empty_secret(None, &[("client_id", "backend"), ("client_secret", "")], 401, "invalid_client")]
#[case::wrong_secret(None, &[("client_id", "backend"), ("client_secret", "wrong")], 401, "invalid_client")]
#[case::prefix(None, &[("client_id", "backend"), ("client_secret", "correct-horse-battery-staple")], 401, "invalid_client")]
#[case::wrong_in_header(Some(basic("backend", "wrong")), &[], 401, "invalid_client")]
#[case::empty_in_header(Some(basic("backend", "")), &[], 401, "invalid_client")]
#[case::unknown_client(Some(basic("nobody", SECRET)), &[], 401, "invalid_client")]
#[case::anothers_secret(Some(basic("backend", OTHER_SECRET)), &[], 401, "invalid_client")]
#[case::another_scheme(Some(format!("Bearer {SECRET}")), &[], 401, "invalid_client")]
#[case::no_base64(Some("Basic !!!".to_owned()), &[], 401, "invalid_client")]
#[case::no_colon(Some("Basic YmFja2VuZA==".to_owned()), &[], 401, "invalid_client")]
#[case::broken_utf8(Some("Basic /zo6".to_owned()), &[], 401, "invalid_client")]
#[case::two_methods(Some(basic("backend", SECRET)), &[("client_secret", SECRET)], 400, "invalid_request")]
#[case::two_ids(Some(basic("backend", SECRET)), &[("client_id", "other")], 400, "invalid_request")]
#[case::nul(Some(basic("back\0end", SECRET)), &[], 400, "invalid_request")]
#[case::another_client(Some(basic("other", OTHER_SECRET)), &[], 400, "invalid_grant")]
#[case::a_public_client(None, &[("client_id", "desk")], 400, "invalid_grant")]
#[case::a_public_client_with_a_secret(None, &[("client_id", "desk"), ("client_secret", SECRET)], 401, "invalid_client")]
#[tokio::test]
async fn nobody_else_may_use_a_code(
    #[case] authorization: Option<String>,
    #[case] more: &[(&'static str, &str)],
    #[case] status: u16,
    #[case] error: &str,
) {
    let server = start(On::Sqlite).await.unwrap();
    let client = backend();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let mut exchange = form(&client, &code);
    exchange.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let refused = match &authorization {
        Some(authorization) => with_header(&server, authorization, &exchange).await,
        None => post(&server, &exchange).await,
    };
    assert_eq!((refused.status, refused.error()), (status, error), "{}", refused.body);
    let challenge = refused.headers.get("www-authenticate").map(|value| value.to_str().unwrap());
    let expected = authorization.is_some() && status == 401;
    assert_eq!(challenge.is_some_and(|value| value.starts_with("Basic ")), expected, "RFC 6749 §5.2");
    assert_eq!(server.recorded("token.refused").await, 1);

    let tokens = with_header(&server, &basic("backend", SECRET), &form(&client, &code)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
}

/// A refresh token belongs to its client (OAuth 2.1 §4.3), and a stranger who holds it cannot end the family either.
#[rstest]
#[tokio::test]
async fn nobody_else_may_use_a_refresh_token(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = start(on).await else { return };
    let client = backend();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let tokens = with_header(&server, &basic("backend", SECRET), &form(&client, &code)).await;
    let refresh = async |authorization: &str, token: &str| {
        let form = [("grant_type", "refresh_token".to_owned()), ("refresh_token", token.to_owned())];
        with_header(&server, authorization, &form).await
    };
    let second = refresh(&basic("backend", SECRET), tokens.refresh()).await;
    server.later(Duration::from_secs(120));
    for token in [tokens.refresh(), second.refresh()] {
        assert_eq!(refresh(&basic("other", OTHER_SECRET), token).await.error(), "invalid_grant");
        assert_eq!(refresh(&basic("backend", "wrong"), token).await.error(), "invalid_client");
        let desk = Client::desk().refresh(&server, token).await;
        assert_eq!(desk.error(), "invalid_grant");
    }
    let third = refresh(&basic("backend", SECRET), second.refresh()).await;
    assert_eq!(third.status, 200, "a used token in a stranger's hands ends nothing: {}", third.body);
}

/// A client that is not there and a secret that is wrong read the same.
#[tokio::test]
async fn the_answer_does_not_tell_which_clients_there_are() {
    let server = start(On::Sqlite).await.unwrap();
    let exchange = form(&backend(), "chy_ac_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let unknown = with_header(&server, &basic("nobody", SECRET), &exchange).await;
    let wrong = with_header(&server, &basic("backend", "wrong"), &exchange).await;
    assert_eq!((unknown.status, &unknown.body), (wrong.status, &wrong.body));
    assert_eq!(unknown.headers["www-authenticate"], wrong.headers["www-authenticate"]);
}

/// OAuth 2.1 §2.4.1: guessing is bounded, for this client from this address, and for as long as it goes on.
#[tokio::test]
async fn guessing_a_secret_is_bounded() {
    let server = start(On::Sqlite).await.unwrap();
    let client = backend();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let exchange = form(&client, &code);
    for guess in 0..20 {
        let refused = with_header(&server, &basic("backend", &format!("guess{guess}")), &exchange).await;
        assert_eq!(refused.error(), "invalid_client", "{guess}");
    }
    for authorization in [basic("backend", "another"), basic("backend", SECRET)] {
        let answer = with_header(&server, &authorization, &exchange).await;
        assert_eq!((answer.status, answer.error()), (429, "temporarily_unavailable"));
        assert!(answer.headers.contains_key("retry-after"));
    }
    let other = with_header(&server, &basic("other", OTHER_SECRET), &exchange).await;
    assert_eq!(other.error(), "invalid_grant", "another client is not kept out");
    server.later(Duration::from_secs(60));
    let fresh = client.authorize(&server, &Browser::new(), "grace").await;
    let tokens = with_header(&server, &basic("backend", SECRET), &form(&client, &fresh)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
}

/// A client may use the grants that it is registered for (OAuth 2.1 §2.3), known before anything is looked up.
#[tokio::test]
async fn a_grant_that_the_client_may_not_use_is_refused() {
    let server = Setup::on(On::Sqlite)
        .replacing(
            "    name: Back office\n",
            "    name: Back office\n    grant_types: [authorization_code]\n",
        )
        .start()
        .await
        .unwrap();
    let tokens = Client::desk().obtain(&server, &Browser::new(), "ada").await;
    let refresh =
        [("grant_type", "refresh_token".to_owned()), ("refresh_token", tokens.refresh().to_owned())];
    let refused = with_header(&server, &basic("backend", SECRET), &refresh).await;
    assert_eq!((refused.status, refused.error()), (400, "unauthorized_client"));
    let assertion = [("grant_type", "urn:ietf:params:oauth:grant-type:saml2-bearer".to_owned())];
    let refused = with_header(&server, &basic("backend", SECRET), &assertion).await;
    assert_eq!((refused.status, refused.error()), (400, "unsupported_grant_type"));
}
