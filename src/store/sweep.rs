//! Deletes what no longer says anything, so that no table grows without bound.
//!
//! Hygiene only: whoever reads a row checks its expiry, and nothing is refused or granted because a sweep came
//! early or late. Rows go in small transactions, so that a request waits behind one batch at most.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use tokio::time::{MissedTickBehavior, interval};

use super::{Db, StoreError, on};
use crate::clock::{Clock, Timestamp};

/// How often a sweep runs.
const EVERY: Duration = Duration::from_secs(60);

/// How many rows one transaction deletes: a few milliseconds of the writer's time.
const BATCH: i64 = 500;

/// What is swept from one table.
struct Line {
    table: &'static str,
    /// The table's primary key.
    key: &'static str,
    /// True of rows that may go; `$1` is the present moment.
    ended: &'static str,
}

/// Every table whose rows come to an end by themselves.
const LINES: &[Line] = &[
    Line { table: "browser_sessions", key: "id_hash", ended: "expires_at <= $1" },
    Line { table: "sessions", key: "id", ended: "expires_at <= $1" },
    Line {
        table: "upstream_sessions",
        key: "session_id",
        ended: "expires_at <= $1 AND NOT EXISTS (SELECT 1 FROM grants g \
                WHERE g.session_id = upstream_sessions.session_id AND g.revoked_at IS NULL AND g.expires_at > $1)",
    },
    Line { table: "logins", key: "state_hash", ended: "expires_at <= $1" },
    Line { table: "connects", key: "state_hash", ended: "expires_at <= $1" },
    Line { table: "interactions", key: "id", ended: "expires_at <= $1" },
    // A used code is kept for an hour, so that its second use is recognised.
    Line { table: "codes", key: "hash", ended: "expires_at <= $1 - 3600000" },
    Line { table: "refresh_tokens", key: "hash", ended: "expires_at <= $1" },
    // A used link is kept for an hour, so that whoever opens it again is told that it was used.
    Line { table: "connect_links", key: "hash", ended: "expires_at <= $1 - 3600000" },
    // What used a connection in the last 400 days is shown beside it.
    Line {
        table: "connection_uses",
        key: "connection_id, client_id, resource",
        ended: "last_at <= $1 - 34560000000",
    },
    Line { table: "replays", key: "kind, issuer, jti", ended: "expires_at <= $1" },
    Line { table: "grants", key: "id", ended: "expires_at <= $1 OR revoked_at <= $1 - 604800000" },
    // A consent that nobody has relied on for 400 days is asked for anew.
    Line {
        table: "consents",
        key: "user_id, client_id, resource",
        ended: "granted_at <= $1 - 34560000000 AND NOT EXISTS (SELECT 1 FROM grants g \
                WHERE g.user_id = consents.user_id AND g.client_id = consents.client_id \
                AND g.resource = consents.resource AND g.revoked_at IS NULL AND g.expires_at > $1)",
    },
    // A registration that was not used for thirty days goes, unless somebody still relies on it; or it is switched off,
    // and would come back under another id.
    Line {
        table: "clients",
        key: "id",
        ended: "last_used_at <= $1 - 2592000000 AND NOT EXISTS (SELECT 1 FROM grants g \
                WHERE g.client_id = clients.id AND g.revoked_at IS NULL AND g.expires_at > $1) \
                AND NOT EXISTS (SELECT 1 FROM switched_off o WHERE o.kind = 'client' AND o.name = clients.id)",
    },
];

/// Sweeps every minute, for as long as it is polled; it may be dropped at any point.
pub async fn run(db: Db, clock: Clock) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = sweep(&db, clock.now()).await {
            tracing::warn!(%error, "the sweep broke off and will try again");
        }
    }
}

/// One sweep through all tables.
pub async fn sweep(db: &Db, now: Timestamp) -> Result<(), StoreError> {
    sweep_lines(db, now, LINES).await
}

/// Every table has its turn, whatever became of the one before; the first error is told.
async fn sweep_lines(db: &Db, now: Timestamp, lines: &[Line]) -> Result<(), StoreError> {
    let mut outcome = Ok(());
    for line in lines {
        outcome = outcome.and(sweep_table(db, now, line).await);
    }
    outcome
}

async fn sweep_table(db: &Db, now: Timestamp, line: &Line) -> Result<(), StoreError> {
    let mut swept = 0;
    loop {
        let deleted = delete(db, line, now).await?;
        swept += deleted;
        if deleted < BATCH.unsigned_abs() {
            break;
        }
    }
    if swept > 0 {
        tracing::debug!(table = line.table, rows = swept, "swept");
    }
    Ok(())
}

async fn delete(db: &Db, line: &Line, now: Timestamp) -> Result<u64, StoreError> {
    let Line { table, key, ended } = line;
    // Safe: every part is a constant of this file.
    let sql = AssertSqlSafe(format!(
        "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {ended} LIMIT $2)"
    ));
    let mut tx = db.begin().await?;
    let deleted = on!(tx, |executor| {
        sqlx::query(sql).bind(now).bind(BATCH).execute(executor).await.map(|done| done.rows_affected())
    })?;
    tx.commit().await?;
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::store::fixture::On;

    #[rstest]
    #[tokio::test]
    async fn every_line_is_a_statement_that_the_engine_takes(#[values(On::Sqlite, On::Postgres)] engine: On) {
        let Some(fresh) = engine.fresh().await else { return };
        sweep(&fresh.db, Timestamp::from_secs(1_795_219_200)).await.unwrap();
    }

    #[rstest]
    #[tokio::test]
    async fn one_table_s_fault_does_not_spare_the_next(#[values(On::Sqlite, On::Postgres)] engine: On) {
        let Some(fresh) = engine.fresh().await else { return };
        let mut tx = fresh.db.begin().await.unwrap();
        for sql in ["CREATE TABLE passing (id BIGINT PRIMARY KEY)", "INSERT INTO passing (id) VALUES (1)"] {
            on!(tx, |executor| sqlx::query(sql).execute(executor).await.map(|_| ())).unwrap();
        }
        tx.commit().await.unwrap();
        let lines = [
            Line { table: "missing", key: "id", ended: "id < $1" },
            Line { table: "passing", key: "id", ended: "id < $1" },
        ];
        assert!(sweep_lines(&fresh.db, Timestamp::from_millis(9), &lines).await.is_err());
        let left: i64 = on!(fresh.db, |executor| {
            sqlx::query_scalar("SELECT count(*) FROM passing").fetch_one(executor).await
        })
        .unwrap();
        assert_eq!(left, 0);
    }

    #[rstest]
    #[tokio::test]
    async fn only_what_has_ended_goes_however_much_it_is(#[values(On::Sqlite, On::Postgres)] engine: On) {
        const FILL: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
                            INSERT INTO passing (id, ends_at) SELECT i, i FROM n";
        let Some(fresh) = engine.fresh().await else { return };
        let mut tx = fresh.db.begin().await.unwrap();
        on!(tx, |executor| {
            sqlx::query("CREATE TABLE passing (id BIGINT PRIMARY KEY, ends_at BIGINT NOT NULL)")
                .execute(executor)
                .await
                .map(|_| ())
        })
        .unwrap();
        on!(tx, |executor| sqlx::query(FILL).bind(3 * BATCH).execute(executor).await.map(|_| ())).unwrap();
        tx.commit().await.unwrap();

        let lines = [Line { table: "passing", key: "id", ended: "ends_at <= $1" }];
        sweep_lines(&fresh.db, Timestamp::from_millis(2 * BATCH), &lines).await.unwrap();

        let (left, first): (i64, i64) = on!(fresh.db, |executor| {
            sqlx::query_as("SELECT count(*), min(ends_at) FROM passing").fetch_one(executor).await
        })
        .unwrap();
        assert_eq!((left, first), (BATCH, 2 * BATCH + 1));
    }
}
