//! What comes back instead of a code and good tokens.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::{ACCESS, Story, ask, away};
use crate::support::{
    Browser, On, PLAIN, Server, Upstream,
    browser::Page,
    client::{account, sign_in},
    upstream::json_of,
};

fn status(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status)
}

/// The page names the vendor, and neither it nor the database has anything of what the vendor said.
async fn came_to_nothing(page: &Page, expected: u16, server: &Server) {
    let text = page.text();
    assert_eq!(page.status, expected, "{text}");
    assert!(text.contains("GitHub") && text.contains("Reference"), "{text}");
    for foreign in [ACCESS, "evil.example"] {
        assert!(!page.body.contains(foreign), "{foreign}: {}", page.body);
    }
    assert_eq!(page.headers.contains_key("retry-after"), expected == 503);
    for table in ["connections", "revocations"] {
        assert_eq!(server.rows(table).await, 0, "{table}");
    }
}

#[rstest]
#[case::down(status(503), 503)]
#[case::throttling(status(429), 503)]
#[case::moved_inwards(status(302).insert_header("location", "http://127.0.0.1:1/"), 502)]
#[case::html(status(200).set_body_string("<html>evil.example</html>"), 502)]
#[case::huge(status(200).set_body_string("x".repeat(10_000_000)), 502)]
#[case::deep(status(200).set_body_string("[".repeat(100_000)), 502)]
#[case::no_token(json_of(&json!({ "token_type": "bearer" })), 502)]
#[case::another_type(json_of(&json!({ "access_token": ACCESS, "token_type": "mac" })), 502)]
#[case::not_a_header(json_of(&json!({ "access_token": "a\r\nb", "token_type": "bearer" })), 502)]
#[case::spent(status(400).set_body_json(json!({ "error": "invalid_grant" })), 400)]
#[case::our_secret(status(401).set_body_json(json!({ "error": "invalid_client" })), 502)]
#[tokio::test]
async fn without_good_tokens_nothing_is_kept(#[case] answer: ResponseTemplate, #[case] expected: u16) {
    let story = Story::begin(On::Sqlite, "").await.unwrap();
    let browser = Browser::new();
    story.vendor.answers("/token", answer);
    let page = story.connect(&browser, "ada").await;
    came_to_nothing(&page, expected, &story.server).await;
    story.gives(&json!({}));
    assert!(story.connect(&browser, "ada").await.text().contains("is connected"));
}

/// It waits for ten seconds at most, and what had come by then is ended.
#[tokio::test]
async fn a_slow_vendor_keeps_nobody_waiting() {
    let story = Story::begin(On::Sqlite, "").await.unwrap();
    story.vendor.answers("/me", json_of(&json!({ "id": 1 })).set_delay(Duration::from_secs(30)));
    let began = std::time::Instant::now();
    let page = story.connect(&Browser::new(), "ada").await;
    assert!(began.elapsed() < Duration::from_secs(15));
    came_to_nothing(&page, 503, &story.server).await;
    assert_eq!(story.vendor.requests("/revoke").await.len(), 2, "refresh token and access token");
}

/// Tokens of an account of which nobody says whose it is are ended.
#[rstest]
#[case::no_id(json_of(&json!({ "login": "octocat" })), 502)]
#[case::html(status(200).set_body_string("<html>evil.example</html>"), 502)]
#[case::forbidden(status(403), 502)]
#[case::down(status(500), 503)]
#[tokio::test]
async fn an_account_must_say_who_it_is(#[case] answer: ResponseTemplate, #[case] expected: u16) {
    let story = Story::begin(On::Sqlite, "").await.unwrap();
    story.vendor.answers("/me", answer);
    let page = story.connect(&Browser::new(), "ada").await;
    came_to_nothing(&page, expected, &story.server).await;
    assert_eq!(story.vendor.requests("/revoke").await.len(), 2);
}

#[rstest]
#[case("access_denied", 403, Some("vendor_declined"))]
#[case("server_error", 503, None)]
#[case("temporarily_unavailable", 503, None)]
#[case("invalid_scope", 502, None)]
#[case("<script>evil.example</script>", 502, None)]
#[tokio::test]
async fn an_error_of_the_vendor_s_is_told(
    #[case] error: &str,
    #[case] expected: u16,
    #[case] reason: Option<&str>,
) {
    let story = Story::begin(On::Sqlite, "").await.unwrap();
    let browser = Browser::new();
    let page = story.page(&browser, "ada").await;
    let away = story.press(&browser, &page).await;
    let back = away.back(&[("error", error), ("error_description", "evil.example")]);
    came_to_nothing(&browser.open(&back).await, expected, &story.server).await;
    assert_eq!(story.server.reasons("connection.refused").await, Vec::from_iter(reason));
    let again = browser.open(&back).await;
    assert_eq!(again.status, 400, "{}", again.text());
    assert_eq!(story.vendor.requests("/token").await.len(), 0);
}

/// Nobody but who began, in the browser in which she began, within time; and none of these attempts costs her anything.
#[rstest]
#[tokio::test]
async fn the_answer_is_hers_alone(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let (ada, grace) = (Browser::new(), Browser::new());
    let page = story.page(&ada, "ada").await;
    let away = story.press(&ada, &page).await;
    let back = away.back(&[("code", "c-1")]);
    account(&story.server, &grace, "grace").await;
    let state = away.asked("state").unwrap();
    let refused = [
        grace.open(&back).await,
        Browser::new().open(&back).await,
        ada.open(&back.replace(&state, &"x".repeat(43))).await,
        ada.open(&story.server.url("/connect/github/callback?code=c-1")).await,
        ada.open(&format!("{back}&state={state}")).await,
    ];
    for page in refused {
        assert_eq!(page.status, 400, "{}", page.text());
    }
    assert_eq!(story.vendor.requests("/token").await.len(), 0);
    assert!(ada.open(&back).await.text().contains("is connected"));

    let late = story.press(&ada, &page).await.back(&[("code", "c-1")]);
    story.server.later(Duration::from_secs(3600));
    assert_eq!(ada.open(&late).await.status, 400);
    assert_eq!(story.vendor.requests("/token").await.len(), 1);
}

/// Who signed out, or in as somebody else, on the way gives away nothing to whoever is there now.
#[rstest]
#[tokio::test]
async fn whoever_is_signed_in_now_is_not_who_began(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    let page = story.page(&browser, "ada").await;
    let back = story.press(&browser, &page).await.back(&[("code", "c-1")]);
    let again = browser.open(&story.server.url("/login/test?prompt=login")).await;
    let page = sign_in(&story.server, &browser, again, "grace", "nowhere:").await;
    assert!(page.text().contains("Grace"), "{}", page.text());
    assert_eq!(browser.open(&back).await.status, 400);
    assert_eq!(story.server.rows("connections").await, 0);
    assert_eq!(story.vendor.requests("/token").await.len(), 0);
}

/// A fault of ours is a 503, costs the tokens their life, and leaves nothing half done.
#[rstest]
#[tokio::test]
async fn a_fault_of_ours_ends_what_had_come(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    let page = story.page(&browser, "ada").await;
    let away = story.press(&browser, &page).await;
    story.server.hide("connections").await;
    let failed = browser.open(&away.back(&[("code", "c-1")])).await;
    assert_eq!(failed.status, 503, "{}", failed.text());
    assert_eq!(story.vendor.requests("/revoke").await.len(), 2);
    story.server.unhide("connections").await;
    assert_eq!(story.server.rows("connections").await, 0);
    assert_eq!(story.server.recorded("connection.made").await, 0);
    assert!(story.connect(&browser, "ada").await.text().contains("is connected"));
}

/// Stands for the issuer that the vendor has in the story.
const ITS_OWN: &str = "its own";

/// RFC 9207: who says whose answer it is, is held to it; and the code goes to nobody before.
#[rstest]
#[case::own(false, Some(ITS_OWN), 200)]
#[case::none(false, None, 200)]
#[case::another(false, Some("https://evil.example"), 502)]
#[case::promised(true, None, 502)]
#[tokio::test]
async fn the_answer_names_its_issuer(
    #[case] announced: bool,
    #[case] iss: Option<&str>,
    #[case] expected: u16,
) {
    let vendor = Upstream::start().await;
    let mut document = vendor.document();
    document["authorization_response_iss_parameter_supported"] = Value::Bool(announced);
    vendor.answers("/.well-known/openid-configuration", json_of(&document));
    vendor.answers(
        "/token",
        json_of(&json!({ "access_token": ACCESS, "token_type": "Bearer", "refresh_token": "r" })),
    );
    vendor.answers("/userinfo", json_of(&json!({ "sub": "ada-1" })));
    let issuer = vendor.issuer();
    let sections = format!(
        "{PLAIN}connections:\n  idp: {{ preset: oidc, name: GitHub, issuer: \"{issuer}\", client_id: us, client_secret: s }}\n"
    );
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let browser = Browser::new();
    account(&server, &browser, "ada").await;
    let page = browser.open(&server.url("/connect/idp")).await;
    let away = away(&browser.submit(&ask(&page)).await);
    let mut parameters = vec![("code", "c-1")];
    parameters.extend(iss.map(|iss| ("iss", if iss == ITS_OWN { &issuer } else { iss })));
    let page = browser.open(&away.back(&parameters)).await;
    assert_eq!(page.status, expected, "{}", page.text());
    let redeemed = usize::from(expected == 200);
    assert_eq!(vendor.requests("/token").await.len(), redeemed);
    assert_eq!(server.reasons("connection.refused").await.len(), 1 - redeemed);
    if expected != 200 {
        let page = browser.open(&away.back(&[("code", "c-1"), ("iss", &issuer)])).await;
        assert_eq!(page.status, 200, "a forged answer costs nothing: {}", page.text());
    }
}
