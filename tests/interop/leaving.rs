//! Whoever signs out here is led to her provider and signs out there too, where the operator says so (OpenID Connect
//! RP-Initiated Logout 1.0); this one asks her whether she means it.

use serde_json::json;

use super::{
    browser::{Form, Page},
    house::{House, LOGIN, Plan, free_port},
    person::{CALLBACK, Person},
};

/// The form in which the provider asks who she is.
fn login_form(house: &House, page: &Page) -> Form {
    assert!(page.url.as_str().starts_with(house.upstream()), "{}: {}", page.url, page.text());
    page.form("/interaction/").set("login", LOGIN).set("password", "any")
}

async fn leaves(sign_in: &str, says: &[(&str, &str)]) -> (bool, Page) {
    let port = free_port();
    let back = format!("http://127.0.0.1:{port}/login/acme/signed-out");
    let plan = Plan {
        upstream_client: json!({ "post_logout_redirect_uris": [back] }),
        provider: json!({ "sign_in": { "email_domains": ["acme.test"], "logout": sign_in } }),
        port: Some(port),
        ..Plan::default()
    };
    let house = House::build(plan).await;
    let alice = Person::at(&house);
    let page = alice.open(&[]).await;
    let consent = alice.browser.submit_until(&login_form(&house, &page), CALLBACK).await;
    let tokens = alice.allow(&consent).await;

    let mut page = alice.leave().await;
    assert_eq!(alice.refresh(&tokens).await.unwrap_err()["error"], "invalid_grant");
    if sign_in == "provider" {
        assert!(page.url.as_str().starts_with(&format!("{}/session/end?", house.upstream())), "{}", page.url);
        let asked = page.form("/session/end/confirm");
        page =
            alice.browser.submit(&says.iter().fold(asked, |form, (name, value)| form.set(name, value))).await;
        assert_eq!(page.url.as_str().split('?').next(), Some(back.as_str()), "{}", page.text());
    }
    let again = alice.open(&[]).await;
    (again.url.as_str().starts_with(house.upstream()), page)
}

#[tokio::test(flavor = "multi_thread")]
async fn she_is_out_there_too() {
    let (is_asked_anew, page) = leaves("provider", &[("logout", "yes")]).await;
    assert!(page.text().contains("was asked to sign you out too"), "{}", page.text());
    assert!(is_asked_anew, "who she is");
}

#[tokio::test(flavor = "multi_thread")]
async fn she_may_stay_in_there() {
    let (is_asked_anew, page) = leaves("provider", &[]).await;
    assert!(page.text().contains("was asked to sign you out too"), "{}", page.text());
    assert!(!is_asked_anew);
}

#[tokio::test(flavor = "multi_thread")]
async fn she_is_not_led_there_unless_the_operator_says_so() {
    let (is_asked_anew, page) = leaves("here", &[]).await;
    assert!(page.text().contains("You are still signed in at Acme"), "{}", page.text());
    assert!(!is_asked_anew);
}
