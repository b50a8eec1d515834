//! Code and refresh grants per second, and memory before and after 10,000 tokens: `chancery serve` on SQLite and on
//! PostgreSQL, durable, beside npm `oidc-provider`, which keeps everything in memory, in one run on one machine.
//!
//! `cargo bench --bench load`, after `tests/run --only interop` has installed the peer. PostgreSQL is left out unless
//! `CHANCERY_BENCH_POSTGRES` names an empty database. Both servers answer public clients with ES256 access tokens for
//! one resource and rotate refresh tokens.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot go on ends, and prints what it found"
)]

#[path = "../it/support/browser.rs"]
#[expect(dead_code, reason = "shared with the stories, which need more of it")]
mod browser;

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use browser::{Browser, Page};
use chancery::{
    clock::Clock,
    dev::provider::{TestClient, TestProvider},
    entropy::Entropy,
    oauth::pkce::CodeChallenge,
    secret::Secret,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

const REDIRECT_URI: &str = "https://bench.example/callback";
const RESOURCE: &str = "https://mcp.bench.example/mcp";
/// Fewer than one address may begin in a minute (`web::limits`); the refreshes make the tokens many.
const CODES: usize = 500;
const CLIENTS: usize = 16;
/// So many tokens are issued altogether before memory is looked at again.
const TOKENS: usize = 10_000;

/// A server under load.
struct Target {
    name: &'static str,
    authorize: String,
    token: String,
    process: Child,
    /// The peer ends when its standard input is closed, and when it cannot print.
    _pipes: Option<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in("target").unwrap();
    println!(
        "{:<28} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "", "codes/s", "refresh/s", "p99 ms", "idle MiB", "after MiB"
    );
    let stop = CancellationToken::new();
    let sqlite =
        format!("sqlite://{}", std::path::absolute(folder.path().join("bench.db")).unwrap().display());
    measure(chancery("chancery, SQLite", &sqlite, folder.path(), &stop).await, "/").await;
    #[expect(clippy::disallowed_methods, reason = "where the server is, only the environment knows")]
    if let Ok(url) = std::env::var("CHANCERY_BENCH_POSTGRES") {
        measure(chancery("chancery, PostgreSQL", &url, folder.path(), &stop).await, "/").await;
    }
    measure(peer(), "/interaction").await;
    stop.cancel();
}

async fn chancery(name: &'static str, database: &str, folder: &Path, stop: &CancellationToken) -> Target {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let issuer = format!("http://127.0.0.1:{port}");
    let secret = Entropy::System.token();
    let client = TestClient {
        id: "chancery".into(),
        secret: Secret::new(secret.clone()),
        redirect_uri: format!("{issuer}/login/test/callback").try_into().unwrap(),
    };
    let key = STANDARD.encode(Entropy::System.bytes::<32>());
    let provider = TestProvider::bind(0, client, Clock::System, Entropy::System).await.unwrap();
    let mut yaml = String::new();
    write!(
        yaml,
        r#"server: {{ issuer: "{issuer}", listen: "127.0.0.1:{port}", admin_listen: "127.0.0.1:0" }}
database: {{ url: "{database}" }}
encryption: {{ keys: [{{ id: k1, key: "{key}" }}] }}
providers:
  test: {{ preset: oidc, issuer: "{}", client_id: chancery, client_secret: "{secret}", sign_in: {{ anyone: true }} }}
resources:
  bench: {{ uri: "{RESOURCE}", name: Bench, scopes: {{ "bench:read": {{ description: Read, default: true }} }} }}
clients:
  bench: {{ name: Bench, redirect_uris: ["{REDIRECT_URI}"] }}
lifetimes: {{ code: 10m }}
"#,
        provider.issuer()
    )
    .unwrap();
    tokio::spawn(provider.serve(stop.clone()));
    let config = folder.join("config.yaml");
    std::fs::write(&config, yaml).unwrap();
    let process = Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(["serve", "--config"])
        .arg(&config)
        .env("RUST_LOG", "warn")
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    while !ready(&format!("{issuer}/readyz")).await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Target {
        name,
        authorize: format!("{issuer}/oauth/authorize"),
        token: format!("{issuer}/oauth/token"),
        process,
        _pipes: None,
    }
}

async fn ready(url: &str) -> bool {
    http().get(url).send().await.is_ok_and(|answer| answer.status() == 200)
}

/// One pool of connections for everything, so that servers are measured and not handshakes.
#[expect(clippy::disallowed_methods, reason = "the load is no part of the house")]
fn http() -> reqwest::Client {
    static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
    });
    HTTP.clone()
}

fn peer() -> Target {
    let config = json!({
        "clients": [{ "client_id": "bench", "redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none",
                      "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"] }],
        "users": { "ada": { "name": "Ada" } },
        "resources": { RESOURCE: "bench:read" },
        "ttl": { "AuthorizationCode": 600 },
    });
    let mut process = Command::new("node")
        .arg("target/peers/oidc-provider.mjs")
        .env("PROVIDER", config.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = process.stdin.take().unwrap();
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let issuer = ready["issuer"].as_str().unwrap().to_owned();
    Target {
        name: "oidc-provider, in memory",
        authorize: format!("{issuer}/auth"),
        token: format!("{issuer}/token"),
        process,
        _pipes: Some((stdin, stdout)),
    }
}

async fn measure(target: Target, form: &str) {
    let target = Arc::new(target);
    let idle = resident_mib(&target.process);
    let verifier = Entropy::System.token();
    let browser = Browser::new();
    sign_in(&browser, &target.authorize, &verifier, form).await;
    let codes = obtain_codes(&browser, &target.authorize, &verifier).await;

    let http = http();
    let began = Instant::now();
    let shared = (http.clone(), Arc::clone(&target), verifier);
    let tokens = spread(codes, move |code| {
        let (http, target, verifier) = shared.clone();
        async move {
            let form = [
                ("grant_type", "authorization_code"),
                ("client_id", "bench"),
                ("redirect_uri", REDIRECT_URI),
                ("resource", RESOURCE),
                ("code", &code),
                ("code_verifier", &verifier),
            ];
            refresh_token_of(http.post(&target.token).form(&form).send().await.unwrap()).await
        }
    })
    .await;
    let exchanged = rate(CODES, began);

    let began = Instant::now();
    let mut latencies = refresh_all(&http, &target, tokens).await;
    let refreshed = rate(latencies.len(), began);
    let after = resident_mib(&target.process);
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100];
    println!(
        "{:<28} {exchanged:>10.0} {refreshed:>10.0} {:>10.1} {idle:>10.0} {after:>10.0}",
        target.name,
        p99.as_secs_f64() * 1000.0,
    );
}

/// Signs in once and consents, so that later requests are answered with a code at once.
async fn sign_in(browser: &Browser, authorize: &str, verifier: &str, form: &str) {
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

fn authorize_url(authorize: &str, verifier: &str) -> String {
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

async fn obtain_codes(browser: &Browser, authorize: &str, verifier: &str) -> Vec<String> {
    let shared = (Arc::new(browser.copy()), authorize_url(authorize, verifier));
    spread((0..CODES).collect(), move |_| {
        let (browser, url) = shared.clone();
        async move {
            let back: Page = browser.open_until(&url, REDIRECT_URI).await;
            back.parameter("code").unwrap_or_else(|| panic!("no code at {}", back.url))
        }
    })
    .await
}

/// Refreshes chains of tokens, one for each client, until [`TOKENS`] were issued. Answers how long each took.
async fn refresh_all(http: &reqwest::Client, target: &Arc<Target>, tokens: Vec<String>) -> Vec<Duration> {
    const EACH: usize = (TOKENS - CODES) / CLIENTS;
    let chains = tokens.into_iter().take(CLIENTS).map(|mut token| {
        let (http, target) = (http.clone(), Arc::clone(target));
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            for _ in 0..EACH {
                let began = Instant::now();
                let form =
                    [("grant_type", "refresh_token"), ("client_id", "bench"), ("refresh_token", &token)];
                token = refresh_token_of(http.post(&target.token).form(&form).send().await.unwrap()).await;
                latencies.push(began.elapsed());
            }
            latencies
        })
    });
    let mut all = Vec::new();
    for chain in chains.collect::<Vec<_>>() {
        all.extend(chain.await.unwrap());
    }
    all
}

async fn refresh_token_of(answer: reqwest::Response) -> String {
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    body["refresh_token"].as_str().unwrap_or_else(|| panic!("{status}: {body}")).to_owned()
}

/// Does `work` on every item, as many at a time as there are clients.
async fn spread<I: Send + 'static, F: Future<Output = String> + Send>(
    items: Vec<I>,
    work: impl Fn(I) -> F + Clone + Send + 'static,
) -> Vec<String> {
    let queue = Arc::new(std::sync::Mutex::new(items));
    let workers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (queue, work) = (Arc::clone(&queue), work.clone());
            tokio::spawn(async move {
                let mut done = Vec::new();
                loop {
                    let Some(item) = queue.lock().unwrap().pop() else { return done };
                    done.push(work(item).await);
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.unwrap());
    }
    all
}

fn rate(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

fn resident_mib(process: &Child) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
