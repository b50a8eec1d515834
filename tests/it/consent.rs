//! What a person is asked, what she may leave out, and who else may not answer for her.

use std::time::Duration;

use rstest::rstest;

use crate::support::{Browser, Client, On, Server, client::sign_in, http};

#[rstest]
#[tokio::test]
async fn an_unticked_scope_is_not_granted(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser) = (Client::desk().scope("tickets:read tickets:write"), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    let form = page.form("/interaction/").untick("scope", "tickets:write").set("decision", "allow");
    let back = browser.submit_until(&form, &client.redirect_uri).await;
    let tokens = client.exchange(&server, &client.code(&server, &back)).await;
    assert_eq!(tokens.body["scope"], "tickets:read");
    let refreshed = client.refresh(&server, tokens.refresh()).await;
    assert_eq!(refreshed.body["scope"], "tickets:read");
}

#[tokio::test]
async fn a_scope_that_was_not_offered_cannot_be_ticked() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let (client, browser) = (Client::desk().scope("tickets:read"), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    let mut form = page.form("/interaction/").set("decision", "allow");
    form.fields.push(("scope".into(), "tickets:write".into()));
    form.fields.push(("scope".into(), "wiki:read".into()));
    let back = browser.submit_until(&form, &client.redirect_uri).await;
    let tokens = client.exchange(&server, &client.code(&server, &back)).await;
    assert_eq!(tokens.body["scope"], "tickets:read");
}

#[tokio::test]
async fn the_page_says_who_asks_for_what_and_where_it_goes() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let page =
        Client::desk().scope("tickets:read tickets:write").begin(&server, &Browser::new(), "ada").await;
    let text = page.text();
    for words in ["Desk agent", "Ticket desk", "mcp.acme.example", "Read tickets", "Change tickets", "ada@"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"), "{policy}");
    assert!(policy.contains("form-action 'self' http://127.0.0.1:50123"), "{policy}");
    assert_eq!(page.headers["x-frame-options"], "DENY");
    assert_eq!(page.headers["cache-control"], "no-store");
    assert!(!page.headers.contains_key("access-control-allow-origin"));
}

#[rstest]
#[tokio::test]
async fn a_refusal_goes_back_to_the_client(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser) = (Client::desk(), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    let back =
        browser.submit_until(&page.form("/interaction/").set("decision", "deny"), &client.redirect_uri).await;
    assert_eq!(back.parameter("error").as_deref(), Some("access_denied"));
    assert_eq!(back.parameter("iss").as_deref(), Some(server.issuer.as_str()));
    assert_eq!(server.recorded("consent.denied").await, 1);
}

#[tokio::test]
async fn a_scope_reserved_for_others_is_struck_out_with_the_reason() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let (client, browser) = (Client::desk().scope("tickets:read tickets:close"), Browser::new());
    let page = client.begin(&server, &browser, "grace").await;
    assert!(page.text().contains("reserved for groups"), "{}", page.text());
    assert_eq!(page.form("/interaction/").values("scope"), ["tickets:read"]);
    let ada = client.begin(&server, &Browser::new(), "ada").await;
    assert_eq!(ada.form("/interaction/").values("scope"), ["tickets:close", "tickets:read"]);
}

#[tokio::test]
async fn unticking_everything_asks_again() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let (client, browser) = (Client::desk(), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    let form = page.form("/interaction/").untick("scope", "tickets:read").set("decision", "allow");
    let again = browser.submit_until(&form, &client.redirect_uri).await;
    assert!(again.text().contains("Tick at least one"), "{}", again.text());
    assert_eq!(again.form("/interaction/").values("scope"), ["tickets:read"]);
}

#[rstest]
#[tokio::test]
async fn a_second_answer_is_refused(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser) = (Client::desk(), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    let form = page.form("/interaction/").set("decision", "allow");
    client.code(&server, &browser.submit_until(&form, &client.redirect_uri).await);
    let again = browser.submit_until(&form, &client.redirect_uri).await;
    assert_eq!(again.status, 400);
    assert!(again.text().contains("no longer valid"), "{}", again.text());
    let reloaded = browser.open(page.url.as_str()).await;
    assert_eq!(reloaded.status, 400);
}

#[tokio::test]
async fn reloading_the_page_before_answering_changes_nothing() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let (client, browser) = (Client::desk(), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    let reloaded = browser.open(page.url.as_str()).await;
    let back = browser
        .submit_until(&reloaded.form("/interaction/").set("decision", "allow"), &client.redirect_uri)
        .await;
    client.code(&server, &back);
}

#[tokio::test]
async fn several_tabs_work_side_by_side() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let (one, two) = (Client::desk(), Client::desk().scope("tickets:write"));
    let first_at_provider = browser.open(&one.authorize_url(&server)).await;
    let second_at_provider = browser.open(&two.authorize_url(&server)).await;
    let first = sign_in(&server, &browser, first_at_provider, "ada", &one.redirect_uri).await;
    let second = sign_in(&server, &browser, second_at_provider, "ada", &two.redirect_uri).await;
    for (client, page, scope) in [(&two, second, "tickets:write"), (&one, first, "tickets:read")] {
        let page = browser.open(page.url.as_str()).await;
        let form = page.form("/interaction/").set("decision", "allow");
        let back = browser.submit_until(&form, &client.redirect_uri).await;
        let tokens = client.exchange(&server, &client.code(&server, &back)).await;
        assert_eq!(tokens.body["scope"], scope);
    }
}

/// What was ticked in one tab says nothing in another: each question is answered by what it asked.
#[tokio::test]
async fn one_tabs_form_does_not_answer_another_tabs_question() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let (one, two) = (Client::desk().scope("tickets:read"), Client::desk().scope("tickets:write"));
    let first = one.begin(&server, &browser, "ada").await;
    let second = two.begin(&server, &browser, "ada").await;
    let mut spliced = second.form("/interaction/").set("decision", "allow");
    spliced.action = first.form("/interaction/").action;
    let again = browser.submit_until(&spliced, &one.redirect_uri).await;
    assert!(again.text().contains("Tick at least one"), "{}", again.text());
    assert_eq!(again.form("/interaction/").values("scope"), ["tickets:read"]);
    assert_eq!(server.rows("codes").await, 0);

    // Nor does one tab's code fit another tab's client process: each has a verifier of its own.
    let back =
        browser.submit_until(&first.form("/interaction/").set("decision", "allow"), &one.redirect_uri).await;
    let code = one.code(&server, &back);
    assert_eq!(two.exchange(&server, &code).await.error(), "invalid_grant");
    assert_eq!(one.exchange(&server, &code).await.status, 200);
}

#[tokio::test]
async fn another_browser_cannot_open_or_answer() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let client = Client::desk();
    let victim = Browser::new();
    let page = client.begin(&server, &victim, "ada").await;

    let attacker = Browser::new();
    let own = Client::desk().begin(&server, &attacker, "grace").await;
    let stolen = attacker.open(page.url.as_str()).await;
    assert_eq!(stolen.status, 400, "{}", stolen.text());

    let mut spliced = own.form("/interaction/").set("decision", "allow");
    spliced.action = page.form("/interaction/").action;
    assert_eq!(attacker.submit_until(&spliced, &client.redirect_uri).await.status, 400);

    let back =
        victim.submit_until(&page.form("/interaction/").set("decision", "allow"), &client.redirect_uri).await;
    client.code(&server, &back);
}

#[tokio::test]
async fn a_form_without_the_browsers_token_or_from_elsewhere_is_refused() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let (client, browser) = (Client::desk(), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    let form = page.form("/interaction/").set("decision", "allow");
    for csrf in ["", "AAAA", "x".repeat(43).as_str()] {
        assert_eq!(
            browser.submit_until(&form.clone().set("csrf", csrf), &client.redirect_uri).await.status,
            403
        );
    }
    let cookie = browser.cookie(&server.base);
    for (header, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("x", "y"),
    ] {
        let answer = http()
            .post(form.action.clone())
            .header("cookie", &cookie)
            .header(header, value)
            .form(&form.fields)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 403, "{header}: {value}");
    }
    client.code(&server, &browser.submit_until(&form, &client.redirect_uri).await);
}

#[tokio::test]
async fn an_interaction_ends_by_itself() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let (client, browser) = (Client::desk(), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    server.later(Duration::from_secs(601));
    let answer = browser
        .submit_until(&page.form("/interaction/").set("decision", "allow"), &client.redirect_uri)
        .await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_declared_web_client_is_not_asked_about_twice_and_a_loopback_one_is() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let web = Client { redirect_uri: "https://desk.acme.example/callback".into(), ..Client::desk() };
    web.obtain(&server, &browser, "ada").await;
    let straight = web.begin(&server, &browser, "ada").await;
    web.code(&server, &straight);
    let wider = web.clone().scope("tickets:read tickets:write").begin(&server, &browser, "ada").await;
    assert!(wider.find_form("/interaction/").is_some(), "a wider scope is asked about");
    let forced = web.clone().with("prompt", "consent").begin(&server, &browser, "ada").await;
    assert!(forced.find_form("/interaction/").is_some());
    let local = Client::desk().begin(&server, &browser, "ada").await;
    assert!(local.find_form("/interaction/").is_some(), "any local program may claim this name");
}

#[tokio::test]
async fn remembered_consent_is_not_used_when_another_site_sent_the_browser() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let web = Client { redirect_uri: "https://desk.acme.example/callback".into(), ..Client::desk() };
    web.obtain(&server, &browser, "ada").await;
    let cookie = browser.cookie(&server.base);
    let begun = http()
        .get(web.authorize_url(&server))
        .header("cookie", &cookie)
        .header("sec-fetch-site", "cross-site")
        .send()
        .await
        .unwrap();
    let page = browser
        .open_until(&server.url(begun.headers()["location"].to_str().unwrap()), &web.redirect_uri)
        .await;
    assert!(page.find_form("/interaction/").is_some(), "{} {}", page.url, page.text());
}

#[tokio::test]
async fn prompt_none_answers_without_a_page() {
    let server = Server::start(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let web = Client { redirect_uri: "https://desk.acme.example/callback".into(), ..Client::desk() };
    let silent = web.clone().with("prompt", "none");
    assert_eq!(
        silent.begin(&server, &browser, "ada").await.parameter("error").as_deref(),
        Some("login_required")
    );
    let page = web.begin(&server, &browser, "ada").await;
    assert_eq!(
        silent.begin(&server, &browser, "ada").await.parameter("error").as_deref(),
        Some("consent_required")
    );
    browser.submit_until(&page.form("/interaction/").set("decision", "allow"), &web.redirect_uri).await;
    silent.code(&server, &silent.begin(&server, &browser, "ada").await);
}
