//! What signing out ends, and what it leaves.

use std::time::Duration;

use rstest::rstest;

use crate::support::{Browser, Client, On, Server, Tokens, browser::Page, client::account};

const LOGOUT: &str = "/logout";

/// The declared web client, whose consent is remembered.
fn web() -> Client {
    Client { redirect_uri: "https://desk.acme.example/callback".into(), ..Client::desk() }
}

/// Signs out with the button of this browser, or of all.
async fn sign_out(server: &Server, browser: &Browser, everywhere: bool) -> Page {
    let page = account(server, browser, "ada").await;
    let button = &page.forms(LOGOUT)[usize::from(everywhere)];
    assert_eq!(button.values("everywhere").is_empty(), !everywhere);
    browser.submit(button).await
}

async fn is_alive(server: &Server, client: &Client, tokens: &mut Tokens) -> bool {
    let refreshed = client.refresh(server, tokens.refresh()).await;
    if refreshed.status == 200 {
        *tokens = refreshed;
        return true;
    }
    assert_eq!(refreshed.error(), "invalid_grant");
    false
}

#[rstest]
#[tokio::test]
async fn signing_out_ends_what_was_connected_there(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (laptop, phone, his) = (Browser::new(), Browser::new(), Browser::new());
    let client = web();
    let wiki = Client { resource: Some("https://mcp.acme.example/wiki".into()), ..web() };
    let mut here = client.obtain(&server, &laptop, "ada").await;
    let mut here_too = wiki.obtain(&server, &laptop, "ada").await;
    let page = client.begin(&server, &phone, "ada").await;
    let mut there = client.exchange(&server, &client.code(&server, &page)).await;
    let mut grace = client.obtain(&server, &his, "grace").await;

    let page = sign_out(&server, &laptop, false).await;
    let text = page.text();
    assert!(text.contains("You are signed out"), "{text}");
    assert!(
        text.contains("One app that you connected here since you signed in has lost its access"),
        "{text}"
    );
    assert!(text.contains("You are still signed in at Acme."), "{text}");
    for (client, tokens, alive) in [
        (&client, &mut here, false),
        (&wiki, &mut here_too, false),
        (&client, &mut there, true),
        (&client, &mut grace, true),
    ] {
        assert_eq!(is_alive(&server, client, tokens).await, alive);
    }
    assert_eq!(server.reasons("session.ended").await, ["by_owner"]);
    assert_eq!(server.reasons("grant.revoked").await, ["by_owner", "by_owner"]);

    let back = client.begin(&server, &laptop, "ada").await;
    let code = client.code(&server, &back);
    assert_eq!(client.exchange(&server, &code).await.status, 200, "what she allowed is remembered");
}

#[rstest]
#[tokio::test]
async fn signing_out_everywhere_ends_all_that_was_ever_connected(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (laptop, phone, his) = (Browser::new(), Browser::new(), Browser::new());
    let client = web();
    let mut yesterday = client.obtain(&server, &phone, "ada").await;
    let mut grace = client.obtain(&server, &his, "grace").await;
    server.later(Duration::from_secs(2 * 86_400));
    let page = client.begin(&server, &laptop, "ada").await;
    let mut today = client.exchange(&server, &client.code(&server, &page)).await;
    account(&server, &Browser::new(), "ada").await;

    let page = sign_out(&server, &laptop, true).await;
    assert!(page.text().contains("You are signed out everywhere"), "{}", page.text());
    assert!(page.text().contains("One app that you connected in any browser"), "{}", page.text());
    assert!(!is_alive(&server, &client, &mut yesterday).await, "its session had long expired");
    assert!(!is_alive(&server, &client, &mut today).await);
    assert!(is_alive(&server, &client, &mut grace).await);
    assert_eq!(server.recorded("session.ended").await, 2 + 1, "the expired one's row was still there");
}

/// Ending another browser's session from the account page ends what was connected in that browser.
#[rstest]
#[tokio::test]
async fn a_browser_that_is_signed_out_from_elsewhere_takes_its_apps_along(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(server) = Server::start(on).await else { return };
    let (laptop, phone) = (Browser::new(), Browser::new());
    let client = web();
    let mut there = client.obtain(&server, &phone, "ada").await;
    let page = client.begin(&server, &laptop, "ada").await;
    let mut here = client.exchange(&server, &client.code(&server, &page)).await;
    let page = account(&server, &laptop, "ada").await;
    let after = laptop.submit(&page.form("/account/sessions/end")).await;
    assert!(
        after.text().contains("Apps that were connected in it have lost their access"),
        "{}",
        after.text()
    );
    assert!(!is_alive(&server, &client, &mut there).await);
    assert!(is_alive(&server, &client, &mut here).await);
}

#[rstest]
#[tokio::test]
async fn a_code_under_way_dies_with_its_session(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser) = (web(), Browser::new());
    let code = client.authorize(&server, &browser, "ada").await;
    sign_out(&server, &browser, false).await;
    assert_eq!(client.exchange(&server, &code).await.error(), "invalid_grant");
    assert_eq!(server.rows("grants").await, 0);
}

/// Whichever comes first: no grant that was being born lives on.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_slips_through_while_she_signs_out(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    for _ in 0..6 {
        let (client, browser) = (web().with("prompt", "consent"), Browser::new());
        let codes = [
            client.authorize(&server, &browser, "ada").await,
            client.authorize(&server, &browser, "ada").await,
        ];
        let waiting = client.begin(&server, &browser, "ada").await;
        let allow = waiting.form("/interaction/").set("decision", "allow");
        let leave = account(&server, &browser, "ada").await.form(LOGOUT);
        let tab = browser.copy();
        let (first, second, answered, left) = tokio::join!(
            client.exchange(&server, &codes[0]),
            client.exchange(&server, &codes[1]),
            tab.submit_until(&allow, &client.redirect_uri),
            browser.submit(&leave),
        );
        assert_eq!(left.status, 200, "{}", left.text());
        let mut all = vec![first, second];
        if answered.url.as_str().starts_with(&client.redirect_uri) {
            all.push(client.exchange(&server, &client.code(&server, &answered)).await);
        }
        for tokens in all.iter_mut().filter(|tokens| tokens.status == 200) {
            assert!(!is_alive(&server, &client, tokens).await);
        }
    }
}

/// A new sign-in of the same person in the same browser goes on with the session, so that signing out later ends what
/// was connected before it too.
#[rstest]
#[tokio::test]
async fn signing_in_again_leaves_nothing_behind(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser) = (web(), Browser::new());
    let mut before = client.obtain(&server, &browser, "ada").await;
    let anew = web().with("prompt", "login");
    let page = anew.begin(&server, &browser, "ada").await;
    let mut after = anew.exchange(&server, &anew.code(&server, &page)).await;
    assert_eq!(server.rows("sessions").await, 1);
    assert_eq!(server.recorded("session.ended").await, 0);
    assert!(is_alive(&server, &client, &mut before).await, "a step-up costs no app its access");
    sign_out(&server, &browser, false).await;
    assert!(!is_alive(&server, &client, &mut before).await);
    assert!(!is_alive(&server, &client, &mut after).await);
}

/// Another person's sign-in signs the first one out here, recorded, and leaves her apps alone: she did not sign out.
#[rstest]
#[tokio::test]
async fn whoever_is_replaced_by_another_is_on_record(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser) = (web(), Browser::new());
    let mut hers = client.obtain(&server, &browser, "ada").await;
    let his = web().with("prompt", "login");
    his.obtain(&server, &browser, "grace").await;
    assert_eq!(server.reasons("session.ended").await, ["replaced"]);
    assert!(is_alive(&server, &client, &mut hers).await);
    let page = browser.open(&server.url("/account")).await;
    assert!(page.text().contains("Grace Hopper"), "{}", page.text());
    browser.submit(&page.form(LOGOUT)).await;
    assert!(is_alive(&server, &client, &mut hers).await, "his sign-out is not hers");
}

/// A consent that is taken back is on record, whether or not a grant stands on it.
#[rstest]
#[tokio::test]
async fn a_consent_without_a_grant_is_taken_back_on_record(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser) = (web(), Browser::new());
    client.obtain(&server, &browser, "ada").await;
    let page = account(&server, &browser, "ada").await;
    server.execute("UPDATE grants SET revoked_at = 1").await;
    browser.submit(&page.form("/account/applications/end")).await;
    assert_eq!(server.recorded("grant.revoked").await, 0);
    assert_eq!(server.recorded("consent.withdrawn").await, 1);
    browser.submit(&page.form("/account/applications/end")).await;
    assert_eq!(server.recorded("consent.withdrawn").await, 1, "there was nothing left to take back");
}

/// Who signs out with nobody signed in is told so, and nothing is recorded.
#[tokio::test]
async fn whoever_is_out_already_is_told_the_same() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let page = account(&server, &browser, "ada").await;
    let stale = page.form(LOGOUT);
    let tab = browser.copy();
    assert_eq!(browser.submit(&stale).await.status, 200);
    assert_eq!(tab.submit(&stale).await.status, 403, "the token of the form was that session's");
    assert_eq!(server.recorded("session.ended").await, 1);
}
