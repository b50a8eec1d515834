//! A Transit engine that is up, down, moved, told not to let us in. What it says is what OpenBao 2.7 says.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use url::Url;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use super::*;
use crate::{
    config::encryption::{EncryptionKey, KeySource},
    seal::{KeyProofError, KeyUnavailable, OpenError, SealContext, Sealed, Sealer, prove_keys},
    store::fixture::On,
};

const CONTEXT: SealContext<'static> = SealContext {
    table: "connections",
    column: "sealed",
    row: "r1",
    owner: "u1",
    provider: "github",
    version: 7,
};

/// What one does that "encrypts" by writing down the associated data beside the key.
#[derive(Clone, Default)]
struct Engine {
    /// The token that it accepts; a login gives it.
    token: Arc<std::sync::Mutex<String>>,
    down: Arc<AtomicBool>,
    logins: Arc<AtomicUsize>,
    decrypts: Arc<AtomicUsize>,
}

impl wiremock::Respond for Engine {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let says =
            |status, text: &str| ResponseTemplate::new(status).set_body_json(json!({ "errors": [text] }));
        let gives = |data: Value| ResponseTemplate::new(200).set_body_json(json!({ "data": data }));
        let body: Value = request.body_json().unwrap();
        if self.down.load(Ordering::SeqCst) {
            return says(503, "Vault is sealed");
        }
        assert_eq!(request.headers["x-vault-namespace"], "acme");
        if request.url.path() == "/v1/auth/approle/login" {
            let count = self.logins.fetch_add(1, Ordering::SeqCst);
            assert_eq!(body, json!({ "role_id": "role", "secret_id": "very-secret" }));
            let token = format!("t{count}");
            self.token.lock().unwrap().clone_from(&token);
            let auth = json!({ "client_token": token, "lease_duration": 900, "renewable": true });
            return ResponseTemplate::new(200).set_body_json(json!({ "auth": auth }));
        }
        if request.headers.get("x-vault-token").is_none_or(|sent| sent != self.token.lock().unwrap().as_str())
        {
            return says(403, "permission denied");
        }
        let told = body["associated_data"].as_str().unwrap();
        match request.url.path() {
            "/v1/keys/transit/encrypt/chancery" => {
                let plaintext = body["plaintext"].as_str().unwrap();
                gives(json!({ "ciphertext": format!("vault:v1:{told}.{plaintext}"), "key_version": 1 }))
            }
            "/v1/keys/transit/decrypt/chancery" => {
                self.decrypts.fetch_add(1, Ordering::SeqCst);
                let Some(sealed) = body["ciphertext"].as_str().unwrap().strip_prefix("vault:v1:") else {
                    return says(400, "invalid ciphertext: no prefix");
                };
                match sealed.split_once('.') {
                    Some((bound, plaintext)) if bound == told => gives(json!({ "plaintext": plaintext })),
                    _ => says(400, "cipher: message authentication failed"),
                }
            }
            _ => says(400, "encryption key not found"),
        }
    }
}

struct Stage {
    engine: Engine,
    server: MockServer,
    clock: Clock,
}

fn approle() -> TransitAuth {
    let secret = |text: &str| Secret::new(text.into());
    TransitAuth::AppRole {
        mount: "approle".into(),
        role_id: secret("role"),
        secret_id: secret("very-secret"),
    }
}

impl Stage {
    async fn new() -> Self {
        let (engine, server) = (Engine::default(), MockServer::start().await);
        *engine.token.lock().unwrap() = "root".into();
        Mock::given(any()).respond_with(engine.clone()).mount(&server).await;
        Self { engine, server, clock: Clock::manual(Timestamp::from_secs(1_795_219_200)) }
    }

    fn key(&self, id: &str, auth: TransitAuth) -> EncryptionKey {
        let source = KeySource::Transit(Box::new(encryption::Transit {
            address: Url::parse(&self.server.uri()).unwrap(),
            mount: "keys/transit".into(),
            key: "chancery".into(),
            namespace: Some("acme".into()),
            ca: Vec::new(),
            auth,
        }));
        EncryptionKey { id: id.into(), source }
    }

    fn sealer(&self, auth: TransitAuth) -> Sealer {
        Sealer::new(&[self.key("kms", auth)], &self.clock).unwrap()
    }

    fn rooted(&self) -> Sealer {
        self.sealer(TransitAuth::Token(Secret::new("root".into())))
    }

    fn decrypts(&self) -> usize {
        self.engine.decrypts.load(Ordering::SeqCst)
    }

    fn go_down(&self, down: bool) {
        self.engine.down.store(down, Ordering::SeqCst);
    }
}

async fn seal(sealer: &Sealer) -> Sealed {
    sealer.seal(&Entropy::System, &CONTEXT, b"upstream token").await.unwrap()
}

#[tokio::test]
async fn what_transit_wrapped_opens_in_its_place_alone() {
    let stage = Stage::new().await;
    let sealed = seal(&stage.rooted()).await;
    let other = stage.rooted();
    assert_eq!(**other.open(&CONTEXT, &sealed).await.unwrap(), *b"upstream token");
    let moved = SealContext { owner: "u2", ..CONTEXT };
    assert_eq!(other.open(&moved, &sealed).await, Err(OpenError::Tampered), "Transit says so");
    let requests = stage.server.received_requests().await.unwrap();
    assert!(requests.iter().all(|request| !request.body.windows(8).any(|bytes| bytes == b"upstream")));
}

/// Whoever has the key at Transit as well as the database can wrap data keys of his own; those of the envelope stay.
#[tokio::test]
async fn a_data_key_that_is_not_the_envelope_s_is_refused() {
    let stage = Stage::new().await;
    let sealer = stage.rooted();
    let [one, two] = [seal(&sealer).await.0, seal(&sealer).await.0];
    // format, algorithm, length and id, salt, commitment; then the wrapped key, then nonce and ciphertext.
    let (from, to) = (3 + 3 + 64, one.len() - 12 - 64 - 16);
    let spliced = Sealed([&one[..from], &two[from..to], &one[to..]].concat());
    assert_eq!(sealer.open(&CONTEXT, &spliced).await, Err(OpenError::Tampered));
}

#[tokio::test]
async fn a_data_key_is_kept_five_minutes_and_no_longer() {
    let stage = Stage::new().await;
    let sealed = seal(&stage.rooted()).await;
    let sealer = stage.rooted();
    for _ in 0..3 {
        sealer.open(&CONTEXT, &sealed).await.unwrap();
    }
    assert_eq!(stage.decrypts(), 1);
    stage.go_down(true);
    stage.clock.advance(Duration::from_secs(5 * 60) - Duration::from_millis(1));
    assert!(sealer.open(&CONTEXT, &sealed).await.is_ok(), "it may be away for a while");
    stage.clock.advance(Duration::from_millis(1));
    let outage = |error| OpenError::Unavailable(KeyUnavailable { id: "kms".into(), outage: error });
    assert_eq!(sealer.open(&CONTEXT, &sealed).await, Err(outage(Outage::Trouble(503))));
    let refused = sealer.seal(&Entropy::System, &CONTEXT, b"x").await.unwrap_err();
    assert_eq!(refused.outage, Outage::Trouble(503), "nothing is sealed by anything else");
    stage.go_down(false);
    assert!(sealer.open(&CONTEXT, &sealed).await.is_ok());
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_asks_transit() {
    let stage = Stage::new().await;
    let sealed = seal(&stage.rooted()).await;
    let sealer = stage.rooted();
    let mut opens = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (sealer, sealed) = (sealer.clone(), sealed.clone());
        opens.spawn(async move { sealer.open(&CONTEXT, &sealed).await.is_ok() });
    }
    assert!(opens.join_all().await.into_iter().all(|opened| opened));
    assert_eq!(stage.decrypts(), 1);
}

#[tokio::test]
async fn what_was_just_sealed_needs_no_unwrapping_and_the_kill_switch_ends_that() {
    let stage = Stage::new().await;
    let sealer = stage.rooted();
    let sealed = seal(&sealer).await;
    sealer.open(&CONTEXT, &sealed).await.unwrap();
    assert_eq!(stage.decrypts(), 0);
    sealer.forget_data_keys();
    sealer.open(&CONTEXT, &sealed).await.unwrap();
    assert_eq!(stage.decrypts(), 1);
}

/// An operator who takes our token back means now, not in five minutes.
#[tokio::test]
async fn when_transit_no_longer_lets_us_in_kept_keys_go_too() {
    let stage = Stage::new().await;
    let sealer = stage.rooted();
    let kept = seal(&sealer).await;
    let elsewhere = seal(&stage.rooted()).await;
    *stage.engine.token.lock().unwrap() = "another".into();
    assert!(sealer.open(&CONTEXT, &kept).await.is_ok(), "nobody has said anything yet");
    for sealed in [elsewhere, kept] {
        let error = sealer.open(&CONTEXT, &sealed).await.unwrap_err();
        assert!(matches!(error, OpenError::Unavailable(KeyUnavailable { outage: Outage::Denied, .. })));
    }
}

/// A refresh has its key before it asks anybody, so that a service that goes down meanwhile costs no token.
#[tokio::test]
async fn a_key_that_is_ready_seals_whatever_becomes_of_transit() {
    let stage = Stage::new().await;
    let sealer = stage.rooted();
    let ready = sealer.prepare(&Entropy::System, &CONTEXT).await.unwrap();
    stage.go_down(true);
    assert!(sealer.prepare(&Entropy::System, &CONTEXT).await.is_err());
    let sealed = ready.seal(b"rotated");
    assert_eq!(**sealer.open(&CONTEXT, &sealed).await.unwrap(), *b"rotated");
}

#[tokio::test]
async fn by_app_role_we_log_in_once_and_again_when_it_is_time() {
    let stage = Stage::new().await;
    let sealer = stage.sealer(approle());
    let logins = || stage.engine.logins.load(Ordering::SeqCst);
    for _ in 0..3 {
        seal(&sealer).await;
    }
    assert_eq!(logins(), 1);
    stage.clock.advance(Duration::from_secs(600));
    seal(&sealer).await;
    assert_eq!(logins(), 2, "at two thirds of a lease");
    *stage.engine.token.lock().unwrap() = "taken back".into();
    seal(&sealer).await;
    assert_eq!(logins(), 3);
}

#[tokio::test]
async fn a_token_in_a_file_is_the_one_that_is_there_now() {
    let stage = Stage::new().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let sealer = stage.sealer(TransitAuth::TokenFile(file.path().into()));
    for token in ["one\n", "two"] {
        std::fs::write(file.path(), token).unwrap();
        *stage.engine.token.lock().unwrap() = token.trim().into();
        seal(&sealer).await;
    }
    drop(file);
    let error = sealer.prepare(&Entropy::System, &CONTEXT).await.unwrap_err();
    assert!(matches!(error.outage, Outage::Token(_)));
}

#[tokio::test]
async fn what_transit_says_of_the_key_is_an_outage_and_no_tampering() {
    let words = [
        ("encryption key not found", false),
        ("ciphertext or signature version is disallowed by policy (too old)", false),
        ("invalid ciphertext: version is too new", false),
        ("invalid ciphertext: no prefix", true),
        ("cipher: message authentication failed", true),
        ("chacha20poly1305: message authentication failed", true),
    ];
    for (words, of_the_ciphertext) in words {
        assert_eq!(is_of_the_ciphertext(words), of_the_ciphertext, "{words}");
    }
}

#[tokio::test]
async fn a_start_needs_transit_and_finds_the_same_roots_each_time() {
    let stage = Stage::new().await;
    let fresh = On::Sqlite.fresh().await.unwrap();
    let prove = async || prove_keys(&fresh.db, &stage.rooted(), &stage.clock, &Entropy::System).await;
    let (here, there) = (prove().await.unwrap(), prove().await.unwrap());
    assert_eq!(here.derived(b"nonces"), there.derived(b"nonces"));
    assert_ne!(here.derived(b"nonces"), here.derived(b"others"));
    stage.go_down(true);
    let Err(error) = prove().await else { panic!("nothing proves the key") };
    assert_eq!(
        error.to_string(),
        "the encryption key `kms` cannot be used: the service that keeps it answered with the status 503; \
         `chancery check --online` asks it alone"
    );
}

#[tokio::test]
async fn a_key_that_may_encrypt_but_not_decrypt_does_not_pass() {
    let stage = Stage::new().await;
    let fresh = On::Sqlite.fresh().await.unwrap();
    stage.server.reset().await;
    let answer = json!({ "data": { "ciphertext": "vault:v1:AAAA", "key_version": 1 } });
    Mock::given(wiremock::matchers::path("/v1/keys/transit/encrypt/chancery"))
        .respond_with(ResponseTemplate::new(200).set_body_json(answer))
        .mount(&stage.server)
        .await;
    let denied = ResponseTemplate::new(403).set_body_json(json!({ "errors": ["permission denied"] }));
    Mock::given(any()).respond_with(denied).with_priority(9).mount(&stage.server).await;
    let proved = prove_keys(&fresh.db, &stage.rooted(), &stage.clock, &Entropy::System).await;
    assert!(matches!(proved, Err(KeyProofError::Unavailable(_))));
}

#[tokio::test]
async fn nothing_secret_prints() {
    let stage = Stage::new().await;
    let key = stage.key("kms", approle());
    let transit = Transit::new(
        "kms",
        match &key.source {
            KeySource::Transit(config) => config,
            KeySource::Local(_) => unreachable!(),
        },
        &stage.clock,
    )
    .unwrap();
    transit.token().await.unwrap();
    let printed = format!("{key:?}{transit:?}");
    for secret in ["very-secret", "\"role\"", "t0"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
