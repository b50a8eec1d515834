//! A short form of the run in `tests/storm`.

#[path = "../storm/rounds.rs"]
mod rounds;
#[path = "../storm/world.rs"]
mod world;

use std::time::Duration;

use self::{
    rounds::{CALLERS, Fault, Tally, lives, run},
    world::World,
};
use super::fresh_schema;

/// Longer than a storm takes in a debug build on a machine that does other things too.
const LIFE: Duration = Duration::from_secs(10);

/// A round in which nothing ends, so that nobody has to wait until a lease has ended.
async fn calm(world: &mut World) -> Tally {
    let mut tally = run(world, 1, None).await;
    check(&tally);
    assert_eq!(tally.refreshes, 1);
    assert!(tally.millis(99) < 9_000, "clients give up after about ten seconds");
    tally
}

fn check(tally: &Tally) {
    assert!(tally.failures.is_empty() && tally.refused == 0, "{:#?}", tally.failures);
    assert_eq!((tally.rounds, tally.vends), (1, CALLERS));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_vends_at_one_process_are_one_refresh() {
    let mut world = World::build("sqlite://chancery.db", 1, LIFE).await;
    let mut tally = calm(&mut world).await;
    lives(&mut world, &mut tally).await;
    check(&tally);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_vends_at_three_processes_are_one_refresh_and_all_are_answered_though_one_ends() {
    let Some(database) = fresh_schema().await else { return };
    let mut world = World::build(&database, 3, LIFE).await;
    calm(&mut world).await;
    check(&run(&mut world, 1, Some(Fault::Killed)).await);
    let mut tally = run(&mut world, 1, Some(Fault::Stopped)).await;
    lives(&mut world, &mut tally).await;
    check(&tally);
    assert_eq!(tally.marked, 0);
}
