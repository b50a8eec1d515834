//! 100,000 tokens moved to another encryption key by `chancery keys rotate --encryption`, on SQLite and on PostgreSQL,
//! while a server hands tokens out: how many a second, how long those who ask wait, and how many get nothing.
//!
//! `cargo bench --bench rewrap`; behind `--` may stand the `--rate` of the job, and how many tokens. PostgreSQL is left
//! out unless `CHANCERY_BENCH_POSTGRES` names an empty database. Ends badly if somebody was refused a token.

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
#[expect(dead_code, reason = "shared with the other load runs")]
mod house;
#[path = "../house/kept.rs"]
mod kept;
mod person;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use browser::Browser;
use chancery::{
    app::App,
    clock::Clock,
    config::{Config, environment::Environment},
    entropy::Entropy,
    ids::UserId,
};
use house::{RESOURCE, Target, chancery, databases, http, p99_ms, spread};
use kept::{keep, keep_for};
use person::{REDIRECT_URI, authorize_url, sign_in};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// How many tokens, unless it is said.
const TOKENS: usize = 100_000;
/// So many of them are of accounts that are asked for, in between all others.
const ASKED_FOR: usize = 50;
/// Who asks, again and again.
const ASKERS: usize = 4;
const BEFORE: Duration = Duration::from_secs(5);
const SECRET: &str = "a-benchmarks-own-secret-0123456789";
const ACCESS: &str = "what-the-vendor-gave-0123456789";

#[tokio::main]
async fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let (rate, tokens) = (numbers.next().unwrap_or(2000), numbers.next().unwrap_or(TOKENS));
    let folder = tempfile::tempdir_in("target").unwrap();
    println!("{tokens} tokens, {rate} a second at most; beside it {ASKERS} who ask for tokens");
    println!(
        "{:<22} {:>9} {:>7} {:>10} {:>10} {:>10} {:>10} {:>8}",
        "", "moved/s", "s", "asked/s", "p99 ms", "before /s", "p99 ms", "failed"
    );
    let stop = CancellationToken::new();
    let sections = format!(
        r#"clients:
  bench: {{ name: Bench, redirect_uris: ["{REDIRECT_URI}"] }}
  its-server: {{ secret: {SECRET}, serves: bench }}
connections:
  code:
    preset: oauth2
    authorize_url: https://vendor.example/authorize
    token_url: https://vendor.example/token
    identity_url: https://vendor.example/me
    client_id: us
    client_secret: what-proves-us-at-the-vendor
    use: {{ bench: {{ "bench:read": [repo] }} }}
    account: {{ several: true }}
    limits: {{ vends_per_minute: 10000000 }}
lifetimes: {{ access_token: 1h }}
"#
    );
    let mut failed = 0;
    for (name, database) in databases(folder.path()) {
        let target = Arc::new(chancery(name, &database, ("", &sections), folder.path(), &stop).await);
        let config = folder.path().join("config.yaml");
        let subject = subject_token(&target).await;
        fill(&config, &subject, tokens).await;
        let before = ask(&target, &subject, &Arc::default(), BEFORE).await;
        let (took, during) = move_all(&target, &subject, &config, (rate, tokens)).await;
        failed += before.failed + during.failed;
        println!(
            "{name:<22} {:>9.0} {:>7.1} {:>10.0} {:>10.1} {:>10.0} {:>10.1} {:>8}",
            tokens as f64 / took.as_secs_f64(),
            took.as_secs_f64(),
            during.latencies.len() as f64 / took.as_secs_f64(),
            p99_ms(during.latencies),
            before.latencies.len() as f64 / BEFORE.as_secs_f64(),
            p99_ms(before.latencies),
            before.failed + during.failed,
        );
    }
    stop.cancel();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ada's token for the resource whose server asks.
async fn subject_token(target: &Target) -> String {
    let (browser, verifier) = (Browser::new(), Entropy::System.token());
    sign_in(&browser, &target.authorize, &verifier, "/").await;
    let back = browser.open_until(&authorize_url(&target.authorize, &verifier), REDIRECT_URI).await;
    let code = back.parameter("code").unwrap_or_else(|| panic!("no code at {}", back.url));
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "bench"),
        ("redirect_uri", REDIRECT_URI),
        ("resource", RESOURCE),
        ("code", &code),
        ("code_verifier", &verifier),
    ];
    let answer: Value = http().post(&target.token).form(&form).send().await.unwrap().json().await.unwrap();
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Puts tokens into the database that the second key has sealed, which a server of yesterday had on top.
async fn fill(config: &Path, subject: &str, tokens: usize) {
    let text = std::fs::read_to_string(config).unwrap();
    let mut config = Config::parse(&text, "config.yaml", &Environment::of([])).unwrap();
    config.encryption.keys.reverse();
    let app = App::open(config, Clock::System, Entropy::System, false).await.unwrap();
    let claims = URL_SAFE_NO_PAD.decode(subject.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let ada = UserId::parse(claims["sub"].as_str().unwrap()).unwrap();
    let shared = (Arc::clone(&app), ada, tokens / ASKED_FOR);
    spread((0..tokens).rev().collect(), move |number| {
        let (app, ada, every) = shared.clone();
        async move {
            let kept = (ACCESS, Some("what-gets-the-next-one-0123456789"));
            if number % every == 0 {
                let account = number / every;
                keep_for(&app, &ada, "code", kept, |row| {
                    row.account = account.to_string();
                    row.is_default = account == 0;
                })
                .await;
            } else {
                keep(&app, "code", kept, |_| ()).await;
            }
        }
    })
    .await;
    app.db.close().await;
}

/// What those who ask have found.
#[derive(Default)]
struct Found {
    latencies: Vec<Duration>,
    failed: usize,
}

/// Asks for tokens until it is `over`, or has lasted so long.
async fn ask(target: &Arc<Target>, subject: &str, over: &Arc<AtomicBool>, longest: Duration) -> Found {
    let askers: Vec<_> = (0..ASKERS)
        .map(|asker| {
            let (target, subject, over) = (Arc::clone(target), subject.to_owned(), Arc::clone(over));
            tokio::spawn(async move {
                let (began, mut found) = (Instant::now(), Found::default());
                let mut account = asker;
                while !over.load(Ordering::Relaxed) && began.elapsed() < longest {
                    let asked = Instant::now();
                    if let Err(answer) = one(&target, &subject, account % ASKED_FOR).await {
                        println!("refused: {answer}");
                        found.failed += 1;
                    }
                    found.latencies.push(asked.elapsed());
                    account += 1;
                }
                found
            })
        })
        .collect();
    let mut all = Found::default();
    for asker in askers {
        let Found { latencies, failed } = asker.await.unwrap();
        all.latencies.extend(latencies);
        all.failed += failed;
    }
    all
}

/// Asks for the token of one account.
async fn one(target: &Target, subject: &str, account: usize) -> Result<(), String> {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("client_id", "its-server"),
        ("client_secret", SECRET),
        ("subject_token", subject),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", &format!("code/{account}")),
    ];
    let answer = http().post(&target.token).form(&form).send().await.map_err(|error| error.to_string())?;
    let body: Value = answer.json().await.map_err(|error| error.to_string())?;
    if body["access_token"] == ACCESS { Ok(()) } else { Err(body.to_string()) }
}

/// Runs the job while tokens are asked for.
async fn move_all(
    target: &Arc<Target>,
    subject: &str,
    config: &Path,
    (rate, tokens): (usize, usize),
) -> (Duration, Found) {
    let over = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&over);
    let config: PathBuf = config.to_owned();
    let job = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_chancery"))
            .args(["keys", "rotate", "--encryption", "--rate", &rate.to_string(), "--config"])
            .arg(config)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let took = began.elapsed();
        ended.store(true, Ordering::Relaxed);
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{told}");
        assert!(
            told.contains(&format!("moved {tokens}, replaced by others meanwhile 0, refused 0")),
            "{told}"
        );
        took
    });
    let found = ask(target, subject, &over, Duration::MAX).await;
    (job.await.unwrap(), found)
}
