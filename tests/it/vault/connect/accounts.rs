//! Whose account it is: rules, the pinned account, and several of them.

use chancery::{oauth::scope::ScopeSet, store::connections};
use rstest::rstest;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::{ACCESS, REFRESH, Story, ask};
use crate::support::{Browser, On, Server, Upstream, upstream::json_of};

const OTHER: &str = r#"{"id": 2, "login": "hubot", "email": "hubot@acme.example"}"#;

/// A private account is refused, its tokens are ended at the vendor, and nothing of it is stored.
#[rstest]
#[case::organization(
    "    account: { require: { organizations: [acme] } }\n",
    "Only members of acme there may connect",
    "organizations"
)]
#[case::domain(
    "    account: { require: { email_domains: [globex.example] } }\n",
    "at globex.example may be connected",
    "email_domains"
)]
#[tokio::test]
async fn a_private_account_is_refused(
    #[case] rule: &str,
    #[case] words: &str,
    #[case] key: &str,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(story) = Story::begin(on, rule).await else { return };
    story.vendor.answers("/orgs", json_of(&json!([{ "id": "globex" }])));
    let browser = Browser::new();
    let page = story.connect(&browser, "ada").await;
    assert_eq!(page.status, 403, "{}", page.text());
    assert!(page.text().contains(words), "{}", page.text());
    assert!(!page.body.contains("octocat"), "{}", page.body);
    let ended = story.vendor.requests("/revoke").await;
    let ended: Vec<_> =
        ended.iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    assert!(ended[0].contains(REFRESH) && ended[1].contains(ACCESS), "{ended:?}");
    assert_eq!((story.server.rows("connections").await, story.server.rows("revocations").await), (0, 0));
    let event = story.server.last("connection.refused").await;
    let rule = format!("connections.github.account.require.{key}");
    assert_eq!((event.detail("rules"), event.detail("tokens")), (rule, "revoked".into()));

    story.vendor.answers("/orgs", json_of(&json!([{ "id": "acme" }])));
    story.is(&json!({ "id": 583_231, "login": "octocat", "email": "octocat@Globex.Example" }));
    assert!(story.connect(&browser, "ada").await.text().contains("is connected"));
}

/// Where the vendor does not end them at once it is owed, sealed like any other.
#[rstest]
#[tokio::test]
async fn what_cannot_be_ended_now_is_owed(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "    account: { require: { organizations: [acme] } }\n").await else {
        return;
    };
    story.vendor.answers("/orgs", json_of(&json!([])));
    story.vendor.answers("/revoke", ResponseTemplate::new(503));
    let page = story.connect(&Browser::new(), "ada").await;
    assert_eq!(page.status, 403, "{}", page.text());
    assert_eq!((story.server.rows("connections").await, story.server.rows("revocations").await), (0, 1));
    assert_eq!(story.server.last("connection.refused").await.detail("tokens"), "to_be_revoked");
    let now = story.server.clock.now();
    let mut tx = story.server.app.db.begin().await.unwrap();
    let owed = chancery::store::revocations::take(&mut tx, (now, now), 9).await.unwrap().pop().unwrap();
    drop(tx);
    let kept = story.server.app.vault.safe.open_owed(&owed, now).await.unwrap();
    assert_eq!((kept.access.expose(), kept.refresh.unwrap().expose()), (ACCESS, REFRESH));
    assert!(!story.server.holds("revocations", ACCESS).await);
}

/// A connection is of one account for ever, unless the operator allows a change.
#[rstest]
#[tokio::test]
async fn another_account_is_refused(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    story.connect(&browser, "ada").await;
    story.gives(&json!({ "access_token": "hubot-token" }));
    story.is(&serde_json::from_str(OTHER).unwrap());
    let page = story.connect(&browser, "ada").await;
    assert_eq!(page.status, 403, "{}", page.text());
    assert!(page.text().contains("You have the account octocat connected"), "{}", page.text());
    assert_eq!(story.server.reasons("connection.refused").await, ["another_account"]);
    assert_eq!(story.vendor.requests("/revoke").await.len(), 2);
    let kept = story.connections(&browser).await;
    assert_eq!((kept.len(), kept[0].generation), (1, 1));
    assert_eq!(story.opened(&kept[0]).await.0, ACCESS);
}

#[rstest]
#[tokio::test]
async fn an_account_may_take_the_place_of_another_where_that_is_allowed(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(story) = Story::begin(on, "    account: { change: true }\n").await else { return };
    let browser = Browser::new();
    story.connect(&browser, "ada").await;
    let before = story.connections(&browser).await.pop().unwrap();
    story.gives(&json!({ "access_token": "hubot-token" }));
    story.is(&serde_json::from_str(OTHER).unwrap());
    assert!(story.connect(&browser, "ada").await.text().contains("is connected"));
    let kept = story.connections(&browser).await;
    assert_eq!(kept.len(), 1);
    assert_ne!(kept[0].id, before.id);
    assert_eq!((kept[0].account_name.as_deref(), kept[0].is_default), (Some("hubot"), true));
    assert_eq!(story.server.rows("revocations").await, 1, "the other account's tokens are ended");
    assert_eq!(story.server.reasons("connection.made").await, ["changed", "new"]);
}

/// Each with its name; the first is meant where nobody says which.
#[rstest]
#[tokio::test]
async fn a_person_may_have_several_where_that_is_allowed(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "    account: { several: true }\n").await else { return };
    let browser = Browser::new();
    story.connect(&browser, "ada").await;
    story.is(&serde_json::from_str(OTHER).unwrap());
    let page = story.page(&browser, "ada").await;
    assert!(page.text().contains("What do you call this account?"), "{}", page.text());
    let form = ask(&page).set("label", "  The robot \u{7} ");
    let away = super::away(&browser.submit(&form).await);
    browser.open(&away.back(&[("code", "c-1")])).await;
    let kept = story.connections(&browser).await;
    let kept: Vec<_> = kept
        .iter()
        .map(|row| (row.account_name.as_deref().unwrap(), row.label.as_deref(), row.is_default))
        .collect();
    assert_eq!(kept, [("octocat", None, true), ("hubot", Some("The robot"), false)]);

    let robot = story.connections(&browser).await.pop().unwrap();
    story.is(&json!({ "id": 3, "login": "third" }));
    let page = browser.open(&story.server.url(&format!("/connect/github?account={}", robot.id))).await;
    assert!(page.text().contains("Use the account hubot"), "{}", page.text());
    let away = story.press(&browser, &page).await;
    let refused = browser.open(&away.back(&[("code", "c-1")])).await;
    assert_eq!(refused.status, 403, "it was to be hubot: {}", refused.text());
    assert_eq!(story.connections(&browser).await.len(), 2);
}

/// The same account again: new tokens over the old ones, and what the vendor does not give a second time stays.
#[rstest]
#[tokio::test]
async fn the_same_account_is_renewed(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    story.connect(&browser, "ada").await;
    story.gives(&json!({ "access_token": "second", "refresh_token": null, "scope": "read repo gist" }));
    story.is(&json!({ "id": 583_231, "login": "octocat-renamed" }));
    story.connect(&browser, "ada").await;
    let kept = story.connections(&browser).await.pop().unwrap();
    assert_eq!((kept.generation, kept.account_name.as_deref()), (2, Some("octocat-renamed")));
    assert_eq!(kept.scope, ScopeSet::parse("read repo gist").unwrap());
    assert_eq!(story.opened(&kept).await, ("second".to_owned(), Some(REFRESH.to_owned())));
    let page = story.page(&browser, "ada").await;
    let away = story.press(&browser, &page).await;
    assert_eq!(away.asked("scope").as_deref(), Some("gist read repo"), "what it allows is asked for again");
}

/// A connection that is of no use any more is mended by connecting again; the dead refresh token does not come back.
#[rstest]
#[tokio::test]
async fn a_lost_connection_is_made_again(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    story.connect(&browser, "ada").await;
    story.server.execute("UPDATE connections SET state = 'needs_reconnect:revoked'").await;
    story.gives(&json!({ "access_token": "second", "refresh_token": null }));
    story.connect(&browser, "ada").await;
    let kept = story.connections(&browser).await.pop().unwrap();
    assert_eq!((kept.state.name(), kept.generation), ("active", 2));
    assert_eq!(story.opened(&kept).await, ("second".to_owned(), None));
}

#[rstest]
#[tokio::test]
async fn what_an_operator_switched_off_is_not_connected_again(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    story.connect(&browser, "ada").await;
    let page = story.page(&browser, "ada").await;
    let away = story.press(&browser, &page).await;
    story
        .server
        .execute("INSERT INTO switched_off (kind, name, at) VALUES ('connection', 'github', 0)")
        .await;
    for refused in [story.page(&browser, "ada").await, browser.open(&away.back(&[("code", "c-2")])).await] {
        assert_eq!(refused.status, 403, "{}", refused.text());
    }
    story.server.execute("DELETE FROM switched_off").await;
    story.server.execute("UPDATE connections SET state = 'disabled'").await;
    assert_eq!(story.page(&browser, "ada").await.status, 403);
    let late = browser.open(&away.back(&[("code", "c-2")])).await;
    assert_eq!(late.status, 403, "{}", late.text());
    let kept = story.connections(&browser).await.pop().unwrap();
    assert_eq!((kept.state.name(), kept.generation), ("disabled", 1));
    assert_eq!(story.vendor.requests("/revoke").await.len(), 2);
}

/// Two tabs, two accounts, at the same moment: one is connected, and the other is refused.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_accounts_at_once_one_is_connected(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    story.page(&browser, "ada").await;
    let user = story.user(&browser).await;
    let configured = story.server.app.config.connections.iter().next().unwrap().clone();
    let mut tasks = Vec::new();
    for id in ["1", "2"] {
        let (app, configured, user) = (story.server.app.clone(), configured.clone(), user.clone());
        tasks.push(tokio::spawn(async move { super::kept_directly(&app, &configured, &user, id).await }));
    }
    let mut kept = 0;
    for task in tasks {
        kept += usize::from(task.await.unwrap());
    }
    assert_eq!(kept, 1);
    assert_eq!(connections::of_user(&story.server.app.db, &user).await.unwrap().len(), 1);
}

/// At a vendor that adds what she allowed before: what it says counts, and where it says nothing all of it is meant.
#[rstest]
#[case::nothing(None, "read repo")]
#[case::all_of_it(Some("gist repo"), "gist repo")]
#[case::less(Some("read"), "read")]
#[tokio::test]
async fn where_scopes_add_up_the_vendor_is_believed(#[case] named: Option<&str>, #[case] expected: &str) {
    let vendor = Upstream::start().await;
    let sections = super::sections(&vendor, "").replace("vendor: { ", "vendor: { incremental: added, ");
    let story = Story { server: Server::start_with(On::Sqlite, &sections).await.unwrap(), vendor };
    story.is(&json!({ "id": 583_231, "login": "octocat" }));
    let browser = Browser::new();
    story.gives(&json!({ "scope": "read repo" }));
    story.connect(&browser, "ada").await;
    story.gives(&json!({ "scope": named }));
    story.connect(&browser, "ada").await;
    let kept = story.connections(&browser).await.pop().unwrap();
    assert_eq!((kept.generation, kept.scope), (2, ScopeSet::parse(expected).unwrap()));
}
