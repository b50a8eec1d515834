//! A target that wants a fresher or stronger sign-in says so, and the client can bring the person back
//! (draft-ietf-oauth-identity-assertion-authz-grant §4.3.3, RFC 9470).

use std::time::Duration;

use serde_json::{Value, json};

use super::{ask, desk, section};
use crate::support::{Browser, Client, On, PLAIN, Server, Setup, Tokens, Upstream, upstream::Away};

/// A server whose cloud has these demands, and the provider behind it.
async fn demanding(demands: &str) -> (Upstream, Server) {
    let upstream = Upstream::start().await;
    let entry = upstream.entry("acme", "client_auth: none, organization: acme, sign_in: { anyone: true }");
    let (_, rest) = PLAIN.split_once("resources:\n").unwrap();
    let idp =
        section().replace("      name: Cloud wiki\n", &format!("      name: Cloud wiki\n      {demands}\n"));
    let sections = format!("providers:\n{entry}resources:\n{rest}{idp}");
    (upstream, Setup::on(On::Sqlite).sections(&sections).start().await.unwrap())
}

/// Signs Ada in for `client`, with what the provider says of it.
async fn sign_in(
    (upstream, server): (&Upstream, &Server),
    browser: &Browser,
    client: &Client,
    acr: Option<&str>,
) -> (Away, Tokens) {
    let page = browser.open_until(&client.authorize_url(server), &upstream.issuer()).await;
    assert!(page.url.as_str().starts_with(&upstream.issuer()), "not asked to sign in: {}", page.url);
    let away = Away(page.url);
    let mut claims: Value = upstream.claims(&away);
    let now = server.clock.now().as_secs();
    (claims["auth_time"], claims["iat"], claims["exp"]) = (json!(now), json!(now), json!(now + 3600));
    if let Some(acr) = acr {
        claims["acr"] = json!(acr);
    }
    upstream.issues(&claims);
    let page = browser.open(&away.back(&[("code", "c-1")])).await;
    let form = page.form("/interaction/").set("decision", "allow");
    let back = browser.submit_until(&form, &client.redirect_uri).await;
    let tokens = client.exchange(server, &client.code(server, &back)).await;
    (away, tokens)
}

#[tokio::test]
async fn an_old_sign_in_is_not_enough_and_a_new_one_is() {
    let (upstream, server) = demanding("max_age: 1h").await;
    let browser = Browser::new();
    let (_, tokens) = sign_in((&upstream, &server), &browser, &desk(), None).await;
    server.later(Duration::from_secs(3599));
    assert_eq!(ask(&server, tokens.id_token(), &[]).await.status, 200);
    server.later(Duration::from_secs(2));
    let tokens = desk().refresh(&server, tokens.refresh()).await;
    let refused = ask(&server, tokens.id_token(), &[]).await;
    assert_eq!((refused.status, refused.error()), (400, "insufficient_user_authentication"));
    assert_eq!((&refused.body["max_age"], refused.body.get("acr_values")), (&json!(3600), None));

    let client = desk().with("max_age", &refused.body["max_age"].to_string());
    let (away, tokens) = sign_in((&upstream, &server), &browser, &client, None).await;
    assert_eq!(away.asked("max_age").as_deref(), Some("3600"));
    assert_eq!(ask(&server, tokens.id_token(), &[]).await.status, 200);
}

/// Of a sign-in without a date nobody knows that it is young enough.
#[tokio::test]
async fn nor_is_one_that_has_no_date() {
    let (upstream, server) = demanding("max_age: 1h").await;
    let (_, tokens) = sign_in((&upstream, &server), &Browser::new(), &desk(), None).await;
    server.execute("UPDATE grants SET auth_time = NULL").await;
    let refused = ask(&server, tokens.id_token(), &[]).await;
    assert_eq!(refused.error(), "insufficient_user_authentication", "{}", refused.body);
}

#[tokio::test]
async fn a_weak_sign_in_is_not_enough_and_a_stronger_one_is() {
    let (upstream, server) = demanding("acr_values: [phr, phrh]\n      max_age: 1d").await;
    let browser = Browser::new();
    for acr in [None, Some("pwd")] {
        let (_, tokens) = sign_in((&upstream, &server), &Browser::new(), &desk(), acr).await;
        let refused = ask(&server, tokens.id_token(), &[]).await;
        assert_eq!(refused.error(), "insufficient_user_authentication", "{acr:?}");
        assert_eq!(
            (&refused.body["acr_values"], &refused.body["max_age"]),
            (&json!("phr phrh"), &json!(86400))
        );
    }
    let client = desk().with("acr_values", "phr phrh");
    let (away, tokens) = sign_in((&upstream, &server), &browser, &client, Some("phrh")).await;
    assert_eq!(away.asked("acr_values").as_deref(), Some("phr phrh"));
    let granted = ask(&server, tokens.id_token(), &[]).await;
    assert_eq!(granted.status, 200, "{}", granted.body);
    assert_eq!(granted.claims()["acr"], "phrh");
}

/// Nobody is sent to sign in again for what she would not get.
#[tokio::test]
async fn the_rules_are_asked_first() {
    let (upstream, server) = demanding("max_age: 1h").await;
    let (_, tokens) = sign_in((&upstream, &server), &Browser::new(), &desk(), None).await;
    server.later(Duration::from_secs(3601));
    let tokens = desk().refresh(&server, tokens.refresh()).await;
    let answer = ask(&server, tokens.id_token(), &[("scope", "pages:close")]).await;
    assert_eq!(answer.error(), "access_denied");
}
