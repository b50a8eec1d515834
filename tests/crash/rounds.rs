//! `chancery serve` is killed (`kill -9`) at every step of a refresh, again and again.
//!
//! Each round adds a connection whose tokens are to be refreshed at once, starts the server, and kills it at one of the
//! steps. What a killed one leaves, later ones find. In the end a server whose clock is an hour ahead settles the rest,
//! and the tokens that are kept are compared with those that the vendor takes.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery::{
    app::App,
    clock::Clock,
    config::{Config, environment::Environment},
    entropy::Entropy,
    ids::ConnectionId,
    store::connections,
    vault::{refresh::upkeep, state::State},
};
use serde_json::json;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use super::kept::keep;

/// A debug build, on a machine that does other things too.
const WITHIN: Duration = Duration::from_secs(120);

/// What became of the connections.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Left in the midst of the refresh: marked, and nobody knows whether the vendor answered.
    pub(crate) in_the_midst: usize,
    /// Of those, sent again and well.
    pub(crate) recovered: usize,
    /// Said to need their person: the vendor does not bear repetition.
    pub(crate) marked: usize,
    /// Said to need their person though the vendor bears it.
    pub(crate) marked_in_vain: usize,
    /// Said to be well, with tokens that the vendor does not take any more. There may be none.
    pub(crate) lost: Vec<String>,
}

/// When it is killed.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// So long after it was started.
    Starting(Duration),
    /// The vendor was asked and has done nothing.
    Asked,
    /// The vendor has replaced the token and not answered.
    Given,
    /// So long after the vendor answered.
    Answered(Duration),
}

/// The tokens of one account as the vendor knows them: `rt-NUMBER-SERIAL` is the live one.
#[derive(Default)]
struct Family {
    serial: u32,
    is_dead: bool,
}

struct Stage {
    families: Vec<Family>,
    step: Step,
    victim: Option<Child>,
    /// From the start to the first question, the last time that it was measured.
    started: Instant,
    took: Duration,
}

impl Stage {
    fn kill(&mut self) {
        if let Some(mut victim) = self.victim.take() {
            victim.kill().unwrap();
            victim.wait().unwrap();
        }
    }
}

fn kill_after(stage: &Arc<Mutex<Stage>>, delay: Duration) {
    let stage = Arc::clone(stage);
    thread::spawn(move || {
        thread::sleep(delay);
        stage.lock().unwrap().kill();
    });
}

/// The vendor: tokens are good once. `/strict` ends everything when one comes again, `/lenient` repeats its answer.
fn answer(shared: &Arc<Mutex<Stage>>, request: &Request) -> ResponseTemplate {
    let form = url::form_urlencoded::parse(&request.body);
    let sent = form.into_owned().find(|(name, _)| name == "refresh_token").unwrap().1;
    let (number, serial) = sent.strip_prefix("rt-").unwrap().split_once('-').unwrap();
    let (number, serial): (usize, u32) = (number.parse().unwrap(), serial.parse().unwrap());
    let mut stage = shared.lock().unwrap();
    let is_this_round = number + 1 == stage.families.len();
    if is_this_round {
        stage.took = stage.started.elapsed();
    }
    if is_this_round && matches!(stage.step, Step::Asked) {
        stage.kill();
        return ResponseTemplate::new(500);
    }
    let family = &mut stage.families[number];
    let repeats = request.url.path() == "/lenient" && serial + 1 == family.serial;
    if family.is_dead || serial != family.serial && !repeats {
        family.is_dead = true;
        return ResponseTemplate::new(400).set_body_json(json!({ "error": "invalid_grant" }));
    }
    if !repeats {
        family.serial += 1;
    }
    let serial = family.serial;
    match stage.step {
        Step::Given if is_this_round => stage.kill(),
        Step::Answered(delay) if is_this_round => kill_after(shared, delay),
        _ => {}
    }
    ResponseTemplate::new(200).set_body_json(json!({
        "access_token": format!("at-{number}-{serial}"), "refresh_token": format!("rt-{number}-{serial}"),
        "token_type": "bearer", "expires_in": 3600,
    }))
}

fn configuration(vendor: &str, database: &str) -> String {
    let key = STANDARD.encode(Entropy::System.bytes::<32>());
    let connection = |name: &str, window: &str| {
        format!(
            "  {name}: {{ preset: oauth2, authorize_url: \"{vendor}/authorize\", token_url: \"{vendor}/{name}\", \
             identity_url: \"{vendor}/me\", client_id: us, client_secret: what-proves-us, \
             vendor: {{ rotation: single_use, reuse_window: {window} }} }}\n"
        )
    };
    format!(
        "server: {{ issuer: \"http://127.0.0.1:9\", listen: \"127.0.0.1:0\", admin_listen: \"127.0.0.1:0\" }}\n\
         database: {{ url: \"{database}\" }}\n\
         encryption: {{ keys: [{{ id: k1, key: \"{key}\" }}] }}\n\
         providers:\n  acme: {{ preset: oidc, issuer: \"{vendor}\", client_id: us, client_auth: none, \
         sign_in: {{ anyone: true }} }}\n\
         connections:\n{}{}",
        connection("strict", "0s"),
        connection("lenient", "24h")
    )
}

fn start(config: &Path, log: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    command.args(["serve", "--config"]).arg(config).stdin(Stdio::null());
    command.env("RUST_LOG", "warn").stderr(File::options().append(true).open(log).unwrap()).spawn().unwrap()
}

/// A part of `whole` by chance.
fn some_of(whole: Duration) -> Duration {
    let [byte] = Entropy::System.bytes();
    whole * u32::from(byte) / 255
}

/// Kills it so many times, with its data in `database`.
pub(crate) async fn run(database: &str, rounds: usize) -> Tally {
    let folder = tempfile::tempdir().unwrap();
    let [config, log]: [PathBuf; 2] = ["chancery.yaml", "log"].map(|name| folder.path().join(name));
    File::create(&log).unwrap();
    let stage = Arc::new(Mutex::new(Stage {
        families: Vec::new(),
        step: Step::Asked,
        victim: None,
        started: Instant::now(),
        took: Duration::from_secs(1),
    }));
    let vendor = MockServer::start().await;
    let known = Arc::clone(&stage);
    Mock::given(any()).respond_with(move |request: &Request| answer(&known, request)).mount(&vendor).await;
    let yaml = configuration(&vendor.uri(), database);
    std::fs::write(&config, &yaml).unwrap();
    let clock = Clock::manual(Clock::System.now().plus(Duration::from_secs(3600)));
    let parsed = Config::parse(&yaml, "chancery.yaml", &Environment::of([])).unwrap();
    let app = App::open(parsed, clock.clone(), Entropy::System, false).await.unwrap();

    let mut tally = Tally::default();
    let mut all: Vec<(ConnectionId, &str, bool)> = Vec::new();
    for round in 0..rounds {
        let name = if round / 4 % 2 == 0 { "strict" } else { "lenient" };
        let tokens = (format!("at-{round}-0"), format!("rt-{round}-0"));
        let past = Clock::System.now();
        let id = keep(&app, name, (&tokens.0, Some(&tokens.1)), |row| row.refresh_due_at = Some(past)).await;
        {
            let mut stage = stage.lock().unwrap();
            stage.families.push(Family::default());
            stage.step = match round % 4 {
                0 => Step::Asked,
                1 => Step::Given,
                2 => Step::Answered(some_of(Duration::from_millis(30))),
                _ => Step::Starting(stage.took / 2 + some_of(stage.took)),
            };
            stage.started = Instant::now();
            stage.victim = Some(start(&config, &log));
        }
        let step = stage.lock().unwrap().step;
        if let Step::Starting(delay) = step {
            kill_after(&stage, delay);
        }
        let begun = Instant::now();
        while stage.lock().unwrap().victim.is_some() {
            let said = || std::fs::read_to_string(&log).unwrap();
            assert!(begun.elapsed() < WITHIN, "never came to {step:?}\n{}", said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let row = connections::find(&app.db, &id).await.unwrap().unwrap();
        all.push((id, name, row.redeeming_since.is_some()));
    }

    stage.lock().unwrap().step = Step::Starting(Duration::ZERO);
    for _ in 0..5 {
        upkeep::attend(&app).await.unwrap();
        clock.advance(Duration::from_secs(300));
    }
    for (number, (id, name, in_the_midst)) in all.into_iter().enumerate() {
        let row = connections::find(&app.db, &id).await.unwrap().unwrap();
        tally.in_the_midst += usize::from(in_the_midst);
        if let State::NeedsReconnect(_) = row.state {
            tally.marked += 1;
            tally.marked_in_vain += usize::from(name == "lenient");
            continue;
        }
        let kept = app.vault.safe.open(&row, clock.now()).await.unwrap();
        let stage = stage.lock().unwrap();
        let family = &stage.families[number];
        let is_live = kept.refresh.unwrap().expose() == format!("rt-{number}-{}", family.serial);
        if is_live && !family.is_dead && row.state == State::Active && row.redeeming_since.is_none() {
            tally.recovered += usize::from(in_the_midst);
        } else {
            tally.lost.push(format!("{number}: {row:?}"));
        }
    }
    tally
}
