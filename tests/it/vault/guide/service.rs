//! "Service accounts".

use std::time::Duration;

use rstest::rstest;
use wiremock::ResponseTemplate;

use super::*;

const SERVICE: &str = "### Service accounts";

struct Story {
    vendor: Upstream,
    server: Server,
}

impl Story {
    async fn begin(on: On) -> Option<Self> {
        let vendor = Upstream::start().await;
        let sections = written(&[tickets(), block(SERVICE, "yaml")]);
        let sections = replaced(&sections, "https://login.billing.example", &vendor.issuer());
        let server = Server::start_with(on, &sections).await?;
        let story = Self { vendor, server };
        story.gives(&json!({ "access_token": "st-1", "expires_in": 3600, "scope": "invoices.read" }));
        Some(story)
    }

    /// It gives this for our credentials.
    fn gives(&self, members: &Value) {
        let mut answer = json!({ "token_type": "Bearer" });
        answer.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.vendor.answers("/oauth/token", json_of(&answer));
    }

    async fn person(&self, name: &str, scope: &str) -> Tokens {
        app(scope).obtain(&self.server, &Browser::new(), name).await
    }

    async fn asked(&self) -> usize {
        self.vendor.requests("/oauth/token").await.len()
    }
}

#[rstest]
#[tokio::test]
async fn the_guide_to_service_accounts_can_be_followed_word_for_word(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(story) = Story::begin(on).await else { return };
    let server = &story.server;
    let (ada, grace) =
        (story.person("ada", "tickets:read").await, story.person("grace", "tickets:read").await);
    // The same for everybody, and nobody connects it.
    for (sent, left) in [(&ada, 3600), (&grace, 3599)] {
        let got = vend(server, sent, "billing").await;
        let whole = json!({
            "access_token": "st-1", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer", "expires_in": left, "scope": "invoices.read", "connection": "billing",
        });
        assert_eq!((got.status, got.body), (200, whole));
        server.later(Duration::from_secs(1));
    }
    assert_eq!(Browser::new().open(&server.url("/connect/billing")).await.status, 404);
    // Once for all who ask, for exactly the scopes that are needed.
    let asked = story.vendor.requests("/oauth/token").await;
    let form = "grant_type=client_credentials&scope=invoices.read&audience=https%3A%2F%2Fapi.billing.example";
    assert_eq!(asked.iter().map(|request| &*request.body).collect::<Vec<_>>(), [form.as_bytes()]);
    assert!(asked[0].headers["authorization"].to_str().unwrap().starts_with("Basic "));
    // For a person who allowed a scope that stands under `use`.
    let writes = story.person("ada", "tickets:write").await;
    let got = vend(server, &writes, "billing").await;
    assert_eq!((got.status, got.error()), (400, "invalid_scope"), "{}", got.body);

    // Each time is on record with her. It is in no table.
    let of_whom = server.on_record("connection.vended", "user_id").await;
    let subs = [&ada, &grace].map(|sent| sent.claims()["sub"].as_str().unwrap().to_owned());
    assert_eq!(of_whom, subs);
    for table in ["connections", "connection_uses", "sign_in_tokens", "revocations", "audit"] {
        assert!(!server.holds(table, "st-1").await, "{table}");
    }

    // The next one shortly before its end.
    story.gives(&json!({ "access_token": "st-2", "expires_in": 3600, "scope": "invoices.read" }));
    server.later(Duration::from_secs(3600 - 303));
    let ada = story.person("ada", "tickets:read").await;
    assert_eq!(vend(server, &ada, "billing").await.access(), "st-1");
    server.later(Duration::from_secs(2));
    assert_eq!(vend(server, &ada, "billing").await.access(), "st-2");
    assert_eq!(story.asked().await, 2);
}

/// Five minutes altogether where the vendor does not say when it ends.
#[tokio::test]
async fn while_the_vendor_gives_none_what_has_not_ended_is_handed_out() {
    let story = Story::begin(On::Sqlite).await.unwrap();
    let server = &story.server;
    story.gives(&json!({ "access_token": "st-1", "scope": "invoices.read" }));
    let ada = story.person("ada", "tickets:read").await;
    let got = vend(server, &ada, "billing").await;
    assert_eq!((got.access(), got.body.get("expires_in")), ("st-1", None), "{}", got.body);

    story.vendor.answers("/oauth/token", ResponseTemplate::new(503));
    server.later(Duration::from_secs(290));
    assert_eq!(vend(server, &ada, "billing").await.access(), "st-1");
    assert_eq!(story.asked().await, 2);
    server.later(Duration::from_secs(10));
    let got = vend(server, &ada, "billing").await;
    assert_eq!((got.status, got.error()), (503, "temporarily_unavailable"), "{}", got.body);
    let wait: u64 = got.headers["retry-after"].to_str().unwrap().parse().unwrap();

    // It gives fewer scopes than are needed.
    story.gives(&json!({ "access_token": "st-2", "scope": "invoices.list" }));
    server.later(Duration::from_secs(wait));
    let got = vend(server, &ada, "billing").await;
    assert_eq!((got.status, got.error()), (400, "access_denied"), "{}", got.body);
    assert_eq!(server.recorded("connection.vended").await, 2);
}
