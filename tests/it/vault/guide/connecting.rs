//! "Connecting an account", and what a server is answered before and after.

use serde_json::json;

use super::*;

#[tokio::test]
async fn the_guide_to_connecting_an_account_can_be_followed_word_for_word() {
    let (github, server) = with_github(On::Sqlite, &written(&[block(HANDING_OUT, "yaml")])).await.unwrap();
    let app = app("tickets:read tickets:write");
    let (ada, grace) = (Browser::new(), Browser::new());
    let adas = app.obtain(&server, &ada, "ada").await;
    let graces = app.obtain(&server, &grace, "grace").await;

    // An MCP server that has no token for her gets a link.
    let needed = vend(&server, &adas, "github").await;
    let shown = to_do_first(&server, "Ticket desk");
    assert!(is_as_shown(&needed.body, &shown), "{}\n{shown}", needed.body);
    let link = link(&needed);

    // Whoever else opens it is told so, and it stays as good as it was.
    let page = grace.open(link).await;
    assert!(page.text().contains("made for somebody else"), "{}", page.text());
    // Nothing begins before she presses the button there.
    let page = ada.open(link).await;
    assert!(page.text().contains("Write tickets"), "what it could be used for: {}", page.text());
    assert!(page.text().contains("repo"), "what the vendor will ask: {}", page.text());
    assert_eq!(
        (server.rows("connects").await, github.requests("/login/oauth/access_token").await.len()),
        (0, 0)
    );

    // What is asked for by a link is what that link is for; PKCE is sent; each connection has its own redirect URI.
    let at = away(&ada.submit(&page.form("/connect/")).await);
    assert_eq!(at.asked("redirect_uri"), Some(format!("{}/connect/github/callback", server.issuer)));
    assert_eq!(
        (at.asked("scope").as_deref(), at.asked("code_challenge_method").as_deref()),
        (Some("repo"), Some("S256"))
    );
    // Who cancels opens it again.
    let page = ada.open(&at.back(&[("error", "access_denied")])).await;
    assert!(page.text().contains("not connected"), "{}", page.text());
    let at = press(&ada, link).await;
    // The way back is bound to the browser that began.
    let page = grace.open(&at.back(&[("code", "c-1")])).await;
    assert_eq!((page.status, server.rows("connections").await), (400, 0), "{}", page.text());
    let page = ada.open(&at.back(&[("code", "c-1")])).await;
    assert!(page.text().contains("is connected"), "it says that it is done: {}", page.text());
    // The back button does no harm; a code is redeemed once; the link is good once.
    ada.open(&at.back(&[("code", "c-1")])).await;
    assert_eq!(github.requests("/login/oauth/access_token").await.len(), 1);
    assert!(ada.open(link).await.text().contains("done already"));

    handed_out(&vend(&server, &adas, "github").await);

    // For ten minutes: hers is too late, and she goes by herself.
    let needed = vend(&server, &graces, "github").await;
    let link = super::link(&needed);
    server.later(std::time::Duration::from_secs(601));
    let page = grace.open(link).await;
    assert_eq!(page.status, 400, "{}", page.text());
    github.answers("/user", json_of(&json!({ "id": 1, "login": "hopper" })));
    let at = press(&grace, &server.url("/connect/github")).await;
    assert!(grace.open(&at.back(&[("code", "c-2")])).await.text().contains("is connected"));
    assert_eq!(server.rows("connections").await, 2);
}
