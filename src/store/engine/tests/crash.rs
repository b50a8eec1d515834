//! What is left after a process died or the disk filled up, with a real process that really dies.
//!
//! The child is this same test binary, started for the one test [`storm`], which writes as fast as it can and
//! prints each number once its commit was acknowledged.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicI64, Ordering},
};

use tokio::task::JoinSet;

use super::{
    super::{Db, StoreError},
    races::{add, numbers, read},
};
use crate::store::on;

/// Names the file that the child shall write to.
const STORM: &str = "CHANCERY_TEST_STORM";

/// Not a test but the child of those below.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "the child process of the crash tests"]
#[expect(clippy::disallowed_methods, reason = "how a parent tells its child what to do")]
async fn storm() {
    let Ok(path) = std::env::var(STORM) else { return };
    let db = Db::open_sqlite(path.as_ref()).await.unwrap();
    let next: &'static AtomicI64 = Box::leak(Box::new(AtomicI64::new(0)));
    let mut writers = JoinSet::new();
    for _ in 0..16 {
        let db = db.clone();
        writers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                match add(&db, n).await {
                    Ok(()) => std::io::stdout().write_all(format!("acknowledged {n}\n").as_bytes()).unwrap(),
                    Err(error @ StoreError::Unavailable(_)) => return error,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    for error in writers.join_all().await {
        std::io::stdout().write_all(format!("refused {error}\n").as_bytes()).unwrap();
    }
}

/// The child's command, behind `prelude` in a shell.
fn child(prelude: &str, path: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{prelude} exec \"$@\""))
        .arg("sh")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::engine::tests::crash::storm", "--ignored", "--nocapture"])
        .env(STORM, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn acknowledged(lines: &[String]) -> Vec<i64> {
    lines.iter().filter_map(|line| line.rsplit_once("acknowledged ")?.1.parse().ok()).collect()
}

/// Everything acknowledged is there, every transaction is whole, the file is sound and can be written to.
async fn assert_nothing_lost(path: &Path, acknowledged: &[i64]) {
    let db = Db::open_sqlite(path).await.unwrap();
    let (there, total) = read(&db).await;
    let lost: Vec<_> = acknowledged.iter().filter(|n| there.binary_search(n).is_err()).collect();
    assert!(lost.is_empty(), "lost {lost:?} of {}", acknowledged.len());
    assert_eq!(there.len(), usize::try_from(total).unwrap(), "a transaction came apart");
    let sound: String =
        on!(db, |executor| sqlx::query_scalar("PRAGMA integrity_check").fetch_one(executor).await).unwrap();
    assert_eq!(sound, "ok");
    add(&db, -1).await.unwrap();
}

async fn a_file() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open_sqlite(&folder.path().join("chancery.db")).await.unwrap();
    numbers(&db).await;
    db.close().await;
    folder
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_killed_process() {
    for lines in [1, 50, 1_500] {
        let folder = a_file().await;
        let path = folder.path().join("chancery.db");
        let mut storm = child("", &path).spawn().unwrap();
        let mut output = BufReader::new(storm.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut seen: Vec<String> =
            output.by_ref().filter(|line| line.contains("acknowledged")).take(lines).collect();
        storm.kill().unwrap();
        seen.extend(output);
        storm.wait().unwrap();
        let acknowledged = acknowledged(&seen);
        assert!(acknowledged.len() >= lines);
        assert_nothing_lost(&path, &acknowledged).await;
    }
}

/// A limit on the size of files stands for the full disk: writes fail in the same place.
#[tokio::test]
async fn a_full_disk_is_an_outage_and_not_a_loss() {
    let folder = a_file().await;
    let path = folder.path().join("chancery.db");
    let output = child("trap '' XFSZ; ulimit -f 512;", &path).output().unwrap();
    let lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    let refused = lines.iter().filter(|line| line.contains("refused the database is unavailable")).count();
    assert_eq!(refused, 16, "every writer is told: {lines:?}");
    let acknowledged = acknowledged(&lines);
    assert!(!acknowledged.is_empty());
    assert_nothing_lost(&path, &acknowledged).await;
}
