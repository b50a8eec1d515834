//! Signing out here that leads on to the provider (OpenID Connect RP-Initiated Logout 1.0): all of ours has ended
//! before, and the page at the end says what has and what has not.

use reqwest::Method;
use rstest::rstest;
use serde_json::json;
use url::Url;
use wiremock::ResponseTemplate;

use crate::keys::NEW;
use crate::support::{Browser, Client, On, Server, Upstream, browser::Page, upstream::json_of};

const LOGOUT: &str = "/logout";
const BACK: &str = "/login/acme/signed-out";
const LEADS_THERE: &str =
    "client_auth: none, organization: acme, sign_in: { anyone: true, logout: provider }";

/// A provider that people can sign out of, and a server that sends them there.
async fn one(on: On) -> Option<(Upstream, Server)> {
    let upstream = Upstream::start().await;
    let mut document = upstream.document();
    document["end_session_endpoint"] = json!(format!("{}/end?flow=b2b", upstream.issuer()));
    upstream.answers("/.well-known/openid-configuration", json_of(&document));
    let server = Server::start_with(on, &upstream.sections(LEADS_THERE)).await?;
    Some((upstream, server))
}

/// A browser in which she is signed in, and her account page.
async fn signed_in(upstream: &Upstream, server: &Server) -> (Browser, Page) {
    let browser = Browser::new();
    let page = upstream.sign_in(server, &browser, |_| ()).await;
    assert_eq!(page.status, 200, "{}", page.text());
    (browser, page)
}

/// Where the browser goes by itself from a page, as the page's only button says too.
fn onward(page: &Page) -> Url {
    let refresh = page.headers["refresh"].to_str().unwrap();
    let url = refresh.strip_prefix("0; url=").unwrap();
    assert!(page.body.contains(&url.replace('&', "&#38;")), "{}", page.body);
    url.parse().unwrap()
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The address that the provider lets her back to.
fn back(url: &Url) -> String {
    let (to, state) = (parameter(url, "post_logout_redirect_uri"), parameter(url, "state"));
    format!("{}?state={}", to.unwrap(), state.unwrap())
}

#[rstest]
#[tokio::test]
async fn signing_out_leads_to_the_provider_and_back(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values(false, true)] everywhere: bool,
) {
    let Some((upstream, server)) = one(on).await else { return };
    let (browser, account) = signed_in(&upstream, &server).await;
    assert!(account.text().contains("Signing out leads on to acme sign-in"), "{}", account.text());
    let id_token = upstream.id_token();
    let tokens = Client::desk().obtain(&server, &browser, "ada").await;

    let page = browser.submit(&account.forms(LOGOUT)[usize::from(everywhere)]).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("You are signed out"), "{}", page.text());
    assert!(page.text().contains("You go on to acme sign-in"), "{}", page.text());
    assert_eq!(Client::desk().refresh(&server, tokens.refresh()).await.error(), "invalid_grant");
    assert_eq!(server.rows("sessions").await, 0, "before the provider is asked, and the ID token with it");
    let away = onward(&page);
    assert!(away.as_str().starts_with(&format!("{}/end?flow=b2b&", upstream.issuer())), "{away}");
    let asked = |name: &str| parameter(&away, name);
    assert_eq!(asked("id_token_hint").as_ref(), Some(&id_token));
    assert_eq!(asked("client_id").as_deref(), Some("us"));
    assert_eq!(asked("post_logout_redirect_uri"), Some(server.url(BACK)));

    for _ in 0..2 {
        let page = browser.open(&back(&away)).await;
        assert_eq!(page.status, 200, "also when the page is loaded again");
        let text = page.text();
        let what = if everywhere { "in any browser" } else { "here since you signed in" };
        assert!(text.contains(&format!("One app that you connected {what} has lost its access")), "{text}");
        assert!(text.contains("acme sign-in was asked to sign you out too"), "{text}");
        assert!(!text.contains("You are still signed in"), "{text}");
    }
}

#[rstest]
#[tokio::test]
async fn the_id_token_is_moved_to_a_new_encryption_key(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((upstream, server)) = one(on).await else { return };
    signed_in(&upstream, &server).await;
    server.with_keys(&format!("{{ id: k2, key: \"{NEW}\" }}, {}", server.keys()));
    let rotated = server.command(&["keys", "rotate", "--encryption"]);
    assert!(rotated.out.contains("moved 2, replaced by others meanwhile 0, refused 0"), "{}", rotated.out);
    let list = server.command(&["keys", "list"]).out;
    assert!(list.contains("k2  seals  2 values (signing_keys 1, sessions 1)"), "{list}");
}

/// Only the browser that left is told so, by the `state` with which it left.
#[rstest]
#[tokio::test]
async fn nobody_is_told_that_she_is_out_who_is_not(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((upstream, server)) = one(on).await else { return };
    let (browser, account) = signed_in(&upstream, &server).await;
    let url = onward(&browser.submit(&account.form(LOGOUT)).await);
    let forged =
        [server.url(BACK), format!("{}?state=x", server.url(BACK)), format!("{}?state=", server.url(BACK))];
    for address in &forged {
        let page = browser.open(address).await;
        assert!(
            (400..500).contains(&page.status) && !page.text().contains("You are signed out"),
            "{address}"
        );
    }
    let stranger = Browser::new().open(&back(&url)).await;
    assert!((400..500).contains(&stranger.status), "{}", stranger.text());
    let elsewhere = browser.open(&back(&url).replace("/acme/", "/nobody/")).await;
    assert_eq!(elsewhere.status, 404);
    assert_eq!(browser.open(&back(&url)).await.status, 200);

    upstream.sign_in(&server, &browser, |_| ()).await;
    let page = browser.open(&back(&url)).await;
    assert_eq!(page.url.path(), "/account", "she has signed in again since");
}

/// The ID token is kept for its hint alone: sealed, where it is wanted, and as the last sign-in brought it.
#[rstest]
#[tokio::test]
async fn an_id_token_is_kept_only_where_it_will_be_a_hint(#[values(On::Sqlite, On::Postgres)] on: On) {
    const KEPT: &str = "sessions WHERE id_token IS NOT NULL";
    let Some((upstream, server)) = one(on).await else { return };
    let (browser, _) = signed_in(&upstream, &server).await;
    assert_eq!(server.rows(KEPT).await, 1);
    let first = upstream.id_token();
    upstream.sign_in(&server, &browser, |claims| claims["at"] = json!("once more")).await;
    assert_ne!(upstream.id_token(), first);
    assert_eq!(server.rows("sessions").await, 1, "her session goes on");
    let account = browser.open(&server.url("/account")).await;
    let away = onward(&browser.submit(&account.form(LOGOUT)).await);
    assert_eq!(parameter(&away, "id_token_hint"), Some(upstream.id_token()));

    let plain = Upstream::start().await;
    let here = LEADS_THERE.replace(", logout: provider", "");
    let Some(server) = Server::start_with(on, &plain.sections(&here)).await else { return };
    let (browser, account) = signed_in(&plain, &server).await;
    assert_eq!(server.rows("sessions").await, 1);
    assert_eq!(server.rows(KEPT).await, 0);
    assert!(!account.text().contains("leads on"), "{}", account.text());
    let page = browser.submit(&account.form(LOGOUT)).await;
    assert!(page.text().contains("You are still signed in at acme sign-in."), "{}", page.text());
    assert_eq!(page.headers.get("refresh"), None);
}

/// A hint that no address has room for, or that does not open any more, is left out; the provider then asks her.
#[rstest]
#[case::too_long(4096, None)]
#[case::moved(1, Some("UPDATE sessions SET created_at = created_at + 1"))]
#[case::lost(1, Some("UPDATE sessions SET id_token = NULL"))]
#[tokio::test]
async fn without_a_hint_the_provider_is_asked_all_the_same(
    #[case] length: usize,
    #[case] meddle: Option<&'static str>,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some((upstream, server)) = one(on).await else { return };
    let browser = Browser::new();
    let account =
        upstream.sign_in(&server, &browser, |claims| claims["more"] = json!("x".repeat(length))).await;
    if let Some(statement) = meddle {
        server.execute(statement).await;
    }
    let away = onward(&browser.submit(&account.form(LOGOUT)).await);
    assert_eq!(parameter(&away, "id_token_hint"), None);
    assert_eq!(parameter(&away, "client_id").as_deref(), Some("us"));
    assert_eq!(browser.open(&back(&away)).await.status, 200);
}

/// What the provider lacks, or an outage of its, keeps nobody signed in here.
#[rstest]
#[case::no_such_endpoint(json!(null))]
#[case::no_address(json!("here"))]
#[case::a_script(json!("javascript:alert(1)"))]
#[case::no_text(json!({ "url": 1 }))]
#[tokio::test]
async fn a_provider_that_cannot_be_asked_is_named(
    #[case] endpoint: serde_json::Value,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let upstream = Upstream::start().await;
    let mut document = upstream.document();
    document["end_session_endpoint"] = endpoint;
    upstream.answers("/.well-known/openid-configuration", json_of(&document));
    let Some(server) = Server::start_with(on, &upstream.sections(LEADS_THERE)).await else { return };
    let (browser, account) = signed_in(&upstream, &server).await;
    stays_in_there(&server, &browser.submit(&account.form(LOGOUT)).await).await;
}

#[rstest]
#[tokio::test]
async fn a_provider_that_is_down_is_named(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((upstream, server)) = one(on).await else { return };
    let (browser, account) = signed_in(&upstream, &server).await;
    upstream.answers("/.well-known/openid-configuration", ResponseTemplate::new(503));
    let twin = server.twin().await;
    let form = [("csrf", account.form(LOGOUT).values("csrf")[0].to_owned())];
    let request = server.request_as(&browser, Method::POST, &twin.url(LOGOUT)).form(&form);
    let answer = request.send().await.unwrap();
    let (url, status, headers) = (answer.url().clone(), answer.status().as_u16(), answer.headers().clone());
    let page = Page { url, status, headers, body: answer.text().await.unwrap() };
    stays_in_there(&server, &page).await;
}

async fn stays_in_there(server: &Server, page: &Page) {
    assert_eq!(page.status, 200);
    let words = "You are still signed in at acme sign-in, which could not be asked to sign you out.";
    assert!(page.text().contains("You are signed out") && page.text().contains(words), "{}", page.text());
    assert_eq!(page.headers.get("refresh"), None);
    assert_eq!(server.rows("sessions").await, 0);
}
