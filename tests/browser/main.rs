//! Our pages in a real browser: Debian's Chromium, by keyboard, on a phone and on a desktop, light and dark.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a browser that does not play along ends the test"
)]

#[path = "../house/mod.rs"]
#[expect(dead_code, reason = "shared with the interop tests, which need more of it")]
mod house;

use chancery::oauth::pkce::CodeChallenge;
use serde_json::{Value, json};
use url::Url;

use house::{
    DECLARED, House, LOGIN, Plan, http,
    peer::{node, play},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_can_use_every_page_by_keyboard_and_without_a_barrier() {
    // A second server, so that the consent page says what the first may use there.
    let resources = vec!["http://127.0.0.1:9/mcp".to_owned()];
    let house = House::build(Plan { chooser: true, resources, connection: true, ..Plan::default() }).await;
    let verifier = "v".repeat(43);
    let challenge = CodeChallenge::of(&verifier);
    let authorize = Url::parse_with_params(
        &house.url("/oauth/authorize"),
        [
            ("response_type", "code"),
            ("client_id", DECLARED),
            ("redirect_uri", "http://127.0.0.1/callback"),
            ("scope", "notes:read notes:write"),
            ("resource", &house.sample),
            ("state", "state"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ],
    )
    .unwrap();
    let output = concat!(env!("CARGO_MANIFEST_DIR"), "/target/screenshots");
    std::fs::create_dir_all(output).unwrap();
    let pages = json!({
        "issuer": house.issuer,
        "authorize": authorize,
        "login": LOGIN,
        "provider": "acme",
        "untick": "notes:write",
        "connection": "files",
        "output": output,
    });
    let seen = play(node("pages.mjs").env("PAGES", pages.to_string()), "");
    for page in ["chooser", "consent", "account", "connect", "connected", "accounts", "error", "done"] {
        assert_eq!(seen.iter().filter(|line| line["page"] == page).count(), 4, "{page}: {seen:?}");
    }

    let client = seen.iter().rfind(|line| line["page"] == "client").unwrap();
    let form = json!({
        "grant_type": "authorization_code",
        "client_id": DECLARED,
        "code": client["code"],
        "redirect_uri": client["redirect_uri"],
        "code_verifier": verifier,
    });
    let answer = http().post(house.url("/oauth/token")).form(&form).send().await.unwrap();
    let tokens: Value = answer.json().await.unwrap();
    assert_eq!(tokens["scope"], "notes:read", "what was unticked is not granted: {tokens}");
}
