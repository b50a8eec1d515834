//! A person with her browser, on the way from a client to her provider and back.

use chancery::oauth::pkce::CodeChallenge;
use serde_json::{Value, json};
use url::Url;

use crate::{
    browser::{Browser, Page},
    house::{DECLARED, House, http},
};

pub(crate) const CALLBACK: &str = "http://127.0.0.1/callback";
const VERIFIER: &str = "a-verifier-that-is-as-long-as-it-must-be-43";

/// She, and the house at which she arrives.
pub(crate) struct Person<'a> {
    house: &'a House,
    pub(crate) browser: Browser,
}

impl<'a> Person<'a> {
    pub(crate) fn at(house: &'a House) -> Self {
        Self { house, browser: Browser::new() }
    }

    /// Opens the client's authorization request with these parameters besides, up to the first page.
    pub(crate) async fn open(&self, more: &[(&str, &str)]) -> Page {
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

    /// Signs out on her account page, and goes on to where the next page leads by itself.
    pub(crate) async fn leave(&self) -> Page {
        let account = self.browser.open(&self.house.url("/account")).await;
        let page = self.browser.submit(&account.form("/logout")).await;
        match page.headers.get("refresh").map(|refresh| refresh.to_str().unwrap()) {
            Some(refresh) => self.browser.open(refresh.strip_prefix("0; url=").unwrap()).await,
            None => page,
        }
    }

    /// Allows what our consent page asks, and gives the client its tokens.
    pub(crate) async fn allow(&self, page: &Page) -> Value {
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
    pub(crate) async fn refresh(&self, tokens: &Value) -> Result<Value, Value> {
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
