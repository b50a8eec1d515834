//! Grants of programs per second, where no person waits: ID-JAG assertions (RFC 7523), tokens of people's accounts that
//! the vault has in hand, and client credentials at `chancery serve` on SQLite and on PostgreSQL, durable, the last
//! beside npm `oidc-provider`, which keeps everything in memory, in one run on one machine.
//!
//! `cargo bench --bench machine`, after `tests/run --only interop` has installed the peer. `CHANCERY_BENCH_POSTGRES`
//! names an empty database; `CHANCERY_BENCH_CORE=0` gives the measured server that core alone. Every answer of a grant
//! is an ES256 access token for one resource; the subject token of every vend is one. "signatures" is the share of the
//! server's processor time that checking the assertion's signature takes, by the time that the same check takes here.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot go on ends, and prints what it found"
)]

#[expect(dead_code, reason = "shared with the other load run")]
mod house;
#[path = "../house/kept.rs"]
#[expect(dead_code, reason = "shared with the stories, which need more of it")]
mod kept;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery::{
    app::App,
    clock::Clock,
    config::{Config, environment::Environment},
    entropy::Entropy,
    ids::UserId,
    jose::{KeySet, Signer, Unverified, verifier::Kind},
};
use house::{
    RESOURCE, Target,
    assertions::{AssertionIssuer, Form, SECRET, agents, client_credentials as form, keys_of},
    chancery, databases, http, p99_ms, peer, rate, spread,
};
use jsonwebtoken::Algorithm;
use kept::keep_for;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Of each grant, after as many as a tenth to warm up.
const GRANTS: usize = 10_000;
/// Whom the assertions are about, in turn: grants for one person wait for one another.
const PEOPLE: usize = 500;
/// What the vendor gave each of them.
const VENDORS_TOKEN: &str = "gho_0123456789abcdefghijklmnopqrstuvwxyz";

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in("target").unwrap();
    let stop = CancellationToken::new();
    let issuer = AssertionIssuer::start().await;
    let (trust, mut further) = agents(&issuer);
    further.push_str(&server_of_the_resource());
    println!(
        "{:<28} {:<20} {:>10} {:>10} {:>12} {:>11}",
        "", "", "grants/s", "p99 ms", "core µs each", "signatures"
    );
    for (name, database) in databases(folder.path()) {
        let target = Arc::new(chancery(name, &database, (&trust, &further), folder.path(), &stop).await);
        let assertions =
            |count: usize| (0..count).map(|n| issuer.form(&target.issuer, n % PEOPLE)).collect::<Vec<Form>>();
        grant(&target, assertions(GRANTS / 10)).await;
        let forms = assertions(GRANTS);
        let check = time_of_a_check(&issuer.signer, &forms);
        print(&target, "ID-JAG", &grant(&target, forms).await, Some(check));
        vends(&target, assertions(PEOPLE), folder.path()).await;
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

/// One more of the section `clients`, and the connection that it uses.
fn server_of_the_resource() -> String {
    format!(
        "  server: {{ secret: {SECRET}, serves: bench }}\n\
         connections:\n  code: {{ preset: oauth2, client_id: us, client_secret: what-proves-us-there, \
         authorize_url: \"https://code.example/authorize\", token_url: \"https://code.example/token\", \
         identity_url: \"https://code.example/me\", use: {{ bench: {{ \"bench:read\": [repo] }} }} }}\n"
    )
}

/// The server of the resource trades each person's token for that of her account, which is good for an hour.
async fn vends(target: &Arc<Target>, assertions: Vec<Form>, folder: &Path) {
    let shared = (http(), Arc::clone(target));
    let tokens = spread(assertions, move |form| {
        let (http, target) = shared.clone();
        async move {
            let answer = http.post(&target.token).form(&form).send().await.unwrap();
            answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
        }
    })
    .await;
    let written = std::fs::read_to_string(folder.join("config.yaml")).unwrap();
    let config = Config::parse(&written, "config.yaml", &Environment::of([])).unwrap();
    let app = App::open(config, Clock::System, Entropy::System, false).await.unwrap();
    let expires_at = app.clock.now().plus(Duration::from_secs(3600));
    for token in &tokens {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let user = UserId::parse(claims["sub"].as_str().unwrap()).unwrap();
        keep_for(&app, &user, "code", (VENDORS_TOKEN, None), |row| row.expires_at = Some(expires_at)).await;
    }
    let form = |n: usize| -> Form {
        vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange".to_owned()),
            ("client_id", "server".to_owned()),
            ("client_secret", SECRET.to_owned()),
            ("subject_token", tokens[n % PEOPLE].clone()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token".to_owned()),
            ("audience", "code".to_owned()),
        ]
    };
    grant(target, (0..GRANTS / 10).map(form).collect()).await;
    print(target, "vends from cache", &grant(target, (0..GRANTS).map(form).collect()).await, None);
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
