//! A contract is played: our side is [`Vendors`], the other answers what is written down.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Mutex,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chancery::{
    clock::{Clock, Timestamp},
    config::{
        Config,
        connection::{Connection, Discovery, Urls},
        environment::Environment,
        preset::Presets,
    },
    entropy::Entropy,
    oauth::{issuer::Issuer, pkce::CodeChallenge, scope::ScopeSet},
    secret::Secret,
    store::Db,
    vault::vendor::{Account, Authorization, Lines, Redemption, Tokens, VendorError, Vendors},
};
use serde_json::{Value, json};
use url::Url;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

use super::written::{Asked, Authorize, Contract, Does, Step};

const CLIENT_ID: &str = "our-id";
const CLIENT_SECRET: &str = "our-secret";
const CODE: &str = "the-code";
const VERIFIER: &str = "the-verifier";
const ACCESS: &str = "the-access-token";
const REFRESH: &str = "the-refresh-token";
const ENTERED: &str = "what-was-entered";
const NOW: i64 = 1_795_255_200;

/// Where a contract is played.
pub(super) struct Stage {
    name: String,
    /// The one that an MCP server has.
    host: String,
    connection: Connection,
    vendors: Vendors,
    server: MockServer,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub(super) async fn of(name: &str, contract: &Contract) -> Self {
        let mut connection = configured(name, contract);
        let host = match &connection.app.discovery {
            Some(Discovery::Resource(uri)) => uri.url().host_str().unwrap().to_owned(),
            _ => String::new(),
        };
        let server = MockServer::start().await;
        let urls = connection.app.urls.clone();
        connection.app.urls = Urls::each(|key| Some(turned(urls.get(key)?, &server)));
        connection.app.discovery = connection.app.discovery.map(|discovery| match discovery {
            Discovery::Document(url) => Discovery::Document(turned(&url, &server)),
            Discovery::Resource(uri) => {
                Discovery::Resource(turned(uri.url(), &server).to_string().try_into().unwrap())
            }
        });
        let loopback = Issuer::try_from("http://127.0.0.1:9000".to_owned()).unwrap();
        let clock = Clock::manual(Timestamp::from_secs(NOW));
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(&folder.path().join("c.db")).await.unwrap();
        let vendors = Vendors::new(Lines::new(&loopback).unwrap(), db, clock, Entropy::seeded(1));
        Self { name: name.to_owned(), host, connection, vendors, server, _folder: folder }
    }

    fn redirect_uri(&self) -> String {
        format!("https://auth.acme.com/connect/{}/callback", self.name)
    }

    /// `documents`: what the vendor says of itself when it is asked for the first time.
    pub(super) async fn compare_authorize_url(&self, contract: Option<&Authorize>, documents: &[Asked]) {
        let Some(contract) = contract else { return };
        let turned: Vec<_> = documents.iter().map(|asked| self.turn_addresses(asked)).collect();
        self.answer(&turned).await;
        let scopes = |names: &[String]| ScopeSet::parse(&names.join(" ")).unwrap();
        let challenge = CodeChallenge::of(VERIFIER);
        let authorization = Authorization {
            redirect_uri: &self.redirect_uri(),
            state: "the-state",
            challenge: &challenge,
            scopes: &scopes(&contract.scopes).union(&self.connection.scopes),
            held: &scopes(&contract.held),
        };
        let url = self.vendors.authorize_url(&self.connection, &authorization).await.unwrap();
        self.compare_requests(documents, &self.name).await;
        let mut ours = BTreeMap::from([
            ("redirect_uri".to_owned(), self.redirect_uri()),
            ("state".to_owned(), "the-state".to_owned()),
        ]);
        if contract.pkce {
            ours.insert("code_challenge".to_owned(), challenge.as_str().to_owned());
            ours.insert("code_challenge_method".to_owned(), "S256".to_owned());
        }
        let expected = Url::parse(&contract.url).unwrap();
        let pairs = |url: &Url| -> Vec<(String, String)> {
            url.query_pairs().map(|(name, value)| (name.into(), self.true_text(&value))).collect()
        };
        let mut wanted = pairs(&expected);
        wanted.extend(ours);
        let mut found = pairs(&url);
        wanted.sort();
        found.sort();
        let page = |mut url: Url| {
            url.set_query(None);
            url.to_string()
        };
        assert_eq!(page(self.turned_back(&url)), page(expected), "{}", self.name);
        assert_eq!(found, wanted, "{}", self.name);
    }

    pub(super) async fn play(&self, step: &Step) {
        let what = format!(
            "{}: {:?} {:?}",
            self.name,
            step.does,
            step.fails.as_ref().or(step.asked.first().map(|a| &a.with))
        );
        self.answer(&step.asked).await;
        let outcome = self.outcome(step.does).await;
        self.compare_requests(&step.asked, &what).await;
        match (outcome, &step.becomes, &step.fails) {
            (Ok(found), Some(wanted), None) => assert_eq!(found, *wanted, "{what}"),
            (Err(error), None, Some(wanted)) => assert_eq!(told(&error), *wanted, "{what}"),
            (outcome, ..) => panic!("{what}: {outcome:?}"),
        }
    }

    /// Does what the step does, but the last of its requests is answered otherwise. No further one may follow.
    pub(super) async fn spoil(&self, step: &Step, last: ResponseTemplate) -> Result<Value, VendorError> {
        let (_, before) = step.asked.split_last().unwrap();
        self.answer_by(before.iter().cloned().map(template).chain([last])).await;
        let outcome = self.outcome(step.does).await;
        let asked = self.server.received_requests().await.unwrap();
        assert!(asked.len() <= step.asked.len(), "{}: {asked:?}", self.name);
        outcome
    }

    /// An address of the server that no request should lead to.
    pub(super) fn elsewhere(&self) -> String {
        format!("{}/elsewhere", self.server.uri())
    }

    /// The same vendor at another address of this machine.
    pub(super) fn moved(mut self, to: SocketAddr) -> Self {
        let urls = self.connection.app.urls.clone();
        self.connection.app.urls = Urls::each(|key| {
            let mut url = urls.get(key)?.clone();
            url.set_port(Some(to.port())).unwrap();
            Some(url)
        });
        self
    }

    async fn answer(&self, answers: &[Asked]) {
        self.answer_by(answers.iter().cloned().map(template)).await;
    }

    async fn answer_by(&self, answers: impl Iterator<Item = ResponseTemplate>) {
        self.server.reset().await;
        Mock::given(any()).respond_with(Answers(Mutex::new(answers.collect()))).mount(&self.server).await;
    }

    async fn compare_requests(&self, wanted: &[Asked], what: &str) {
        let asked = self.server.received_requests().await.unwrap();
        let asked: Vec<_> = asked.iter().map(|request| self.seen(request)).collect();
        let wanted: Vec<_> =
            wanted.iter().map(|a| (a.with.clone(), a.headers.clone(), a.body.trim().to_owned())).collect();
        assert_eq!(asked, wanted, "{what}");
    }

    /// The addresses that a document names lead to our server as well; the issuer that is configured stays.
    fn turn_addresses(&self, asked: &Asked) -> Asked {
        let is_pinned = self.connection.app.issuer.is_some();
        let mut asked = asked.clone();
        for (name, value) in asked.json.iter_mut().flat_map(|json| json.as_object_mut().unwrap()) {
            let is_address = name.ends_with("_endpoint") || name == "resource";
            match value {
                Value::String(text) if is_address || (name == "issuer" && !is_pinned) => {
                    *text = turned(&text.parse().unwrap(), &self.server).into();
                }
                Value::Array(items) if name == "authorization_servers" => {
                    for item in items {
                        *item = json!(turned(&item.as_str().unwrap().parse().unwrap(), &self.server));
                    }
                }
                _ => {}
            }
        }
        asked
    }

    /// Our own addresses in what was sent are the vendor's.
    fn true_text(&self, text: &str) -> String {
        let ours = format!("http://{}/", self.server.address());
        let encoded: String = url::form_urlencoded::byte_serialize(ours.as_bytes()).collect();
        text.replace(&ours, "https://").replace(&encoded, "https%3A%2F%2F")
    }

    pub(super) async fn outcome(&self, does: Does) -> Result<Value, VendorError> {
        let (connection, access, refresh) = (&self.connection, secret(ACCESS), secret(REFRESH));
        match does {
            Does::Exchange => self.exchanged().await.map(|tokens| shown(&tokens)),
            Does::Refresh => {
                let held = ScopeSet::parse("held").unwrap();
                self.vendors.refresh(connection, &refresh, &held).await.map(|tokens| shown(&tokens))
            }
            Does::Fetch => {
                let scopes = ScopeSet::parse("asked").unwrap();
                self.vendors.fetch(connection, &scopes).await.map(|tokens| shown(&tokens))
            }
            Does::Account => {
                let tokens = if connection.kind.is_entered() {
                    Tokens::entered(secret(ENTERED))
                } else {
                    self.exchanged().await?
                };
                self.vendors.account(connection, &tokens).await.map(|account| shown_account(&account))
            }
            Does::Sites => {
                let sites = self.vendors.sites(connection, &access).await?;
                Ok(sites.iter().map(|s| json!({ "id": s.id, "name": s.name, "url": s.url })).collect())
            }
            Does::Revoke => {
                let revoked = self.vendors.revoke(connection, &access, Some(&refresh)).await?;
                Ok(Value::String(format!("{revoked:?}")))
            }
        }
    }

    async fn exchanged(&self) -> Result<Tokens, VendorError> {
        let redemption = Redemption {
            code: &secret(CODE),
            verifier: &secret(VERIFIER),
            redirect_uri: &self.redirect_uri(),
            scopes: &ScopeSet::parse("asked").unwrap(),
        };
        self.vendors.exchange(&self.connection, &redemption).await
    }

    /// Method and true address, the headers that are not everybody's, and the body.
    fn seen(&self, request: &Request) -> (String, BTreeMap<String, String>, String) {
        const EVERYBODYS: [&str; 5] =
            ["accept-encoding", "content-length", "host", "user-agent", "connection"];
        let mut headers = BTreeMap::new();
        for (name, value) in &request.headers {
            let value = value.to_str().unwrap();
            if !EVERYBODYS.contains(&name.as_str())
                && (name.as_str(), value) != ("accept", "application/json")
            {
                headers.insert(name.to_string(), value.replace(&basic(), "Basic OURS"));
            }
        }
        let body = self.true_text(std::str::from_utf8(&request.body).unwrap());
        (format!("{} {}", request.method, self.turned_back(&request.url)), headers, body)
    }

    /// What is well known of an address stands before its path, which is where we have turned its host to.
    fn turned_back(&self, url: &Url) -> Url {
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let Some(known) = url.path().strip_prefix("/.well-known/") else {
            return format!("https:/{}{query}", url.path()).parse().unwrap();
        };
        let (name, below) = known.split_once('/').unwrap_or((known, &self.host));
        let (host, path) = below.split_once('/').unwrap_or((below, ""));
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        format!("https://{host}/.well-known/{name}{path}").parse().unwrap()
    }
}

/// The pair of id and secret, which contracts call `OURS`.
fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")))
}

struct Answers(Mutex<VecDeque<ResponseTemplate>>);

impl Respond for Answers {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        self.0.lock().unwrap().pop_front().unwrap_or_else(|| ResponseTemplate::new(418))
    }
}

fn template(answer: Asked) -> ResponseTemplate {
    let template = ResponseTemplate::new(answer.status);
    let template = match (answer.json, answer.form) {
        (Some(mut json), None) => {
            sign(&mut json);
            template.set_body_json(json)
        }
        (None, Some(form)) => template.set_body_raw(form, "application/x-www-form-urlencoded; charset=utf-8"),
        _ => template,
    };
    match answer.retry_after {
        Some(wait) => template.insert_header("retry-after", wait.as_str()),
        None => template,
    }
}

/// An ID token is written down by its claims.
fn sign(answer: &mut Value) {
    if let Some(claims) = answer.get("id_token").filter(|token| token.is_object()) {
        let encoded = URL_SAFE_NO_PAD.encode(claims.to_string());
        answer["id_token"] = Value::String(format!("e30.{encoded}.c2lnbmVk"));
    }
}

fn configured(name: &str, contract: &Contract) -> Connection {
    let mut entry = json!({ "preset": name });
    let presets = Presets::load(None, &Environment::of([])).unwrap();
    if !presets.get(name).unwrap().connection.as_ref().unwrap().kind.is_entered() {
        entry["client_id"] = json!(CLIENT_ID);
        entry["client_secret"] = json!(CLIENT_SECRET);
    }
    for (key, value) in &contract.connection {
        entry[key] = value.clone();
    }
    let text = json!({
        "server": { "issuer": "https://auth.acme.com" },
        "database": { "url": "sqlite://c.db" },
        "encryption": { "keys": [{ "id": "a", "key": "ODCrv1JxhHPlV+XOM9QZT2VyFdYnTpcMs5iSfKZ0L7c=" }] },
        "providers": { "corp": {
            "preset": "oidc", "issuer": "https://login.acme.com", "client_id": "c", "client_secret": "s",
            "sign_in": { "anyone": true },
        } },
        "connections": { name: entry },
    });
    let config = Config::parse(&text.to_string(), name, &Environment::of([]));
    let config = config.unwrap_or_else(|problems| panic!("{name}: {problems}"));
    config.connections.iter().next().unwrap().clone()
}

fn turned(url: &Url, server: &MockServer) -> Url {
    assert_eq!(url.scheme(), "https", "{url}");
    url.as_str().replacen("https://", &format!("http://{}/", server.address()), 1).parse().unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn lasts(at: Option<Timestamp>) -> Option<u64> {
    at.map(|at| at.since(Timestamp::from_secs(NOW)).as_secs())
}

fn shown(tokens: &Tokens) -> Value {
    let scopes: Vec<_> = tokens.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    let mut shown = json!({ "access": tokens.access_token.expose(), "scopes": scopes });
    let further = [
        ("refresh", tokens.refresh_token.as_ref().map(|token| json!(token.expose()))),
        ("expires_in", lasts(tokens.expires_at).map(Value::from)),
        ("refresh_expires_in", lasts(tokens.refresh_expires_at).map(Value::from)),
        ("details", (!tokens.details.is_empty()).then(|| json!(tokens.details))),
    ];
    for (key, value) in further {
        if let Some(value) = value {
            shown[key] = value;
        }
    }
    shown
}

fn shown_account(account: &Account) -> Value {
    let mut shown = json!({ "id": account.id, "label": account.label });
    let further = [
        ("tenant", account.tenant.as_ref().map(|tenant| json!(tenant))),
        ("email", account.email.as_ref().map(|email| json!(email))),
        ("organizations", (!account.organizations.is_empty()).then(|| json!(account.organizations))),
    ];
    for (key, value) in further {
        if let Some(value) = value {
            shown[key] = value;
        }
    }
    shown
}

fn told(error: &VendorError) -> String {
    match error {
        VendorError::Reconnect { code } => format!("reconnect {code}"),
        VendorError::Refused { code } => format!("refused {code}"),
        VendorError::Unavailable { retry_after: Some(wait), .. } => {
            format!("unavailable {}s", wait.as_secs())
        }
        VendorError::Unavailable { .. } => "unavailable".to_owned(),
        VendorError::Malformed { .. } => "malformed".to_owned(),
    }
}
