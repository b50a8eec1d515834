//! People sign in to applications with Chancery (OpenID Connect Core).

use std::time::Duration;

use chancery::{entropy::Entropy, oauth::purpose::Role};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};

use super::{SECRET, backend, desk, serve, setup};
use crate::support::{
    Browser, Client, On, PLAIN, Server, Tokens, Upstream,
    browser::Page,
    client::{account, claims_of, post_to},
    setup::BEGINNING,
    upstream::Away,
};

/// What userinfo answers to this token.
async fn userinfo(server: &Server, token: &str) -> (u16, Value) {
    let answer = server.request(Method::GET, "/idp/userinfo").bearer_auth(token).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The exchange of `backend`, which proves itself.
pub(super) async fn exchange(server: &Server, client: &Client, code: &str) -> Tokens {
    let mut parameters = client.exchange_parameters(code);
    parameters.push(("client_secret", SECRET.to_owned()));
    post_to(server, client.role, &parameters).await
}

/// OpenID Connect Core §3.1.3.7: what a client that knows the metadata alone checks.
#[rstest]
#[tokio::test]
async fn a_stranger_verifies_the_id_token(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let client = desk().with("nonce", "n-0S6_WzA2Mj");
    let tokens = client.obtain(&server, &Browser::new(), "ada").await;
    assert_eq!(tokens.headers["cache-control"], "no-store");
    assert_eq!(tokens.body["scope"], "email openid profile");

    let keys: JwkSet = serde_json::from_value(server.json("/idp/jwks.json").await).unwrap();
    let header = jsonwebtoken::decode_header(tokens.id_token()).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("JWT"), Algorithm::ES256));
    let key = keys.find(&header.kid.unwrap()).expect("the token names one of the keys");
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_audience(&["desk"]);
    rules.set_issuer(&[format!("{}/idp", server.issuer)]);
    rules.validate_exp = false; // by another clock than the server's
    let key = DecodingKey::from_jwk(key).unwrap();
    let claims = jsonwebtoken::decode::<Value>(tokens.id_token(), &key, &rules).unwrap().claims;
    let now = BEGINNING.as_secs();
    for (claim, value) in [
        ("nonce", json!("n-0S6_WzA2Mj")),
        ("aud", json!("desk")),
        ("iat", json!(now)),
        ("exp", json!(now + 3600)),
        ("auth_time", json!(now)),
        ("name", json!("Ada Lovelace")),
        ("email", json!("ada@example.test")),
        ("email_verified", json!(true)),
    ] {
        assert_eq!(claims[claim], value, "{claim}");
    }
    assert_eq!(claims.get("groups"), None);
    assert_eq!(claims["sub"], tokens.claims()["sub"]);
    assert_eq!(server.recorded("token.issued").await, 1);
}

#[rstest]
#[tokio::test]
async fn a_refresh_brings_another_id_token_without_the_nonce(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let client = desk().with("nonce", "once");
    let first = client.obtain(&server, &Browser::new(), "ada").await;
    server.later(Duration::from_secs(1800));
    let second = client.refresh(&server, first.refresh()).await;
    assert_eq!(second.status, 200, "{}", second.body);
    let (before, after) = (claims_of(first.id_token()), claims_of(second.id_token()));
    for same in ["iss", "sub", "aud", "auth_time", "sid"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_eq!(after["iat"], json!(BEGINNING.as_secs() + 1800));
    assert_eq!(after.get("nonce"), None, "OpenID Connect Core §12.2");
    assert_ne!(first.refresh(), second.refresh());
    let narrower = [
        ("grant_type", "refresh_token"),
        ("client_id", "desk"),
        ("refresh_token", second.refresh()),
        ("scope", "profile"),
    ];
    let narrower = post_to(&server, Role::IdentityProvider, &narrower.map(|(k, v)| (k, v.to_owned()))).await;
    assert_eq!(narrower.body["scope"], "openid profile");
    assert_eq!(claims_of(narrower.id_token()).get("email"), None);
}

/// OpenID Connect Core §5.4: a client learns what its scopes say, and no more than its entry allows.
#[tokio::test]
async fn what_is_told_follows_from_the_scopes() {
    let server = serve(On::Sqlite).await.unwrap();
    let bare = desk().scope("openid groups offline_access unheard-of");
    let tokens = bare.obtain(&server, &Browser::new(), "ada").await;
    assert_eq!(tokens.body["scope"], "openid", "groups are not among those of desk");
    let claims = claims_of(tokens.id_token());
    assert!(["name", "email", "email_verified", "groups"].iter().all(|told| claims.get(told).is_none()));
    assert_eq!(userinfo(&server, tokens.access()).await, (200, json!({ "sub": claims["sub"] })));

    let client = backend();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let tokens = exchange(&server, &client, &code).await;
    assert_eq!(claims_of(tokens.id_token())["groups"], json!(["staff", "support"]));
    let (status, told) = userinfo(&server, tokens.access()).await;
    assert_eq!((status, told["groups"].clone()), (200, json!(["staff", "support"])));
}

#[tokio::test]
async fn sign_in_without_openid_is_none() {
    let server = serve(On::Sqlite).await.unwrap();
    for scope in ["(absent)", "profile", "tickets:read"] {
        let client = desk().with("scope", scope);
        let page = client.begin(&server, &Browser::new(), "ada").await;
        assert_eq!(page.parameter("error").as_deref(), Some("invalid_scope"), "{scope}: {}", page.url);
        assert_eq!(page.parameter("iss").unwrap(), format!("{}/idp", server.issuer));
    }
    let client = desk().with("resource", "https://mcp.acme.example/tickets");
    let page = client.begin(&server, &Browser::new(), "ada").await;
    assert_eq!(page.parameter("error").as_deref(), Some("invalid_target"));
}

#[tokio::test]
async fn the_page_says_what_the_client_would_learn_and_what_is_unticked_stays_untold() {
    let server = serve(On::Sqlite).await.unwrap();
    let (client, browser) = (desk(), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    let text = page.text();
    for words in ["Sign in to Desk agent ?", "Know your name", "Know your e-mail address", "Ada Lovelace"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let form = page.form("/interaction/");
    assert_eq!(form.values("scope"), ["email", "profile"], "openid is what it is all about");
    let back = browser
        .submit_until(&form.untick("scope", "email").set("decision", "allow"), &client.redirect_uri)
        .await;
    let tokens = client.exchange(&server, &client.code(&server, &back)).await;
    assert_eq!(tokens.body["scope"], "openid profile");
    assert_eq!(claims_of(tokens.id_token()).get("email"), None);
    let (_, told) = userinfo(&server, tokens.access()).await;
    assert_eq!(told.get("email"), None);
    assert_eq!(told["name"], "Ada Lovelace");
}

#[rstest]
#[tokio::test]
async fn what_a_person_ends_is_over(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let (client, browser) = (desk(), Browser::new());
    let tokens = client.obtain(&server, &browser, "ada").await;
    let page = account(&server, &browser, "ada").await;
    assert!(page.text().contains("Desk agent uses your sign-in"), "{}", page.text());
    browser.submit(&page.form("/account/applications/end")).await;
    assert_eq!(client.refresh(&server, tokens.refresh()).await.error(), "invalid_grant");
    let (status, body) = userinfo(&server, tokens.access()).await;
    assert_eq!((status, &body["error"]), (401, &json!("invalid_token")));
}

#[rstest]
#[tokio::test]
async fn whoever_is_shut_out_is_told_of_no_more(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let client = desk();
    let tokens = client.obtain(&server, &Browser::new(), "ada").await;
    server.execute("UPDATE users SET disabled_at = 1").await;
    assert_eq!(client.refresh(&server, tokens.refresh()).await.error(), "invalid_grant");
    assert_eq!(userinfo(&server, tokens.access()).await.0, 401);
}

#[tokio::test]
async fn userinfo_takes_its_own_access_tokens_alone() {
    let server = serve(On::Sqlite).await.unwrap();
    let (browser, other) = (Browser::new(), Client::desk());
    let tokens = desk().obtain(&server, &browser, "ada").await;
    let elsewhere = other.obtain(&server, &browser, "ada").await;
    for wrong in [tokens.id_token(), elsewhere.access(), tokens.refresh(), "x.y.z", ""] {
        assert_eq!(userinfo(&server, wrong).await.0, 401);
    }
    assert_eq!(server.request(Method::GET, "/idp/userinfo").send().await.unwrap().status(), 401);
    assert_eq!(userinfo(&server, tokens.access()).await.0, 200);
    server.later(Duration::from_secs(600));
    assert_eq!(userinfo(&server, tokens.access()).await.0, 401, "expired");
}

/// An upstream that tells how strongly a person proved herself.
async fn strong() -> (Upstream, Server) {
    let upstream = Upstream::start().await;
    let entry = upstream.entry("acme", "client_auth: none, organization: acme, sign_in: { anyone: true }");
    let (_, rest) = PLAIN.split_once("resources:\n").unwrap();
    let sections = format!("providers:\n{entry}resources:\n{rest}{}", super::section());
    let server = setup(On::Sqlite).sections(&sections).start().await.unwrap();
    (upstream, server)
}

/// Where the browser is sent for this request: to the provider, or somewhere else.
async fn opened(server: &Server, upstream: &Upstream, browser: &Browser, client: &Client) -> Page {
    let page = browser.open_until(&client.authorize_url(server), &upstream.issuer()).await;
    if page.url.as_str().starts_with(&upstream.issuer()) {
        return page;
    }
    assert_eq!(page.status, 200, "{}", page.text());
    page
}

/// RFC 9470 §5: who wants a stronger sign-in sends the person once more, with `acr_values`.
#[tokio::test]
async fn a_stronger_sign_in_is_asked_of_the_provider_and_told() {
    let (upstream, server) = strong().await;
    let browser = Browser::new();
    let signed_in = async |client: &Client, acr: &str| {
        let page = opened(&server, &upstream, &browser, client).await;
        let away = Away(page.url);
        let mut claims = upstream.claims(&away);
        (claims["acr"], claims["amr"]) = (json!(acr), json!(["pwd", "otp"]));
        claims["auth_time"] = json!(server.clock.now().as_secs());
        upstream.issues(&claims);
        let page = browser.open(&away.back(&[("code", "c-1")])).await;
        let form = page.form("/interaction/").set("decision", "allow");
        let back = browser.submit_until(&form, &client.redirect_uri).await;
        (away, client.exchange(&server, &client.code(&server, &back)).await)
    };
    let (away, tokens) = signed_in(&desk(), "basic").await;
    assert_eq!(away.asked("acr_values"), None);
    assert_eq!(claims_of(tokens.id_token())["acr"], "basic");
    assert_eq!(claims_of(tokens.id_token())["amr"], json!(["pwd", "otp"]));

    let enough = opened(&server, &upstream, &browser, &desk().with("acr_values", "phr basic")).await;
    assert!(enough.find_form("/interaction/").is_some(), "one of them is there: {}", enough.url);

    let (away, tokens) = signed_in(&desk().with("acr_values", "phr phrh"), "phr").await;
    assert_eq!(away.asked("acr_values").as_deref(), Some("phr phrh"));
    assert_eq!(claims_of(tokens.id_token())["acr"], "phr");

    // What cannot be had is not asked for again and again.
    let (_, tokens) = signed_in(&desk().with("acr_values", "gold"), "phr").await;
    assert_eq!(claims_of(tokens.id_token())["acr"], "phr");

    let silent = desk().with("acr_values", "platinum").with("prompt", "none");
    let back = browser.open_until(&silent.authorize_url(&server), &silent.redirect_uri).await;
    assert_eq!(back.parameter("error").as_deref(), Some("login_required"));
}

#[tokio::test]
async fn an_endless_nonce_or_acr_values_is_refused() {
    let server = serve(On::Sqlite).await.unwrap();
    for (name, most) in [("nonce", 512), ("acr_values", 1024)] {
        let ask = async |length: usize| {
            let client = desk().with(name, &"x".repeat(length));
            client.begin(&server, &Browser::new(), "ada").await
        };
        assert!(ask(most).await.find_form("/interaction/").is_some(), "{name}");
        assert_eq!(ask(most + 1).await.parameter("error").as_deref(), Some("invalid_request"), "{name}");
    }
}

#[tokio::test]
async fn a_remembered_consent_of_the_other_issuer_is_none_here() {
    let server = serve(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let web = "https://desk.acme.example/callback";
    let there = Client { redirect_uri: web.to_owned(), ..Client::desk() };
    there.authorize(&server, &browser, "ada").await;
    let remembered = Client { verifier: Entropy::System.token(), ..there.clone() };
    let page = browser.open_until(&remembered.authorize_url(&server), web).await;
    assert!(page.parameter("code").is_some(), "{}", page.url);

    let here = Client { redirect_uri: web.to_owned(), ..desk() };
    let page = here.begin(&server, &browser, "ada").await;
    assert!(page.find_form("/interaction/").is_some(), "asked anew: {}", page.url);
}
