//! Who comes in, by Keycloak's own form, and what her groups and roles open to her.

use rstest::rstest;
use serde_json::{Value, json};

use super::{
    person::{ADA, MALLORY, Person, claims},
    realm::Realm,
};
use crate::{
    client,
    house::{DECLARED, Plan},
    options, step,
};

/// The sample as it is configured where groups, or roles, open its scopes to people.
fn sample(reader: &str, writer: &str) -> Value {
    json!({
        "token_claims": ["groups", "email"],
        "scopes": {
            "notes:read": { "description": "Read your notes", "default": true, "allow": { "groups": [reader] } },
            "notes:write": { "description": "Write notes", "allow": { "groups": [writer] } },
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_client_is_let_in_by_the_login_form() {
    let (house, _realm) = Realm::house(Plan::default(), None).await;
    let mut options = options(&house.sample, &json!({ "client_id": DECLARED }));
    options["person"]["fields"] = json!({ "username": ADA.0, "password": ADA.1 });
    let steps = client("sdk2.mjs", &options);
    assert_eq!(step(&steps, "authorize")["granted"], "notes:read");
    assert_eq!(step(&steps, "step-up")["granted"], "notes:read notes:write");
}

#[rstest]
#[case::groups(json!({ "groups": "groups" }), "/mcp-users", "/staff/editors")]
#[case::realm_roles(json!({ "groups": "realm_access.roles" }), "notes-reader", "notes-editor")]
#[tokio::test(flavor = "multi_thread")]
async fn groups_and_realm_roles_decide(#[case] names: Value, #[case] reader: &str, #[case] writer: &str) {
    let provider =
        json!({ "claims": names, "sign_in": { "require": { "groups": [reader] } }, "organization": "acme" });
    let plan = Plan { provider, sample: sample(reader, writer), ..Plan::default() };
    let (house, _realm) = Realm::house(plan, None).await;

    let ada = Person::at(&house);
    let consent = ada.sign_in(&ada.open(&[]).await, ADA).await;
    let tokens = ada.allow(&consent).await;
    assert_eq!(tokens["scope"], "notes:read notes:write");
    let claims = claims(&tokens);
    assert_eq!(claims["email"], "ada@acme.test");
    assert_eq!(claims["org_id"], "acme");
    let groups = claims["groups"].as_array().unwrap();
    assert!([reader, writer].iter().all(|name| groups.contains(&json!(name))), "{groups:?}");

    let mallory = Person::at(&house);
    let page = mallory.sign_in(&mallory.open(&[]).await, MALLORY).await;
    if reader == "/mcp-users" {
        assert_eq!(page.status, 403);
        assert!(page.text().contains("You may not sign in here"), "{}", page.text());
    } else {
        assert_eq!(mallory.allow(&page).await["scope"], "notes:read", "she has the reader's role alone");
    }
}
