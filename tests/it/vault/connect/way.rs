//! From the page to the vendor and back.

use chancery::oauth::pkce::CodeChallenge;
use reqwest::Method;
use rstest::rstest;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::{ACCESS, REFRESH, Story, ask, away, entry};
use crate::support::{Browser, On, PLAIN, Server, Upstream, client::account};

#[rstest]
#[tokio::test]
async fn a_person_connects_her_account(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    let page = story.page(&browser, "ada").await;
    let text = page.text();
    for words in
        ["Connect your GitHub account?", "Ada Lovelace", "Ticket desk", "Change tickets", "read , repo"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(story.server.rows("connects").await, 0, "looking begins nothing");

    let away = story.press(&browser, &page).await;
    assert_eq!(away.asked("client_id").as_deref(), Some("us"));
    assert_eq!(away.asked("scope").as_deref(), Some("read repo"));
    assert_eq!(away.asked("redirect_uri").unwrap(), story.server.url("/connect/github/callback"));
    assert_eq!(story.server.rows("connections").await, 0);

    let done = browser.open(&away.back(&[("code", "c-1")])).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(done.text().contains("Your GitHub account is connected"), "{}", done.text());
    assert!(done.text().contains("octocat"), "{}", done.text());

    let asked = &story.vendor.requests("/token").await[0];
    let form: std::collections::BTreeMap<_, _> =
        url::form_urlencoded::parse(&asked.body).into_owned().collect();
    assert_eq!((form["grant_type"].as_str(), form["code"].as_str()), ("authorization_code", "c-1"));
    assert_eq!(form["redirect_uri"], away.asked("redirect_uri").unwrap());
    let challenge = away.asked("code_challenge").unwrap();
    assert_eq!(CodeChallenge::of(&form["code_verifier"]).as_str(), challenge);

    let kept = story.connections(&browser).await.pop().unwrap();
    assert_eq!((kept.account.as_str(), kept.account_name.as_deref()), ("583231", Some("octocat")));
    assert_eq!((kept.scope.to_string().as_str(), kept.is_default, kept.generation), ("read repo", true, 1));
    assert_eq!(kept.expires_at, Some(story.server.clock.now().plus(std::time::Duration::from_secs(3600))));
    assert_eq!(story.opened(&kept).await, (ACCESS.to_owned(), Some(REFRESH.to_owned())));
    let event = story.server.last("connection.made").await;
    assert_eq!((event.detail("connection"), event.detail("account")), ("github".into(), "583231".into()));
    assert_eq!(
        (event.detail("connection_id"), event.scope.as_deref()),
        (kept.id.to_string(), Some("read repo"))
    );
    assert_eq!(event.user_id.as_deref(), Some(kept.user_id.as_str()));
}

/// No other site can make a browser begin, and no page of ours for one person is answered by another.
#[rstest]
#[tokio::test]
async fn only_the_page_s_own_button_begins(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    let form = ask(&story.page(&browser, "ada").await);
    for csrf in ["", "x"] {
        assert_eq!(browser.submit(&form.clone().set("csrf", csrf)).await.status, 403);
    }
    for (header, value) in [("sec-fetch-site", "cross-site"), ("origin", "null"), ("x", "y")] {
        let cookie = browser.cookie(&story.server.base);
        let request = story.server.request(Method::POST, "/connect/github").header("cookie", cookie);
        let answer = request.header(header, value).form(&form.fields).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{header}: {value}");
    }
    let grace = Browser::new();
    account(&story.server, &grace, "grace").await;
    assert_eq!(grace.submit(&form).await.status, 403);
    assert_eq!(Browser::new().submit(&form).await.status, 403);
    assert_eq!(story.server.rows("connects").await, 0);
    assert_eq!(away(&browser.submit(&form).await).asked("state").unwrap().len(), 43);
    assert_eq!(story.server.rows("connects").await, 1);
}

#[rstest]
#[tokio::test]
async fn a_person_who_is_not_signed_in_signs_in_on_the_way(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    let page = browser.open(&story.server.url("/connect/github")).await;
    assert!(page.url.as_str().starts_with(&story.server.provider), "{}", page.url);
    let page = crate::support::client::sign_in(&story.server, &browser, page, "ada", "nowhere:").await;
    assert_eq!(page.url.path(), "/connect/github");
    let away = story.press(&browser, &page).await;
    let done = browser.open(&away.back(&[("code", "c-1")])).await;
    assert!(done.text().contains("is connected"), "{}", done.text());
}

/// The sign-in leads to a page that connects, or to none.
#[rstest]
#[case("/account")]
#[case("https://evil.example/connect/")]
#[case("//evil.example/connect/x")]
#[case("/connect/../logout")]
#[tokio::test]
async fn a_sign_in_leads_nowhere_else(#[case] onward: &str) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let mut url = url::Url::parse(&server.url("/login/test")).unwrap();
    url.query_pairs_mut().append_pair("onward", onward);
    let page = Browser::new().open(url.as_str()).await;
    assert_eq!(page.status, 400, "{}", page.text());
    assert_eq!(server.rows("logins").await, 0);
}

/// Several ways stand open side by side, and the same answer twice connects once.
#[rstest]
#[tokio::test]
async fn two_tabs_and_the_back_button(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    let page = story.page(&browser, "ada").await;
    let (first, second) = (story.press(&browser, &page).await, story.press(&browser, &page).await);
    assert_ne!(first.asked("state"), second.asked("state"));
    let back = first.back(&[("code", "c-1")]);
    for _ in 0..3 {
        let done = browser.open(&back).await;
        assert!(done.text().contains("is connected"), "{}", done.text());
    }
    assert_eq!(story.vendor.requests("/token").await.len(), 1, "the code is redeemed once");
    story.gives(&json!({ "access_token": "second-tab" }));
    let done = browser.open(&second.back(&[("code", "c-2")])).await;
    assert!(done.text().contains("is connected"), "{}", done.text());
    let kept = story.connections(&browser).await;
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].generation, story.opened(&kept[0]).await.0.as_str()), (2, "second-tab"));
    assert_eq!(story.server.reasons("connection.made").await, ["again", "new"]);
}

/// An unknown connection is nowhere, and one whose vendor cannot be found sends nobody anywhere.
#[tokio::test]
async fn a_vendor_that_is_down_keeps_her_here() {
    let vendor = Upstream::start().await;
    let connection = format!(
        "  idp: {{ preset: oidc, name: Other house, issuer: \"{}\", client_id: us, client_secret: s }}\n",
        vendor.issuer()
    );
    let sections = format!("{PLAIN}connections:\n{connection}");
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let browser = Browser::new();
    account(&server, &browser, "ada").await;
    assert_eq!(browser.open(&server.url("/connect/github")).await.status, 404);
    vendor.answers("/.well-known/openid-configuration", ResponseTemplate::new(503));
    let page = browser.open(&server.url("/connect/idp")).await;
    let down = browser.submit(&ask(&page)).await;
    assert_eq!(down.status, 503, "{}", down.text());
    assert!(down.text().contains("Other house does not answer") && down.headers.contains_key("retry-after"));
    assert_eq!(server.rows("connects").await, 0);
}

/// What is on its way is sealed, and nothing of it stands in the page's address.
#[rstest]
#[tokio::test]
async fn neither_state_nor_token_is_in_the_database(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    let page = story.page(&browser, "ada").await;
    let away = story.press(&browser, &page).await;
    let state = away.asked("state").unwrap();
    let held = |text: String| {
        let server = &story.server;
        async move { server.holds("connects", &text).await || server.holds("connections", &text).await }
    };
    assert!(!held(state).await);
    browser.open(&away.back(&[("code", "c-1")])).await;
    assert_eq!(story.server.rows("connections").await, 1);
    for secret in [ACCESS, REFRESH] {
        assert!(!held(secret.to_owned()).await, "{secret}");
    }
    assert!(held("octocat".to_owned()).await, "what is looked for would be found");
}

/// The same person at two vendors: an answer of one is none of the other's.
#[tokio::test]
async fn one_callback_a_connection() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let entries = [entry("github", "GitHub", &first, ""), entry("gitlab", "GitLab", &second, "")].concat();
    let sections = format!("{PLAIN}connections:\n{entries}");
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let browser = Browser::new();
    account(&server, &browser, "ada").await;
    let page = browser.open(&server.url("/connect/github")).await;
    let away = away(&browser.submit(&ask(&page)).await);
    let elsewhere = away.back(&[("code", "c-1")]).replace("/connect/github/", "/connect/gitlab/");
    let page = browser.open(&elsewhere).await;
    assert_eq!(page.status, 400, "{}", page.text());
    for vendor in [&first, &second] {
        assert_eq!(vendor.requests("/token").await.len(), 0);
    }
    assert_eq!(server.rows("connections").await, 0);
}
