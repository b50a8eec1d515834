//! The provider says that a session is over (OpenID Connect Back-Channel Logout): whose it was is out, on every
//! instance, and whatever only looks like such a word changes nothing.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery::{
    clock::Timestamp,
    jose::{Signer, signer::SigningAlgorithm},
};
use reqwest::{Method, header};
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::{
    authorization::futures_join,
    support::{
        Browser, Client, On, Server, Tokens, Upstream,
        setup::BEGINNING,
        upstream::{json_of, signer},
    },
};

const PATH: &str = "/login/acme/backchannel-logout";
const ANYONE: &str = "client_auth: none, organization: acme, sign_in: { anyone: true }";

/// What the provider was answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: header::HeaderMap,
    body: String,
}

async fn post(server: &Server, path: &str, token: &str) -> Answer {
    let answer = server.request(Method::POST, path).form(&[("logout_token", token)]).send().await.unwrap();
    Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.text().await.unwrap(),
    }
}

async fn one(on: On) -> Option<(Upstream, Server)> {
    let upstream = Upstream::start().await;
    let server = Server::start_with(on, &upstream.sections(ANYONE)).await?;
    Some((upstream, server))
}

/// A person in her browser, and what an app of hers got.
struct There {
    browser: Browser,
    client: Client,
    tokens: Tokens,
}

impl There {
    /// Signs `sub` in, in the provider's session `sid`, and connects an app.
    async fn comes(upstream: &Upstream, server: &Server, sub: &str, sid: &str) -> Self {
        let (browser, client) = (Browser::new(), Client::desk());
        let page = upstream
            .sign_in(server, &browser, |claims| {
                claims["sub"] = json!(sub);
                claims["sid"] = json!(sid);
            })
            .await;
        assert_eq!(page.status, 200, "{}", page.text());
        let tokens = client.obtain(server, &browser, sub).await;
        Self { browser, client, tokens }
    }

    async fn is_signed_in(&self, server: &Server) -> bool {
        let url = server.url("/account");
        self.browser.send(Method::GET, &url.parse().unwrap(), None).await.status == 200
    }

    /// Whether she is in, and the app too.
    async fn is_there(&mut self, server: &Server) -> bool {
        let signed_in = self.is_signed_in(server).await;
        let refreshed = self.client.refresh(server, self.tokens.refresh()).await;
        assert_eq!(refreshed.status == 200, signed_in, "{}", refreshed.body);
        if signed_in {
            self.tokens = refreshed;
        } else {
            assert_eq!(refreshed.error(), "invalid_grant");
        }
        signed_in
    }
}

fn logout(upstream: &Upstream, at: Timestamp, who: &[(&str, &str)]) -> String {
    let mut claims = upstream.logout_claims(at);
    for (name, value) in who {
        claims[*name] = json!(value);
    }
    upstream.signer.sign("logout+jwt", &claims).unwrap()
}

#[rstest]
#[case::a_person(&[("sub", "ada")], [false, false, true, true])]
#[case::a_session(&[("sid", "s1")], [false, true, true, true])]
#[case::a_session_of_a_person(&[("sub", "ada"), ("sid", "s2")], [true, false, true, true])]
#[case::a_session_of_another_person(&[("sub", "grace"), ("sid", "s1")], [true, true, true, true])]
#[case::nobody_that_we_know(&[("sub", "eve")], [true, true, true, true])]
#[tokio::test]
async fn whoever_is_meant_is_out_with_her_apps(
    #[case] who: &[(&str, &str)],
    #[case] stay: [bool; 4],
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some((upstream, server)) = one(on).await else { return };
    let mut people = [
        There::comes(&upstream, &server, "ada", "s1").await,
        There::comes(&upstream, &server, "ada", "s2").await,
        There::comes(&upstream, &server, "grace", "s3").await,
        There::comes(&upstream, &server, "ada2", "s11").await,
    ];
    let answer = post(&server, PATH, &logout(&upstream, BEGINNING, who)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    for (person, stays) in people.iter_mut().zip(stay) {
        assert_eq!(person.is_there(&server).await, stays);
    }
    let gone = stay.iter().filter(|stays| !**stays).count();
    assert_eq!(server.reasons("session.ended").await, vec!["by_provider"; gone]);
    assert_eq!(server.reasons("grant.revoked").await, vec!["by_provider"; gone]);
    assert_eq!(server.recorded("logout.received").await, 1);
}

#[tokio::test]
async fn every_instance_hears_of_it() {
    let Some((upstream, server)) = one(On::Postgres).await else { return };
    let ada = There::comes(&upstream, &server, "ada", "s1").await;
    let twin = server.twin().await;
    assert_eq!(post(&server, PATH, &logout(&upstream, BEGINNING, &[("sid", "s1")])).await.status, 200);
    let refused = ada.client.refresh(&twin, ada.tokens.refresh()).await;
    assert_eq!(refused.error(), "invalid_grant");
    let cookie = ada.browser.cookie(&server.base);
    let account = twin.request(Method::GET, "/account").header("cookie", cookie).send().await.unwrap();
    assert_eq!(account.status(), 303, "signed out there too");
}

/// A code that was given just before is as dead as the rest.
#[rstest]
#[tokio::test]
async fn a_code_under_way_dies_too(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((upstream, server)) = one(on).await else { return };
    let ada = There::comes(&upstream, &server, "ada", "s1").await;
    let code = ada.client.authorize(&server, &ada.browser, "ada").await;
    post(&server, PATH, &logout(&upstream, BEGINNING, &[("sid", "s1")])).await;
    assert_eq!(ada.client.exchange(&server, &code).await.error(), "invalid_grant");
}

/// Our session lasts a day, the grants that were born in it three months: the provider can end them all that time.
#[rstest]
#[tokio::test]
async fn apps_lose_their_access_when_the_session_is_long_over(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((upstream, server)) = one(on).await else { return };
    let ada = There::comes(&upstream, &server, "ada", "s1").await;
    server.later(Duration::from_secs(20 * 86_400));
    chancery::store::sweep::sweep(&server.app.db, server.clock.now()).await.unwrap();
    assert_eq!(server.rows("sessions").await, 0);
    let refreshed = ada.client.refresh(&server, ada.tokens.refresh()).await;
    assert_eq!(refreshed.status, 200);
    let token = logout(&upstream, server.clock.now(), &[("sid", "s1")]);
    assert_eq!(post(&server, PATH, &token).await.status, 200);
    assert_eq!(ada.client.refresh(&server, refreshed.refresh()).await.error(), "invalid_grant");
}

/// Where people are known by another claim than `sub`, the provider still names them by `sub`.
#[tokio::test]
async fn the_sub_is_the_id_tokens() {
    let upstream = Upstream::start().await;
    let keys = format!("claims: {{ subject: [oid] }}, {ANYONE}");
    let server = Server::start_with(On::Sqlite, &upstream.sections(&keys)).await.unwrap();
    let browser = Browser::new();
    upstream.sign_in(&server, &browser, |claims| claims["oid"] = json!("object-1")).await;
    let tokens = Client::desk().obtain(&server, &browser, "ada").await;
    for (sub, error) in [("object-1", ""), ("ada-1", "invalid_grant")] {
        assert_eq!(post(&server, PATH, &logout(&upstream, BEGINNING, &[("sub", sub)])).await.status, 200);
        server.later(Duration::from_secs(61));
        assert_eq!(Client::desk().refresh(&server, tokens.refresh()).await.error(), error);
        if error.is_empty() {
            break;
        }
    }
}

const SECOND: i64 = BEGINNING.as_secs();

/// Refused with one text, recorded with the reason, and nothing is used up: the right token with the same `jti` counts.
#[rstest]
#[case::issuer(&[("iss", json!("https://evil.example"))], "of another issuer")]
#[case::no_issuer(&[("iss", Value::Null)], "iss")]
#[case::audience(&[("aud", json!("other"))], "another client")]
#[case::no_audience(&[("aud", Value::Null)], "aud")]
#[case::issued_to_another(&[("aud", json!(["us", "other"])), ("azp", json!("other"))], "another client")]
#[case::expired(&[("exp", json!(SECOND - 60))], "expired")]
#[case::no_expiry(&[("exp", Value::Null)], "exp")]
#[case::expiry_as_text(&[("exp", json!("1795219500"))], "exp")]
#[case::of_tomorrow(&[("iat", json!(SECOND + 61))], "not valid yet")]
#[case::no_date(&[("iat", Value::Null)], "iat")]
#[case::of_an_hour_ago(&[("iat", json!(SECOND - 3600))], "too long ago")]
#[case::no_jti(&[("jti", Value::Null)], "jti")]
#[case::jti_is_a_number(&[("jti", json!(7))], "jti")]
#[case::jti_is_endless(&[("jti", json!("x".repeat(256)))], "jti")]
#[case::no_events(&[("events", Value::Null)], "events")]
#[case::another_event(&[("events", json!({ "http://schemas.openid.net/event/other": {} }))], "events")]
#[case::the_event_but_for_a_slash(&[("events", json!({ "http://schemas.openid.net/event/backchannel-logout/": {} }))], "events")]
#[case::event_is_no_object(&[("events", json!({ "http://schemas.openid.net/event/backchannel-logout": true }))], "events")]
#[case::events_is_a_list(&[("events", json!(["http://schemas.openid.net/event/backchannel-logout"]))], "events")]
#[case::nonce(&[("nonce", json!("n"))], "nonce")]
#[case::nonce_of_null(&[("nonce", json!({}))], "nonce")]
#[case::nobody(&[("sub", Value::Null)], "neither sub nor sid")]
#[case::sub_is_a_number(&[("sub", json!(7))], "sub")]
#[case::sub_is_empty(&[("sub", json!(""))], "sub")]
#[case::sid_is_a_list(&[("sid", json!(["s1"]))], "sid")]
#[tokio::test]
async fn a_wrong_claim_ends_nothing_and_burns_nothing(
    #[case] changes: &[(&str, Value)],
    #[case] reason: &str,
) {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    let mut ada = There::comes(&upstream, &server, "ada", "s1").await;
    let mut good = upstream.logout_claims(BEGINNING);
    good["sub"] = json!("ada");
    let mut wrong = good.clone();
    for (name, value) in changes {
        if value.is_null() {
            wrong.as_object_mut().unwrap().remove(*name);
        } else {
            wrong[*name] = value.clone();
        }
    }
    let answer = post(&server, PATH, &upstream.signer.sign("logout+jwt", &wrong).unwrap()).await;
    refused(&server, &answer, reason).await;
    assert!(ada.is_there(&server).await);
    assert_eq!(post(&server, PATH, &upstream.signer.sign("logout+jwt", &good).unwrap()).await.status, 200);
    assert!(!ada.is_there(&server).await);
}

async fn refused(server: &Server, answer: &Answer, reason: &str) {
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    let mut body: Value = serde_json::from_str(&answer.body).unwrap();
    let number = body.as_object_mut().unwrap().remove("reference").unwrap();
    assert!(
        server.on_record("logout.refused", "reference").await.contains(&number.as_str().unwrap().to_owned())
    );
    let text = "the logout token is not accepted";
    assert_eq!(body, json!({ "error": "invalid_request", "error_description": text }));
    let why = server.on_record("logout.refused", "details").await;
    assert!(why.iter().any(|why| why.contains(reason)), "{why:?}");
    assert_eq!(server.recorded("logout.received").await, 0);
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Tokens that only look like a word of the provider's.
#[rstest]
#[case::typ_of_an_id_token(|own: &Signer, claims: &Value| own.sign("JWT", claims).unwrap(), "another kind")]
#[case::typ_of_an_access_token(|own: &Signer, claims: &Value| own.sign("at+jwt", claims).unwrap(), "another kind")]
#[case::typ_of_another_event(|own: &Signer, claims: &Value| own.sign("secevent+jwt", claims).unwrap(), "another kind")]
#[case::none(|_: &Signer, claims: &Value| format!("{}.{}.AAAA", part(&json!({ "alg": "none", "typ": "logout+jwt" })), part(claims)), "algorithm")]
#[case::another_key(|_: &Signer, claims: &Value| signer().sign("logout+jwt", claims).unwrap(), "no published key")]
#[case::changed_claims(|own: &Signer, claims: &Value| {
    let token = own.sign("logout+jwt", &json!({ "sub": "eve" })).unwrap();
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    parts[1] = part(claims);
    parts.join(".")
}, "signature")]
#[case::public_key_as_secret(|own: &Signer, claims: &Value| {
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.typ = Some("logout+jwt".to_owned());
    let secret = own.public_jwk().to_string();
    jsonwebtoken::encode(&header, claims, &jsonwebtoken::EncodingKey::from_secret(secret.as_bytes())).unwrap()
}, "algorithm")]
#[case::words(|_: &Signer, _: &Value| "please".to_owned(), "not a signed JWT")]
#[case::dots(|_: &Signer, _: &Value| ".".repeat(10_000), "not a signed JWT")]
#[tokio::test]
async fn what_only_looks_signed_ends_nothing(
    #[case] forge: fn(&Signer, &Value) -> String,
    #[case] reason: &str,
) {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    let mut ada = There::comes(&upstream, &server, "ada", "s1").await;
    let mut claims = upstream.logout_claims(BEGINNING);
    claims["sub"] = json!("ada");
    let answer = post(&server, PATH, &forge(&upstream.signer, &claims)).await;
    refused(&server, &answer, reason).await;
    assert!(ada.is_there(&server).await);
}

/// The specification recommends a `typ` and does not demand it.
#[tokio::test]
async fn a_token_without_typ_counts() {
    let mut upstream = Upstream::start().await;
    let pkcs8 = SigningAlgorithm::Es256.generate().unwrap();
    upstream.signer = Signer::from_pkcs8(SigningAlgorithm::Es256, &pkcs8).unwrap();
    upstream.publishes(&[&upstream.signer]);
    let server = Server::start_with(On::Sqlite, &upstream.sections(ANYONE)).await.unwrap();
    let mut ada = There::comes(&upstream, &server, "ada", "s1").await;
    let mut claims = upstream.logout_claims(BEGINNING);
    claims["sub"] = json!("ada");
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    header.typ = None;
    let key = jsonwebtoken::EncodingKey::from_ec_der(&pkcs8);
    let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    assert_eq!(post(&server, PATH, &token).await.status, 200);
    assert!(!ada.is_there(&server).await);
}

/// The ID token of the very sign-in, which the provider has signed for us, ends nothing.
#[tokio::test]
async fn an_id_token_is_no_logout_token() {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    let mut ada = There::comes(&upstream, &server, "ada", "s1").await;
    let mut claims = upstream.logout_claims(BEGINNING);
    (claims["sub"], claims["nonce"]) = (json!("ada"), json!("n"));
    for (typ, reason) in [("JWT", "another kind"), ("logout+jwt", "nonce")] {
        let answer = post(&server, PATH, &upstream.signer.sign(typ, &claims).unwrap()).await;
        refused(&server, &answer, reason).await;
    }
    assert!(ada.is_there(&server).await);
}

/// Two entries at one provider: what is for one client of it is not for the other.
#[tokio::test]
async fn what_is_for_another_entry_ends_nothing() {
    let upstream = Upstream::start().await;
    let other = format!(
        "providers:\n  other: {{ preset: oidc, issuer: \"{}\", client_id: them, {ANYONE} }}\n",
        upstream.issuer()
    );
    let sections = upstream.sections(ANYONE).replacen("providers:\n", &other, 1);
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let mut ada = There::comes(&upstream, &server, "ada", "s1").await;
    let ours = logout(&upstream, BEGINNING, &[("sid", "s1")]);
    refused(&server, &post(&server, "/login/other/backchannel-logout", &ours).await, "another client").await;
    let mut theirs = upstream.logout_claims(BEGINNING);
    (theirs["aud"], theirs["sid"]) = (json!("them"), json!("s1"));
    let theirs = upstream.signer.sign("logout+jwt", &theirs).unwrap();
    assert_eq!(post(&server, "/login/other/backchannel-logout", &theirs).await.status, 200);
    assert!(ada.is_there(&server).await, "a session of another client of the provider's");
    assert_eq!(post(&server, PATH, &ours).await.status, 200);
    assert!(!ada.is_there(&server).await);
}

#[rstest]
#[tokio::test]
async fn a_token_counts_once(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((upstream, server)) = one(on).await else { return };
    let token = logout(&upstream, BEGINNING, &[("sub", "ada")]);
    let answers = futures_join((0..16).map(|_| post(&server, PATH, &token))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    let mut ada = There::comes(&upstream, &server, "ada", "s1").await;
    assert_eq!(post(&server, PATH, &token).await.status, 400);
    assert!(ada.is_there(&server).await, "an old word does not end a new session");
    assert_eq!(server.recorded("logout.received").await, 1);
}

/// A captured token is worth nothing later, not even once its `jti` is forgotten.
#[tokio::test]
async fn a_token_does_not_come_back_when_its_jti_is_swept() {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    let mut claims = upstream.logout_claims(BEGINNING);
    (claims["sub"], claims["exp"]) = (json!("ada"), json!(SECOND + 10 * 365 * 86_400));
    let token = upstream.signer.sign("logout+jwt", &claims).unwrap();
    assert_eq!(post(&server, PATH, &token).await.status, 200);
    for minutes in [5, 5, 1, 1] {
        server.later(Duration::from_secs(60 * minutes));
        chancery::store::sweep::sweep(&server.app.db, server.clock.now()).await.unwrap();
        assert_eq!(post(&server, PATH, &token).await.status, 400);
    }
    assert_eq!(server.rows("replays").await, 0);
}

/// An outage is no answer: the provider is told to come back, and the same token then counts.
#[rstest]
#[case::of_the_token_store("replays")]
#[case::of_the_sessions("sessions")]
#[case::of_the_grants("grants")]
#[case::of_the_record("audit")]
#[tokio::test]
async fn a_fault_of_the_database_costs_nothing(
    #[case] table: &str,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some((upstream, server)) = one(on).await else { return };
    let mut ada = There::comes(&upstream, &server, "ada", "s1").await;
    let token = logout(&upstream, BEGINNING, &[("sub", "ada")]);
    server.hide(table).await;
    let answer = post(&server, PATH, &token).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    server.unhide(table).await;
    assert!(ada.is_there(&server).await);
    assert_eq!(post(&server, PATH, &token).await.status, 200);
    assert!(!ada.is_there(&server).await);
}

#[rstest]
#[case::down("/keys", ResponseTemplate::new(503))]
#[case::garbage("/keys", ResponseTemplate::new(200).set_body_string("<html>"))]
#[case::no_document("/.well-known/openid-configuration", ResponseTemplate::new(500))]
#[tokio::test]
async fn without_keys_the_provider_is_told_to_come_back(
    #[case] path: &str,
    #[case] answer: ResponseTemplate,
) {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    upstream.answers(path, answer);
    let token = logout(&upstream, BEGINNING, &[("sub", "ada")]);
    let told = post(&server, PATH, &token).await;
    assert_eq!(told.status, 503);
    assert!(told.headers.contains_key(header::RETRY_AFTER));
    upstream.publishes(&[&upstream.signer]);
    upstream.answers("/.well-known/openid-configuration", json_of(&upstream.document()));
    server.later(Duration::from_secs(31));
    assert_eq!(post(&server, PATH, &token).await.status, 200);
}

#[rstest]
#[case::no_token("x=y", "application/x-www-form-urlencoded", 400)]
#[case::empty("logout_token=", "application/x-www-form-urlencoded", 400)]
#[case::twice("logout_token=a&logout_token=b", "application/x-www-form-urlencoded", 400)]
#[case::json("{\"logout_token\":\"a\"}", "application/json", 400)]
#[case::plain("eyJ", "application/jwt", 400)]
#[tokio::test]
async fn only_a_form_with_one_token_is_read(#[case] body: &str, #[case] kind: &str, #[case] status: u16) {
    let (_upstream, server) = one(On::Sqlite).await.unwrap();
    let request = server.request(Method::POST, PATH).header("content-type", kind).body(body.to_owned());
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), status);
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    assert!(!answer.headers().contains_key(header::SET_COOKIE));
    assert_eq!(server.request(Method::GET, PATH).send().await.unwrap().status(), 405);
    let nobody = post(&server, "/login/nobody/backchannel-logout", "a.b.c").await;
    assert_eq!(nobody.status, 400);
}

/// A flood costs bounded work and bounded rows, and ends with the minute.
#[tokio::test]
async fn a_flood_is_bounded() {
    let (upstream, server) = one(On::Sqlite).await.unwrap();
    let forged = signer().sign("logout+jwt", &upstream.logout_claims(BEGINNING)).unwrap();
    for _ in 0..600 {
        assert_eq!(post(&server, PATH, &forged).await.status, 400);
    }
    let answer = post(&server, PATH, &forged).await;
    assert_eq!(answer.status, 429);
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    assert!(upstream.requests("/keys").await.len() <= 2, "forgeries do not make us ask for keys each time");
    assert_eq!(server.recorded("logout.refused").await, 120);
    server.later(Duration::from_secs(60));
    let token = logout(&upstream, server.clock.now(), &[("sub", "ada")]);
    assert_eq!(post(&server, PATH, &token).await.status, 200);
}
