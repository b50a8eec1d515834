//! "Keeping the tokens of a sign-in".

use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::support::client::account;

const KEEPING: &str = "## Keeping the tokens of a sign-in";
const DRIVE: &str = "https://www.googleapis.com/auth/drive.readonly";

/// Google, where Ada has an account of her company's.
struct Story {
    google: Upstream,
    server: Server,
}

impl Story {
    async fn begin(on: On, written_so: &str) -> Option<Self> {
        let google = Upstream::start().await;
        let hers = json!({ "sub": "110169484474386276334", "email": "ada@acme.com", "email_verified": true, "hd": "acme.com" });
        google.answers("/v1/userinfo", json_of(&hers));
        // The stand-in signs otherwise than Google.
        let preset = format!("{}id_token_algs: [ES256]\n", preset("google", &google));
        let sections = written(&[tickets(), written_so]);
        let server = Setup::on(on).sections(&sections).preset("google", preset).start().await?;
        Some(Self { google, server })
    }

    /// The code of this request becomes these tokens.
    fn gives(&self, at: &Away, access: &str, refresh: Option<&str>, scope: &str) {
        let now = self.server.clock.now().as_secs();
        let claims = json!({
            "iss": self.google.issuer(), "sub": "110169484474386276334", "aud": at.asked("client_id"),
            "nonce": at.asked("nonce"), "iat": now, "exp": now + 3600, "hd": "acme.com",
            "email": "ada@acme.com", "email_verified": true, "name": "Ada Lovelace",
        });
        let google = "https://www.googleapis.com/auth/userinfo";
        let answer = json!({
            "access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": 3599,
            "scope": format!("openid {google}.email {google}.profile {scope}"),
            "id_token": self.google.signer.sign("JWT", &claims).unwrap(),
        });
        self.google.answers("/token", json_of(&answer));
    }

    /// Signs in by it, which brings these tokens.
    async fn sign_in(&self, browser: &Browser, access: &str, refresh: Option<&str>, scope: &str) -> Away {
        let at = self.google.receives(&self.server, browser, "/login/acme-google").await;
        self.gives(&at, access, refresh, scope);
        let page = browser.open(&at.back(&[("code", "c-1")])).await;
        assert_eq!((page.status, page.url.path()), (200, "/account"), "{}", page.text());
        at
    }

    /// The token that the server of the tickets gets for whoever is signed in.
    async fn vend(&self, browser: &Browser) -> Tokens {
        let sent = app("tickets:read").obtain(&self.server, browser, "nobody").await;
        vend(&self.server, &sent, "google").await
    }
}

#[rstest]
#[tokio::test]
async fn the_guide_to_sign_in_tokens_can_be_followed_word_for_word(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(story) = Story::begin(on, block(KEEPING, "yaml")).await else { return };
    let (server, ada) = (&story.server, Browser::new());
    // A sign-in asks for all that the connection needs, with the vendor's further parameters but not with its `prompt`.
    let at = story.sign_in(&ada, "ya29.1", Some("1//1"), DRIVE).await;
    assert_eq!(at.asked("redirect_uri"), Some(format!("{}/login/acme-google/callback", server.issuer)));
    let asked = at.asked("scope").unwrap();
    for scope in ["openid", "email", DRIVE] {
        assert!(asked.split(' ').any(|one| one == scope), "{scope}: {asked}");
    }
    assert_eq!((at.asked("access_type").as_deref(), at.asked("prompt")), (Some("offline"), None));

    // Nobody sees a second screen.
    let got = story.vend(&ada).await;
    assert_eq!((got.status, &got.body["access_token"]), (200, &json!("ya29.1")), "{}", got.body);
    assert_eq!((server.rows("connects").await, story.google.requests("/token").await.len()), (0, 1));
    // A connection like any other: on the account page, and in the record.
    let page = account(server, &ada, "nobody").await;
    assert!(page.text().contains("Google as ada@acme.com Connected"), "{}", page.text());
    assert_eq!(server.last("connection.made").await.provider.as_deref(), Some("acme-google"));

    // Each sign-in brings new tokens; a refresh token that is not repeated stays; what has less changes nothing.
    story.sign_in(&ada, "ya29.2", None, DRIVE).await;
    assert_eq!(story.vend(&ada).await.access(), "ya29.2");
    story.sign_in(&ada, "ya29.3", None, "").await;
    assert_eq!(story.vend(&ada).await.access(), "ya29.2");
    story.google.answers(
        "/token",
        json_of(&json!({ "access_token": "ya29.4", "expires_in": 3599, "token_type": "Bearer" })),
    );
    server.later(Duration::from_secs(3590));
    assert_eq!(story.vend(&ada).await.access(), "ya29.4");
    let refresh = story.google.requests("/token").await.pop().unwrap();
    assert!(String::from_utf8(refresh.body).unwrap().contains("refresh_token=1%2F%2F1"));
}

/// What was ended stays so, until she connects it herself.
#[rstest]
#[tokio::test]
async fn a_sign_in_brings_nothing_back(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(story) = Story::begin(on, block(KEEPING, "yaml")).await else { return };
    let (server, ada) = (&story.server, Browser::new());
    story.sign_in(&ada, "ya29.1", Some("1//1"), DRIVE).await;
    let page = account(server, &ada, "nobody").await;
    ada.submit(&page.form("/account/connections/end")).await;
    story.sign_in(&ada, "ya29.2", Some("1//2"), DRIVE).await;
    let needed = story.vend(&ada).await;
    let at = press(&ada, link(&needed)).await;
    assert_eq!(needed.body["reason"], "not_connected");
    // Both redirect URIs are of one client there.
    assert_eq!(at.asked("redirect_uri"), Some(format!("{}/connect/google/callback", server.issuer)));
    story.gives(&at, "ya29.3", Some("1//3"), DRIVE);
    connected(&ada, &at).await;
    assert_eq!(story.vend(&ada).await.access(), "ya29.3");
    story.sign_in(&ada, "ya29.4", None, DRIVE).await;
    assert_eq!(story.vend(&ada).await.access(), "ya29.4");
}

/// What is missing is asked for when it is needed.
#[rstest]
#[tokio::test]
async fn with_scopes_less_is_asked_for(#[values(On::Sqlite, On::Postgres)] on: On) {
    let less = replaced(
        block(KEEPING, "yaml"),
        "connection: google }",
        "connection: google, scopes: [offline_access] }",
    );
    let Some(story) = Story::begin(on, &less).await else { return };
    let ada = Browser::new();
    let at = story.sign_in(&ada, "ya29.1", Some("1//1"), "").await;
    assert!(!at.asked("scope").unwrap().contains(DRIVE), "{}", at.0);
    let needed = story.vend(&ada).await;
    let at = press(&ada, link(&needed)).await;
    assert_eq!(
        (&needed.body["reason"], &needed.body["missing_scopes"]),
        (&json!("missing_scopes"), &json!([DRIVE]))
    );
    // Google adds what she allowed before.
    assert_eq!(
        (at.asked("scope").as_deref(), at.asked("include_granted_scopes").as_deref()),
        (Some(DRIVE), Some("true"))
    );
    story.gives(&at, "ya29.2", None, DRIVE);
    connected(&ada, &at).await;
    assert_eq!(story.vend(&ada).await.access(), "ya29.2");
}
