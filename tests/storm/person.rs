//! The person of a storm with her browser: she gives an app access to her notes, and connects her account.

use chancery::{entropy::Entropy, oauth::pkce::CodeChallenge};
use reqwest::header;
use serde_json::Value;
use url::Url;

use crate::{
    browser::{Browser, Page},
    house::{LOGIN, http},
};

/// Where the notes are.
pub(super) const RESOURCE: &str = "https://mcp.storm.test/notes";
/// Of the app.
pub(super) const CALLBACK: &str = "http://127.0.0.1/callback";

/// The person gives an app access to the notes. Answers the access token that the app sends to their server.
pub(super) async fn sign_in(browser: &Browser, issuer: &str) -> String {
    let verifier = Entropy::System.token();
    let parameters = [
        ("response_type", "code"),
        ("client_id", "desk"),
        ("redirect_uri", CALLBACK),
        ("resource", RESOURCE),
        ("scope", "notes:read"),
        ("code_challenge", CodeChallenge::of(&verifier).as_str()),
        ("code_challenge_method", "S256"),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    let url = Url::parse_with_params(&format!("{issuer}/oauth/authorize"), parameters).unwrap();
    let back = walk(browser, url.as_str(), CALLBACK).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "desk"),
        ("redirect_uri", CALLBACK),
        ("code", &back.parameter("code").unwrap_or_else(|| panic!("{}: {}", back.url, back.text()))),
        ("code_verifier", &verifier),
    ];
    let answer = http().post(format!("{issuer}/oauth/token")).form(&form).send().await.unwrap();
    let tokens: Value = answer.json().await.unwrap();
    tokens["access_token"].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned()
}

/// Opens an address and does what each page asks for, until one leads to `stop` or nothing is asked any more.
pub(super) async fn walk(browser: &Browser, url: &str, stop: &str) -> Page {
    let mut page = browser.open_until(url, stop).await;
    for _ in 0..8 {
        let away = page.headers.get(header::REFRESH).map(|value| value.to_str().unwrap().to_owned());
        page = if page.url.as_str().starts_with(stop) {
            break;
        } else if let Some(form) = page.find_form("/interaction") {
            let filled = form.set("login", LOGIN).set("password", "x").set("decision", "allow");
            browser.submit_until(&filled, stop).await
        } else if let Some(form) = page.find_form("/connect/") {
            browser.submit_until(&form, stop).await
        } else if let Some((_, url)) = away.as_deref().and_then(|away| away.split_once("url=")) {
            browser.open_until(url, stop).await
        } else {
            break;
        };
    }
    page
}
