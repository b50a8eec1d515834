//! Who is the same person, and whom nobody can become.

mod assertions;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Browser, On, Server, Upstream, browser::Page};

const RESOURCES: &str = r#"
resources:
  tickets:
    uri: https://mcp.acme.example/tickets
    name: Ticket desk
    scopes: { "tickets:read": { description: Read tickets, default: true } }
"#;

/// Two providers, and what each says of `identity`.
struct Two {
    acme: Upstream,
    other: Upstream,
    server: Server,
}

impl Two {
    async fn start(on: On, acme_links: &str, other_links: &str) -> Option<Self> {
        let (acme, other) = (Upstream::start().await, Upstream::start().await);
        let keys = |links: &str| {
            let identity = match links {
                "" => String::new(),
                links => format!(", identity: {{ link_verified_email: {links} }}"),
            };
            format!("client_auth: none, userinfo: never, sign_in: {{ anyone: true }}{identity}")
        };
        let entries = acme.entry("acme", &keys(acme_links)) + &other.entry("other", &keys(other_links));
        let server = Server::start_with(on, &format!("providers:\n{entries}{RESOURCES}")).await?;
        Some(Self { acme, other, server })
    }

    /// Ada signs in at the first provider.
    async fn at_acme(&self, browser: &Browser, change: impl FnOnce(&mut Value)) -> Page {
        self.acme.sign_in(&self.server, browser, change).await
    }

    /// Somebody of that address signs in at the second.
    async fn at_other(&self, browser: &Browser, change: impl FnOnce(&mut Value)) -> Page {
        self.other.sign_in_as("other", &self.server, browser, change).await
    }

    async fn users_and_accounts(&self) -> (i64, i64) {
        (self.server.rows("users").await, self.server.rows("identities").await)
    }
}

fn linked() -> [&'static str; 2] {
    ["[other]", "[acme]"]
}

#[rstest]
#[tokio::test]
async fn providers_that_trust_one_anothers_addresses_mean_one_person_with_one_account_page(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let [acme, other] = linked();
    let Some(two) = Two::start(on, acme, other).await else { return };
    two.at_acme(&Browser::new(), |_| ()).await;
    let page = two.at_other(&Browser::new(), |claims| claims["email"] = json!("ADA@acme.example")).await;
    assert_eq!(two.users_and_accounts().await, (1, 2));
    assert_eq!(two.server.reasons("identity.linked").await, ["verified_email"]);
    let text = page.text();
    let known = text.split("How we know you").nth(1).unwrap();
    for words in ["acme sign-in", "ada@acme.example", "other sign-in", "ADA@acme.example", "Since"] {
        assert!(known.contains(words), "{words}: {text}");
    }
    let buttons = [page.forms("/logout").len(), page.forms("/account/sessions/end").len()];
    assert_eq!(buttons, [2, 1], "this browser and all at once, and the other: {text}");
}

/// Without a word of the operator's nothing but the key counts, and each person sees her own.
#[rstest]
#[tokio::test]
async fn an_address_is_a_label(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(two) = Two::start(on, "", "").await else { return };
    two.at_acme(&Browser::new(), |_| ()).await;
    let page = two.at_other(&Browser::new(), |_| ()).await;
    assert_eq!(two.users_and_accounts().await, (2, 2));
    let text = page.text();
    assert!(text.contains("other sign-in") && !text.contains("acme sign-in"), "{text}");
    assert_eq!(two.server.recorded("identity.linked").await, 0);
}

/// What would have to be true of an account at the second provider for it to be Ada's, and is not.
#[rstest]
#[case::not_verified(json!({ "email_verified": false }))]
#[case::not_said(json!({ "email_verified": null }))]
#[case::verified_in_a_word_that_is_not_true(json!({ "email_verified": "yes" }))]
#[case::two_addresses(json!({ "email": ["ada@acme.example", "eve@evil.example"] }))]
#[case::an_address_behind_hers(json!({ "email": "ada@acme.example.evil.example" }))]
#[case::an_address_around_hers(json!({ "email": "\"ada@acme.example\"@evil.example" }))]
#[case::a_letter_that_looks_alike(json!({ "email": "ad\u{430}@acme.example" }))]
#[case::a_letter_that_others_fold(json!({ "email": "ada@acme.example\u{200b}" }))]
#[tokio::test]
async fn nobody_becomes_ada_by_an_address(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] changes: Value,
) {
    let [acme, other] = linked();
    let Some(two) = Two::start(on, acme, other).await else { return };
    two.at_acme(&Browser::new(), |_| ()).await;
    let change = |claims: &mut Value| {
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
    };
    let page = two.at_other(&Browser::new(), change).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(two.users_and_accounts().await, (2, 2));
}

/// Eve is known; then she takes Ada's address, at her provider and where it counts.
#[rstest]
#[tokio::test]
async fn an_address_that_changes_hands_takes_nobody_along(#[values(On::Sqlite, On::Postgres)] on: On) {
    let [acme, other] = linked();
    let Some(two) = Two::start(on, acme, other).await else { return };
    let eve = |email: &'static str| {
        move |claims: &mut Value| {
            (claims["sub"], claims["name"], claims["email"]) = (json!("eve-1"), json!("Eve"), json!(email));
        }
    };
    let browser = Browser::new();
    two.at_other(&browser, eve("eve@acme.example")).await;
    two.at_acme(&Browser::new(), |_| ()).await;
    let page = two.at_other(&browser, eve("ada@acme.example")).await;
    assert!(!page.text().contains("acme sign-in"), "{}", page.text());
    assert_eq!(two.users_and_accounts().await, (2, 2));
    // Now two people have the address, so nobody can be told by it.
    let third = |claims: &mut Value| claims["sub"] = json!("third");
    assert_eq!(two.at_acme(&Browser::new(), third).await.status, 403);
    assert_eq!(two.server.reasons("sign_in.refused").await, ["identity_ambiguous"]);
    assert_eq!(two.users_and_accounts().await, (2, 2));
}

/// The issuer gave the address to another account: it says itself that these are two people.
#[rstest]
#[tokio::test]
async fn the_next_holder_of_an_address_is_somebody_else(#[values(On::Sqlite, On::Postgres)] on: On) {
    let [acme, other] = linked();
    let Some(two) = Two::start(on, acme, other).await else { return };
    two.at_acme(&Browser::new(), |_| ()).await;
    two.at_other(&Browser::new(), |_| ()).await;
    assert_eq!(two.users_and_accounts().await, (1, 2));
    two.at_acme(&Browser::new(), |claims| claims["sub"] = json!("ada-2")).await;
    assert_eq!(two.users_and_accounts().await, (2, 3));
}

#[rstest]
#[tokio::test]
async fn whoever_is_shut_out_does_not_come_back_by_another_door(#[values(On::Sqlite, On::Postgres)] on: On) {
    let [acme, other] = linked();
    let Some(two) = Two::start(on, acme, other).await else { return };
    two.at_acme(&Browser::new(), |_| ()).await;
    two.server.execute("UPDATE users SET disabled_at = 1").await;
    let page = two.at_other(&Browser::new(), |_| ()).await;
    assert_eq!(page.status, 403, "{}", page.text());
    assert!(page.text().contains("switched off"), "{}", page.text());
    assert_eq!(two.server.reasons("sign_in.refused").await, ["user_disabled"]);
    assert_eq!(two.users_and_accounts().await, (1, 1));
}
