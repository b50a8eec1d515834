//! What a person may see of herself and end, and when a session is over.

use std::time::Duration;

use reqwest::Method;
use rstest::rstest;
use url::Url;

use crate::support::{
    Browser, Client, On, Server, Setup,
    browser::Page,
    client::{account, sign_in},
};

/// A second less than a session may be idle.
const ALMOST_IDLE: Duration = Duration::from_secs(8 * 3600 - 1);
const HOUR: Duration = Duration::from_secs(3600);
const APPLICATIONS: &str = "/account/applications/end";
const SESSIONS: &str = "/account/sessions/end";
const LOGOUT: &str = "/logout";

/// Whether a browser is signed in: only then the account page is shown at once.
async fn is_signed_in(server: &Server, browser: &Browser) -> bool {
    let page = browser.open_until(&server.url("/account"), &server.provider).await;
    !page.url.as_str().starts_with(&server.provider)
}

/// The form that ends what `client` may do at `resource`.
fn ends(page: &Page, heading: &str) -> crate::support::browser::Form {
    let headings = scraper::Html::parse_document(&page.body);
    let entries = scraper::Selector::parse("section[aria-labelledby=applications] h3").unwrap();
    let at = headings
        .select(&entries)
        .position(|entry| {
            entry.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ") == heading
        })
        .unwrap_or_else(|| panic!("{heading} is not in the list: {}", page.text()));
    page.forms(APPLICATIONS).swap_remove(at)
}

#[rstest]
#[tokio::test]
async fn ending_an_application_ends_all_it_may_there_and_nothing_else(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(server) = Server::start(on).await else { return };
    let (laptop, phone) = (Browser::new(), Browser::new());
    let web = Client { redirect_uri: "https://desk.acme.example/callback".into(), ..Client::desk() };
    let tickets = web.clone().scope("tickets:read tickets:write").obtain(&server, &laptop, "ada").await;
    let again = web.clone().scope("tickets:read").begin(&server, &phone, "ada").await;
    let again = web.exchange(&server, &web.code(&server, &again)).await;
    let wiki = Client { resource: Some("https://mcp.acme.example/wiki".into()), ..web.clone() }
        .obtain(&server, &laptop, "ada")
        .await;
    let grace = web.obtain(&server, &Browser::new(), "grace").await;

    let page = account(&server, &laptop, "ada").await;
    let text = page.text();
    for words in
        ["Ada Lovelace", "ada@example.test", "from Acme", "Desk agent uses Ticket desk", "Change tickets"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(page.forms(APPLICATIONS).len(), 3);
    let ended = laptop.submit(&ends(&page, "Desk agent uses Ticket desk")).await;
    assert!(ended.text().contains("The application's access has ended"), "{}", ended.text());
    assert_eq!(ended.forms(APPLICATIONS).len(), 1, "both devices' access is over");
    assert_eq!(server.reasons("grant.revoked").await, ["by_owner", "by_owner"]);

    for tokens in [&tickets, &again] {
        assert_eq!(web.refresh(&server, tokens.refresh()).await.error(), "invalid_grant");
    }
    for tokens in [&wiki, &grace] {
        assert_eq!(web.refresh(&server, tokens.refresh()).await.status, 200);
    }
    let asked = web.begin(&server, &laptop, "ada").await;
    assert!(asked.find_form("/interaction/").is_some(), "the remembered consent is gone too");
}

/// A code that was given just before is as dead as the grants are.
#[rstest]
#[tokio::test]
async fn a_code_under_way_does_not_outlive_the_end(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser) = (Client::desk(), Browser::new());
    client.obtain(&server, &browser, "ada").await;
    let code = client.authorize(&server, &browser, "ada").await;
    let page = account(&server, &browser, "ada").await;
    browser.submit(&page.form(APPLICATIONS)).await;
    let refused = client.exchange(&server, &code).await;
    assert_eq!(refused.error(), "invalid_grant");
}

/// Nobody ends what is another's, by whatever id.
#[rstest]
#[tokio::test]
async fn what_is_anothers_cannot_be_ended(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (hers, his) = (Browser::new(), Browser::new());
    let client = Client::desk();
    let tokens = client.obtain(&server, &hers, "ada").await;
    Client::desk().obtain(&server, &his, "grace").await;
    let (ada, grace) = (account(&server, &hers, "ada").await, account(&server, &his, "grace").await);

    let grant = ada.form(APPLICATIONS).values("grant")[0].to_owned();
    for id in [grant.as_str(), "01938f5e-8c00-7000-8000-000000000000", "'; DROP TABLE grants; --", ""] {
        let answer = his.submit(&grace.form(APPLICATIONS).set("grant", id)).await;
        assert_eq!(answer.status, 400, "{id}");
    }
    account(&server, &Browser::new(), "ada").await;
    account(&server, &Browser::new(), "grace").await;
    let elsewhere = account(&server, &Browser::new(), "ada").await;
    let grace = account(&server, &his, "grace").await;
    for form in elsewhere.forms(SESSIONS) {
        his.submit(&grace.form(SESSIONS).set("session", form.values("session")[0])).await;
    }
    assert!(is_signed_in(&server, &hers).await && is_signed_in(&server, &his).await);
    assert_eq!(client.refresh(&server, tokens.refresh()).await.status, 200);
    assert_eq!((server.recorded("grant.revoked").await, server.recorded("session.ended").await), (0, 0));
}

/// Each form of the page needs the page's token and our own origin.
#[rstest]
#[case(APPLICATIONS)]
#[case(SESSIONS)]
#[case(LOGOUT)]
#[tokio::test]
async fn another_site_ends_nothing(#[case] action: &str) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    account(&server, &Browser::new(), "ada").await;
    Client::desk().obtain(&server, &browser, "ada").await;
    let form = account(&server, &browser, "ada").await.forms(action).pop().unwrap();
    for csrf in ["", "x"] {
        assert_eq!(browser.submit(&form.clone().set("csrf", csrf)).await.status, 403);
    }
    for (header, value) in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "null"), ("x", "y")]
    {
        let request = server.request(Method::POST, action).header("cookie", browser.cookie(&server.base));
        let answer = request.header(header, value).form(&form.fields).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{header}: {value}");
    }
    assert_eq!(server.request(Method::GET, action).send().await.unwrap().status(), 405);
    assert!(is_signed_in(&server, &browser).await);
    assert_eq!(server.recorded("grant.revoked").await, 0);
    assert_eq!(browser.submit(&form).await.status, 200);
}

#[rstest]
#[tokio::test]
async fn one_browser_signs_another_out(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (laptop, phone) = (Browser::new(), Browser::new());
    account(&server, &phone, "ada").await;
    server.later(Duration::from_secs(1));
    let page = account(&server, &laptop, "ada").await;
    assert_eq!(page.forms(SESSIONS).len(), 1, "this browser's own goes by {LOGOUT}");
    assert_eq!(page.text().matches("This browser").count(), 1);
    let after = laptop.submit(&page.form(SESSIONS)).await;
    assert!(after.text().contains("That browser is signed out"), "{}", after.text());
    assert!(!is_signed_in(&server, &phone).await && is_signed_in(&server, &laptop).await);

    let out = laptop.submit(&after.form(LOGOUT)).await;
    assert!(out.text().contains("You are signed out"), "{}", out.text());
    assert!(!is_signed_in(&server, &laptop).await);
    assert_eq!(server.reasons("session.ended").await, ["by_owner", "by_owner"]);
}

/// Whoever was signed out from elsewhere while a consent page stood open has to sign in again.
#[rstest]
#[tokio::test]
async fn a_page_that_stood_open_cannot_be_answered_after_the_end(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, laptop, phone) = (Client::desk(), Browser::new(), Browser::new());
    let page = client.begin(&server, &laptop, "ada").await;
    let elsewhere = account(&server, &phone, "ada").await;
    phone.submit(&elsewhere.forms(LOGOUT)[1]).await;
    let form = page.form("/interaction/").set("decision", "allow");
    let refused = laptop.submit_until(&form, &client.redirect_uri).await;
    assert!((400..500).contains(&refused.status), "{} {}", refused.status, refused.text());
    assert_eq!(server.rows("codes").await, 0);
    let page = laptop.open(page.url.as_str()).await;
    let page = sign_in(&server, &laptop, page, "ada", &client.redirect_uri).await;
    assert!(page.find_form("/interaction/").is_some(), "signing in again leads on");
}

#[rstest]
#[tokio::test]
async fn an_idle_session_ends(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let browser = Browser::new();
    account(&server, &browser, "ada").await;
    server.later(ALMOST_IDLE);
    assert!(is_signed_in(&server, &browser).await);
    server.later(ALMOST_IDLE);
    assert!(is_signed_in(&server, &browser).await, "use makes it last");
    server.later(8 * HOUR);
    assert!(!is_signed_in(&server, &browser).await);
}

#[rstest]
#[tokio::test]
async fn a_session_ends_however_much_it_is_used(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let browser = Browser::new();
    account(&server, &browser, "ada").await;
    for _ in 0..23 {
        server.later(HOUR);
        assert!(is_signed_in(&server, &browser).await);
    }
    server.later(HOUR);
    assert!(!is_signed_in(&server, &browser).await);
}

/// The operator shuts a person out: at once, in every browser and for every application.
#[rstest]
#[tokio::test]
async fn whoever_is_shut_out_loses_session_codes_and_tokens(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, browser) = (Client::desk(), Browser::new());
    let tokens = client.obtain(&server, &browser, "ada").await;
    let code = client.authorize(&server, &browser, "ada").await;
    let page = client.begin(&server, &browser, "ada").await;
    let codes = server.rows("codes").await;
    server.execute("UPDATE users SET disabled_at = 1 WHERE name = 'Ada Lovelace'").await;
    assert!(!is_signed_in(&server, &browser).await);
    assert_eq!(client.refresh(&server, tokens.refresh()).await.error(), "invalid_grant");
    assert_eq!(client.exchange(&server, &code).await.error(), "invalid_grant");
    let form = page.form("/interaction/").set("decision", "allow");
    let refused = browser.submit_until(&form, &client.redirect_uri).await;
    assert!((400..500).contains(&refused.status), "{}", refused.text());
    assert_eq!(server.rows("codes").await, codes);
    let grace = client.obtain(&server, &Browser::new(), "grace").await;
    assert_eq!(client.refresh(&server, grace.refresh()).await.status, 200);
}

/// The cookie is not readable by scripts, not sent by other sites' forms, and with TLS not to be planted by anybody
/// else (RFC 6265bis §4.1.3).
#[rstest]
#[case("", None, "chancery", &["HttpOnly", "Path=/", "SameSite=Lax"])]
#[case("/t1", None, "chancery_2Ft1", &["HttpOnly", "Path=/t1", "SameSite=Lax"])]
#[case(
    "",
    Some("https://auth.acme.example"),
    "__Host-chancery",
    &["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]
)]
#[case(
    "/t1/a_b",
    Some("https://auth.acme.example/t1/a_b"),
    "__Secure-chancery_2Ft1_2Fa_5Fb",
    &["HttpOnly", "Path=/t1/a_b", "SameSite=Lax", "Secure"]
)]
#[tokio::test]
async fn the_cookie_is_guarded(
    #[case] path: &'static str,
    #[case] issuer: Option<&'static str>,
    #[case] name: &str,
    #[case] attributes: &[&str],
) {
    let mut setup = Setup::on(On::Sqlite).below(path);
    if let Some(issuer) = issuer {
        setup =
            setup.replacing("issuer: \"${PROVIDER}\"", "issuer: https://idp.acme.example").known_as(issuer);
    }
    let server = setup.start().await.unwrap();
    let begun = crate::support::http().get(Client::desk().authorize_url(&server)).send().await.unwrap();
    let cookies: Vec<_> = begun.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies.len(), 1);
    let mut parts = cookies[0].to_str().unwrap().split("; ");
    let (sent, value) = parts.next().unwrap().split_once('=').unwrap();
    assert_eq!(sent, name);
    assert!(value.len() >= 22, "at least 128 random bits");
    let mut found: Vec<&str> = parts.collect();
    found.sort_unstable();
    assert_eq!(found, attributes, "no Domain, no lifetime beyond the browser's");
    assert_eq!(begun.headers().contains_key("strict-transport-security"), issuer.is_some());
}

/// A cookie is given where something is bound to the browser, and not for looking around.
#[tokio::test]
async fn who_only_looks_gets_no_cookie() {
    let server = Server::start(On::Sqlite).await.unwrap();
    for path in
        ["/account", "/nothing", "/oauth/authorize", "/interaction/01938f5e-8c00-7000-8000-000000000000"]
    {
        let answer = server.request(Method::GET, path).send().await.unwrap();
        assert!(!answer.headers().contains_key("set-cookie"), "{path}");
    }
    assert_eq!(server.rows("browser_sessions").await, 0);
}

#[rstest]
#[case("chancery=")]
#[case("chancery=x")]
#[case("chancery=AAAAAAAAAAAAAAAAAAAAAA")]
#[case("chancery=\u{e9}; chancery=AAAAAAAAAAAAAAAAAAAAAA")]
#[case("chancery=../../etc/passwd; x=y")]
#[tokio::test]
async fn a_cookie_that_is_none_of_ours_is_nobody(
    #[case] cookie: &str,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(server) = Server::start(on).await else { return };
    let cookie = reqwest::header::HeaderValue::from_bytes(cookie.as_bytes()).unwrap();
    let answer =
        server.request(Method::GET, "/account").header("cookie", cookie.clone()).send().await.unwrap();
    assert_eq!(answer.headers()["location"], "/login");
    let url = Url::parse(&Client::desk().authorize_url(&server)).unwrap();
    let begun = crate::support::http().get(url).header("cookie", cookie.clone()).send().await.unwrap();
    assert_eq!(begun.status(), 303);
    let given = begun.headers()["set-cookie"].to_str().unwrap();
    assert!(!given.contains("AAAAAAAAAAAAAAAAAAAAAA"), "an id that somebody else chose is not adopted");
}
