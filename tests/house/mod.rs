//! A house of real processes: the product's binary, npm `oidc-provider` behind it, and the peers before it.
//!
//! Everything listens on loopback at free ports and ends with the value that started it.

pub(crate) mod peer;
pub(crate) mod schema;

use std::{
    io::Write as _,
    iter,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery::{clock::Clock, dev::sample::SampleServer, entropy::Entropy, oauth::issuer::Issuer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::peer::{Peer, node};

/// A user at the upstream provider.
pub(crate) const LOGIN: &str = "alice";
/// The client that the configuration declares.
pub(crate) const DECLARED: &str = "code-agent";
/// The client that is the sample server: where there is another server, it may read notes there.
pub(crate) const SAMPLE_SERVER: &str = "sample-server";
pub(crate) const SAMPLE_SECRET: &str = "a secret of the sample: 100% (unlikely) + guessed";
/// A program that works for itself.
pub(crate) const PROGRAM: &str = "nightly-report";
pub(crate) const PROGRAM_SECRET: &str = "what-the-nightly-report-proves-itself-with";
/// An agent that the enterprise manages, as the broker knows it and as the upstream does.
pub(crate) const AGENT: &str = "managed-agent";
pub(crate) const AGENT_SECRET: &str = "what the agent proves itself with: 100%";
pub(crate) const AGENT_AT_UPSTREAM: &str = "agent-at-acme";
/// Another at the upstream, which has no secret there, and is the same one at the broker.
pub(crate) const PUBLIC_AGENT_AT_UPSTREAM: &str = "agent-at-acme-without-a-secret";
pub(crate) const AGENT_REDIRECT_URI: &str = "https://agent.test/callback";
/// Our `client_id` at the upstream provider.
const AT_UPSTREAM: &str = "chancery";
const UPSTREAM_SECRET: &str = "a secret between the broker and its upstream";
/// A debug build, on a machine that does other things too.
const START_WITHIN: Duration = Duration::from_secs(60);

/// What a house is built with.
pub(crate) struct Plan {
    /// Our client's registration at the upstream, over the defaults.
    pub(crate) upstream_client: Value,
    /// Our configuration of the upstream, over the defaults. One with another `preset` stands elsewhere, and none is
    /// started here.
    pub(crate) provider: Value,
    /// Whether the upstream keeps the claims out of the ID token.
    pub(crate) userinfo_only: bool,
    /// Our configuration of the sample, over the defaults.
    pub(crate) sample: Value,
    /// Further MCP servers, beside the sample.
    pub(crate) resources: Vec<String>,
    /// Whether the upstream issues identity assertions for the agent, and the broker takes them for reading.
    pub(crate) managed: bool,
    /// Whether a person can connect her account at the upstream, as `files`, so that the sample may use it for reading.
    pub(crate) connection: bool,
    /// What the configuration says besides: members of its sections.
    pub(crate) config: Value,
    /// Where the broker listens; at a free port otherwise.
    pub(crate) port: Option<u16>,
    /// A second provider in the configuration, so that there is something to choose.
    pub(crate) chooser: bool,
    /// Where the broker keeps its data.
    pub(crate) database: String,
    /// A PEM file of the certificate that the broker trusts.
    pub(crate) trust: Option<PathBuf>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            upstream_client: json!({}),
            provider: json!({}),
            userinfo_only: false,
            sample: json!({}),
            resources: Vec::new(),
            managed: false,
            connection: false,
            config: json!({}),
            port: None,
            chooser: false,
            database: "sqlite://chancery.db".into(),
            trust: None,
        }
    }
}

/// A broker with its upstream, and the sample MCP server that trusts it.
pub(crate) struct House {
    pub(crate) issuer: String,
    pub(crate) upstream: Option<Peer>,
    /// The sample server's URL, which is its resource identifier.
    pub(crate) sample: String,
    broker: Child,
    folder: TempDir,
    _sample: DropGuard,
}

impl House {
    /// Starts everything, and returns when the broker says that it is ready.
    pub(crate) async fn build(plan: Plan) -> Self {
        let port = plan.port.unwrap_or_else(free_port);
        let issuer = format!("http://127.0.0.1:{port}");
        let stop = CancellationToken::new();
        let sample =
            SampleServer::bind(0, &Issuer::try_from(issuer.clone()).unwrap(), Clock::System).await.unwrap();
        let resource = sample.resource().to_owned();
        tokio::spawn(sample.serve(stop.clone()));
        let elsewhere = plan.provider.get("preset").is_some();
        let upstream = (!elsewhere).then(|| upstream(&issuer, &resource, &plan));
        let at = upstream.as_ref().map(|upstream| upstream.said("issuer"));

        let folder = tempfile::tempdir().unwrap();
        let config = configuration(&issuer, port, at, &resource, &plan);
        std::fs::write(folder.path().join("config.yaml"), config.to_string()).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
        command.args(["serve", "--config", "config.yaml"]).current_dir(folder.path()).stderr(log);
        if let Some(certificate) = &plan.trust {
            command.env("SSL_CERT_FILE", certificate);
        }
        let broker = command.stdin(Stdio::null()).spawn().unwrap();
        let mut house =
            Self { issuer, upstream, sample: resource, broker, folder, _sample: stop.drop_guard() };
        house.wait_until_ready().await;
        house
    }

    async fn wait_until_ready(&mut self) {
        let begun = Instant::now();
        while http().get(self.url("/readyz")).send().await.is_err() {
            let ended = self.broker.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < START_WITHIN, "{ended:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A URL of the broker's.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// The upstream's issuer, where one was started here.
    pub(crate) fn upstream(&self) -> &str {
        self.upstream.as_ref().unwrap().said("issuer")
    }

    /// What the broker has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "--- the broker's log\n{}", self.log());
        }
        let _ = self.broker.kill();
        let _ = self.broker.wait();
    }
}

fn upstream(issuer: &str, sample: &str, plan: &Plan) -> Peer {
    let mut client = json!({
        "client_id": AT_UPSTREAM,
        "client_secret": UPSTREAM_SECRET,
        "redirect_uris": [format!("{issuer}/login/acme/callback"), format!("{issuer}/connect/files/callback")],
    });
    merge(&mut client, &plan.upstream_client);
    let agent = |id: &str, method: &str| {
        json!({
            "client_id": id,
            "client_secret": AGENT_SECRET,
            "token_endpoint_auth_method": method,
            "redirect_uris": [AGENT_REDIRECT_URI],
            "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:token-exchange"],
        })
    };
    let resources: Vec<_> = [sample].into_iter().chain(plan.resources.iter().map(String::as_str)).collect();
    let there = json!({ "client_id": AGENT, "resources": resources, "scope": "notes:read notes:write" });
    let mut config = json!({
        "clients": [client],
        "users": {
            LOGIN: { "email": "alice@acme.test", "email_verified": true, "name": "Alice", "groups": ["mcp-users"] },
            "mallory": { "email": "mallory@else.test", "email_verified": true, "name": "Mallory" },
        },
        "userinfo_only": plan.userinfo_only,
    });
    if plan.managed {
        let agents =
            [agent(AGENT_AT_UPSTREAM, "client_secret_post"), agent(PUBLIC_AGENT_AT_UPSTREAM, "none")];
        config["clients"] = json!([client, agents[0], agents[1]]);
        config["id_jag"] = json!({ issuer: { AGENT_AT_UPSTREAM: there, PUBLIC_AGENT_AT_UPSTREAM: there } });
    }
    Peer::start(node("oidc-provider.mjs").env("PROVIDER", config.to_string()))
}

/// The operator's file; JSON is YAML.
fn configuration(issuer: &str, port: u16, upstream: Option<&str>, sample: &str, plan: &Plan) -> Value {
    let mut acme = json!({
        "preset": "oidc",
        "name": "Acme",
        "client_id": AT_UPSTREAM,
        "client_secret": UPSTREAM_SECRET,
        "organization": "acme",
        "scopes": ["openid", "profile", "email"],
        "claims": { "groups": "groups" },
        "sign_in": { "email_domains": ["acme.test"] },
    });
    merge(&mut acme, &json!({ "issuer": upstream }));
    let files = json!({
        "preset": "oidc",
        "name": "Acme Files",
        "issuer": upstream,
        "client_id": AT_UPSTREAM,
        "client_secret": UPSTREAM_SECRET,
        "scopes": ["openid", "profile"],
        "use": { "sample": { "notes:read": ["email"] } },
    });
    if plan.managed {
        let servers = (0..plan.resources.len()).map(|number| format!("server-{number}"));
        for resource in servers.chain(["sample".to_owned()]) {
            acme["id_jag"]["allow"][resource] = json!({ "clients": [AGENT], "scopes": ["notes:read"] });
        }
    }
    merge(&mut acme, &plan.provider);
    let mut providers = json!({ "acme": acme.clone() });
    if plan.chooser {
        acme["name"] = "Partner".into();
        acme["issuer"] = "http://127.0.0.1:9".into();
        acme["sign_in"] = json!({ "email_domains": ["partner.test"] });
        providers["partner"] = acme;
    }
    let scopes = json!({
        "notes:read": { "description": "Read your notes", "default": true },
        "notes:write": { "description": "Write notes" },
    });
    let mut resources = json!({ "sample": { "uri": sample, "name": "Notes", "scopes": scopes } });
    merge(&mut resources["sample"], &plan.sample);
    for (number, uri) in plan.resources.iter().enumerate() {
        resources[format!("server-{number}")] = json!({ "uri": uri, "name": "More notes", "scopes": scopes });
    }
    let mut clients =
        json!({ DECLARED: { "name": "Code agent", "redirect_uris": ["http://127.0.0.1/callback"] } });
    clients[PROGRAM] = json!({
        "secret": PROGRAM_SECRET,
        "grant_types": ["client_credentials"],
        "resources": { "sample": ["notes:read"] },
    });
    if plan.managed {
        let grants = ["urn:ietf:params:oauth:grant-type:jwt-bearer"];
        clients[AGENT] = json!({ "secret": AGENT_SECRET, "grant_types": grants });
    }
    if !plan.resources.is_empty() {
        clients[SAMPLE_SERVER] = json!({
            "secret": SAMPLE_SECRET,
            "serves": "sample",
            "exchange": { "server-0": { "notes:read": ["notes:read"] } },
        });
    }
    let mut config = json!({
        "server": {
            "issuer": issuer,
            "listen": format!("127.0.0.1:{port}"),
            "admin_listen": "127.0.0.1:0",
            "contact": "it@acme.test",
        },
        "database": { "url": plan.database },
        "encryption": { "keys": [{ "id": "one", "key": STANDARD.encode(Entropy::System.bytes::<32>()) }] },
        "providers": providers,
        "resources": resources,
        "clients": clients,
    });
    if plan.connection {
        config["connections"] = json!({ "files": files });
    }
    for (section, members) in plan.config.as_object().unwrap() {
        for (name, value) in members.as_object().unwrap() {
            config[section][name] = value.clone();
        }
    }
    config
}

/// Puts the members of `over` into `base`; a null takes one away.
fn merge(base: &mut Value, over: &Value) {
    for (name, value) in over.as_object().unwrap() {
        if value.is_null() {
            base.as_object_mut().unwrap().remove(name);
        } else {
            base[name] = value.clone();
        }
    }
}

/// A port that nobody listens on, and that the system gives nobody before it is used: below those that it picks from.
pub(crate) fn free_port() -> u16 {
    iter::repeat_with(|| 10_000 + u16::from_le_bytes(Entropy::System.bytes()) % 20_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

/// A client of the tests' own, which leaves redirects to whoever asked.
#[expect(clippy::disallowed_methods, reason = "bounds are for the product's own requests")]
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}
