//! A session that is over at Keycloak is over here, with the refresh tokens that were born in it; and one that is over
//! here is over there, where the operator says so.

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    person::{ADA, Person},
    realm::Realm,
};
use crate::house::Plan;

async fn connects(person: &Person<'_>) -> Value {
    let consent = person.sign_in(&person.open(&[]).await, ADA).await;
    person.allow(&consent).await
}

/// Her refresh token is refused, and her browser is sent to Keycloak, which asks her again.
async fn is_out(person: &Person<'_>, tokens: &Value) {
    assert_eq!(person.refresh(tokens).await.unwrap_err()["error"], "invalid_grant");
    let page = person.open(&[]).await;
    assert!(page.find_form("/realms/").is_some(), "{}: {}", page.url, page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_ends_one_session_or_all() {
    let (house, realm) = Realm::house(Plan::default(), None).await;
    let [laptop, phone, desk] = [(); 3].map(|()| Person::at(&house));
    let on_laptop = connects(&laptop).await;
    let ada = realm.user(ADA.0).await;
    let sessions = format!("/users/{ada}/sessions");
    let begun = realm.administer(Method::GET, &sessions, &json!(null)).await;
    let on_phone = connects(&phone).await;
    let on_desk = connects(&desk).await;

    let first = begun[0]["id"].as_str().unwrap();
    realm.administer(Method::DELETE, &format!("/sessions/{first}"), &json!(null)).await;
    is_out(&laptop, &on_laptop).await;
    let on_phone = phone.refresh(&on_phone).await.expect("her other sessions live on");
    let on_desk = desk.refresh(&on_desk).await.expect("her other sessions live on");

    realm.administer(Method::POST, &format!("/users/{ada}/logout"), &json!(null)).await;
    is_out(&phone, &on_phone).await;
    is_out(&desk, &on_desk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_leaves_keycloak_leaves_us() {
    let (house, realm) = Realm::house(Plan::default(), None).await;
    let ada = Person::at(&house);
    let tokens = connects(&ada).await;
    let page = ada.browser.open(&realm.url("/protocol/openid-connect/logout")).await;
    let page = ada.browser.submit(&page.form("/realms/")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    is_out(&ada, &tokens).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_leaves_us_leaves_keycloak_where_the_operator_says_so(
    #[values("here", "provider")] way: &str,
) {
    let sign_in = json!({ "require": { "groups": ["/mcp-users"] }, "logout": way });
    let plan = Plan { provider: json!({ "sign_in": sign_in }), ..Plan::default() };
    let (house, realm) = Realm::house(plan, None).await;
    let ada = Person::at(&house);
    let tokens = connects(&ada).await;
    let sessions = format!("/users/{}/sessions", realm.user(ADA.0).await);
    let begun = realm.administer(Method::GET, &sessions, &json!(null)).await;
    assert_eq!(begun.as_array().unwrap().len(), 1, "{begun}");

    let page = ada.leave().await;
    assert_eq!(page.status, 200, "{}: {}", page.url, page.text());
    let left = realm.administer(Method::GET, &sessions, &json!(null)).await;
    assert_eq!(ada.refresh(&tokens).await.unwrap_err()["error"], "invalid_grant");
    if way == "provider" {
        assert_eq!(page.url.as_str().split('?').next(), Some(house.url("/login/acme/signed-out").as_str()));
        assert!(page.text().contains("was asked to sign you out too"), "{}", page.text());
        assert_eq!(left, json!([]), "her ID token said which session");
        is_out(&ada, &tokens).await;
    } else {
        assert!(page.text().contains("You are still signed in at"), "{}", page.text());
        assert_eq!(left[0]["id"], begun[0]["id"]);
        let page = ada.open(&[]).await;
        assert!(page.find_form("/interaction/").is_some(), "nobody asks her anew: {}", page.text());
    }
}
