//! Grants of programs per second, where no person waits: ID-JAG assertions (RFC 7523) and client credentials at
//! `chancery serve` on SQLite and on PostgreSQL, durable, the latter beside npm `oidc-provider`, which keeps everything
//! in memory, in one run on one machine.
//!
//! `cargo bench --bench machine`, after `tests/run --only interop` has installed the peer. `CHANCERY_BENCH_POSTGRES`
//! names an empty database; `CHANCERY_BENCH_CORE=0` gives the measured server that core alone. Every answer is an ES256
//! access token for one resource. "signatures" is the share of the server's processor time that checking the
//! assertion's signature takes, by the time that the same check takes here.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot go on ends, and prints what it found"
)]

#[expect(dead_code, reason = "shared with the other load run")]
mod house;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chancery::jose::{KeySet, Signer, Unverified, verifier::Kind};
use house::{
    RESOURCE, Target,
    assertions::{AssertionIssuer, Form, SECRET, agents, client_credentials as form, keys_of},
    chancery, databases, http, p99_ms, peer, rate, spread,
};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Of each grant, after as many as a tenth to warm up.
const GRANTS: usize = 10_000;
/// Whom the assertions are about, in turn: grants for one person wait for one another.
const PEOPLE: usize = 500;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in("target").unwrap();
    let stop = CancellationToken::new();
    let issuer = AssertionIssuer::start().await;
    let (trust, clients) = agents(&issuer);
    println!(
        "{:<28} {:<20} {:>10} {:>10} {:>12} {:>11}",
        "", "", "grants/s", "p99 ms", "core µs each", "signatures"
    );
    for (name, database) in databases(folder.path()) {
        let target = Arc::new(chancery(name, &database, (&trust, &clients), folder.path(), &stop).await);
        let assertions =
            |count: usize| (0..count).map(|n| issuer.form(&target.issuer, n % PEOPLE)).collect::<Vec<Form>>();
        grant(&target, assertions(GRANTS / 10)).await;
        let forms = assertions(GRANTS);
        let check = time_of_a_check(&issuer.signer, &forms);
        print(&target, "ID-JAG", &grant(&target, forms).await, Some(check));
        client_credentials(&target).await;
    }
    let config = json!({
        "clients": [{ "client_id": "job", "client_secret": SECRET, "redirect_uris": [], "response_types": [],
                      "token_endpoint_auth_method": "client_secret_post", "grant_types": ["client_credentials"] }],
        "resources": { RESOURCE: "bench:read" },
        "client_credentials": true,
    });
    client_credentials(&Arc::new(peer(&config))).await;
    stop.cancel();
}

async fn client_credentials(target: &Arc<Target>) {
    grant(target, vec![form(); GRANTS / 10]).await;
    print(target, "client credentials", &grant(target, vec![form(); GRANTS]).await, None);
}

/// What a run of grants took.
struct Took {
    rate: f64,
    p99_ms: f64,
    /// Processor time of the server for each.
    each: Duration,
}

async fn grant(target: &Arc<Target>, forms: Vec<Form>) -> Took {
    let (count, before, began) = (forms.len(), target.processor_time(), Instant::now());
    let shared = (http(), Arc::clone(target));
    let latencies = spread(forms, move |form| {
        let (http, target) = shared.clone();
        async move {
            let began = Instant::now();
            let answer = http.post(&target.token).form(&form).send().await.unwrap();
            let status = answer.status();
            let body: Value = answer.json().await.unwrap();
            assert!(body["access_token"].is_string(), "{status}: {body}");
            began.elapsed()
        }
    })
    .await;
    let rate = rate(count, began);
    let each = target.processor_time().saturating_sub(before) / u32::try_from(count).unwrap();
    Took { rate, p99_ms: p99_ms(latencies), each }
}

/// How long one core needs to check an assertion's signature.
fn time_of_a_check(signer: &Signer, forms: &[Form]) -> Duration {
    let keys = KeySet::parse(keys_of(signer).to_string().as_bytes()).unwrap();
    let key = keys.find(Some(signer.kid()), Algorithm::ES256).unwrap();
    let some = &forms[..1000];
    let began = Instant::now();
    for form in some {
        let (_, assertion) = form.last().unwrap();
        Unverified::parse(assertion, Kind::IdJag, &[Algorithm::ES256]).unwrap().verify(&key).unwrap();
    }
    began.elapsed() / u32::try_from(some.len()).unwrap()
}

fn print(target: &Target, what: &str, took: &Took, check: Option<Duration>) {
    let share = check.map_or_else(String::new, |check| {
        format!("{:.0} %", 100.0 * check.as_secs_f64() / took.each.as_secs_f64())
    });
    println!(
        "{:<28} {what:<20} {:>10.0} {:>10.1} {:>12} {share:>11}",
        target.name,
        took.rate,
        took.p99_ms,
        took.each.as_micros()
    );
}
