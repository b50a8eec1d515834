//! A short form of the run in `tests/crash`.

#[path = "../../crash/rounds.rs"]
mod rounds;

use rstest::rstest;

use crate::support::{On, setup::empty_database, vault::kept};

const ROUNDS: usize = 16;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_without_a_mark(#[values(On::Sqlite, On::Postgres)] on: On) {
    let folder = tempfile::tempdir().unwrap();
    let Some(database) = empty_database(on, folder.path()).await else { return };
    let tally = rounds::run(&database, ROUNDS).await;
    assert!(tally.lost.is_empty(), "{tally:#?}");
    assert_eq!(tally.marked_in_vain, 0, "{tally:#?}");
    // It was indeed caught in the midst, at either vendor.
    assert!(tally.in_the_midst >= ROUNDS / 2 && tally.marked > 0 && tally.recovered > 0, "{tally:#?}");
}
