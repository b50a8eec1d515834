//! How surely, and how recently, Keycloak knows who is there. The realm's levels of authentication are `silver`, a
//! password, and `gold`, a one-time code besides.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    person::{ADA, Person, claims},
    realm::{Realm, one_time_code},
};
use crate::house::Plan;

fn demanding_gold(more: &Value) -> Plan {
    let mut provider = json!({ "sign_in": { "require": { "claims": { "acr": "gold" } } } });
    provider.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Plan { provider, ..Plan::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_may_demand_a_level_of_everybody() {
    let plan = demanding_gold(&json!({ "authorize_params": { "acr_values": "gold" } }));
    let (house, _realm) = Realm::house(plan, None).await;
    let ada = Person::at(&house);
    let asked_more = ada.sign_in(&ada.open(&[]).await, ADA).await;
    let consent = ada.fill(&asked_more, &[("otp", &one_time_code())]).await;
    assert_eq!(claims(&ada.allow(&consent).await)["acr"], "gold");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_was_demanded_and_not_asked_for_is_missed() {
    let (house, _realm) = Realm::house(demanding_gold(&json!({})), None).await;
    let ada = Person::at(&house);
    let page = ada.sign_in(&ada.open(&[]).await, ADA).await;
    assert_eq!(page.status, 403);
    assert!(page.text().contains("You may not sign in here"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_have_the_person_asked_again() {
    let (house, _realm) = Realm::house(Plan::default(), None).await;
    let ada = Person::at(&house);
    let consent = ada.sign_in(&ada.open(&[]).await, ADA).await;
    let before = claims(&ada.allow(&consent).await);
    assert_eq!(before["acr"], "silver");

    let young_enough = ada.open(&[("max_age", "3600")]).await;
    assert!(young_enough.find_form("/interaction/").is_some(), "{}", young_enough.text());

    tokio::time::sleep(Duration::from_millis(2100)).await;
    let asked_again = ada.open(&[("max_age", "1")]).await;
    let consent = ada.fill(&asked_again, &[("password", ADA.1)]).await;
    let after = claims(&ada.allow(&consent).await);
    assert_eq!(after["sub"], before["sub"]);
    assert!(after["auth_time"].as_i64() > before["auth_time"].as_i64(), "{before} {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_ask_for_a_level_once_it_needs_it() {
    let (house, _realm) = Realm::house(Plan::default(), None).await;
    let ada = Person::at(&house);
    let consent = ada.sign_in(&ada.open(&[]).await, ADA).await;
    assert_eq!(claims(&ada.allow(&consent).await)["acr"], "silver");

    let gold = [("acr_values", "gold")];
    let asked_more = ada.open(&gold).await;
    let consent = ada.fill(&asked_more, &[("otp", &one_time_code())]).await;
    assert_eq!(claims(&ada.allow(&consent).await)["acr"], "gold");
    let consent = ada.open(&gold).await;
    assert_eq!(claims(&ada.allow(&consent).await)["acr"], "gold", "she is not asked twice");
}
