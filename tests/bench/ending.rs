//! From "disabled" to refused: how long after an operator's command a person, a client and a provider are refused at
//! `chancery serve`. On PostgreSQL the command runs beside one instance and another one is asked; SQLite has but one.
//!
//! `cargo bench --bench ending`. `CHANCERY_BENCH_POSTGRES` names an empty database. The instance is asked again and
//! again all the while. "command" is how long the command takes altogether, a process of its own; "refused after" is
//! from the time at which it has ended, and nothing if the instance refused before that.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot go on ends, and prints what it found"
)]

#[expect(dead_code, reason = "shared with the load runs")]
mod house;

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use house::{
    CONFIG, Target,
    assertions::{AssertionIssuer, Form, agents, client_credentials},
    chancery, databases, http, twin,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// Of each kind.
const TIMES: usize = 20;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in("target").unwrap();
    let stop = CancellationToken::new();
    let issuer = AssertionIssuer::start().await;
    let (trust, clients) = agents(&issuer);
    println!("{:<28} {:<10} {:>15} {:>18} {:>14}", "", "", "command ms", "refused after ms", "the longest");
    for (name, database) in databases(folder.path()) {
        let here = chancery(name, &database, (&trust, &clients), folder.path(), &stop).await;
        let there =
            if database.starts_with("sqlite") { None } else { Some(twin(&here, folder.path()).await) };
        let asked = there.as_ref().unwrap_or(&here);
        let assertion = || issuer.form(&here.issuer, 1);
        let run = Run { folder: folder.path(), asked };
        run.measure(("user", &["--provider", "test", "person-1"]), &assertion).await;
        run.measure(("client", &["job"]), &client_credentials).await;
        run.measure(("provider", &["test"]), &assertion).await;
    }
    stop.cancel();
}

struct Run<'a> {
    folder: &'a Path,
    asked: &'a Target,
}

impl Run<'_> {
    /// Disables and enables again, and prints the medians.
    async fn measure(&self, (kind, name): (&str, &[&str]), request: &(impl Fn() -> Form + Sync)) {
        let (mut commands, mut refusals) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            assert!(self.is_granted(request()).await, "{kind} {name:?} is refused before it is disabled");
            let (took, after) = self.disable((kind, name), request).await;
            commands.push(took);
            refusals.push(after);
            self.command("enable", (kind, name)).await;
        }
        commands.sort_unstable();
        refusals.sort_unstable();
        println!(
            "{:<28} {kind:<10} {:>15.1} {:>18.1} {:>14.1}",
            self.asked.name,
            milliseconds(commands[TIMES / 2]),
            milliseconds(refusals[TIMES / 2]),
            milliseconds(refusals[TIMES - 1]),
        );
    }

    /// How long the command took, and how long after its end the first request was refused.
    async fn disable(
        &self,
        of: (&str, &[&str]),
        request: &(impl Fn() -> Form + Sync),
    ) -> (Duration, Duration) {
        let began = Instant::now();
        let command = async {
            self.command("disable", of).await;
            Instant::now()
        };
        let asking = async {
            while self.is_granted(request()).await {}
            Instant::now()
        };
        let (ended, refused) = tokio::join!(command, asking);
        (ended - began, refused.saturating_duration_since(ended))
    }

    async fn command(&self, act: &str, (kind, name): (&str, &[&str])) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
        command.args(["admin", kind, act]).args(name).arg("--config").arg(self.folder.join(CONFIG));
        let status = tokio::task::spawn_blocking(move || command.stdout(Stdio::null()).status());
        assert!(status.await.unwrap().unwrap().success(), "{kind} {act} {name:?}");
    }

    /// Whether the instance grants it now; anything but a refusal ends the run.
    async fn is_granted(&self, form: Form) -> bool {
        let answer = http().post(&self.asked.token).form(&form).send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        assert!([200, 400].contains(&status), "{status}: {body}");
        status == 200
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
