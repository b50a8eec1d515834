//! A provider is asked whether it still stands by a person: no token of ours outlives its no for longer than an access
//! token lives, and its silence costs nobody anything at first.

use std::time::Duration;

use chancery::vault::state::{Loss, State};
use rstest::rstest;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::{
    support::{Browser, Client, On, Tokens, upstream::json_of, vault::refused},
    vault::sign_in::{REFRESH, Story},
};

const RECHECKS: &str = "client_auth: none, organization: acme, sign_in: { anyone: true, recheck: upstream }, \
                        vault: { keep_sign_in_tokens: true, connection: drive }";
const MINUTE: Duration = Duration::from_secs(60);
/// How long an access token lives.
const LIFE: Duration = Duration::from_secs(600);

/// A person in her browser, and what an app of hers got.
struct There {
    browser: Browser,
    client: Client,
    tokens: Tokens,
}

impl There {
    async fn comes(story: &Story, sub: &str, changes: serde_json::Value) -> Self {
        let (browser, client) = (Browser::new(), Client::desk());
        story.sign_in_as(sub, &browser, changes).await;
        let tokens = client.obtain(&story.server, &browser, sub).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        Self { browser, client, tokens }
    }

    /// What her app's refresh is answered. What was answered well is used from then on.
    async fn refresh(&mut self, story: &Story) -> (u16, String) {
        let answer = self.client.refresh(&story.server, self.tokens.refresh()).await;
        let told = (answer.status, answer.body["error"].as_str().unwrap_or_default().to_owned());
        if answer.status == 200 {
            self.tokens = answer;
        }
        told
    }

    async fn is_signed_in(&self, story: &Story) -> bool {
        let url = story.server.url("/account").parse().unwrap();
        self.browser.send(reqwest::Method::GET, &url, None).await.status == 200
    }
}

fn good() -> (u16, String) {
    (200, String::new())
}

fn over() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

impl Story {
    async fn rechecks(on: On) -> Option<Self> {
        Self::begin_with(on, RECHECKS, "").await
    }

    /// Its refresh tokens become others from now on.
    fn renews_to(&self, refresh_token: &str) {
        self.provider.answers(
            "/token",
            json_of(&json!({
                "access_token": format!("access-with-{refresh_token}"), "token_type": "Bearer", "expires_in": 3600,
                "refresh_token": refresh_token,
            })),
        );
    }

    /// The refresh tokens that were sent to it.
    async fn asked_with(&self) -> Vec<String> {
        let asked = self.provider.requests("/token").await;
        let token = |body: &[u8]| {
            let mut form = url::form_urlencoded::parse(body);
            form.find(|(name, _)| name == "refresh_token").map(|(_, token)| token.into_owned())
        };
        asked.iter().filter_map(|request| token(&request.body)).collect()
    }
}

/// Each time with the token that it gave last.
#[rstest]
#[tokio::test]
async fn it_is_asked_at_a_refresh(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::rechecks(on).await else { return };
    let mut ada = There::comes(&story, "ada-1", json!({})).await;
    story.renews_to("second");
    assert_eq!(ada.refresh(&story).await, good());
    assert!(story.asked_with().await.is_empty(), "she has just come from there");

    story.server.later(LIFE);
    assert_eq!(ada.refresh(&story).await, good());
    assert_eq!(story.asked_with().await, [REFRESH]);
    let kept = story.kept().await.pop().unwrap();
    assert_eq!(story.opened(&kept).await, ("access-with-second".to_owned(), Some("second".to_owned())));
    story.server.later(MINUTE / 2);
    assert_eq!(ada.refresh(&story).await, good());
    assert_eq!(story.asked_with().await.len(), 1, "its word holds for a minute");
    story.server.later(MINUTE);
    assert_eq!(ada.refresh(&story).await, good());
    assert_eq!(story.asked_with().await, [REFRESH, "second"]);
}

/// Where the operator does not say so it is not asked.
#[tokio::test]
async fn it_is_asked_only_where_that_is_wanted() {
    let here = RECHECKS.replace(", recheck: upstream", "");
    let story = Story::begin_with(On::Sqlite, &here, "").await.unwrap();
    let mut ada = There::comes(&story, "ada-1", json!({})).await;
    story.provider.answers("/token", refused(400, "invalid_grant"));
    story.server.later(LIFE);
    assert_eq!(ada.refresh(&story).await, good());
    assert!(story.asked_with().await.is_empty());
}

/// Whom it does not stand by any more is out, in every browser and with every app; nobody else is.
#[rstest]
#[tokio::test]
async fn its_no_ends_all_that_stands_on_it(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::rechecks(on).await else { return };
    let mut here = There::comes(&story, "ada-1", json!({})).await;
    let mut there = There::comes(&story, "ada-1", json!({})).await;
    story.is("drive-2");
    let mut grace = There::comes(&story, "grace-1", json!({})).await;
    story.server.later(LIFE);
    story.provider.answers("/token", refused(400, "invalid_grant"));
    assert_eq!(here.refresh(&story).await, over());
    assert!(!here.is_signed_in(&story).await && !there.is_signed_in(&story).await);
    assert_eq!(there.refresh(&story).await, over());
    assert_eq!(story.asked_with().await.len(), 1, "once is enough");
    for event in ["session.ended", "grant.revoked"] {
        assert_eq!(story.server.reasons(event).await, ["upstream_refused"; 2], "{event}");
    }
    assert_eq!(story.server.reasons("connection.lost").await, ["revoked"]);
    let refusals = story.server.details("token.refused").await;
    let why = "acme does not stand by this person any more: revoked";
    assert!(refusals.iter().any(|refusal| refusal["why"] == why), "{refusals:?}");

    assert!(grace.is_signed_in(&story).await);
    story.renews_to("of-grace");
    assert_eq!(grace.refresh(&story).await, good());
    // Whom it vouches for again may come again.
    story.is("drive-1");
    let mut again = There::comes(&story, "ada-1", json!({})).await;
    story.renews_to("again");
    story.server.later(LIFE);
    assert_eq!(again.refresh(&story).await, good());
}

/// What says nothing of the person costs her nothing for an hour, and no sign-in after that.
#[rstest]
#[case::down(ResponseTemplate::new(503))]
#[case::senseless(ResponseTemplate::new(200).set_body_string("<html>"))]
#[case::does_not_know_us(refused(401, "invalid_client"))]
#[tokio::test]
async fn its_silence_is_no_refusal(
    #[case] answer: ResponseTemplate,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(story) = Story::rechecks(on).await else { return };
    let mut ada = There::comes(&story, "ada-1", json!({})).await;
    story.provider.answers("/token", answer);
    for _ in 0..5 {
        story.server.later(LIFE);
        assert_eq!(ada.refresh(&story).await, good());
    }
    assert!(matches!(story.kept().await[0].state, State::Degraded(_)));
    story.server.later(LIFE + MINUTE);
    let answer = ada.client.refresh(&story.server, ada.tokens.refresh()).await;
    assert_eq!((answer.status, answer.error()), (503, "temporarily_unavailable"), "{}", answer.body);
    assert!(answer.headers.contains_key("retry-after"));
    assert!(ada.is_signed_in(&story).await);

    story.renews_to("second");
    story.server.later(2 * MINUTE);
    assert_eq!(ada.refresh(&story).await, good());
    assert_eq!(story.asked_with().await.last().unwrap(), REFRESH, "nothing was lost");
    assert_eq!(story.kept().await[0].state, State::Active);
}

/// A provider that gave no refresh token is asked with the access token.
#[rstest]
#[tokio::test]
async fn an_access_token_will_do(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::rechecks(on).await else { return };
    let mut ada = There::comes(&story, "ada-1", json!({ "refresh_token": null })).await;
    let before = story.provider.requests("/userinfo").await.len();
    story.server.later(LIFE);
    assert_eq!(ada.refresh(&story).await, good());
    assert_eq!(story.provider.requests("/userinfo").await.len(), before + 1);
    story.provider.answers("/userinfo", ResponseTemplate::new(500));
    story.server.later(LIFE);
    assert_eq!(ada.refresh(&story).await, good());
    story.provider.answers("/userinfo", ResponseTemplate::new(401));
    assert_eq!(ada.refresh(&story).await, over());
    assert!(!ada.is_signed_in(&story).await);
    assert_eq!(story.kept().await[0].state, State::NeedsReconnect(Loss::Revoked));
}

/// Nobody gets around it by disconnecting the account: without its tokens she has to sign in there again, and they are
/// kept again.
#[rstest]
#[tokio::test]
async fn without_tokens_she_signs_in_again(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::rechecks(on).await else { return };
    let mut ada = There::comes(&story, "ada-1", json!({})).await;
    let page = ada.browser.open(&story.server.url("/account")).await;
    assert_eq!(ada.browser.submit(&page.form("/account/connections/end")).await.status, 200);
    assert_eq!(story.server.rows("connections").await, 0);
    story.server.later(LIFE);
    assert_eq!(ada.refresh(&story).await, over());
    assert!(!ada.is_signed_in(&story).await);
    let mut ada = There::comes(&story, "ada-1", json!({})).await;
    story.renews_to("second");
    story.server.later(LIFE);
    assert_eq!(ada.refresh(&story).await, good());
}

/// A session that lives on gives no tokens either.
#[rstest]
#[tokio::test]
async fn it_is_asked_before_the_first_token_too(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::rechecks(on).await else { return };
    let ada = There::comes(&story, "ada-1", json!({})).await;
    story.server.later(LIFE);
    story.provider.answers("/token", refused(400, "invalid_grant"));
    let code = ada.client.authorize(&story.server, &ada.browser, "ada-1").await;
    let answer = ada.client.exchange(&story.server, &code).await;
    assert_eq!((answer.status, answer.error()), (400, "invalid_grant"), "{}", answer.body);
    assert!(!ada.is_signed_in(&story).await);
    assert_eq!(story.server.recorded("token.issued").await, 1);
}

/// However many instances her apps come to at once.
#[rstest]
#[tokio::test]
async fn it_is_asked_once_by_all_instances(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::rechecks(on).await else { return };
    let one = There::comes(&story, "ada-1", json!({})).await;
    let other = There::comes(&story, "ada-1", json!({})).await;
    let twin = story.server.twin().await;
    story.renews_to("second");
    story.server.later(LIFE);
    let (here, there) = tokio::join!(
        one.client.refresh(&story.server, one.tokens.refresh()),
        other.client.refresh(&twin, other.tokens.refresh()),
    );
    assert_eq!((here.status, there.status), (200, 200), "{} {}", here.body, there.body);
    assert_eq!(story.asked_with().await, [REFRESH]);
    let kept = story.kept().await.pop().unwrap();
    assert_eq!((kept.state, kept.generation), (State::Active, 3), "two sign-ins and one refresh");
}
