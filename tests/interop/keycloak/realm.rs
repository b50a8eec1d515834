//! Keycloak, started once for all stories, and in it a realm for each.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::hmac;
use chancery::clock::Clock;
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{
    House, Plan, free_port, http,
    peer::{Peer, keycloak},
};

/// Where the realm's file supposes the broker.
const BROKER_IN_FILE: &str = "https://auth.acme.test";

/// The process ends with its standard input, which ends with this one.
fn server() -> &'static Peer {
    static SERVER: OnceLock<Peer> = OnceLock::new();
    SERVER.get_or_init(|| Peer::start(&mut keycloak()))
}

/// A realm of a story's own.
pub(super) struct Realm {
    name: String,
}

impl Realm {
    /// A house whose people sign in at a realm of its own; Keycloak is asked directly, or at the address of a line to
    /// it.
    pub(super) async fn house(plan: Plan, line: Option<&str>) -> (House, Self) {
        let port = free_port();
        let realm = Self::for_broker(&format!("http://127.0.0.1:{port}")).await;
        let house = realm.opens(Plan { port: Some(port), ..plan }, line).await;
        (house, realm)
    }

    /// The realm of the tests' file, for a broker that will be there.
    pub(super) async fn for_broker(issuer: &str) -> Self {
        let file = include_str!("../../peers/keycloak/realm.json").replace(BROKER_IN_FILE, issuer);
        Self::import(serde_json::from_str(&file).unwrap()).await
    }

    /// The realm of this file, under a name of its own.
    pub(super) async fn import(mut file: Value) -> Self {
        static REALMS: AtomicUsize = AtomicUsize::new(1);
        let name = format!("realm-{}", REALMS.fetch_add(1, Ordering::Relaxed));
        file["realm"] = name.clone().into();
        administer(Method::POST, "", &file).await;
        Self { name }
    }

    /// The house, which stands where the plan says.
    pub(super) async fn opens(&self, plan: Plan, line: Option<&str>) -> House {
        let mut provider = json!({
            "preset": "keycloak",
            "url": line.unwrap_or_else(|| address()),
            "realm": self.name,
            "client_secret": "the broker's secret",
            "scopes": null,
            "claims": null,
            "sign_in": { "require": { "groups": ["/mcp-users"] } },
        });
        for (key, value) in plan.provider.as_object().unwrap() {
            provider[key] = value.clone();
        }
        House::build(Plan { provider, ..plan }).await
    }

    /// What an administrator does in this realm by the Admin REST API.
    pub(super) async fn administer(&self, method: Method, path: &str, body: &Value) -> Value {
        administer(method, &format!("/{}{path}", self.name), body).await
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The id of a user.
    pub(super) async fn user(&self, login: &str) -> String {
        let path = format!("/users?exact=true&username={login}");
        let found = self.administer(Method::GET, &path, &json!(null)).await;
        found[0]["id"].as_str().unwrap().to_owned()
    }

    /// What it calls itself.
    pub(super) fn issuer(&self) -> String {
        self.url("")
    }

    /// An address of the realm's own.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/realms/{}{path}", address(), self.name)
    }
}

/// Keycloak's address.
pub(super) fn address() -> &'static str {
    server().said("url")
}

async fn administer(method: Method, path: &str, body: &Value) -> Value {
    let form = [
        ("grant_type", "password"),
        ("client_id", "admin-cli"),
        ("username", server().said("admin")),
        ("password", server().said("password")),
    ];
    let token = format!("{}/realms/master/protocol/openid-connect/token", address());
    let token: Value = http().post(token).form(&form).send().await.unwrap().json().await.unwrap();
    let request = http()
        .request(method, format!("{}/admin/realms{path}", address()))
        .bearer_auth(token["access_token"].as_str().unwrap())
        .json(body);
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// What the telephone of the user `ada` shows (RFC 6238, by SHA-256 as the realm's file says).
pub(super) fn one_time_code() -> String {
    const SECRET: &[u8] = b"ada's one-time secret";
    let step = (Clock::System.now().as_secs() / 30).to_be_bytes();
    let hash = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), &step);
    let hash = hash.as_ref();
    let offset = usize::from(hash[hash.len() - 1] & 15);
    let number = u32::from_be_bytes(hash[offset..offset + 4].try_into().unwrap());
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}
