//! Every page, filled with the worst that strangers can write, and read again as a browser would.

use std::time::Duration;

use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use rstest::rstest;
use scraper::{ElementRef, Html, Selector};
use tower::ServiceExt;

use super::*;
use crate::clock::Timestamp;

/// Stands in every text that a stranger may have written, so that the tests find where it went.
const MARKER: &str = "stranger";

fn hostile() -> String {
    let head = "stranger\u{202E}\u{2066}\u{200F}\n\"'><script>alert(1)</script><img src=x onerror=alert(1) style=x>&amp;";
    format!("{head}{}", "ש".repeat(10_000))
}

fn name<const LONGEST: usize>() -> Plain<LONGEST> {
    hostile().into()
}

fn chrome(dev: bool) -> Chrome {
    Chrome::new(hostile(), "/auth/", dev)
}

fn person() -> Person {
    Person { name: name(), email: Some(name()), provider: name() }
}

fn consent() -> Consent {
    let further = || Further { resource: name(), words: vec![name(), name()] };
    let account = || VendorAccount { is_hers: true, vendor: name(), scopes: vec![name(), name()] };
    let scope = |ticked| Scope {
        value: hostile(),
        words: name(),
        further: vec![further()],
        accounts: vec![account()],
        ticked,
    };
    Consent {
        chrome: chrome(false),
        interaction: format!("{}/../?#", hostile()),
        told: hostile(),
        csrf: hostile(),
        client: Client { name: name(), host: Some(name()), declared: true, unproven: true },
        returns_to: ReturnsTo::Site(name()),
        asks: Asks::Access { resource: name(), host: name() },
        person: person(),
        scopes: vec![scope(true), scope(false)],
        refused: vec![RefusedScope {
            words: name(),
            reason: "Only the support group may allow this.".into(),
        }],
        access_lasts: Duration::from_secs(600).into(),
        refresh_lasts: Some(Duration::from_secs(7_776_000).into()),
        remembered: true,
        problem: Some("Leave a box ticked, or deny.".into()),
    }
}

fn chooser() -> Chooser {
    let provider = || ProviderChoice { name: name(), href: "javascript:alert(1)".into() };
    Chooser {
        chrome: chrome(true),
        asking: Some(Asking { client: name(), resource: Some(name()) }),
        email: Some(EmailForm {
            action: "https://evil.example/".into(),
            csrf: hostile(),
            email: hostile(),
            unknown_domain: Some(name()),
        }),
        providers: vec![provider(), provider()],
    }
}

fn error() -> ErrorPage {
    ErrorPage {
        chrome: chrome(false),
        title: name(),
        happened: name(),
        fault: name(),
        remedy: name(),
        contact: Some("help@acme.com".into()),
        reference: "7F3K-92QD".into(),
        link: Some(Link { href: "//evil.example".into(), text: "Try again".into() }),
        back: None,
    }
}

fn done() -> Done {
    Done {
        chrome: chrome(false),
        heading: "You are signed out".into(),
        message: "You can close this page.".into(),
        link: Some(Link { href: "/\\evil.example".into(), text: "Sign in again".into() }),
        away: None,
    }
}

fn account() -> Account {
    let at = Timestamp::from_secs(1_795_000_000).into();
    let application = |managed_by, last_used| Application {
        grant: hostile(),
        client: name(),
        client_host: Some(name()),
        resource: name(),
        scopes: vec![name(), name()],
        managed_by,
        granted: at,
        last_used,
    };
    let used = |resource| Use { client: name(), resource, last: at, count: 2 };
    let connection = |is_default: Option<bool>| Connected {
        connection: hostile(),
        title: name(),
        account: Some(name()),
        label: Some(name()),
        label_written: hostile(),
        state: "Connected.".into(),
        reconnect: is_default.is_none().then(|| "//evil.example".into()),
        scopes: vec![name(), name()],
        is_default,
        uses: vec![used(Some(name())), used(None)],
        offline: vec![name(), name()],
        since: at,
    };
    let session = |current| Session {
        session: hostile(),
        current,
        browser: name(),
        provider: name(),
        signed_in: at,
        last_seen: at,
    };
    Account {
        chrome: chrome(false),
        csrf: hostile(),
        person: person(),
        notice: Some("It is done.".into()),
        applications: vec![application(None, Some(at)), application(Some(name()), None)],
        connections: vec![connection(Some(true)), connection(Some(false)), connection(None)],
        offered: vec![Offered { title: name(), href: "javascript:alert(1)".into() }],
        sessions: vec![session(true), session(false)],
        leads_to: Some(name()),
        identities: vec![LinkedAccount { provider: name(), label: name(), since: at }],
    }
}

fn connect() -> Connect {
    Connect {
        chrome: chrome(false),
        csrf: hostile(),
        action: "/connect/github".into(),
        link: Some(hostile()),
        account: Some(hostile()),
        vendor: name(),
        person: person(),
        asker: Some(Asker { client: name(), resource: Some(name()) }),
        connected_as: Some(name()),
        further: true,
        uses: vec![ConnectUse { resource: name(), words: vec![name(), name()] }],
        offline: vec![name(), name()],
        entry: None,
        scopes: vec![name(), name()],
    }
}

fn connect_site() -> ConnectSite {
    let site = || SiteChoice { value: hostile(), name: name(), address: Some(name()) };
    ConnectSite {
        chrome: chrome(false),
        csrf: hostile(),
        action: "/connect/github/site".into(),
        state: hostile(),
        vendor: name(),
        sites: vec![site(), site()],
    }
}

fn dev_sign_in() -> DevSignIn {
    let user = || TestUser { value: hostile(), name: name(), email: name(), note: Some(name()) };
    DevSignIn {
        chrome: chrome(true),
        action: "/authorize".into(),
        fields: vec![("csrf".into(), hostile())],
        users: vec![user(), user()],
    }
}

fn render(page: &impl Template) -> Html {
    Html::parse_document(&page.render().unwrap())
}

fn find<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).unwrap()).collect()
}

fn text(element: ElementRef<'_>) -> String {
    element.text().collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn attributes<'a>(elements: &[ElementRef<'a>], attribute: &str) -> Vec<&'a str> {
    elements.iter().filter_map(|element| element.attr(attribute)).collect()
}

#[rstest]
#[case::consent(render(&consent()))]
#[case::chooser(render(&chooser()))]
#[case::error(render(&error()))]
#[case::done(render(&done()))]
#[case::account(render(&account()))]
#[case::connect(render(&connect()))]
#[case::enter_key(render(&Connect { entry: Some(Entry::Key), ..connect() }))]
#[case::enter_password(render(&Connect { entry: Some(Entry::Password), ..connect() }))]
#[case::connect_site(render(&connect_site()))]
#[case::dev_sign_in(render(&dev_sign_in()))]
fn a_hostile_name_stays_a_name(#[case] page: Html) {
    assert!(page.errors.is_empty(), "{:?}", page.errors);
    assert!(find(&page, "script, style, iframe, object, base, img:not(.seal)").is_empty());
    for element in find(&page, "*") {
        for (attribute, value) in element.value().attrs() {
            assert!(!attribute.starts_with("on") && attribute != "style", "{attribute}={value}");
            if matches!(attribute, "href" | "src" | "action") {
                let ours = value.starts_with("/auth/") || value == "#main" || value.starts_with("mailto:");
                assert!(ours, "{attribute}={value}");
            }
        }
    }
}

fn leaving() -> Leaving {
    Leaving {
        chrome: chrome(false),
        heading: "You are signed out".into(),
        message: "No app was connected.".into(),
        provider: name(),
        href: "https://idp.acme.com/logout?state=s&client_id=\"><script>".into(),
    }
}

#[test]
fn the_way_out_leads_to_the_providers_own_address_and_nowhere_else() {
    let page = render(&leaving());
    assert!(find(&page, "script").is_empty());
    let links = find(&page, "main a");
    assert_eq!(attributes(&links, "href"), ["https://idp.acme.com/logout?state=s&client_id=\"><script>"]);
    assert_eq!(attributes(&links, "rel"), ["noreferrer"]);
}

#[rstest]
#[case::consent(render(&consent()))]
#[case::chooser(render(&chooser()))]
#[case::account(render(&account()))]
#[case::connect(render(&connect()))]
#[case::enter_key(render(&Connect { entry: Some(Entry::Key), ..connect() }))]
#[case::enter_password(render(&Connect { entry: Some(Entry::Password), ..connect() }))]
#[case::connect_site(render(&connect_site()))]
#[case::dev_sign_in(render(&dev_sign_in()))]
fn a_hostile_name_neither_reorders_nor_floods_the_page(#[case] page: Html) {
    let mut seen = 0;
    for node in find(&page, "body").into_iter().flat_map(|body| body.descendants()) {
        let Some(written) = node.value().as_text().map(|text| &**text) else { continue };
        assert!(!written.contains(['\u{202E}', '\u{2066}', '\u{200F}']), "{written}");
        if written.contains(MARKER) {
            let isolated = node.ancestors().filter_map(ElementRef::wrap).any(|it| it.value().name() == "bdi");
            assert!(isolated, "outside <bdi>: {written}");
            seen += 1;
        }
    }
    assert!(seen > 3, "the names are on the page");
    assert!(find(&page, "main").into_iter().map(text).all(|text| text.chars().count() < 20_000));
}

#[rstest]
#[case::consent(render(&consent()))]
#[case::chooser(render(&chooser()))]
#[case::error(render(&error()))]
#[case::done(render(&done()))]
#[case::leaving(render(&leaving()))]
#[case::account(render(&account()))]
#[case::connect(render(&connect()))]
#[case::enter_key(render(&Connect { entry: Some(Entry::Key), ..connect() }))]
#[case::enter_password(render(&Connect { entry: Some(Entry::Password), ..connect() }))]
#[case::connect_site(render(&connect_site()))]
#[case::dev_sign_in(render(&dev_sign_in()))]
fn a_page_can_be_heard_and_worked_by_keyboard(#[case] page: Html) {
    for one in ["html[lang=en]", "title", "h1", "main#main", "body > header", "a.skip[href='#main']"] {
        assert_eq!(find(&page, one).len(), 1, "{one}");
    }
    assert!(!text(find(&page, "title")[0]).starts_with('·'), "the title says what the page is");
    let ids = attributes(&find(&page, "[id]"), "id");
    let labelled = attributes(&find(&page, "label[for]"), "for");
    for (position, id) in ids.iter().enumerate() {
        assert!(!ids[..position].contains(id), "id {id} occurs twice");
    }
    for input in find(&page, "input:not([type=hidden])") {
        assert!(labelled.contains(&input.attr("id").unwrap()));
    }
    for attribute in ["aria-describedby", "aria-labelledby"] {
        for id in attributes(&find(&page, &format!("[{attribute}]")), attribute) {
            assert!(ids.contains(&id), "{attribute}={id}");
        }
    }
    for control in find(&page, "button, a") {
        assert!(!text(control).is_empty());
    }
    assert!(find(&page, "[autofocus], [tabindex]:not(main)").is_empty());
    for form in find(&page, "form") {
        assert_eq!(form.attr("method"), Some("post"));
        assert_eq!(form.select(&Selector::parse("input[type=hidden][name=csrf]").unwrap()).count(), 1);
    }
}

#[test]
fn consent_shows_the_choice_and_posts_only_what_is_ticked() {
    let page = render(&consent());
    assert_eq!(find(&page, "fieldset > legend").len(), 1);
    assert_eq!(find(&page, "input[name=scope]").len(), 2);
    assert_eq!(find(&page, "input[name=scope][checked]").len(), 1);
    let refused = find(&page, ".refused");
    assert!(text(refused[0]).starts_with("Not allowed:"));
    assert!(text(refused[0]).ends_with("Only the support group may allow this."));
    assert!(refused[0].select(&Selector::parse("input").unwrap()).next().is_none());
    // The first button answers the Enter key: it must not be the one that gives something away.
    assert_eq!(attributes(&find(&page, "button[name=decision]"), "value"), ["deny", "allow"]);
    let action = find(&page, "form[action^='/auth/interaction/']")[0].attr("action").unwrap();
    assert_eq!(action.matches('/').count(), 3, "an odd id does not change the path: {action}");
    assert!(text(find(&page, ".terms")[0]).contains("for up to 90 days"));
    assert!(text(find(&page, "[role=alert]")[0]).contains("Leave a box ticked"));
}

#[test]
fn consent_says_beside_a_scope_what_it_lets_the_service_use_elsewhere() {
    let further =
        Further { resource: "Wiki".into(), words: vec!["Read the wiki".into(), "Search it".into()] };
    let scope = |value: &str, further| Scope {
        value: value.into(),
        words: "Read tickets".into(),
        further,
        accounts: vec![
            VendorAccount {
                is_hers: true,
                vendor: "GitHub".into(),
                scopes: vec!["repo".into(), "user".into()],
            },
            VendorAccount { is_hers: false, vendor: "Slack".into(), scopes: vec![] },
        ],
        ticked: true,
    };
    let scopes = vec![scope("a", vec![further]), scope("b", vec![])];
    let page = render(&Consent {
        scopes,
        asks: Asks::Access { resource: "Ticket desk".into(), host: name() },
        ..consent()
    });
    let labels: Vec<_> = find(&page, "label[for]").into_iter().map(text).collect();
    let then = "Ticket desk may then use Wiki for you: Read the wiki , Search it";
    let too =
        "Ticket desk may use your GitHub account to: repo , user Ticket desk may use a shared Slack account";
    assert_eq!(labels, [format!("Read tickets {then} {too}"), format!("Read tickets {too}")]);
}

#[test]
fn consent_says_how_far_the_client_can_be_believed() {
    let page = |host: Option<&str>, declared, unproven| {
        let client = Client { name: "Code Agent".into(), host: host.map(Into::into), declared, unproven };
        let page = render(&Consent { client, ..consent() });
        let badge = !find(&page, ".badge").is_empty();
        (badge, !find(&page, ".caution").is_empty(), text(find(&page, ".facts dd")[0]))
    };
    assert_eq!(page(None, true, false), (true, false, "Code Agent Approved by your administrator".into()));
    assert_eq!(page(None, false, false), (false, false, "Code Agent It chose this name itself".into()));
    assert_eq!(page(None, false, true), (false, true, "Code Agent".into()));
    let published = "Code Agent Published by app.example".to_owned();
    assert_eq!(page(Some("app.example"), false, false), (false, false, published));
}

#[rstest]
#[case(ReturnsTo::Site("app.example".into()), "app.example")]
#[case(ReturnsTo::ThisComputer("127.0.0.1".into()), "A program on this computer 127.0.0.1")]
#[case(ReturnsTo::Scheme("cursor:".into()), "A program on this device opened by links that begin with cursor:")]
fn consent_always_shows_where_the_answer_goes(#[case] returns_to: ReturnsTo, #[case] words: &str) {
    let page = render(&Consent { returns_to, ..consent() });
    assert_eq!(text(find(&page, ".facts dd")[3]), words);
}

#[test]
fn consent_without_a_refresh_token_ends_with_the_access_token() {
    let consent =
        Consent { refresh_lasts: None, remembered: false, scopes: vec![], refused: vec![], ..consent() };
    let page = render(&consent);
    assert_eq!(
        text(find(&page, ".terms")[0]),
        "This access ends after 10 minutes. Then it has to ask again."
    );
    assert!(text(find(&page, "fieldset")[0]).ends_with("Know that you signed in, and nothing more."));
}

#[rstest]
#[case("help@acme.com", Some("mailto:help@acme.com?subject=Reference%207F3K-92QD"))]
#[case("the service desk, room 12", None)]
#[case("a@b.com?bcc=evil@c.com", None)]
fn only_a_plain_address_becomes_a_mail_link(#[case] contact: &str, #[case] link: Option<&str>) {
    let page = render(&ErrorPage { contact: Some(contact.into()), ..error() });
    assert_eq!(attributes(&find(&page, "dd a"), "href").first().copied(), link);
    assert!(text(find(&page, ".facts")[0]).contains(contact));
}

#[test]
fn the_way_back_to_an_application_names_its_host() {
    let back = Back { href: "https://app.example/cb?error=access_denied".into(), host: "app.example".into() };
    let page = render(&ErrorPage { back: Some(back), link: None, ..error() });
    let link = find(&page, ".answers a")[0];
    assert_eq!(link.attr("href"), Some("https://app.example/cb?error=access_denied"));
    assert_eq!(text(link), "Go back to app.example");
}

#[test]
fn an_empty_account_has_kind_words() {
    let page = render(&Account {
        applications: vec![],
        connections: vec![],
        offered: vec![],
        sessions: vec![],
        ..account()
    });
    assert_eq!(find(&page, ".empty").len(), 2);
    assert!(find(&page, "button").is_empty(), "nothing to end");
}

#[test]
fn the_account_marks_this_browser_and_dates_everything() {
    let page = render(&account());
    assert_eq!(find(&page, "#session-1 .badge").len(), 1);
    assert!(find(&page, "#session-2 .badge").is_empty());
    let times = find(&page, "time");
    assert_eq!(times.len(), 17);
    assert_eq!(times[0].attr("datetime"), Some("2026-11-18T11:06:40Z"));
    assert_eq!(text(times[0]), "18 November 2026, 11:06 UTC");
}

#[test]
fn a_development_instance_says_so() {
    let banner = |dev| find(&render(&Done { chrome: chrome(dev), ..done() }), ".dev").len();
    assert_eq!((banner(true), banner(false)), (1, 0));
}

#[tokio::test]
async fn what_a_page_loads_is_served_for_good() {
    let page = render(&Done { chrome: Chrome::new("Acme", "/", false), ..done() });
    let (style, mark) = (find(&page, "link[rel=stylesheet]"), find(&page, "img"));
    for (path, kind) in
        [(style[0].attr("href"), "text/css; charset=utf-8"), (mark[0].attr("src"), "image/svg+xml")]
    {
        let request = Request::get(path.unwrap()).body(Body::empty()).unwrap();
        let response = assets::<()>().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], kind);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert!(!response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}

#[test]
fn the_stylesheet_is_small_and_loads_nothing() {
    let (_, body) = stylesheet();
    assert!(body.len() < 12_000, "{} bytes", body.len());
    assert!(!body.contains("url(") && !body.contains("@import"));
}

#[tokio::test]
async fn a_page_is_kept_by_no_cache() {
    let response = page(StatusCode::FORBIDDEN, &error());
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
}
