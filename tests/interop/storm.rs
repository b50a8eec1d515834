//! A short form of the run in `tests/storm`.

#[path = "../storm/person.rs"]
mod person;
#[path = "../storm/rounds.rs"]
mod rounds;
#[path = "../storm/world.rs"]
mod world;

use std::time::Duration;

use rstest::rstest;

use self::{
    rounds::{CALLERS, Fault, Tally, lives, run},
    world::World,
};
use super::fresh_schema;

/// Longer than a storm takes in a debug build on a machine that does other things too.
const LIFE: Duration = Duration::from_secs(10);

fn check(tally: &Tally) {
    assert!(tally.failures.is_empty() && tally.refused == 0, "{:#?}", tally.failures);
    assert_eq!((tally.rounds, tally.vends), (1, CALLERS));
}

#[rstest]
#[case::sqlite(1)]
#[case::postgres(3)]
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_vends_are_one_refresh_and_all_are_answered_though_a_process_ends(#[case] number: usize) {
    let database = if number == 1 { Some("sqlite://chancery.db".to_owned()) } else { fresh_schema().await };
    let Some(database) = database else { return };
    let mut world = World::build(&database, number, LIFE).await;
    let mut tally = run(&mut world, 1, None).await;
    check(&tally);
    assert_eq!(tally.refreshes, 1);
    assert!(tally.millis(99) < 9_000, "clients give up after about ten seconds");

    check(&run(&mut world, 1, Some(Fault::Killed)).await);
    let mut tally = run(&mut world, 1, Some(Fault::Stopped)).await;
    lives(&mut world, &mut tally).await;
    check(&tally);
    assert_eq!(tally.marked, 0);
}
