//! A hundred storms: 200 vends at once, over one process on SQLite and over three on PostgreSQL, each time at the
//! moment when the vendor's token has ended; then a fifth as many while one process is killed, and while one is
//! stopped. `cargo test --release --test storm`, or with other numbers of rounds behind `--`: `-- 100 20`. PostgreSQL
//! is where `CHANCERY_TEST_POSTGRES` says, and left out if it says `skip`. Fails if anybody was refused, the vendor was
//! asked more than once a storm, or a connection was lost without a mark.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a run that cannot go on ends, and prints what it found"
)]

#[path = "../it/support/browser.rs"]
#[expect(dead_code, reason = "shared with the stories, which need more of it")]
mod browser;
#[path = "../house/mod.rs"]
#[expect(dead_code, reason = "shared with the stories, which need more of it")]
mod house;
mod person;
mod rounds;
mod world;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use house::{http, schema::fresh_schema};
use rounds::{Fault, Tally};
use world::World;

const ROUNDS: usize = 100;
/// Of the vendor's access tokens: longer than a storm takes, since what has ended would be refreshed again.
const LIFE: Duration = Duration::from_secs(6);

#[tokio::main]
async fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let rounds = numbers.next().unwrap_or(ROUNDS);
    let faults = numbers.next().unwrap_or(rounds.div_ceil(5));
    println!(
        "{:<28} {:>6} {:>7} {:>9} {:>7} {:>8} {:>6} {:>6} {:>6} {:>6}",
        "", "rounds", "vends", "refreshes", "refused", "failures", "marked", "p50 ms", "p99 ms", "s"
    );
    let mut engines = vec![("SQLite", "sqlite://chancery.db".to_owned(), 1)];
    engines.extend(fresh_schema().await.map(|database| ("PostgreSQL", database, 3)));
    let mut is_sound = true;
    for (name, database, number) in engines {
        let mut world = World::build(&database, number, LIFE).await;
        for (what, rounds, fault) in [
            ("", rounds, None),
            (", one is killed", faults, Some(Fault::Killed)),
            (", one is stopped", faults, Some(Fault::Stopped)),
        ] {
            is_sound &= measure(&format!("{name}{what}"), &mut world, rounds, fault).await;
        }
    }
    if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs so many rounds and prints what came of them. Answers whether all was as it should be.
async fn measure(name: &str, world: &mut World, rounds: usize, fault: Option<Fault>) -> bool {
    let begun = Instant::now();
    let mut tally = rounds::run(world, rounds, fault).await;
    rounds::lives(world, &mut tally).await;
    let [p50, p99] = [50, 99].map(|part| tally.millis(part));
    let Tally { rounds, vends, refreshes, refused, marked, failures, .. } = tally;
    println!(
        "{name:<28} {rounds:>6} {vends:>7} {refreshes:>9} {refused:>7} {:>8} {marked:>6} {p50:>6} {p99:>6} {:>6}",
        failures.len(),
        begun.elapsed().as_secs()
    );
    for failure in &failures {
        println!("{failure}");
    }
    failures.is_empty() && refused == 0
}
