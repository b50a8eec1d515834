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

use chancery::{
    clock::Clock,
    entropy::Entropy,
    jose::{KeySet, Signer, Unverified, signer::SigningAlgorithm, verifier::Kind},
};
use house::{RESOURCE, Target, chancery, databases, http, p99_ms, peer, rate, spread};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

const SECRET: &str = "a-benchmarks-own-secret-0123456789";
/// Of each grant, after as many as a tenth to warm up.
const GRANTS: usize = 10_000;
/// Whom the assertions are about, in turn: grants for one person wait for one another.
const PEOPLE: usize = 500;
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

type Form = Vec<(&'static str, String)>;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in("target").unwrap();
    let stop = CancellationToken::new();
    let (issuer, signer) = assertion_issuer().await;
    let trust = format!(
        ", id_jag: {{ issuers: [{{ issuer: \"{}\" }}], allow: {{ bench: {{ clients: [agent], scopes: [\"bench:read\"] }} }} }}",
        issuer.uri()
    );
    let clients = format!(
        "clients:\n  agent: {{ name: Agent, secret: {SECRET}, grant_types: [\"{JWT_BEARER}\"] }}\n  \
         job: {{ name: Job, secret: {SECRET}, grant_types: [client_credentials], resources: {{ bench: [\"bench:read\"] }} }}\n"
    );
    println!(
        "{:<28} {:<20} {:>10} {:>10} {:>12} {:>11}",
        "", "", "grants/s", "p99 ms", "core µs each", "signatures"
    );
    for (name, database) in databases(folder.path()) {
        let target = Arc::new(chancery(name, &database, (&trust, &clients), folder.path(), &stop).await);
        let claims = Claims { issuer: issuer.uri(), audience: target.issuer.clone() };
        let assertions =
            |count: usize| (0..count).map(|n| claims.form(&signer, n % PEOPLE)).collect::<Vec<Form>>();
        grant(&target, assertions(GRANTS / 10)).await;
        let forms = assertions(GRANTS);
        let check = time_of_a_check(&signer, &forms);
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

/// An issuer of assertions: its metadata and its key.
async fn assertion_issuer() -> (MockServer, Signer) {
    let pkcs8 = SigningAlgorithm::Es256.generate().unwrap();
    let signer = Signer::from_pkcs8(SigningAlgorithm::Es256, &pkcs8).unwrap();
    let server = MockServer::start().await;
    let answers = [
        (
            "/.well-known/openid-configuration",
            json!({ "issuer": server.uri(), "jwks_uri": format!("{}/keys", server.uri()) }),
        ),
        ("/keys", keys_of(&signer)),
    ];
    for (at, body) in answers {
        Mock::given(path(at))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .mount(&server)
            .await;
    }
    (server, signer)
}

fn keys_of(signer: &Signer) -> Value {
    json!({ "keys": [signer.public_jwk()] })
}

/// Whose assertions, and for whom.
struct Claims {
    issuer: String,
    audience: String,
}

impl Claims {
    /// A request with an assertion that nobody has seen yet.
    fn form(&self, signer: &Signer, person: usize) -> Form {
        let now = Clock::System.now().as_secs();
        let claims = json!({
            "iss": self.issuer, "sub": format!("person-{person}"), "aud": self.audience, "client_id": "agent",
            "jti": Entropy::System.token(), "iat": now, "exp": now + 300, "resource": RESOURCE, "scope": "bench:read",
        });
        let assertion = signer.sign("oauth-id-jag+jwt", &claims).unwrap();
        vec![
            ("grant_type", JWT_BEARER.to_owned()),
            ("client_id", "agent".to_owned()),
            ("client_secret", SECRET.to_owned()),
            ("assertion", assertion),
        ]
    }
}

async fn client_credentials(target: &Arc<Target>) {
    let form: Form = vec![
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", "job".to_owned()),
        ("client_secret", SECRET.to_owned()),
        ("resource", RESOURCE.to_owned()),
        ("scope", "bench:read".to_owned()),
    ];
    grant(target, vec![form.clone(); GRANTS / 10]).await;
    print(target, "client credentials", &grant(target, vec![form; GRANTS]).await, None);
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
