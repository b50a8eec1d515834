//! An account with several sites: the person says which is meant.

use rstest::rstest;
use serde_json::{Value, json};

use super::Story;
use crate::support::{Browser, On, browser::Page, upstream::json_of};

async fn begin(on: On, sites: &Value) -> Option<Story> {
    let story = Story::begin(on, "").await?;
    let keys = format!("    sites_url: \"{}/sites\"\n", story.vendor.issuer());
    let vendor = story.vendor;
    let sections = super::sections(&vendor, &keys)
        .replace("vendor: {", "vendor: { sites: { id: id, name: name, url: url },");
    let server = crate::support::Server::start_with(on, &sections).await?;
    let story = Story { vendor, server };
    story.vendor.answers("/sites", json_of(sites));
    Some(story)
}

fn sites() -> Value {
    json!([
        { "id": "s-1", "name": "Acme", "url": "https://acme.example" },
        { "id": "s-2", "name": "<b>Globex</b>", "url": "https://globex.example" },
    ])
}

async fn chosen(story: &Story, browser: &Browser) -> Option<String> {
    let kept = story.connections(browser).await.pop().unwrap();
    kept.details.0.get("site").cloned()
}

fn picks(page: &Page, site: &str) -> crate::support::browser::Form {
    page.form("/connect/github/site").set("site", site)
}

#[rstest]
#[tokio::test]
async fn of_several_sites_she_chooses_one(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = begin(on, &sites()).await else { return };
    let browser = Browser::new();
    let page = story.connect(&browser, "ada").await;
    assert!(
        page.text().contains("Which GitHub site") && page.text().contains("<b>Globex</b>"),
        "{}",
        page.text()
    );
    assert_eq!(chosen(&story, &browser).await, None, "none is meant before she says so");
    assert_eq!(browser.open(page.url.as_str()).await.text(), page.text(), "the page survives a reload");

    let unknown = browser.submit(&picks(&page, "s-3")).await;
    assert!(unknown.text().contains("Which GitHub site"), "{}", unknown.text());
    assert_eq!(browser.submit(&picks(&page, "s-2").set("csrf", "x")).await.status, 403);
    assert_eq!(Browser::new().submit(&picks(&page, "s-2")).await.status, 403);
    assert_eq!(chosen(&story, &browser).await, None);

    let done = browser.submit(&picks(&page, "s-2")).await;
    assert!(done.text().contains("is connected"), "{}", done.text());
    assert_eq!(chosen(&story, &browser).await.as_deref(), Some("s-2"));
    let again = browser.submit(&picks(&page, "s-1")).await;
    assert!(again.text().contains("is connected"), "{}", again.text());
    assert_eq!(chosen(&story, &browser).await.as_deref(), Some("s-2"), "she chooses once");
    assert_eq!(story.server.last("connection.site_chosen").await.detail("site"), "s-2");

    story.server.later(std::time::Duration::from_secs(1));
    let renewed = story.connect(&browser, "ada").await;
    assert!(renewed.text().contains("is connected"), "what was chosen stays: {}", renewed.text());
    assert_eq!(chosen(&story, &browser).await.as_deref(), Some("s-2"));
}

#[rstest]
#[tokio::test]
async fn an_only_site_is_meant(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = begin(on, &json!([{ "id": "s-1", "name": "Acme" }])).await else { return };
    let browser = Browser::new();
    let page = story.connect(&browser, "ada").await;
    assert!(page.text().contains("is connected"), "{}", page.text());
    assert_eq!(chosen(&story, &browser).await.as_deref(), Some("s-1"));
}
