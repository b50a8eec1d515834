//! The same questions where an agent brings an assertion (ID-JAG): several issuers of one provider, tenants, and
//! assertions that name a user of ours themselves.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    Agent, Browser, On, Server, Tokens, Upstream,
    agent::{ID_JAG, present_at, sections},
};

/// A provider with two issuers: people sign in by `agent.upstream`, and `second` signs assertions as well.
struct Two {
    agent: Agent,
    second: Upstream,
}

impl Two {
    /// `second` with these keys in its entry, and the provider with these beside `sign_in`.
    async fn start(on: On, entry: &str, id_jag: &str, provider: &str) -> Option<Self> {
        let (upstream, second) = (Upstream::start().await, Upstream::start().await);
        let issuers = format!(
            "issuers: [{{ issuer: \"{}\" }}, {{ issuer: \"{}\"{entry} }}]{id_jag}",
            upstream.issuer(),
            second.issuer()
        );
        let anyone = "sign_in: { anyone: true }";
        let sections = sections(&upstream, &issuers).replace(anyone, &format!("{anyone}{provider}"));
        let server = Server::start_with(on, &sections).await?;
        Some(Self { agent: Agent { server, upstream }, second })
    }

    /// Trades an assertion of the second issuer, some claims changed.
    async fn trade(&self, changes: &Value) -> Tokens {
        let mut claims = self.agent.claims_with("iss", json!(self.second.issuer()));
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.agent.present(&self.second.signer.sign(ID_JAG, &claims).unwrap(), &[]).await
    }

    async fn sign_in(&self) -> String {
        let page = self.agent.upstream.sign_in(&self.agent.server, &Browser::new(), |_| ()).await;
        assert_eq!(page.url.path(), "/account", "{}", page.text());
        page.text()
    }

    async fn users_and_accounts(&self) -> (i64, i64) {
        (self.agent.server.rows("users").await, self.agent.server.rows("identities").await)
    }
}

fn user(tokens: &Tokens) -> Value {
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    tokens.claims()["sub"].clone()
}

/// Okta's organization and one of its custom servers call people alike: one account, whichever way she came first.
#[rstest]
#[tokio::test]
async fn issuers_that_call_people_alike_have_one_account(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values(true, false)] browser_first: bool,
) {
    let Some(two) = Two::start(on, ", same_subjects: true", "", "").await else { return };
    if browser_first {
        two.sign_in().await;
    }
    let second = user(&two.trade(&json!({})).await);
    assert_eq!(user(&two.agent.trade(&two.agent.claims()).await), second);
    two.sign_in().await;
    assert_eq!(two.users_and_accounts().await, (1, 1));
}

/// Others have two accounts, and are one person only if the provider links what it vouches for itself.
#[rstest]
#[case::linked(", identity: { link_verified_email: [acme] }", json!({}), 1)]
#[case::not_verified(", identity: { link_verified_email: [acme] }", json!({ "email_verified": false }), 2)]
#[case::not_linked("", json!({}), 2)]
#[tokio::test]
async fn issuers_that_call_people_otherwise_are_one_persons_by_a_linked_address(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values(true, false)] browser_first: bool,
    #[case] provider: &str,
    #[case] claims: Value,
    #[case] users: i64,
) {
    let Some(two) = Two::start(on, "", "", provider).await else { return };
    let mut claims = claims;
    claims["sub"] = json!("00u-ada");
    if browser_first {
        two.sign_in().await;
    }
    let first = user(&two.trade(&claims).await);
    let page = two.sign_in().await;
    assert_eq!(user(&two.trade(&claims).await), first);
    assert_eq!(two.users_and_accounts().await, (users, 2));
    let linked = two.agent.server.recorded("identity.linked").await;
    assert_eq!(linked, 2 - users);
    let known = page.split("How we know you").nth(1).unwrap();
    assert_eq!(known.matches("Since").count(), if users == 1 { 2 } else { 1 }, "{page}");
    assert_eq!(page.contains("Build agent uses Ticket desk"), users == 1, "one account page: {page}");
}

/// The next account at the same issuer is another person, whatever its address.
#[rstest]
#[tokio::test]
async fn an_assertion_does_not_take_over_by_an_address(#[values(On::Sqlite, On::Postgres)] on: On) {
    let link = ", identity: { link_verified_email: [acme] }";
    let Some(two) = Two::start(on, "", "", link).await else { return };
    two.sign_in().await;
    let ada = user(&two.trade(&json!({ "sub": "00u-ada" })).await);
    let eve = user(&two.trade(&json!({ "sub": "00u-eve", "email": "eve@acme.example" })).await);
    assert_ne!(eve, ada);
    let still = two.trade(&json!({ "sub": "00u-eve", "email": "ada@acme.example" })).await;
    assert_eq!(user(&still), eve, "a known account stays whose it is");
    let next = two.trade(&json!({ "sub": "00u-next" })).await;
    assert_eq!((next.status, next.error()), (400, "invalid_grant"), "two have the address: {}", next.body);
    assert_eq!(two.agent.server.reasons("token.refused").await, ["identity_ambiguous"]);
    assert_eq!(two.users_and_accounts().await, (2, 3));
}

#[rstest]
#[tokio::test]
async fn the_same_sub_in_two_tenants_is_two_people(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(two) = Two::start(on, ", tenants: [t1, t2]", "", "").await else { return };
    let first = user(&two.trade(&json!({ "tenant": "t1" })).await);
    let second = user(&two.trade(&json!({ "tenant": "t2" })).await);
    assert_ne!(first, second);
    assert_eq!(user(&two.trade(&json!({ "tenant": "t1" })).await), first);
    for bad in
        [json!({ "tenant": "t3" }), json!({}), json!({ "tenant": ["t1"] }), json!({ "sub": "t1|ada-1" })]
    {
        let refused = two.trade(&bad).await;
        assert_eq!((refused.status, refused.error()), (400, "invalid_grant"), "{bad}");
    }
    let spliced = user(&two.trade(&json!({ "tenant": "t1", "sub": "x|ada-1" })).await);
    assert!(spliced != first && spliced != second);
    two.sign_in().await;
    assert_eq!(two.users_and_accounts().await, (4, 4), "sign-in knows yet another");
}

/// An assertion that names the user of ours, where the operator lets it.
#[rstest]
#[tokio::test]
async fn an_assertion_may_name_one_of_its_providers_own(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(two) = Two::start(on, "", ", aud_sub: true", "").await else { return };
    two.sign_in().await;
    let ada = user(&two.agent.trade(&two.agent.claims()).await);
    let named = two.trade(&json!({ "sub": "00u-ada", "aud_sub": ada })).await;
    assert_eq!(user(&named), ada);
    assert_eq!(two.agent.server.reasons("identity.linked").await, ["aud_sub"]);
    assert!(two.sign_in().await.contains("Build agent uses Ticket desk"));
    assert_eq!(user(&two.trade(&json!({ "sub": "00u-ada" })).await), ada, "from now on by the key alone");
    let eve = user(&two.trade(&json!({ "sub": "00u-eve" })).await);
    for (sub, aud_sub) in [
        ("00u-ada", eve),
        ("00u-eve", ada.clone()),
        ("00u-new", json!("01938f5e-8c00-7000-8000-000000000000")),
        ("00u-new", json!("ada-1")),
        ("00u-new", json!(["x"])),
    ] {
        let refused = two.trade(&json!({ "sub": sub, "aud_sub": aud_sub })).await;
        assert_eq!((refused.status, refused.error()), (400, "invalid_grant"), "{sub} {aud_sub}");
    }
    two.agent.server.execute("UPDATE users SET disabled_at = 1").await;
    let refused = two.trade(&json!({ "sub": "00u-new", "aud_sub": ada })).await;
    assert_eq!(refused.error(), "invalid_grant");
    let reasons = two.agent.server.reasons("token.refused").await;
    assert_eq!(reasons, ["assertion_subject", "aud_sub", "aud_sub", "aud_sub", "aud_sub", "user_disabled"]);
    assert_eq!(two.users_and_accounts().await, (2, 3));
}

/// Nobody asked for it: then `aud_sub` says nothing.
#[tokio::test]
async fn naming_counts_for_nothing_unless_it_is_configured() {
    let two = Two::start(On::Sqlite, "", "", "").await.unwrap();
    let ada = user(&two.agent.trade(&two.agent.claims()).await);
    assert_ne!(user(&two.trade(&json!({ "sub": "00u-x", "aud_sub": ada })).await), ada);
}

/// A partner's provider knows our ids from tokens; it cannot make its own people ours by them, nor by an address.
#[rstest]
#[tokio::test]
async fn a_partner_takes_nobody_over(#[values(On::Sqlite, On::Postgres)] on: On) {
    let (upstream, partner) = (Upstream::start().await, Upstream::start().await);
    let rules = "aud_sub: true, allow: { tickets: { clients: [agent], scopes: [\"tickets:read\"] } }";
    let entry = partner.entry(
        "partner",
        &format!(
            "client_auth: none, organization: acme, sign_in: {{ anyone: true }}, id_jag: {{ {rules} }}, \
             identity: {{ link_verified_email: [partner] }}"
        ),
    );
    let own = sections(&upstream, "aud_sub: true").replace(
        "sign_in: { anyone: true }",
        "sign_in: { anyone: true }, identity: { link_verified_email: [acme] }",
    );
    let sections = own.replacen("providers:\n", &format!("providers:\n{entry}"), 1);
    let Some(server) = Server::start_with(on, &sections).await else { return };
    let agent = Agent { server, upstream };
    let ada = user(&agent.trade(&agent.claims()).await);
    let present = async |claims: &Value| {
        let mut claims = claims.clone();
        (claims["iss"], claims["jti"]) = (json!(partner.issuer()), agent.claims()["jti"].clone());
        present_at(&agent.server, &partner.signer.sign(ID_JAG, &claims).unwrap(), &[]).await
    };
    let refused = present(&agent.claims_with("aud_sub", ada.clone())).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_grant"));
    assert_eq!(agent.server.reasons("token.refused").await, ["aud_sub"]);
    let theirs = user(&present(&agent.claims()).await);
    assert_ne!(theirs, ada, "same sub, same verified address, another provider");
    let refused = present(&agent.claims_with("aud_sub", ada)).await;
    assert_eq!(refused.error(), "invalid_grant");
}
