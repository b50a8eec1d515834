//! "A remote MCP server as upstream". What such a server may not say is told in `mcp_upstream`.

use std::time::Duration;

use reqwest::Method;
use rstest::rstest;
use url::form_urlencoded;

use super::*;
use crate::support::client::account;

const MCP: &str = "## A remote MCP server as upstream";

/// How their authorization server knows us.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    ByDocument,
    Registered,
    /// An operator registered us there.
    ByHand,
}

/// The partner's MCP server, the server that issues its tokens, and ours.
struct Story {
    notes: Upstream,
    login: Upstream,
    server: Server,
}

impl Story {
    /// `entry`: the guide's, or what an operator makes of it.
    async fn begin(on: On, known: Known, entry: &str) -> Option<Self> {
        let (notes, login) = (Upstream::start().await, Upstream::start().await);
        let about = json!({ "resource": format!("{}/notes", notes.issuer()), "authorization_servers": [login.issuer()] });
        notes.answers("/.well-known/oauth-protected-resource/notes", json_of(&about));
        let mut document = login.document();
        document["client_id_metadata_document_supported"] = json!(known == Known::ByDocument);
        if known == Known::Registered {
            document["registration_endpoint"] = json!(format!("{}/register", login.issuer()));
        }
        login.answers("/.well-known/oauth-authorization-server", json_of(&document));
        login.answers("/register", json_of(&json!({ "client_id": "registered-there" })));
        let entry = replaced(entry, "https://mcp.partner.example", &notes.issuer());
        let entry = entry.replace("https://login.partner.example", &login.issuer());
        let server = Server::start_with(on, &written(&[tickets(), &entry])).await?;
        let story = Self { notes, login, server };
        story.gives("first");
        Some(story)
    }

    fn gives(&self, name: &str) {
        let tokens = json!({
            "access_token": format!("access-{name}"), "refresh_token": format!("refresh-{name}"),
            "token_type": "Bearer", "expires_in": 600, "scope": "notes:read",
        });
        self.login.answers("/token", json_of(&tokens));
    }

    /// What its token endpoint was asked, each request's parameters.
    async fn asked(&self) -> Vec<Value> {
        let requests = self.login.requests("/token").await;
        let parameters = |body: &[u8]| {
            form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), json!(value))).collect()
        };
        requests.iter().map(|request| Value::Object(parameters(&request.body))).collect()
    }

    /// Connects the account that is signed in there.
    async fn connect(&self, browser: &Browser) {
        let at = press(browser, &self.server.url("/connect/notes")).await;
        connected(browser, &at).await;
    }
}

/// The guide's entry with a further line.
fn with(line: &str) -> String {
    format!("{}    {line}\n", block(MCP, "yaml"))
}

#[rstest]
#[case::by_document(Known::ByDocument, block(MCP, "yaml").to_owned())]
#[case::whoever_issues(Known::ByDocument, without_optional(block(MCP, "yaml")))]
#[case::registered(Known::Registered, block(MCP, "yaml").to_owned())]
#[case::by_hand(Known::ByHand, with(&format!("client_id: by-hand\n    client_secret: {SECRET}")))]
#[tokio::test]
async fn the_guide_to_an_mcp_server_can_be_followed_word_for_word(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] known: Known,
    #[case] entry: String,
) {
    let Some(story) = Story::begin(on, known, &entry).await else { return };
    let (server, ada) = (&story.server, Browser::new());
    let sent = app("tickets:read").obtain(server, &ada, "ada").await;
    let resource = json!(format!("{}/notes", story.notes.issuer()));

    // Our document, where there is one, and what their server calls us.
    let address = server.url("/connect/notes/client.json");
    let document = server.request(Method::GET, "/connect/notes/client.json").send().await.unwrap();
    assert_eq!(document.status(), if known == Known::ByHand { 404 } else { 200 });
    if known != Known::ByHand {
        let document: Value = document.json().await.unwrap();
        let callback = server.url("/connect/notes/callback");
        assert_eq!(
            (&document["client_id"], &document["redirect_uris"]),
            (&json!(address), &json!([callback]))
        );
    }
    let client_id = match known {
        Known::ByDocument => &address,
        Known::Registered => "registered-there",
        Known::ByHand => "by-hand",
    };

    // `resource` goes with the authorization request, the code and every refresh.
    let at = press(&ada, link(&vend(server, &sent, "notes").await)).await;
    assert!(at.0.as_str().starts_with(&format!("{}/authorize?", story.login.issuer())), "{}", at.0);
    for (name, value) in [
        ("client_id", json!(client_id)),
        ("resource", resource.clone()),
        ("scope", json!("notes:read")),
        ("redirect_uri", json!(server.url("/connect/notes/callback"))),
        ("code_challenge_method", json!("S256")),
    ] {
        assert_eq!(json!(at.asked(name)), value, "{name}");
    }
    connected(&ada, &at).await;
    let got = vend(server, &sent, "notes").await;
    assert_eq!((got.access(), &got.body["scope"]), ("access-first", &json!("notes:read")));
    story.gives("second");
    server.later(Duration::from_secs(590));
    let sent = app("tickets:read").obtain(server, &ada, "ada").await;
    assert_eq!(vend(server, &sent, "notes").await.access(), "access-second");
    let asked = story.asked().await;
    let grants = asked.iter().map(|form| form["grant_type"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(grants, ["authorization_code", "refresh_token"]);
    assert!(asked.iter().all(|form| form["resource"] == resource), "{asked:?}");
    let proof = story.login.requests("/token").await[0].headers.contains_key("authorization");
    assert_eq!(
        (proof, asked[0].get("client_id").is_some()),
        (known == Known::ByHand, known != Known::ByHand)
    );

    // Registered once, which is on record.
    let times = i64::from(known == Known::Registered);
    assert_eq!(
        (server.rows("vendor_clients").await, server.recorded("connection.registered").await),
        (times, times)
    );
    // The documents are kept for an hour.
    for (later, times) in [(0, 1), (3000, 1), (20, 2)] {
        server.later(Duration::from_secs(later));
        press(&ada, &server.url("/connect/notes")).await;
        for (host, document) in
            [(&story.notes, "oauth-protected-resource/notes"), (&story.login, "oauth-authorization-server")]
        {
            assert_eq!(host.requests(&format!("/.well-known/{document}")).await.len(), times, "{document}");
        }
    }
}

/// Where it does neither, nobody is sent there before an operator has registered Chancery.
#[tokio::test]
async fn a_server_that_knows_us_in_no_way_is_not_used() {
    let story = Story::begin(On::Sqlite, Known::ByHand, block(MCP, "yaml")).await.unwrap();
    let ada = Browser::new();
    account(&story.server, &ada, "ada").await;
    let page = ada.open(&story.server.url("/connect/notes")).await;
    let page = ada.submit(&page.form("/connect/")).await;
    assert_eq!(page.status, 502, "{}", page.text());
}

/// Such servers do not say whose account it is, unless they have a userinfo endpoint.
#[rstest]
#[case::not_said(false)]
#[case::said(true)]
#[tokio::test]
async fn whose_account_it_is_the_userinfo_endpoint_tells(#[case] is_said: bool) {
    let (_, rest) = GUIDE.split_once("`vendor: { identity: { source: url").unwrap();
    let vendor = format!("vendor: {{ identity: {{ source: url{}", rest.split('`').next().unwrap());
    let entry = if is_said { with(&format!("scopes: [openid]\n    {vendor}")) } else { with("") };
    let story = Story::begin(On::Sqlite, Known::ByDocument, &entry).await.unwrap();
    let ada = Browser::new();
    let sent = app("tickets:read").obtain(&story.server, &ada, "ada").await;
    story.login.answers("/userinfo", json_of(&json!({ "sub": "ada-there" })));
    story.connect(&ada).await;
    let got = vend(&story.server, &sent, "notes").await;
    assert_eq!(json!(got.body["account"].get("id")), if is_said { json!("ada-there") } else { Value::Null });

    let page = account(&story.server, &ada, "ada").await.text();
    let line = if is_said { "accounts Notes as ada-there Connected" } else { "accounts Notes Connected" };
    assert!(page.contains(line), "{page}");

    story.login.answers("/userinfo", json_of(&json!({ "sub": "eve-there" })));
    story.gives("second");
    if is_said {
        let at = press(&ada, &story.server.url("/connect/notes")).await;
        let page = ada.open(&at.back(&[("code", "c-2")])).await;
        assert_eq!(page.status, 403, "{}", page.text());
        assert_eq!(story.server.reasons("connection.refused").await, ["another_account"]);
    } else {
        story.connect(&ada).await;
    }
    let access = vend(&story.server, &sent, "notes").await.access().to_owned();
    assert_eq!(access, if is_said { "access-first" } else { "access-second" });
    assert_eq!(story.server.rows("connections").await, 1);
}
