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
#[expect(dead_code, reason = "shared with the other load run")]
mod house;
mod person;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use browser::{Browser, Page};
use chancery::entropy::Entropy;
use house::{CLIENTS, RESOURCE, Target, chancery, databases, http, p99_ms, peer, rate, spread};
use person::{REDIRECT_URI, authorize_url, sign_in};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Fewer than one address may begin in a minute (`web::limits`); the refreshes make the tokens many.
const CODES: usize = 500;
/// So many tokens are issued altogether before memory is looked at again.
const TOKENS: usize = 10_000;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in("target").unwrap();
    println!(
        "{:<28} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "", "codes/s", "refresh/s", "p99 ms", "idle MiB", "after MiB"
    );
    let stop = CancellationToken::new();
    let client = format!(
        "clients: {{ bench: {{ name: Bench, redirect_uris: [\"{REDIRECT_URI}\"] }} }}\nlifetimes: {{ code: 10m }}\n"
    );
    for (name, database) in databases(folder.path()) {
        measure(chancery(name, &database, ("", &client), folder.path(), &stop).await, "/").await;
    }
    let config = json!({
        "clients": [{ "client_id": "bench", "redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none",
                      "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"] }],
        "users": { "ada": { "name": "Ada" } },
        "resources": { RESOURCE: "bench:read" },
        "ttl": { "AuthorizationCode": 600 },
    });
    measure(peer(&config), "/interaction").await;
    stop.cancel();
}

async fn measure(target: Target, form: &str) {
    let target = Arc::new(target);
    let idle = target.resident_mib();
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
    let latencies = refresh_all(&http, &target, tokens).await;
    let refreshed = rate(latencies.len(), began);
    let after = target.resident_mib();
    println!(
        "{:<28} {exchanged:>10.0} {refreshed:>10.0} {:>10.1} {idle:>10.0} {after:>10.0}",
        target.name,
        p99_ms(latencies),
    );
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
