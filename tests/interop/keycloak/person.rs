//! A person with her browser, on the way from a client to Keycloak and back.

use chancery::oauth::pkce::CodeChallenge;
use serde_json::{Value, json};
use url::Url;

use super::browser::{Browser, Page};
use crate::house::{DECLARED, House, http};

const CALLBACK: &str = "http://127.0.0.1/callback";
const VERIFIER: &str = "a-verifier-that-is-as-long-as-it-must-be-43";

/// A user of the realm's file.
pub(super) const ADA: (&str, &str) = ("ada", "analytical");
/// Another, who is in no group.
pub(super) const MALLORY: (&str, &str) = ("mallory", "outsider");

pub(super) struct Person<'a> {
    house: &'a House,
    pub(super) browser: Browser,
}

impl<'a> Person<'a> {
    pub(super) fn at(house: &'a House) -> Self {
        Self { house, browser: Browser::new() }
    }

    /// Opens the client's authorization request with these parameters besides, up to the first page.
    pub(super) async fn open(&self, more: &[(&str, &str)]) -> Page {
        let challenge = CodeChallenge::of(VERIFIER);
        let parameters = [
            ("response_type", "code"),
            ("client_id", DECLARED),
            ("redirect_uri", CALLBACK),
            ("scope", "notes:read notes:write"),
            ("resource", &self.house.sample),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        let url = self.house.url("/oauth/authorize");
        let url = Url::parse_with_params(&url, parameters.iter().chain(more)).unwrap();
        self.browser.open_until(url.as_str(), CALLBACK).await
    }

    /// Fills in the form of Keycloak's that the page is.
    pub(super) async fn fill(&self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let form = page.form("/realms/");
        let form = fields.iter().fold(form, |form, (name, value)| {
            assert!(!form.values(name).is_empty(), "no field {name}: {}", page.text());
            form.set(name, value)
        });
        self.browser.submit_until(&form, CALLBACK).await
    }

    /// Signs in at Keycloak's own form.
    pub(super) async fn sign_in(&self, page: &Page, (login, password): (&str, &str)) -> Page {
        self.fill(page, &[("username", login), ("password", password)]).await
    }

    /// Allows what our consent page asks, and gives the client its tokens.
    pub(super) async fn allow(&self, page: &Page) -> Value {
        let form = page.form("/interaction/").set("decision", "allow");
        let back = self.browser.submit_until(&form, CALLBACK).await;
        let code = back.parameter("code").unwrap_or_else(|| panic!("no code: {} {}", back.url, back.text()));
        let form = json!({
            "grant_type": "authorization_code",
            "client_id": DECLARED,
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
        });
        self.token(&form).await.unwrap()
    }

    /// What the client gets for its refresh token.
    pub(super) async fn refresh(&self, tokens: &Value) -> Result<Value, Value> {
        let form = json!({
            "grant_type": "refresh_token",
            "client_id": DECLARED,
            "refresh_token": tokens["refresh_token"],
        });
        self.token(&form).await
    }

    /// The client's request to the token endpoint, and the answer that it gets.
    async fn token(&self, form: &Value) -> Result<Value, Value> {
        let answer = http().post(self.house.url("/oauth/token")).form(form).send().await.unwrap();
        let good = answer.status().is_success();
        let body = answer.json().await.unwrap();
        if good { Ok(body) } else { Err(body) }
    }
}

/// The claims of an access token.
pub(super) fn claims(tokens: &Value) -> Value {
    crate::claims(tokens["access_token"].as_str().unwrap())
}
