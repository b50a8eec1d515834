//! docs/vault.md, word for word: its configuration, its request and its answers, and what it says of the way to an account.
//! GitHub itself is out of reach, so a vendor that answers as it does stands in its place.

use serde_json::{Value, json};

use super::connect::away;
use crate::support::{
    Browser, Client, On, PLAIN, Server, Upstream, http,
    upstream::{Away, json_of},
};

const GUIDE: &str = include_str!("../../../docs/vault.md");
const SECRET: &str = "a-secret-of-the-guide-0123456789";
const TICKETS: &str = "https://mcp.acme.com/tickets";

/// The first block of this kind that has this text.
fn block(kind: &str, text: &str) -> &'static str {
    let begin = format!("```{kind}\n");
    let mut blocks = GUIDE.split(begin.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains(text)).unwrap_or_else(|| panic!("no {kind} with {text}"))
}

/// The guide's configuration, with a client through which people come.
fn sections(github: &Upstream) -> String {
    let at = github.issuer();
    let preset = format!(
        "preset: oauth2\n    name: GitHub\n    authorize_url: \"{at}/login/oauth/authorize\"\n    \
         token_url: \"{at}/login/oauth/access_token\"\n    identity_url: \"{at}/user\"\n    \
         vendor: {{ answer_scope_separator: comma, rotation: none, identity: {{ id: [id], label: login }} }}"
    );
    let guide = block("yaml", "preset: github")
        .replace("clients:\n", "clients:\n  desk: { redirect_uris: [\"http://127.0.0.1/callback\"] }\n")
        .replace("preset: github", &preset)
        .replace("${TICKETS_SECRET}", SECRET)
        .replace("${GITHUB_CLIENT_SECRET}", SECRET);
    format!("{}{guide}", PLAIN.split("resources:").next().unwrap())
}

/// The guide's command, sent to this server.
async fn curl(server: &Server, token: &str) -> Value {
    let command = block("console", "$ curl")
        .replace("$TICKETS_SECRET", SECRET)
        .replace("$TOKEN_FROM_THE_CALLER", token)
        .replace("https://auth.acme.com", &server.base)
        .replace("\\\n", " ");
    let mut words = command.strip_prefix("$ curl ").unwrap().split_whitespace();
    let mut request = http().post(words.next().unwrap());
    let mut form = Vec::new();
    while let (Some(option), Some(value)) = (words.next(), words.next()) {
        match option {
            "-u" => {
                let (id, secret) = value.split_once(':').unwrap();
                request = request.basic_auth(id, Some(secret));
            }
            "-d" => form.push(value.split_once('=').unwrap()),
            _ => panic!("{option} {value}"),
        }
    }
    request.form(&form).send().await.unwrap().json().await.unwrap()
}

/// Whether an answer is what the guide shows: `…` stands for anything.
fn is_as_shown(answer: &Value, shown: &Value) -> bool {
    match (answer, shown) {
        (Value::Object(answer), Value::Object(shown)) => {
            shown.iter().all(|(name, shown)| answer.get(name).is_some_and(|told| is_as_shown(told, shown)))
        }
        // What changes from one to the next is shown by its beginning.
        (Value::String(answer), Value::String(shown)) if shown.ends_with('…') => {
            !answer.is_empty() && (shown.starts_with("01") || answer.starts_with(shown.trim_end_matches('…')))
        }
        _ => answer == shown,
    }
}

#[tokio::test]
async fn the_guide_to_connecting_an_account_can_be_followed_word_for_word() {
    let github = Upstream::start().await;
    let answer = json!({ "access_token": "gho_16C7e42F292c6912E7710c838347Ae178B4a", "scope": "repo,read:org",
                         "token_type": "bearer" });
    github.answers("/login/oauth/access_token", json_of(&answer));
    github.answers("/user", json_of(&json!({ "id": 583_231, "login": "octocat" })));
    let server = Server::start_with(On::Sqlite, &sections(&github)).await.unwrap();
    let app =
        Client { resource: Some(TICKETS.to_owned()), ..Client::desk().scope("tickets:read tickets:write") };
    let (ada, grace) = (Browser::new(), Browser::new());
    let adas = app.obtain(&server, &ada, "ada").await;
    let graces = app.obtain(&server, &grace, "grace").await;

    // An MCP server that has no token for her gets a link.
    let needed = curl(&server, adas.access()).await;
    let shown: Value = serde_json::from_str(block("json", "interaction_required")).unwrap();
    let link = needed["interaction_uri"].as_str().unwrap_or_else(|| panic!("{needed}"));
    assert!(link.starts_with(&format!("{}/connect/github?link=chy_cl_", server.issuer)), "{link}");
    let mut expected = shown.clone();
    expected["interaction_uri"] = json!(link);
    assert!(is_as_shown(&needed, &expected), "{needed}\n{shown}");

    // Whoever else opens it is told so, and it stays as good as it was.
    let page = grace.open(link).await;
    assert!(page.text().contains("made for somebody else"), "{}", page.text());
    // Nothing begins before she presses the button there.
    let page = ada.open(link).await;
    assert!(page.text().contains("Write tickets"), "what it could be used for: {}", page.text());
    assert!(page.text().contains("repo"), "what the vendor will ask: {}", page.text());
    assert_eq!(
        (server.rows("connects").await, github.requests("/login/oauth/access_token").await.len()),
        (0, 0)
    );

    // What is asked for by a link is what that link is for; PKCE is sent; each connection has its own redirect URI.
    let at = away(&ada.submit(&page.form("/connect/")).await);
    assert_eq!(at.asked("redirect_uri"), Some(format!("{}/connect/github/callback", server.issuer)));
    assert_eq!(
        (at.asked("scope").as_deref(), at.asked("code_challenge_method").as_deref()),
        (Some("repo"), Some("S256"))
    );
    // Who cancels opens it again.
    let page = ada.open(&at.back(&[("error", "access_denied")])).await;
    assert!(page.text().contains("not connected"), "{}", page.text());
    let at = press(&ada, link).await;
    // The way back is bound to the browser that began.
    let page = grace.open(&at.back(&[("code", "c-1")])).await;
    assert_eq!((page.status, server.rows("connections").await), (400, 0), "{}", page.text());
    let page = ada.open(&at.back(&[("code", "c-1")])).await;
    assert!(page.text().contains("is connected"), "it says that it is done: {}", page.text());
    // The back button does no harm; a code is redeemed once; the link is good once.
    ada.open(&at.back(&[("code", "c-1")])).await;
    assert_eq!(github.requests("/login/oauth/access_token").await.len(), 1);
    assert!(ada.open(link).await.text().contains("done already"));

    let answer = curl(&server, adas.access()).await;
    let shown: Value = serde_json::from_str(block("json", "gho_")).unwrap();
    assert!(is_as_shown(&answer, &shown), "{answer}\n{shown}");
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let (mut told, mut promised) = (names(&answer), names(&shown));
    told.sort_unstable();
    promised.sort_unstable();
    assert_eq!(told, promised, "nothing but what is shown");

    // For ten minutes: hers is too late, and she goes by herself.
    let needed = curl(&server, graces.access()).await;
    let link = needed["interaction_uri"].as_str().unwrap();
    server.later(std::time::Duration::from_secs(601));
    let page = grace.open(link).await;
    assert_eq!(page.status, 400, "{}", page.text());
    github.answers("/user", json_of(&json!({ "id": 1, "login": "hopper" })));
    let at = press(&grace, &server.url("/connect/github")).await;
    assert!(grace.open(&at.back(&[("code", "c-2")])).await.text().contains("is connected"));
    assert_eq!(server.rows("connections").await, 2);
}

/// Opens the page, presses its button, and arrives at the vendor.
async fn press(browser: &Browser, url: &str) -> Away {
    let page = browser.open(url).await;
    assert_eq!(page.status, 200, "{}", page.text());
    away(&browser.submit(&page.form("/connect/")).await)
}
