//! Signing in at an upstream provider: which one, by whose rules, in whose browser, and out again.

use std::time::Duration;

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use url::Url;

use crate::support::{
    Browser, Client, On, Server, Upstream,
    upstream::{Away, json_of},
};

const RESOURCES: &str = r#"
resources:
  tickets:
    uri: https://mcp.acme.example/tickets
    name: Ticket desk
    scopes: { "tickets:read": { description: Read tickets, default: true } }
clients:
  desk: { name: Desk agent, redirect_uris: ["http://127.0.0.1/callback"] }
"#;

/// A server with these providers.
async fn server(on: On, entries: &[String]) -> Option<Server> {
    Server::start_with(on, &format!("providers:\n{}{RESOURCES}", entries.concat())).await
}

/// A provider that lets everybody in, and a server that knows it as `acme`.
async fn one(on: On) -> Option<(Upstream, Server)> {
    let upstream = Upstream::start().await;
    let server =
        server(on, &[upstream.entry("acme", "client_auth: none, sign_in: { anyone: true }")]).await?;
    Some((upstream, server))
}

#[rstest]
#[tokio::test]
async fn a_person_who_comes_by_herself_ends_at_her_account(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((upstream, server)) = one(on).await else { return };
    let browser = Browser::new();
    let page = upstream.sign_in(&server, &browser, |_| ()).await;
    assert_eq!(page.url.path(), "/account");
    assert!(page.text().contains("Ada Lovelace"), "{}", page.text());
    let again = upstream.sign_in(&server, &browser, |claims| claims["name"] = json!("Ada King")).await;
    assert!(again.text().contains("Ada King"), "{}", again.text());
    assert_eq!((server.rows("users").await, server.rows("identities").await), (1, 1));
    assert_eq!(server.rows("sessions").await, 1, "the new session replaces the browser's old one");
    assert_eq!(server.recorded("sign_in").await, 2);
}

#[tokio::test]
async fn the_request_is_bound_three_times_and_names_no_resource() {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    let away = upstream.receives(&server, &Browser::new(), "/login/acme").await;
    let other = upstream.receives(&server, &Browser::new(), "/login/acme").await;
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(away.asked(name).unwrap().len(), 43, "{name}");
        assert_ne!(away.asked(name), other.asked(name), "{name}");
    }
    assert_eq!(away.asked("code_challenge_method").as_deref(), Some("S256"));
    assert_eq!(away.asked("redirect_uri").unwrap(), server.url("/login/acme/callback"));
    assert_eq!(away.asked("resource"), None);
    assert_eq!(upstream.requests("/token").await.len(), 0);
}

#[tokio::test]
async fn what_the_client_asks_of_a_sign_in_reaches_the_provider() {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    let client =
        Client::desk().with("prompt", "login").with("max_age", "300").with("login_hint", "ada@acme.example");
    let page = Browser::new().open_until(&client.authorize_url(&server), &upstream.issuer()).await;
    let away = Away(page.url);
    assert_eq!(away.asked("prompt").as_deref(), Some("login"));
    assert_eq!(away.asked("max_age").as_deref(), Some("300"));
    assert_eq!(away.asked("login_hint").as_deref(), Some("ada@acme.example"));
}

#[tokio::test]
async fn with_several_providers_a_person_chooses_or_is_sent_by_her_address() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let entries = [
        first.entry("acme", "client_auth: none, sign_in: { email_domains: [acme.example] }"),
        second
            .entry("globex", "client_auth: none, sign_in: { anyone: true, route_domains: [globex.example] }"),
    ];
    let server = server(On::Sqlite, &entries).await.unwrap();
    let (client, browser) = (Client::desk(), Browser::new());
    let page = browser.open(&client.authorize_url(&server)).await;
    assert_eq!((page.status, page.url.path()), (200, "/login"));
    let text = page.text();
    for words in ["acme sign-in", "globex sign-in", "Desk agent", "Ticket desk"] {
        assert!(text.contains(words), "{words}: {text}");
    }

    let unknown = browser.submit(&page.form("/login").set("email", "x@nowhere.example")).await;
    assert!(unknown.text().contains("nowhere.example"), "{}", unknown.text());

    let sent = browser.submit(&unknown.form("/login").set("email", "Grace@Globex.Example")).await;
    let refresh = sent.headers["refresh"].to_str().unwrap();
    let target = refresh.strip_prefix("0; url=").unwrap();
    assert!(
        sent.body.contains(&target.replace('&', "&#38;")),
        "the page has the link as well: {}",
        sent.body
    );
    let away = second.receives(&server, &browser, target).await;
    assert_eq!(away.asked("login_hint").as_deref(), Some("Grace@Globex.Example"));

    second.issues(&second.claims(&away));
    let consent = browser.open(&away.back(&[("code", "c")])).await;
    assert!(consent.url.path().starts_with("/interaction/"), "{}", consent.url);
    assert!(consent.text().contains("Ticket desk"));

    let forged = browser.submit(&page.form("/login").set("csrf", "x")).await;
    assert_eq!(forged.status, 403);
}

#[rstest]
#[case::domain("email_domains: [acme.example]", json!({ "email": "eve@evil.example" }), "e-mail addresses at acme.example", "entry_email_domain")]
#[case::unverified("email_domains: [acme.example]", json!({ "email_verified": false }), "not confirmed", "entry_email_domain")]
#[case::hosted_domain("require: { hosted_domains: [acme.example] }", json!({ "hd": "evil.example" }), "accounts of acme.example", "entry_hosted_domain")]
#[case::groups("require: { groups: [admins, mcp] }", json!({}), "members of admins or mcp", "entry_groups")]
#[case::overage("require: { groups: [mcp] }", json!({ "groups": null, "_claim_names": { "groups": "s" } }), "more groups than can be checked", "entry_groups")]
#[case::claim("require: { claims: { department: [support] } }", json!({ "department": "sales" }), "department", "entry_claim")]
#[tokio::test]
async fn whoever_a_rule_keeps_out_reads_which_and_whom_to_ask(
    #[case] rule: &str,
    #[case] changes: Value,
    #[case] words: &str,
    #[case] code: &str,
) {
    let upstream = Upstream::start().await;
    let keys = format!(
        "client_auth: none, userinfo: never, claims: {{ groups: groups }}, contact: it@acme.example, sign_in: {{ {rule} }}"
    );
    let server = server(On::Sqlite, &[upstream.entry("acme", &keys)]).await.unwrap();
    let browser = Browser::new();
    let page = upstream
        .sign_in(&server, &browser, |claims| {
            claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        })
        .await;
    let text = page.text();
    assert_eq!(page.status, 403, "{text}");
    for expected in [words, "it@acme.example", "Reference"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    for table in ["users", "identities", "sessions"] {
        assert_eq!(server.rows(table).await, 0, "{table}");
    }
    assert_eq!(server.reasons("sign_in.refused").await, [code]);
    assert_eq!(browser.open(&server.url("/account")).await.url.path(), "/authorize", "not signed in");
    assert!(page.body.contains("href=\"/login/acme?prompt=login\""), "{}", page.body);
    let other = upstream.receives(&server, &browser, "/login/acme?prompt=login").await;
    assert_eq!(
        other.asked("prompt").as_deref(),
        Some("login"),
        "or the provider would offer the same account"
    );
}

#[tokio::test]
async fn a_templated_issuer_admits_the_listed_tenants_and_no_other() {
    let upstream = Upstream::start().await;
    let mut document = upstream.document();
    document["issuer"] = json!(format!("{}/{{tenantid}}/v2.0", upstream.issuer()));
    upstream.answers("/common/v2.0/.well-known/openid-configuration", json_of(&document));
    let entry = format!(
        "  acme: {{ preset: many, name: Many, host: \"{}\", tenant: common, tenants: [t1, t2], client_id: us, \
         client_auth: none, sign_in: {{ anyone: true }} }}\n",
        upstream.issuer()
    );
    let sections = format!("presets: presets\nproviders:\n{entry}{RESOURCES}");
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let tenant = |tid: &'static str, iss: &'static str| {
        let issuer = format!("{}/{iss}/v2.0", upstream.issuer());
        move |claims: &mut Value| {
            (claims["iss"], claims["tid"], claims["oid"]) = (json!(issuer), json!(tid), json!("o1"));
        }
    };
    for (tid, iss, status) in
        [("t1", "t1", 200), ("t2", "t2", 200), ("t9", "t9", 403), ("t1", "t9", 502), ("t1", "common", 502)]
    {
        let page = upstream.sign_in(&server, &Browser::new(), tenant(tid, iss)).await;
        assert_eq!(page.status, status, "{tid} in {iss}: {}", page.text());
    }
    assert_eq!(server.rows("users").await, 2, "the same oid in two tenants is two people");
}

/// Splices: each refused request must leave the sign-in that it abused able to finish.
#[rstest]
#[tokio::test]
async fn what_does_not_belong_together_is_refused_and_costs_nobody_a_sign_in(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let (acme, globex) = (Upstream::start().await, Upstream::start().await);
    let anyone = "client_auth: none, sign_in: { anyone: true }";
    let Some(server) = server(on, &[acme.entry("acme", anyone), globex.entry("globex", anyone)]).await else {
        return;
    };
    let (ada, eve) = (Browser::new(), Browser::new());
    let away = acme.receives(&server, &ada, "/login/acme").await;
    let eves = acme.receives(&server, &eve, "/login/acme").await;
    acme.issues(&acme.claims(&away));
    globex.issues(&globex.claims(&away));

    let right = away.back(&[("code", "c")]);
    let state = away.asked("state").unwrap();
    let callback = |query: &str| server.url(&format!("/login/acme/callback{query}"));
    for (browser, url, why) in [
        (&eve, right.clone(), "another browser"),
        (&Browser::new(), right.clone(), "a browser without a cookie"),
        (&ada, right.replace("/acme/", "/globex/"), "another provider's callback"),
        (&ada, eves.back(&[("code", "c")]), "another browser's state"),
        (&ada, format!("{right}&code=d"), "a repeated code"),
        (&ada, format!("{right}&state={state}"), "a repeated state"),
        (&ada, callback("?code=c"), "no state"),
        (&ada, callback(""), "nothing"),
        (&ada, callback(&format!("?code=c&state={}", "A".repeat(43))), "a made-up state"),
        (&ada, callback(&format!("?code=c&state={}", "A".repeat(20_000))), "an endless state"),
        (&ada, callback(&format!("?code=c&state=%00{state}")), "a state with a NUL"),
    ] {
        let page = browser.open(&url).await;
        assert_eq!(page.status, 400, "{why}: {}", page.text());
    }
    assert_eq!(server.rows("sessions").await, 0);
    assert_eq!(acme.requests("/token").await.len() + globex.requests("/token").await.len(), 0);
    assert_eq!(ada.open(&right).await.url.path(), "/account");
}

#[tokio::test]
async fn a_wrong_iss_is_refused_and_the_right_one_still_counts() {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    let mut document = upstream.document();
    document["authorization_response_iss_parameter_supported"] = json!(true);
    upstream.answers("/.well-known/openid-configuration", json_of(&document));
    let browser = Browser::new();
    let away = upstream.receives(&server, &browser, "/login/acme").await;
    upstream.issues(&upstream.claims(&away));
    for iss in [None, Some("https://evil.example"), Some("")] {
        let mut parameters = vec![("code", "c")];
        parameters.extend(iss.map(|iss| ("iss", iss)));
        assert_eq!(browser.open(&away.back(&parameters)).await.status, 502, "{iss:?}");
    }
    assert_eq!(upstream.requests("/token").await.len(), 0);
    let issuer = upstream.issuer();
    assert_eq!(browser.open(&away.back(&[("code", "c"), ("iss", &issuer)])).await.status, 200);
}

#[tokio::test]
async fn a_state_is_waited_for_ten_minutes() {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let away = upstream.receives(&server, &browser, "/login/acme").await;
    upstream.issues(&upstream.claims(&away));
    server.later(Duration::from_secs(600));
    assert_eq!(browser.open(&away.back(&[("code", "c")])).await.status, 400);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_many_returns_one_is_exchanged(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((upstream, server)) = one(on).await else { return };
    let browser = Browser::new();
    let away = upstream.receives(&server, &browser, "/login/acme").await;
    upstream.issues(&upstream.claims(&away));
    let url = Url::parse(&away.back(&[("code", "c")])).unwrap();
    let returns = (0..8).map(|_| browser.send(Method::GET, &url, None));
    let pages = crate::authorization::futures_join(returns).await;
    assert_eq!(pages.iter().filter(|page| page.status == 303).count(), 1);
    assert_eq!(upstream.requests("/token").await.len(), 1);
    assert_eq!((server.rows("sessions").await, server.recorded("sign_in").await), (1, 1));
}

#[tokio::test]
async fn the_back_button_leads_on_and_signs_nobody_in_twice() {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let away = upstream.receives(&server, &browser, "/login/acme").await;
    upstream.issues(&upstream.claims(&away));
    let back = away.back(&[("code", "c")]);
    let stranger = browser.copy();
    assert_eq!(browser.open(&back).await.url.path(), "/account");
    assert_eq!(browser.open(&back).await.url.path(), "/account");
    assert_eq!(upstream.requests("/token").await.len(), 1);
    let page = stranger.open(&back).await;
    assert_eq!(page.status, 400, "the cookie of before the sign-in is worth nothing: {}", page.text());
}

#[tokio::test]
async fn two_tabs_come_back_each_to_its_own_request() {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    let (browser, client) = (Browser::new(), Client::desk());
    let mut tabs = Vec::new();
    for _ in 0..2 {
        let page = browser.open_until(&client.authorize_url(&server), &upstream.issuer()).await;
        tabs.push(Away(page.url));
    }
    let mut interactions = Vec::new();
    for tab in &tabs {
        upstream.issues(&upstream.claims(tab));
        let page = browser.open(&tab.back(&[("code", "c")])).await;
        assert!(page.url.path().starts_with("/interaction/"), "{} {}", page.url, page.text());
        interactions.push(page.url);
    }
    assert_ne!(interactions[0], interactions[1]);
}

#[tokio::test]
async fn a_sign_in_changes_the_cookie() {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let away = upstream.receives(&server, &browser, "/login/acme").await;
    let before = browser.copy();
    upstream.issues(&upstream.claims(&away));
    browser.open(&away.back(&[("code", "c")])).await;
    assert_ne!(before.cookies(), browser.cookies());
    let planted = before.open_until(&server.url("/account"), &upstream.issuer()).await;
    assert!(
        planted.url.as_str().starts_with(&upstream.issuer()),
        "whoever planted the cookie is not signed in"
    );
}

#[rstest]
#[tokio::test]
async fn whoever_is_shut_out_learns_it_at_the_door(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((upstream, server)) = one(on).await else { return };
    upstream.sign_in(&server, &Browser::new(), |_| ()).await;
    server.execute("UPDATE users SET disabled_at = 1").await;
    let page = upstream.sign_in(&server, &Browser::new(), |_| ()).await;
    assert_eq!(page.status, 403);
    assert!(page.text().contains("switched off"), "{}", page.text());
    assert_eq!(server.reasons("sign_in.refused").await, ["user_disabled"]);
    assert_eq!(server.rows("sessions").await, 1, "that of before");
}

#[rstest]
#[tokio::test]
async fn leaving_ends_the_session_for_good(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((upstream, server)) = one(on).await else { return };
    let browser = Browser::new();
    let account = upstream.sign_in(&server, &browser, |_| ()).await;
    let kept = browser.copy();
    let csrf = account.form("/logout").values("csrf")[0].to_owned();
    let logout = Url::parse(&server.url("/logout")).unwrap();
    let field = |value: &str| [("csrf".to_owned(), value.to_owned())];
    assert_eq!(browser.send(Method::POST, &logout, Some(&field("x"))).await.status, 403);
    assert_eq!(browser.send(Method::GET, &logout, None).await.status, 405);
    assert_eq!(server.rows("sessions").await, 1);

    let done = browser.send(Method::POST, &logout, Some(&field(&csrf))).await;
    assert_eq!(done.status, 200);
    assert!(done.text().contains("You are signed out"), "{}", done.text());
    assert_eq!((server.rows("sessions").await, server.recorded("session.ended").await), (0, 1));
    for gone in [&browser, &kept] {
        let page = gone.open_until(&server.url("/account"), &upstream.issuer()).await;
        assert!(page.url.as_str().starts_with(&upstream.issuer()), "{}", page.url);
    }
}

#[tokio::test]
async fn nobody_is_sent_to_a_provider_that_is_not_configured() {
    let (_, server) = one(On::Sqlite).await.unwrap();
    for path in
        ["/login/other", "/login/other/callback?state=x", "/login/..%2Facme", "/login/%00", "/login/ACME"]
    {
        assert_eq!(Browser::new().open(&server.url(path)).await.status, 404, "{path}");
    }
    for path in ["/login?interaction=x", "/login/acme?interaction=01938f5e-8c00-7000-8000-000000000000"] {
        assert_eq!(Browser::new().open(&server.url(path)).await.status, 400, "{path}");
    }
    assert_eq!(server.rows("logins").await, 0);
}

/// What tells how somebody signed in goes into tokens: what is no identifier is as good as not said.
#[tokio::test]
async fn a_strange_way_of_signing_in_is_not_repeated() {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let amr = json!(["pwd", "x\u{7}y", "", "l".repeat(5000), 7, "otp"]);
    let change = |claims: &mut Value| (claims["acr"], claims["amr"]) = (json!("gold\nx"), amr.clone());
    upstream.sign_in(&server, &browser, change).await;
    let tokens = Client::desk().obtain(&server, &browser, "ada").await;
    assert_eq!((tokens.claims().get("acr"), &tokens.claims()["amr"]), (None, &json!(["pwd", "otp"])));
}

/// What the operator demands of every sign-in, a client cannot trade for something weaker.
#[tokio::test]
async fn what_the_operator_demands_a_client_cannot_change() {
    let upstream = Upstream::start().await;
    let keys = "client_auth: none, authorize_params: { acr_values: phr }, sign_in: { anyone: true }";
    let server = server(On::Sqlite, &[upstream.entry("acme", keys)]).await.unwrap();
    let url = Client::desk().with("acr_values", "basic").authorize_url(&server);
    let away = upstream.receives(&server, &Browser::new(), &url.replace(&server.issuer, "")).await;
    assert_eq!(away.asked("acr_values").as_deref(), Some("phr"));
}

/// A provider that moves its keys elsewhere is asked there.
#[tokio::test]
async fn keys_that_moved_are_found() {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    upstream.sign_in(&server, &Browser::new(), |_| ()).await;
    let mut document = upstream.document();
    document["jwks_uri"] = json!(format!("{}/moved", upstream.issuer()));
    upstream.answers("/.well-known/openid-configuration", json_of(&document));
    upstream.answers("/moved", json_of(&json!({ "keys": [upstream.signer.public_jwk()] })));
    upstream.answers("/keys", json_of(&json!({ "keys": [] })));
    server.later(Duration::from_secs(25 * 3600));
    let later = server.clock.now().as_secs();
    let page = upstream
        .sign_in(&server, &Browser::new(), |claims| {
            (claims["iat"], claims["exp"]) = (json!(later), json!(later + 300));
        })
        .await;
    assert_eq!(page.url.path(), "/account", "{}", page.text());
}
