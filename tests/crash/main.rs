//! A thousand times `kill -9` in the midst of a refresh, on SQLite and on PostgreSQL: `cargo test --test crash`, or
//! with another number of rounds behind `--`. PostgreSQL is where `CHANCERY_TEST_POSTGRES` says, and left out if it
//! says `skip`. Fails if a connection was lost without a mark.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a run that cannot go on ends, and prints what it found"
)]

#[path = "../house/kept.rs"]
mod kept;
mod rounds;
#[path = "../house/schema.rs"]
mod schema;

use std::{process::ExitCode, time::Instant};

use schema::fresh_schema;

const ROUNDS: usize = 1000;

#[tokio::main]
async fn main() -> ExitCode {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}", folder.path().join("chancery.db").display());
    let mut engines = vec![("SQLite", file)];
    engines.extend(fresh_schema().await.map(|url| ("PostgreSQL", url)));
    println!(
        "{:<12} {:>7} {:>13} {:>10} {:>7} {:>8} {:>5} {:>6}",
        "", "rounds", "in the midst", "recovered", "marked", "in vain", "lost", "s"
    );
    let mut is_sound = true;
    for (engine, database) in engines {
        let begun = Instant::now();
        let tally = rounds::run(&database, rounds).await;
        println!(
            "{engine:<12} {rounds:>7} {:>13} {:>10} {:>7} {:>8} {:>5} {:>6}",
            tally.in_the_midst,
            tally.recovered,
            tally.marked,
            tally.marked_in_vain,
            tally.lost.len(),
            begun.elapsed().as_secs()
        );
        for lost in &tally.lost {
            println!("lost: {lost}");
        }
        is_sound &= tally.lost.is_empty() && tally.marked_in_vain == 0;
    }
    if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
