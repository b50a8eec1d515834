//! The life of a connection at a vendor that we did not write: a person connects her account in her browser, a server
//! uses it, the tokens are renewed, the vendor takes them back, she connects it again, and disconnects it.

use std::time::Duration;

use chancery::{
    store::connections::{self, Connection},
    vault::revoke,
};
use rstest::rstest;
use serde_json::{Value, json};

pub(crate) use crate::support::{
    On, Server,
    browser::{Browser, Form, Page},
};
use crate::{
    LOGIN,
    house::{
        free_port, http,
        peer::{Peer, node},
    },
    support::{Client, PLAIN, Tokens, client::trade},
};

const SECRET: &str = "correct-horse-battery-staple-+%-0123456789";

/// The vendor's side of the story.
pub(crate) trait Vendor {
    /// Where it is.
    fn issuer(&self) -> String;
    /// The form by which a person signs in there.
    fn fill(&self, page: &Page) -> Form;
    /// What ends there all that our application has. `spent`: a refresh token that was replaced.
    async fn forgets_us(&self, spent: &str);
    /// What its userinfo endpoint answers to an access token.
    async fn userinfo(&self, access: &str) -> u16 {
        let url = format!("{}/.well-known/openid-configuration", self.issuer());
        let document: Value = http().get(url).send().await.unwrap().json().await.unwrap();
        let url = document["userinfo_endpoint"].as_str().unwrap();
        http().get(url).bearer_auth(access).send().await.unwrap().status().as_u16()
    }
}

/// A server whose connection `files` is this one.
pub(crate) async fn server(on: On, entry: &str) -> Option<Server> {
    let plain = PLAIN.replace("    secret: correct", "    serves: tickets\n    secret: correct");
    Server::start_with(on, &format!("{plain}connections:\n  files: {entry}\n")).await
}

/// The address to register at the vendor.
pub(crate) fn redirect_uri(server: &Server) -> String {
    server.url("/connect/files/callback")
}

/// Ada with her browser and what her app got, and the server that uses her account.
pub(crate) struct Ada<'a> {
    server: &'a Server,
    pub(crate) browser: Browser,
    app: Client,
    tokens: Tokens,
}

impl<'a> Ada<'a> {
    pub(crate) async fn comes(server: &'a Server) -> Self {
        let (browser, app) = (Browser::new(), Client::desk().scope("tickets:read tickets:write"));
        let tokens = app.obtain(server, &browser, "ada").await;
        Self { server, browser, app, tokens }
    }

    /// What the resource's server is answered when it wants the token of her account.
    pub(crate) async fn vend(&mut self) -> Tokens {
        // An access token of ours lives for ten minutes.
        self.tokens = self.app.refresh(self.server, self.tokens.refresh()).await;
        trade(self.server, ("backend", SECRET), self.tokens.access(), ("audience", "files")).await
    }

    /// The whole way by the link that a refusal for this reason brings. `fill`: how she signs in at the vendor.
    pub(crate) async fn connects(&mut self, reason: &str, fill: impl Fn(&Page) -> Form) {
        let refused = self.vend().await;
        assert_eq!((refused.error(), &refused.body["reason"]), ("interaction_required", &json!(reason)));
        let page = self.browser.open(refused.body["interaction_uri"].as_str().unwrap()).await;
        let page = self.browser.submit(&page.form("/connect/")).await;
        let away = page.headers.get("refresh").unwrap_or_else(|| panic!("{}", page.text()));
        let away = away.to_str().unwrap().strip_prefix("0; url=").unwrap().to_owned();
        let mut page = self.browser.open(&away).await;
        while !page.url.as_str().starts_with(&self.server.base) {
            page = self.browser.submit(&fill(&page)).await;
        }
        assert!(page.text().contains("is connected"), "{} {}", page.url, page.text());
    }

    /// She ends it on her account page.
    pub(crate) async fn disconnects(&self) {
        let page = self.browser.open(&self.server.url("/account")).await;
        assert_eq!(self.browser.submit(&page.form("/account/connections/end")).await.status, 200);
        revoke::turn(&self.server.app).await.unwrap();
        assert_eq!(self.server.recorded("connection.revoked").await, 1);
    }
}

/// Ada, and the vendor of her account.
struct Story<'a, V> {
    server: &'a Server,
    vendor: &'a V,
    ada: Ada<'a>,
}

impl<V: Vendor> Story<'_, V> {
    /// A token that the vendor takes.
    async fn good(&mut self) -> String {
        let answer = self.ada.vend().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(self.vendor.userinfo(answer.access()).await, 200);
        answer.access().to_owned()
    }

    async fn connects(&mut self, reason: &str) {
        self.ada.connects(reason, |page| self.vendor.fill(page)).await;
    }

    async fn row(&self) -> Connection {
        let user = chancery::ids::UserId::parse(self.ada.tokens.claims()["sub"].as_str().unwrap()).unwrap();
        connections::of_user(&self.server.app.db, &user).await.unwrap().pop().unwrap()
    }

    async fn refresh_token(&self) -> String {
        let kept = self.server.app.vault.safe.open(&self.row().await, self.server.clock.now()).await.unwrap();
        kept.refresh.unwrap().expose().to_owned()
    }

    /// Until the access token has ended.
    async fn later(&self) {
        let left = self.row().await.expires_at.unwrap().since(self.server.clock.now());
        self.server.later(left + Duration::from_secs(1));
    }
}

pub(crate) async fn a_connection_lives_and_ends<V: Vendor>(server: &Server, vendor: &V) {
    let mut story = Story { server, vendor, ada: Ada::comes(server).await };

    story.connects("not_connected").await;
    let (first, row) = (story.good().await, story.row().await);
    assert_eq!(story.good().await, first, "it is good yet");

    // Each refresh with the token that the one before brought.
    let spent = story.refresh_token().await;
    let mut seen = vec![first];
    for _ in 0..2 {
        story.later().await;
        let next = story.good().await;
        assert!(!seen.contains(&next));
        seen.push(next);
    }
    assert_ne!(story.refresh_token().await, spent, "the vendor replaces it");
    assert_eq!(story.row().await.generation, row.generation + 2);

    vendor.forgets_us(&spent).await;
    story.later().await;
    story.connects("needs_reconnect:revoked").await;
    story.good().await;
    assert_eq!(story.row().await.id, row.id);
    assert_eq!(server.reasons("connection.made").await, ["again", "new"]);

    let access = story.good().await;
    story.ada.disconnects().await;
    assert_eq!(vendor.userinfo(&access).await, 401, "it is over at the vendor, too");
    assert_eq!(story.ada.vend().await.body["reason"], "not_connected");
}

/// npm `oidc-provider`, which replaces the refresh token of a public client at each use and ends the grant when one
/// comes twice.
struct Npm(Peer);

/// How a person signs in there.
pub(crate) fn fill(page: &Page) -> Form {
    page.form("/interaction").set("login", LOGIN).set("password", "x")
}

impl Vendor for Npm {
    fn issuer(&self) -> String {
        self.0.said("issuer").to_owned()
    }

    fn fill(&self, page: &Page) -> Form {
        fill(page)
    }

    async fn forgets_us(&self, spent: &str) {
        let form = [("grant_type", "refresh_token"), ("client_id", "us"), ("refresh_token", spent)];
        let answer = http().post(format!("{}/token", self.issuer())).form(&form).send().await.unwrap();
        assert_eq!(answer.json::<Value>().await.unwrap()["error"], "invalid_grant");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn at_a_provider_that_takes_a_refresh_token_once(#[values(On::Sqlite, On::Postgres)] on: On) {
    let port = free_port();
    let entry = format!(
        "{{ preset: oidc, name: Files, issuer: \"http://127.0.0.1:{port}\", client_id: us, client_auth: none, \
         scopes: [openid, offline_access], use: {{ tickets: {{ \"tickets:write\": [email] }} }} }}"
    );
    let Some(server) = server(on, &entry).await else { return };
    let config = json!({
        "port": port,
        "clients": [{ "client_id": "us", "redirect_uris": [redirect_uri(&server)], "application_type": "native",
                      "token_endpoint_auth_method": "none", "response_types": ["code"],
                      "grant_types": ["authorization_code", "refresh_token"] }],
        "users": { LOGIN: { "name": "Alice", "email": "alice@acme.test", "email_verified": true } },
        "resources": { "https://api.files.test": "files:read" },
    });
    let npm = Npm(Peer::start(node("oidc-provider.mjs").env("PROVIDER", config.to_string())));
    a_connection_lives_and_ends(&server, &npm).await;
}
