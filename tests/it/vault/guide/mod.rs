//! docs/vault.md, word for word: its configurations, its requests and its answers, and what it says of them. The
//! vendors are out of reach, so one that answers as they do stands in their place.

mod connecting;
mod entered;
mod job;
mod mcp;
mod service;
mod sign_in;
mod tables;

use std::{fs, path::Path};

use regex::{NoExpand, Regex};
use serde_json::{Value, json};

pub(crate) use self::tables::{codes, table};
use super::connect::away;
use crate::support::{
    Browser, Client, On, PLAIN, Server, Setup, Tokens, Upstream,
    browser::Page,
    http,
    upstream::{Away, json_of},
};

const GUIDE: &str = include_str!("../../../../docs/vault.md");
const HANDING_OUT: &str = "## Handing out a token";
const SECRET: &str = "a-secret-of-the-guide-0123456789";
const TICKETS: &str = "https://mcp.acme.com/tickets";

/// The first block of this kind under a heading.
fn block(heading: &str, kind: &str) -> &'static str {
    let chapter = GUIDE.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}")).1;
    let chapter = chapter.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
    let (_, block) =
        chapter.split_once(&format!("```{kind}\n")).unwrap_or_else(|| panic!("no {kind} under {heading}"));
    block.split("```").next().unwrap()
}

/// The resource of the guide and the client that its server is.
fn tickets() -> &'static str {
    block(HANDING_OUT, "yaml").split("connections:\n").next().unwrap()
}

/// These configurations of the guide together, with what they do not show: the client through which people come, and
/// where none says by what they sign in, that.
fn written(blocks: &[&str]) -> String {
    let secret = Regex::new(r"\$\{\w+_SECRET\}").unwrap();
    let all = |section: &str| {
        let all: String = blocks.iter().map(|yaml| under(yaml, section)).collect();
        secret.replace_all(&all, NoExpand(SECRET)).into_owned()
    };
    let providers = Some(all("providers")).filter(|own| !own.is_empty());
    let providers = providers.unwrap_or_else(|| under(PLAIN, "providers"));
    let desk = "  desk: { redirect_uris: [\"http://127.0.0.1/callback\"] }\n";
    let (resources, clients, connections) = (all("resources"), all("clients"), all("connections"));
    format!(
        "presets: presets\nproviders:\n{providers}resources:\n{resources}clients:\n{desk}{clients}\
         connections:\n{connections}"
    )
}

/// What stands under a section of a configuration.
fn under(yaml: &str, section: &str) -> String {
    let lines =
        yaml.split_inclusive('\n').skip_while(|line| line.trim_end() != format!("{section}:")).skip(1);
    lines.take_while(|line| line.starts_with(' ')).collect()
}

/// A configuration without what it calls optional.
fn without_optional(yaml: &str) -> String {
    yaml.split_inclusive('\n').filter(|line| !line.contains("# optional")).collect()
}

/// The same text with another one in it.
fn replaced(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old} is not in {text}");
    text.replace(old, new)
}

/// A preset of the product, and this vendor wherever it names the vendor's hosts.
fn preset(name: &str, vendor: &Upstream) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("providers/{name}.yaml"));
    let host = Regex::new(r#"(?m)^( *(?:issuer|\w+_url): "?)(?:https://[^/"\s]+|\{api_url\})"#).unwrap();
    let text = fs::read_to_string(path).unwrap();
    host.replace_all(&text, format!("${{1}}{}", vendor.issuer())).into_owned()
}

/// GitHub, where octocat has an account, and a server with this configuration.
async fn with_github(on: On, sections: &str) -> Option<(Upstream, Server)> {
    let github = Upstream::start().await;
    let answer = json!({ "access_token": "gho_16C7e42F292c6912E7710c838347Ae178B4a", "scope": "repo,read:org",
                         "token_type": "bearer" });
    github.answers("/login/oauth/access_token", json_of(&answer));
    github.answers("/user", json_of(&json!({ "id": 583_231, "login": "octocat" })));
    let server = Setup::on(on).sections(sections).preset("github", preset("github", &github)).start().await?;
    Some((github, server))
}

/// What a person uses the resource with.
fn app(scope: &str) -> Client {
    Client { resource: Some(TICKETS.to_owned()), ..Client::desk().scope(scope) }
}

/// Sends a command of the guide to the server, with these texts of it replaced.
async fn curl(server: &Server, command: &str, changed: &[(&str, &str)]) -> Tokens {
    let command = changed.iter().fold(command.to_owned(), |command, (old, new)| replaced(&command, old, new));
    let command = Regex::new(r"\$\w+_SECRET").unwrap().replace_all(&command, SECRET);
    let command = replaced(&command, "https://auth.acme.com", &server.base).replace("\\\n", " ");
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
    Tokens::of(request.form(&form).send().await.unwrap()).await
}

/// What the server of the tickets gets of a connection for the one who sent it this token.
async fn vend(server: &Server, sent: &Tokens, connection: &str) -> Tokens {
    let audience = format!("audience={connection}");
    let changed = [("$TOKEN_FROM_THE_CALLER", sent.access()), ("audience=github", &audience)];
    curl(server, block(HANDING_OUT, "console"), &changed).await
}

/// The link in an answer.
fn link(needed: &Tokens) -> &str {
    assert_eq!(needed.error(), "interaction_required", "{}", needed.body);
    needed.body["interaction_uri"].as_str().unwrap()
}

/// What the guide shows of that, for whoever needs the account.
fn to_do_first(server: &Server, who: &str) -> Value {
    let shown = block("### When the person has to do something first", "json");
    let shown = replaced(shown, "https://auth.acme.com", &server.issuer);
    serde_json::from_str(&replaced(&shown, "Ticket desk", who)).unwrap()
}

/// The token is handed out as the guide shows, and nothing besides.
fn handed_out(answer: &Tokens) {
    let shown: Value = serde_json::from_str(block(HANDING_OUT, "json")).unwrap();
    assert!(is_as_shown(&answer.body, &shown), "{}\n{shown}", answer.body);
    let names = |value: &Value| {
        let mut names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&answer.body), names(&shown));
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

/// Opens the page, presses its button, and arrives at the vendor.
async fn press(browser: &Browser, url: &str) -> Away {
    let page = browser.open(url).await;
    assert_eq!(page.status, 200, "{}", page.text());
    away(&browser.submit(&page.form("/connect/")).await)
}

/// The way back from there, to an account that is connected.
async fn connected(browser: &Browser, at: &Away) -> Page {
    let page = browser.open(&at.back(&[("code", "c-1")])).await;
    assert!(page.text().contains("is connected"), "{}", page.text());
    page
}
