//! A person in a browser, as far as a load run needs one.

use chancery::oauth::pkce::CodeChallenge;
use url::Url;

use super::{browser::Browser, house::RESOURCE};

/// Of the client `bench`.
pub(crate) const REDIRECT_URI: &str = "https://bench.example/callback";

/// Signs in once and consents, so that later requests are answered with a code at once.
pub(crate) async fn sign_in(browser: &Browser, authorize: &str, verifier: &str, form: &str) {
    let mut page = browser.open_until(&authorize_url(authorize, verifier), REDIRECT_URI).await;
    for _ in 0..4 {
        if page.url.as_str().starts_with(REDIRECT_URI) {
            return;
        }
        let found = page.find_form("/interaction").unwrap_or_else(|| page.form(form));
        let filled = found
            .set("user", "test-user-ada")
            .set("login", "ada")
            .set("password", "x")
            .set("decision", "allow");
        page = browser.submit_until(&filled, REDIRECT_URI).await;
    }
    panic!("not signed in at {authorize}: {} {}", page.url, page.text());
}

/// What the client `bench` asks for. `verifier`: of its proof key.
pub(crate) fn authorize_url(authorize: &str, verifier: &str) -> String {
    let challenge = CodeChallenge::of(verifier);
    let parameters = [
        ("response_type", "code"),
        ("client_id", "bench"),
        ("redirect_uri", REDIRECT_URI),
        ("resource", RESOURCE),
        ("scope", "bench:read"),
        ("state", "s"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    Url::parse_with_params(authorize, parameters).unwrap().into()
}
