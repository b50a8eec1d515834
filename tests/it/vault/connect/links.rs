//! Links that lead one person to connecting an account.

use std::time::Duration;

use rstest::rstest;

use super::{Story, ask};
use crate::support::{Browser, On, client::account};

/// The link, without the host that it names: stories do not listen where they say.
async fn unused(story: &Story) -> bool {
    let used = story.server.count("connect_links WHERE used_at IS NOT NULL").await;
    used == 0
}

#[rstest]
#[tokio::test]
async fn a_link_leads_its_person_there_and_back(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    account(&story.server, &browser, "ada").await;
    let link = story.link(&story.user(&browser).await, Some("https://desk.acme.example/chat?id=7")).await;
    let page = browser.open(&link).await;
    for words in ["Back office needs it", "Ticket desk", "Change tickets"] {
        assert!(page.text().contains(words), "{words}: {}", page.text());
    }
    assert!(unused(&story).await, "looking uses nothing up");
    let away = story.press(&browser, &page).await;
    assert_eq!(away.asked("scope").as_deref(), Some("read repo"));
    assert!(unused(&story).await);
    let done = browser.open(&away.back(&[("code", "c-1")])).await;
    assert!(done.text().contains("Go back to desk.acme.example"), "{}", done.text());
    assert!(done.body.contains("https://desk.acme.example/chat?id=7"));
    assert!(!unused(&story).await);
    assert_eq!(story.server.last("connection.made").await.detail("by_link"), "true");

    let again = browser.open(&link).await;
    assert_eq!(again.status, 400);
    assert!(again.text().contains("This is done already"), "{}", again.text());
    let late = browser.submit(&ask(&page)).await;
    assert!(late.text().contains("This is done already"), "{}", late.text());
}

/// Whoever else opens it is told so, and the link stays as good as it was.
#[rstest]
#[tokio::test]
async fn a_link_is_for_one_person(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let (ada, grace) = (Browser::new(), Browser::new());
    account(&story.server, &ada, "ada").await;
    let link = story.link(&story.user(&ada).await, None).await;
    let hers = ada.open(&link).await;
    story.server.later(Duration::from_secs(1));
    account(&story.server, &grace, "grace").await;
    let page = grace.open(&link).await;
    assert_eq!(page.status, 403);
    assert!(page.text().contains("made for somebody else"), "{}", page.text());
    assert!(!page.body.contains("Ada"), "it says nothing about whom it was made for: {}", page.body);
    let token = ask(&hers).values("link")[0].to_owned();
    let form = grace.open(&story.server.url("/connect/github")).await;
    assert_eq!(grace.submit(&ask(&form).set("link", &token)).await.status, 403);
    assert_eq!(story.server.reasons("connection.refused").await, ["link_of_another", "link_of_another"]);
    assert!(unused(&story).await);
    assert_eq!(story.server.rows("connects").await, 0);
    let away = story.press(&ada, &hers).await;
    assert!(ada.open(&away.back(&[("code", "c-1")])).await.text().contains("is connected"));
}

#[rstest]
#[tokio::test]
async fn its_person_may_have_to_sign_in_first(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    account(&story.server, &Browser::new(), "ada").await;
    let link = story.link(&story.user(&Browser::new()).await, None).await;
    let browser = Browser::new();
    let page = browser.open(&link).await;
    assert!(page.url.as_str().starts_with(&story.server.provider), "{}", page.url);
    let page = crate::support::client::sign_in(&story.server, &browser, page, "ada", "nowhere:").await;
    assert!(page.text().contains("Back office needs it"), "{}", page.text());
    let secret = link.split("link=").nth(1).unwrap();
    assert!(!story.server.holds("logins", secret).await, "the link is sealed on the way");
    let away = story.press(&browser, &page).await;
    assert!(browser.open(&away.back(&[("code", "c-1")])).await.text().contains("is connected"));
    assert!(!unused(&story).await);
}

/// Forged, changed, of another connection, too old.
#[rstest]
#[tokio::test]
async fn a_link_that_is_none_does_nothing(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    account(&story.server, &browser, "ada").await;
    let link = story.link(&story.user(&browser).await, None).await;
    let forged = format!("{}chy_cl_{}", link.split("chy_cl_").next().unwrap(), "A".repeat(43));
    for wrong in [forged, format!("{link}A"), format!("{link}&link=x"), link.replace("chy_cl_", "chy_ac_")] {
        let page = browser.open(&wrong).await;
        assert_eq!(page.status, 400, "{wrong}: {}", page.text());
    }
    let form = ask(&browser.open(&story.server.url("/connect/github")).await);
    assert_eq!(browser.submit(&form.set("link", &format!("chy_cl_{}", "A".repeat(43)))).await.status, 400);
    let page = browser.open(&link).await;
    story.server.later(Duration::from_secs(600));
    assert_eq!(browser.open(&link).await.status, 400, "too old");
    assert_eq!(browser.submit(&ask(&page)).await.status, 400, "too old to begin");
    assert_eq!(story.server.rows("connects").await, 0);
}

/// Who began in time may come back a little late; and of two tabs with one link the first counts.
#[rstest]
#[tokio::test]
async fn a_link_counts_once_for_what_began_in_time(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    account(&story.server, &browser, "ada").await;
    let link = story.link(&story.user(&browser).await, None).await;
    let page = browser.open(&link).await;
    story.server.later(Duration::from_secs(590));
    let (first, second) = (story.press(&browser, &page).await, story.press(&browser, &page).await);
    story.server.later(Duration::from_secs(60));
    assert!(browser.open(&first.back(&[("code", "c-1")])).await.text().contains("is connected"));
    let other = browser.open(&second.back(&[("code", "c-2")])).await;
    assert!(other.text().contains("This is done already"), "{}", other.text());
    assert_eq!(story.vendor.requests("/token").await.len(), 1, "the second code is not redeemed");
    assert_eq!(story.server.recorded("connection.made").await, 1);
}

/// What came to nothing leaves the link as it was, and the page leads to trying again.
#[rstest]
#[tokio::test]
async fn a_link_is_used_up_by_success_alone(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    account(&story.server, &browser, "ada").await;
    let link = story.link(&story.user(&browser).await, None).await;
    let page = browser.open(&link).await;
    let away = story.press(&browser, &page).await;
    let denied = browser.open(&away.back(&[("error", "access_denied")])).await;
    assert_eq!(denied.status, 403, "{}", denied.text());
    assert!(unused(&story).await);
    let token = link.split("link=").nth(1).unwrap();
    assert!(denied.body.contains(&format!("/connect/github?link={token}")), "{}", denied.body);
    let page = browser.open(&link).await;
    let away = story.press(&browser, &page).await;
    assert!(browser.open(&away.back(&[("code", "c-1")])).await.text().contains("is connected"));
}

/// A way back that leads nowhere safe is not offered.
#[rstest]
#[case("javascript:alert(1)")]
#[case("http://desk.acme.example/")]
#[case("cursor://x/y")]
#[tokio::test]
async fn a_way_back_is_a_web_page(#[case] return_to: &str) {
    let story = Story::begin(On::Sqlite, "").await.unwrap();
    let browser = Browser::new();
    account(&story.server, &browser, "ada").await;
    let link = story.link(&story.user(&browser).await, Some(return_to)).await;
    let page = browser.open(&link).await;
    let away = story.press(&browser, &page).await;
    let done = browser.open(&away.back(&[("code", "c-1")])).await;
    assert!(done.text().contains("is connected"), "{}", done.text());
    assert!(!done.body.contains(return_to), "{}", done.body);
}
