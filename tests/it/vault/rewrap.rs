//! The encryption key is changed while tokens are handed out, and the job that does it dies half way.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use chancery::seal::rewrap::Uses;
use rstest::rstest;
use tokio::time::sleep;

use super::refresh::{access, start};
use crate::{
    keys::NEW,
    support::{On, Server},
};

const HOUR: Duration = Duration::from_secs(3600);
const MANY: u64 = 300;
/// Half a second for a hundred values.
const RATE: &str = "200";

async fn left(server: &Server) -> u64 {
    Uses::count(&server.app.db, &server.app.sealer).await.unwrap().to_move()
}

#[rstest]
#[tokio::test]
async fn it_may_be_killed_and_run_again(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((_vendor, server)) = start(on).await else { return };
    let mut all = Vec::new();
    for _ in 0..MANY {
        all.push(server.connected(HOUR).await);
    }
    let both = server.with_keys(&format!("{{ id: k2, key: \"{NEW}\" }}, {}", server.keys()));
    let both = server.twin_with(both).await;
    assert_eq!(left(&both).await, MANY + 1, "and a signing key");
    let mut job = Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(["keys", "rotate", "--encryption", "--rate", RATE, "--config"])
        .arg(server.config_file())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while left(&both).await >= MANY {
        assert!(job.try_wait().unwrap().is_none(), "it ended");
        sleep(Duration::from_millis(5)).await;
    }
    job.kill().unwrap();
    job.wait().unwrap();
    let rest = left(&both).await;
    assert!(rest > 0, "it was at its end already");
    assert_eq!(server.recorded("rewrap.ended").await, 0);
    for id in &all {
        assert_eq!(access(&both, id).await, "at-0");
    }

    let again = server.command(&["keys", "rotate", "--encryption"]);
    let whole = format!("moved {rest}, replaced by others meanwhile 0, refused 0\n`k1` can be left out");
    assert!(again.out.contains(&whole), "{}{}", again.out, again.err);
    let alone = server.twin_with(server.with_keys(&format!("{{ id: k2, key: \"{NEW}\" }}"))).await;
    for id in &all {
        assert_eq!(access(&alone, id).await, "at-0");
    }
    assert_eq!(server.recorded("seal.refused").await, 0);
}
