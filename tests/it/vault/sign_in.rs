//! The tokens of a sign-in, kept as a connection.

use chancery::store::connections::{self, Connection};
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::connect::{ask, away};
use crate::support::{
    Browser, On, Server, Upstream,
    browser::Page,
    upstream::{Away, json_of},
};

pub(crate) const ACCESS: &str = "access-token-of-the-sign-in-0001";
pub(crate) const REFRESH: &str = "refresh-token-of-the-sign-in-0001";
const KEEPS: &str = "client_auth: none, organization: acme, sign_in: { anyone: true }, \
                     vault: { keep_sign_in_tokens: true, connection: drive }";

/// A provider whose sign-ins bring tokens for its own API.
pub(crate) struct Story {
    pub(crate) provider: Upstream,
    pub(crate) server: Server,
}

impl Story {
    /// `keys`: further ones of the connection.
    async fn begin(on: On, keys: &str) -> Option<Self> {
        Self::begin_with(on, KEEPS, keys).await
    }

    /// `keeps`: the provider's further keys.
    pub(crate) async fn begin_with(on: On, keeps: &str, keys: &str) -> Option<Self> {
        let provider = Upstream::start().await;
        let at = provider.issuer();
        let mut document = provider.document();
        document["revocation_endpoint"] = json!(format!("{at}/revoke"));
        provider.answers("/.well-known/openid-configuration", json_of(&document));
        provider.answers("/revoke", ResponseTemplate::new(200));
        let connection = format!(
            "connections:\n  drive:\n    preset: oidc\n    name: Drive\n    issuer: \"{at}\"\n    client_id: us\n    \
             client_auth: none\n    scopes: [openid, offline_access]\n    \
             use: {{ tickets: {{ \"tickets:write\": [files] }} }}\n    \
             vendor: {{ authorize_params: {{ access_type: offline, prompt: consent }} }}\n{keys}"
        );
        let server = Server::start_with(on, &format!("{}{connection}", provider.sections(keeps))).await?;
        let story = Self { provider, server };
        story.is("drive-1");
        Some(story)
    }

    /// Whose account the API says that it is.
    pub(crate) fn is(&self, id: &str) {
        let account = json!({ "sub": id, "preferred_username": format!("{id}@acme"), "email": "ada@acme.example",
                              "email_verified": true });
        self.provider.answers("/userinfo", json_of(&account));
    }

    /// Codes become these tokens, and the ID token of this request.
    fn gives(&self, at: &Away, sub: &str, changes: &Value) {
        let mut claims = match at.asked("nonce") {
            Some(_) => self.provider.claims(at),
            None => json!({}),
        };
        claims["sub"] = json!(sub);
        let mut answer = json!({
            "access_token": ACCESS, "token_type": "Bearer", "expires_in": 3600, "refresh_token": REFRESH,
            "scope": "openid email offline_access files",
            "id_token": self.provider.signer.sign("JWT", &claims).unwrap(),
        });
        answer.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.provider.answers("/token", json_of(&answer));
    }

    pub(crate) async fn sign_in(&self, browser: &Browser, changes: Value) -> Page {
        self.sign_in_as("ada-1", browser, changes).await
    }

    pub(crate) async fn sign_in_as(&self, sub: &str, browser: &Browser, changes: Value) -> Page {
        let at = self.provider.receives(&self.server, browser, "/login/acme").await;
        self.gives(&at, sub, &changes);
        let page = browser.open(&at.back(&[("code", "c-1")])).await;
        assert_eq!((page.status, page.url.path()), (200, "/account"), "{}", page.text());
        page
    }

    /// The connections of whoever signed in last.
    pub(crate) async fn kept(&self) -> Vec<Connection> {
        let Some(user) = self.server.on_record("sign_in", "user_id").await.pop() else { return Vec::new() };
        let user = chancery::ids::UserId::parse(&user).unwrap();
        connections::of_user(&self.server.app.db, &user).await.unwrap()
    }

    pub(crate) async fn opened(&self, connection: &Connection) -> (String, Option<String>) {
        let kept = self.server.app.vault.safe.open(connection, self.server.clock.now()).await.unwrap();
        (kept.access.expose().to_owned(), kept.refresh.map(|refresh| refresh.expose().to_owned()))
    }
}

/// What the connection needs is asked for at the sign-in, and there is no second screen.
#[rstest]
#[tokio::test]
async fn the_tokens_of_a_sign_in_become_a_connection(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    let at = story.provider.receives(&story.server, &browser, "/login/acme").await;
    let asked = at.asked("scope").unwrap();
    let asked: Vec<_> = asked.split(' ').collect();
    assert_eq!(asked, ["openid", "profile", "email", "files", "offline_access"]);
    assert_eq!((at.asked("access_type").as_deref(), at.asked("prompt")), (Some("offline"), None));

    let page = story.sign_in(&browser, json!({})).await;
    assert!(page.text().contains("drive-1@acme"), "{}", page.text());
    let kept = story.kept().await;
    let [kept] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((kept.name.as_str(), kept.account.as_str(), kept.is_default), ("drive", "drive-1", true));
    assert_eq!(kept.scope.to_string(), "email files offline_access openid");
    assert_eq!(story.opened(kept).await, (ACCESS.to_owned(), Some(REFRESH.to_owned())));
    assert!(!story.server.holds("connections", ACCESS).await);
    let event = story.server.last("connection.made").await;
    assert_eq!(event.provider.as_deref(), Some("acme"));
    assert_eq!((event.detail("connection"), event.detail("account")), ("drive".into(), "drive-1".into()));
    assert_eq!(story.server.reasons("connection.made").await, ["new"]);
}

/// Some providers give a refresh token once, and less where less is asked. The new tokens go over the old ones, unless
/// those do more.
#[rstest]
#[tokio::test]
async fn a_later_sign_in_takes_nothing_away(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    story.sign_in(&Browser::new(), json!({})).await;
    story.sign_in(&Browser::new(), json!({ "access_token": "second", "refresh_token": null })).await;
    let kept = story.kept().await.pop().unwrap();
    assert_eq!(story.opened(&kept).await, ("second".to_owned(), Some(REFRESH.to_owned())));

    story.sign_in(&Browser::new(), json!({ "access_token": "third", "scope": "openid email" })).await;
    let after = story.kept().await.pop().unwrap();
    assert_eq!((after.generation, &after.scope), (kept.generation, &kept.scope));
    assert_eq!(story.server.reasons("connection.made").await, ["again", "new"]);
    assert_eq!(story.server.recorded("sign_in").await, 3);
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// The API does not say whose account it is.
    Silent,
    /// The account may not be connected.
    Rule,
    /// What came with the ID token is nothing that can be sent.
    Unusable,
    /// An operator switched the connection off.
    Off,
    /// Our database fails.
    Database,
}

/// A person signs in whatever becomes of her tokens. What is not kept is not ended either: at some providers that would
/// end her sign-in there.
#[rstest]
#[case(Trouble::Silent, None)]
#[case(Trouble::Rule, Some("account_rule"))]
#[case(Trouble::Off, Some("connection_disabled"))]
#[case(Trouble::Unusable, Some("vendor_untrustworthy"))]
#[case(Trouble::Database, None)]
#[tokio::test]
async fn it_costs_nobody_the_sign_in(
    #[case] trouble: Trouble,
    #[case] recorded: Option<&str>,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let rule = "    account: { require: { email_domains: [acme.example] } }\n";
    let Some(story) = Story::begin(on, rule).await else { return };
    let mut changes = json!({});
    match trouble {
        Trouble::Silent => story.provider.answers("/userinfo", ResponseTemplate::new(500)),
        Trouble::Rule => {
            let private = json!({ "sub": "drive-9", "email": "ada@home.example", "email_verified": true });
            story.provider.answers("/userinfo", json_of(&private));
        }
        Trouble::Unusable => changes = json!({ "access_token": "a\nb" }),
        Trouble::Off => {
            story
                .server
                .execute("INSERT INTO switched_off (kind, name, at) VALUES ('connection', 'drive', 1)")
                .await;
        }
        Trouble::Database => story.server.hide("sign_in_tokens").await,
    }
    story.sign_in(&Browser::new(), changes).await;
    assert_eq!(story.server.rows("connections").await, 0);
    let refused = story.server.reasons("connection.refused").await;
    assert_eq!(refused, recorded.into_iter().collect::<Vec<_>>());
    assert_eq!(story.server.recorded("sign_in").await, 1);
    assert!(story.provider.requests("/revoke").await.is_empty());
    if recorded.is_some() {
        let event = story.server.last("connection.refused").await;
        assert_eq!(event.provider.as_deref(), Some("acme"));
    }
}

/// The rules of connecting hold: what is kept is of one account for ever, unless the operator says otherwise.
#[rstest]
#[case("", &["drive-1"])]
#[case("    account: { change: true }\n", &["drive-2"])]
#[case("    account: { several: true }\n", &["drive-1", "drive-2"])]
#[tokio::test]
async fn another_account_is_treated_as_one_that_is_connected(
    #[case] rule: &str,
    #[case] accounts: &[&str],
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(story) = Story::begin(on, rule).await else { return };
    story.sign_in(&Browser::new(), json!({})).await;
    story.is("drive-2");
    story.sign_in(&Browser::new(), json!({ "access_token": "another" })).await;
    let kept = story.kept().await;
    let kept: Vec<_> = kept.iter().map(|row| row.account.as_str()).collect();
    assert_eq!(kept, accounts);
    let refused = story.server.reasons("connection.refused").await;
    assert_eq!(refused, if rule.is_empty() { vec!["another_account"] } else { Vec::new() });
    let made = if rule.is_empty() { 1 } else { 2 };
    assert_eq!(story.server.recorded("connection.made").await, made);
}

/// What a person disconnected stays so, until she connects it herself.
#[rstest]
#[tokio::test]
async fn what_was_disconnected_comes_back_by_no_sign_in(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, "").await else { return };
    let browser = Browser::new();
    let page = story.sign_in(&browser, json!({})).await;
    let page = browser.submit(&page.form("/account/connections/end")).await;
    assert_eq!((page.status, story.server.rows("connections").await), (200, 0), "{}", page.text());
    story.sign_in(&browser, json!({})).await;
    assert_eq!(story.server.rows("connections").await, 0);

    let page = browser.open(&story.server.url("/connect/drive")).await;
    let at = away(&browser.submit(&ask(&page)).await);
    story.gives(&at, "ada-1", &json!({ "access_token": "connected" }));
    let page = browser.open(&at.back(&[("code", "c-2")])).await;
    assert!(page.text().contains("is connected"), "{}", page.text());
    story.sign_in(&browser, json!({ "access_token": "signed-in" })).await;
    let kept = story.kept().await.pop().unwrap();
    assert_eq!(story.opened(&kept).await.0, "signed-in");
    assert_eq!(story.server.reasons("connection.made").await, ["again", "new", "new"]);
}
