//! What every load run needs: the servers that are measured, as processes, and requests in parallel.

pub(crate) mod assertions;

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, LazyLock, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery::{
    clock::Clock,
    dev::provider::{TestClient, TestProvider},
    entropy::Entropy,
    secret::Secret,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The resource that tokens are for.
pub(crate) const RESOURCE: &str = "https://mcp.bench.example/mcp";
/// Requests at a time.
pub(crate) const CLIENTS: usize = 16;

/// The configuration of a server, in the folder of the run.
pub(crate) const CONFIG: &str = "config.yaml";

/// A server under load.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// How it calls itself in tokens.
    pub(crate) issuer: String,
    pub(crate) authorize: String,
    pub(crate) token: String,
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

/// `chancery serve` with a provider that lets its test users in. `further` is YAML: the section `clients`, and whatever
/// else the run needs; `provider` is further keys of the provider.
pub(crate) async fn chancery(
    name: &'static str,
    database: &str,
    (provider, further): (&str, &str),
    folder: &Path,
    stop: &CancellationToken,
) -> Target {
    let port = free_port();
    let issuer = format!("http://127.0.0.1:{port}");
    let secret = Entropy::System.token();
    let client = TestClient {
        id: "chancery".into(),
        secret: Secret::new(secret.clone()),
        redirect_uri: format!("{issuer}/login/test/callback").try_into().unwrap(),
    };
    let [key, older] = [(); 2].map(|()| STANDARD.encode(Entropy::System.bytes::<32>()));
    let test = TestProvider::bind(0, client, Clock::System, Entropy::System).await.unwrap();
    let mut yaml = String::new();
    write!(
        yaml,
        r#"server: {{ issuer: "{issuer}", listen: "127.0.0.1:{port}", admin_listen: "127.0.0.1:0" }}
database: {{ url: "{database}" }}
encryption: {{ keys: [{{ id: k1, key: "{key}" }}, {{ id: k0, key: "{older}" }}] }}
providers:
  test: {{ preset: oidc, issuer: "{}", client_id: chancery, client_secret: "{secret}", sign_in: {{ anyone: true }}{provider} }}
resources:
  bench: {{ uri: "{RESOURCE}", name: Bench, scopes: {{ "bench:read": {{ description: Read, default: true }} }} }}
{further}"#,
        test.issuer()
    )
    .unwrap();
    tokio::spawn(test.serve(stop.clone()));
    let config = folder.join(CONFIG);
    std::fs::write(&config, yaml).unwrap();
    serve(name, issuer, &config, port).await
}

/// Another instance of the server that [`chancery`] started in this folder, on the same database.
pub(crate) async fn twin(of: &Target, folder: &Path) -> Target {
    let port = free_port();
    let config = std::fs::read_to_string(folder.join(CONFIG)).unwrap();
    let here = format!("listen: \"{}\"", of.issuer.strip_prefix("http://").unwrap());
    assert!(config.contains(&here), "{config}");
    let path = folder.join("twin.yaml");
    std::fs::write(&path, config.replace(&here, &format!("listen: \"127.0.0.1:{port}\""))).unwrap();
    serve(of.name, of.issuer.clone(), &path, port).await
}

async fn serve(name: &'static str, issuer: String, config: &Path, port: u16) -> Target {
    let process = on_its_core(env!("CARGO_BIN_EXE_chancery"))
        .args(["serve", "--config"])
        .arg(config)
        .env("RUST_LOG", "warn")
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let base = format!("http://127.0.0.1:{port}");
    while !ready(&format!("{base}/readyz")).await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Target {
        name,
        authorize: format!("{base}/oauth/authorize"),
        token: format!("{base}/oauth/token"),
        issuer,
        process,
        _pipes: None,
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The engines of a run: SQLite in `folder`, and PostgreSQL where `CHANCERY_BENCH_POSTGRES` names an empty database.
pub(crate) fn databases(folder: &Path) -> Vec<(&'static str, String)> {
    let file = std::path::absolute(folder.join("bench.db")).unwrap();
    let mut all = vec![("chancery, SQLite", format!("sqlite://{}", file.display()))];
    #[expect(clippy::disallowed_methods, reason = "where the server is, only the environment knows")]
    if let Ok(url) = std::env::var("CHANCERY_BENCH_POSTGRES") {
        all.push(("chancery, PostgreSQL", url));
    }
    all
}

/// npm `oidc-provider` with this configuration (tests/peers/oidc-provider.mjs).
pub(crate) fn peer(config: &Value) -> Target {
    let mut process = on_its_core("node")
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
        issuer,
        process,
        _pipes: Some((stdin, stdout)),
    }
}

/// With `CHANCERY_BENCH_CORE` the server has that core of the machine alone (and the load should have another).
fn on_its_core(program: &str) -> Command {
    #[expect(clippy::disallowed_methods, reason = "which cores are free, only the environment knows")]
    let core = std::env::var("CHANCERY_BENCH_CORE");
    let Ok(core) = core else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", &core, program]);
    command
}

async fn ready(url: &str) -> bool {
    http().get(url).send().await.is_ok_and(|answer| answer.status() == 200)
}

/// One pool of connections for everything, so that servers are measured and not handshakes.
#[expect(clippy::disallowed_methods, reason = "the load is no part of the house")]
pub(crate) fn http() -> reqwest::Client {
    static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
    });
    HTTP.clone()
}

/// Does `work` on every item, as many at a time as there are clients.
pub(crate) async fn spread<I: Send + 'static, O: Send + 'static, F: Future<Output = O> + Send>(
    items: Vec<I>,
    work: impl Fn(I) -> F + Clone + Send + 'static,
) -> Vec<O> {
    let queue = Arc::new(Mutex::new(items));
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

/// A second's worth of `count` since `began`.
pub(crate) fn rate(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

/// What 99 of 100 took at most, in milliseconds.
pub(crate) fn p99_ms(mut latencies: Vec<Duration>) -> f64 {
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100].as_secs_f64() * 1000.0
}

impl Target {
    /// Memory that it holds.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Processor time that it has used. Linux counts it in hundredths of a second.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }
}
