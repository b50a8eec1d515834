//! The world of a storm: so many real `chancery serve` processes on one database, npm `oidc-provider` as the vendor and
//! as what the person signs in with, she with her browser, and a server that uses her account.
//!
//! The vendor replaces a refresh token at each use and ends the whole grant when one comes twice, which the stories of
//! `tests/interop/vault.rs` prove of it. Its access tokens live for seconds, since the clock of a process cannot be
//! moved.

use std::{
    fs::File,
    io::Write as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery::entropy::Entropy;
use reqwest::header;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::person::{CALLBACK, RESOURCE, sign_in, walk};
use crate::{
    browser::Browser,
    house::{
        LOGIN, free_port, http,
        peer::{Peer, node},
    },
};

/// Of the server that uses the account.
const SECRET: &str = "what the server of the notes proves itself with";
/// A debug build, on a machine that does other things too.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Longer than any request to us may take.
const HANGS: Duration = Duration::from_secs(40);

/// All of it. It ends when dropped.
pub(crate) struct World {
    vendor: Peer,
    pub(crate) instances: Vec<Instance>,
    pub(crate) server: Arc<Server>,
    browser: Browser,
    /// When the access token that was handed out last has ended.
    ends: Instant,
    _folder: TempDir,
}

/// The server that uses the account, as any of the processes knows it.
pub(crate) struct Server {
    http: reqwest::Client,
    bases: Vec<String>,
    subject: String,
}

/// One of the processes.
pub(crate) struct Instance {
    base: String,
    config: PathBuf,
    log: PathBuf,
    process: Child,
}

/// What it was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Value,
}

/// What the vendor has counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// Requests to its token endpoint.
    pub(crate) asked: u64,
    /// Refreshes.
    pub(crate) given: u64,
    /// Refresh tokens that it did not take.
    pub(crate) refused: u64,
}

impl World {
    /// Starts `number` processes on this database and the vendor, whose access tokens have this `life`, and has the
    /// person sign in and connect her account.
    pub(crate) async fn build(database: &str, number: usize, life: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<u16> = (0..number).map(|_| free_port()).collect();
        let bases: Vec<_> = ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        let vendor = vendor(&bases[0], life);
        let key = STANDARD.encode(Entropy::System.bytes::<32>());
        let mut instances = Vec::new();
        for (number, base) in bases.iter().enumerate() {
            let [config, log] = ["yaml", "log"].map(|end| folder.path().join(format!("{number}.{end}")));
            let listen = base.strip_prefix("http://").unwrap();
            let text = configuration((&bases[0], listen), vendor.said("issuer"), database, &key);
            std::fs::write(&config, text.to_string()).unwrap();
            let process = serve(&config, &log);
            let mut instance = Instance { base: base.clone(), config, log, process };
            instance.wait_until_ready().await;
            instances.push(instance);
        }
        let browser = Browser::new();
        let subject = sign_in(&browser, &bases[0]).await;
        let server = Arc::new(Server { http: http(), bases, subject });
        let mut world = Self { vendor, instances, server, browser, ends: Instant::now(), _folder: folder };
        world.connect().await;
        world
    }

    /// The person connects her account, for the first time or again.
    pub(crate) async fn connect(&mut self) {
        let page =
            walk(&self.browser, &format!("{}/connect/files", self.instances[0].base), "nowhere:").await;
        assert!(page.text().contains("is connected"), "{}: {}", page.url, page.text());
    }

    /// Takes note of when a token ends that was handed out just now.
    pub(crate) fn handed_out(&mut self, answer: &Value) {
        let left = Duration::from_secs(answer["expires_in"].as_u64().unwrap() + 1);
        self.ends = Instant::now() + left;
    }

    /// Waits for that.
    pub(crate) async fn expired(&self) {
        tokio::time::sleep_until(self.ends).await;
    }

    /// Whether the vendor takes an access token.
    pub(crate) async fn is_good(&self, access: &str) -> bool {
        let url = format!("{}/me", self.vendor.said("issuer"));
        self.server.http.get(url).bearer_auth(access).send().await.unwrap().status() == 200
    }

    pub(crate) async fn counted(&self) -> Counted {
        let counted = self.control("grants", &json!({})).await;
        let of = |outcome: &str| counted[outcome]["refresh_token"].as_u64().unwrap_or(0);
        Counted { asked: counted["asked"].as_u64().unwrap(), given: of("given"), refused: of("refused") }
    }

    /// How long the vendor thinks about each request, and again about its answer.
    pub(crate) async fn slow_down(&self, by: Duration) {
        self.control("slow", &json!({ "ms": by.as_millis() })).await;
    }

    async fn control(&self, command: &str, body: &Value) -> Value {
        let url = format!("{}/{command}", self.vendor.said("control"));
        let answer = self.server.http.post(url).json(body).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for instance in &mut self.instances {
            instance.kill();
            if std::thread::panicking() {
                let log = std::fs::read_to_string(&instance.log).unwrap();
                let _ = writeln!(std::io::stderr(), "--- the log of {}\n{log}", instance.base);
            }
        }
    }
}

impl Server {
    pub(crate) fn instances(&self) -> usize {
        self.bases.len()
    }

    /// Asks one of the processes for the token of the person's account. An error: nobody is there.
    pub(crate) async fn ask(&self, instance: usize) -> Result<Answer, reqwest::Error> {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("client_id", "notes-server"),
            ("client_secret", SECRET),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token", &self.subject),
            ("audience", "files"),
        ];
        let url = format!("{}/oauth/token", self.bases[instance]);
        let answer = self.http.post(url).form(&form).timeout(HANGS).send().await?;
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let retry_after =
            retry_after.map(|secs| Duration::from_secs(secs.to_str().unwrap().parse().unwrap()));
        let status = answer.status().as_u16();
        Ok(Answer { status, retry_after, body: answer.json().await? })
    }
}

impl Instance {
    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// As an operator asks it to end, who installs another version.
    pub(crate) fn stop(&self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
    }

    /// Starts it again, once it has ended.
    pub(crate) async fn restart(&mut self) {
        while self.process.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(20)).await;
        }
        self.process = serve(&self.config, &self.log);
        self.wait_until_ready().await;
    }

    async fn wait_until_ready(&mut self) {
        let (begun, url, http) = (Instant::now(), format!("{}/readyz", self.base), http());
        while http.get(&url).send().await.is_err() {
            let ended = self.process.try_wait().unwrap();
            let log = || std::fs::read_to_string(&self.log).unwrap();
            assert!(ended.is_none() && begun.elapsed() < START_WITHIN, "{ended:?}\n{}", log());
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn serve(config: &PathBuf, log: &PathBuf) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    command.args(["serve", "--config"]).arg(config).current_dir(config.parent().unwrap());
    let log = File::options().create(true).append(true).open(log).unwrap();
    command.env("RUST_LOG", "warn").stdin(Stdio::null()).stderr(log).spawn().unwrap()
}

fn vendor(issuer: &str, life: Duration) -> Peer {
    let client = |id: &str, path: &str| {
        json!({ "client_id": id, "redirect_uris": [format!("{issuer}/{path}/callback")],
                "application_type": "native", "token_endpoint_auth_method": "none", "response_types": ["code"],
                "grant_types": ["authorization_code", "refresh_token"] })
    };
    let config = json!({
        "clients": [client("door", "login/acme"), client("us", "connect/files")],
        "users": { LOGIN: { "name": "Alice", "email": "alice@acme.test", "email_verified": true } },
        "resources": { "https://api.storm.test": "files:read" },
        "ttl": { "AccessToken": life.as_secs() },
    });
    Peer::start(node("oidc-provider.mjs").env("PROVIDER", config.to_string()))
}

/// The operator's file; JSON is YAML. `at`: what all the processes are called, and where this one listens.
fn configuration(at: (&str, &str), vendor: &str, database: &str, key: &str) -> Value {
    json!({
        "server": { "issuer": at.0, "listen": at.1, "admin_listen": "127.0.0.1:0" },
        "database": { "url": database },
        "encryption": { "keys": [{ "id": "one", "key": key }] },
        // All of the run is one visit of hers.
        "lifetimes": { "access_token": "1d" },
        "providers": { "acme": {
            "preset": "oidc", "issuer": vendor, "client_id": "door", "client_auth": "none",
            "sign_in": { "anyone": true },
        } },
        "resources": { "notes": {
            "uri": RESOURCE, "name": "Notes",
            "scopes": { "notes:read": { "description": "Read your notes", "default": true } },
        } },
        "clients": {
            "desk": { "name": "Desk", "redirect_uris": [CALLBACK] },
            "notes-server": { "secret": SECRET, "serves": "notes" },
        },
        "connections": { "files": {
            "preset": "oidc", "name": "Files", "issuer": vendor, "client_id": "us", "client_auth": "none",
            "use": { "notes": { "notes:read": ["email"] } },
            "vendor": { "refresh_margin": "1s" },
            "limits": { "vends_per_minute": 1_000_000 },
        } },
    })
}
