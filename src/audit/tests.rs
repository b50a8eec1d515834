//! The record on both engines: it goes with its effect, and whoever touches it is found out.

use std::{net::Ipv4Addr, time::Duration};

use rstest::rstest;
use sqlx::AssertSqlSafe;

use super::*;
use crate::{
    clock::Timestamp,
    ids::{ClientId, GrantId, ProviderId, Reference, UserId},
    oauth::{resource::ResourceUri, scope::ScopeSet},
    seal::{Sealer, fixture},
    store::{
        fixture::{Fresh, On},
        on,
    },
};

struct World {
    fresh: Fresh,
    clock: Clock,
    entropy: Entropy,
    sealer: Sealer,
}

fn sealer(byte: u8) -> Sealer {
    fixture::sealer(&[("k", byte)])
}

impl World {
    async fn on(engine: On) -> Option<Self> {
        let clock = Clock::manual(Timestamp::from_secs(1_795_219_200));
        Some(Self { fresh: engine.fresh().await?, clock, entropy: Entropy::seeded(1), sealer: sealer(1) })
    }

    fn event(&self) -> Event {
        let origin =
            Origin { reference: Reference::new(&self.entropy), ip: Some(Ipv4Addr::LOCALHOST.into()) };
        Event::new(Kind::TokenRefused, &origin)
            .reason("code_expired")
            .user(&UserId::new(&self.clock, &self.entropy))
            .client(&ClientId::try_from("claude".to_owned()).unwrap())
            .provider(&ProviderId::try_from("okta".to_owned()).unwrap())
            .resource(&ResourceUri::try_from("https://mcp.example.com/".to_owned()).unwrap())
            .scope(&ScopeSet::parse("a b").unwrap())
            .grant(&GrantId::new(&self.clock, &self.entropy))
            .detail("age", 61)
    }

    async fn record(&self, count: usize) {
        for _ in 0..count {
            record_alone(&self.fresh.db, &self.clock, &self.entropy, &self.event()).await.unwrap();
        }
    }

    async fn seal(&self) -> Option<u64> {
        seal_batch(&self.fresh.db, &self.sealer, &self.clock, &self.entropy).await.unwrap()
    }

    /// `batches` batches of three rows each.
    async fn sealed(engine: On, batches: usize) -> Option<Self> {
        let world = Self::on(engine).await?;
        for _ in 0..batches {
            world.record(3).await;
            assert_eq!(world.seal().await, Some(3));
        }
        Some(world)
    }

    async fn verify(&self) -> Report {
        verify(&self.fresh.db, &self.sealer).await.unwrap()
    }

    /// What somebody does with the database's own tools.
    async fn tamper(&self, sql: &str) {
        let mut tx = self.fresh.db.begin().await.unwrap();
        let sql = AssertSqlSafe(sql.to_owned());
        let rows =
            on!(tx, |executor| { sqlx::query(sql).execute(executor).await.map(|done| done.rows_affected()) });
        assert!(rows.unwrap() > 0, "the tampering must change something");
        tx.commit().await.unwrap();
    }

    /// The id of one row in the second batch.
    async fn victim(&self) -> String {
        on!(self.fresh.db, |executor| {
            sqlx::query_scalar("SELECT min(id) FROM audit WHERE batch = 2").fetch_one(executor).await
        })
        .unwrap()
    }
}

#[rstest]
#[tokio::test]
async fn an_event_goes_with_its_effect(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(world) = World::on(engine).await else { return };
    let mut tx = world.fresh.db.begin().await.unwrap();
    record(&mut tx, &world.clock, &world.entropy, &world.event()).await.unwrap();
    drop(tx);
    assert_eq!(world.verify().await.unsealed, 0);
    world.record(1).await;
    assert_eq!(world.verify().await.unsealed, 1);
}

#[rstest]
#[tokio::test]
async fn an_event_reads_back_as_it_was_told(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(world) = World::on(engine).await else { return };
    let event = world.event();
    record_alone(&world.fresh.db, &world.clock, &world.entropy, &event).await.unwrap();
    let row = audit::newest(&world.fresh.db, "token.refused", 1).await.unwrap().remove(0);
    let expected = audit::Row {
        id: row.id.clone(),
        at: world.clock.now(),
        event: "token.refused".into(),
        outcome: "refused".into(),
        reason: Some("code_expired".into()),
        reference: event.origin.reference.to_string(),
        user_id: event.about.user.map(|id| id.to_string()),
        client_id: Some("claude".into()),
        provider: Some("okta".into()),
        resource: Some("https://mcp.example.com/".into()),
        scope: Some("a b".into()),
        grant_id: event.about.grant.map(|id| id.to_string()),
        ip: Some("127.0.0.1".into()),
        details: Some(r#"{"age":"61"}"#.into()),
    };
    assert_eq!(row, expected);
}

#[test]
fn particulars_from_strangers_are_bounded() {
    let origin = Origin { reference: Reference::new(&Entropy::seeded(1)), ip: None };
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r"];
    let event = names
        .iter()
        .fold(Event::new(Kind::SignIn, &origin), |event, name| event.detail(name, "ü".repeat(100_000)));
    assert_eq!(event.details.len(), 16);
    assert!(event.details.values().all(|value| value.chars().count() == 200));
}

#[rstest]
#[tokio::test]
async fn an_untouched_record_verifies(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(world) = World::sealed(engine, 3).await else { return };
    assert_eq!(world.seal().await, Some(0));
    world.record(1).await;
    let report = world.verify().await;
    assert_eq!((report.batches, report.rows, report.unsealed), (3, 9, 1));
    assert_eq!(report.findings, []);
    assert!(report.head.is_some());
}

#[rstest]
#[tokio::test]
async fn a_changed_row_is_found(
    #[values(On::Sqlite, On::Postgres)] engine: On,
    #[values(
        "at = at + 1", "event = 'token.issued'", "outcome = 'success'", "reason = 'other'", "reason = NULL",
        "reason = ''", "reference = 'AAAA-AAAA'", "user_id = NULL", "client_id = 'other'", "provider = NULL",
        "resource = ''", "scope = 'a'", "grant_id = NULL", "ip = '10.0.0.1'", "details = NULL",
        // The same letters, moved over to the next column.
        "client_id = 'claudeokta', provider = ''"
    )]
    change: &str,
) {
    let Some(world) = World::sealed(engine, 3).await else { return };
    let id = world.victim().await;
    world.tamper(&format!("UPDATE audit SET {change} WHERE id = '{id}'")).await;
    assert_eq!(world.verify().await.findings, [Finding::Changed { batch: 2, id }]);
}

#[rstest]
#[tokio::test]
async fn a_deleted_row_is_found(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(world) = World::sealed(engine, 3).await else { return };
    let id = world.victim().await;
    world.tamper(&format!("DELETE FROM audit WHERE id = '{id}'")).await;
    assert_eq!(world.verify().await.findings, [Finding::Deleted { batch: 2, id }]);
}

#[rstest]
#[tokio::test]
async fn an_added_row_is_found(
    #[values(On::Sqlite, On::Postgres)] engine: On,
    #[values(1, 3, 4, -1)] batch: i64,
) {
    let Some(world) = World::sealed(engine, 3).await else { return };
    world
        .tamper(&format!(
            "INSERT INTO audit (id, at, event, outcome, reference, batch) \
             VALUES ('x', 1, 'sign_in', 'success', 'r', {batch})"
        ))
        .await;
    assert_eq!(world.verify().await.findings, [Finding::Added { id: "x".into() }]);
}

#[rstest]
#[tokio::test]
async fn a_row_that_is_moved_or_let_go_is_found(
    #[values(On::Sqlite, On::Postgres)] engine: On,
    #[values("3", "NULL")] batch: &str,
) {
    let Some(world) = World::sealed(engine, 3).await else { return };
    let id = world.victim().await;
    world.tamper(&format!("UPDATE audit SET batch = {batch} WHERE id = '{id}'")).await;
    let findings = world.verify().await.findings;
    assert!(findings.contains(&Finding::Deleted { batch: 2, id: id.clone() }), "{findings:?}");
    assert_eq!(findings.contains(&Finding::Added { id }), batch == "3");
}

#[rstest]
#[tokio::test]
async fn a_changed_batch_is_found(
    #[values(On::Sqlite, On::Postgres)] engine: On,
    #[values(
        "at = at + 1",
        "members = root",
        "members = (SELECT members FROM audit_batches WHERE number = 1)",
        "root = previous",
        "previous = root",
        "sealed = (SELECT sealed FROM audit_batches WHERE number = 1)"
    )]
    change: &str,
) {
    let Some(world) = World::sealed(engine, 3).await else { return };
    world.tamper(&format!("UPDATE audit_batches SET {change} WHERE number = 2")).await;
    let findings = world.verify().await.findings;
    assert!(findings.contains(&Finding::BatchChanged(2)), "{findings:?}");
}

#[rstest]
#[tokio::test]
async fn a_missing_batch_is_found(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(world) = World::sealed(engine, 3).await else { return };
    world.tamper("DELETE FROM audit_batches WHERE number = 2").await;
    world.tamper("DELETE FROM audit WHERE batch = 2").await;
    assert_eq!(world.verify().await.findings, [Finding::Cut(1, 3)]);
    world.tamper("UPDATE audit_batches SET number = 2 WHERE number = 3").await;
    world.tamper("UPDATE audit SET batch = 2 WHERE batch = 3").await;
    assert_eq!(world.verify().await.findings, [Finding::Cut(1, 2), Finding::BatchChanged(2)]);
}

/// Who knows this source and has the database, but not the encryption key, cannot write a chain of his own.
#[rstest]
#[tokio::test]
async fn a_chain_by_another_key_is_found(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(world) = World::sealed(engine, 1).await else { return };
    world.record(1).await;
    seal_batch(&world.fresh.db, &sealer(2), &world.clock, &world.entropy).await.unwrap();
    assert_eq!(world.verify().await.findings, [Finding::BatchChanged(2)]);
}

#[rstest]
#[tokio::test]
async fn what_is_too_old_goes_and_the_rest_still_verifies(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(world) = World::sealed(engine, 10).await else { return };
    world.clock.advance(Duration::from_secs(60));
    let cutoff = world.clock.now();
    world.clock.advance(Duration::from_secs(60));
    world.record(3).await;
    assert_eq!(world.seal().await, Some(3));

    let prune = async || prune(&world.fresh.db, &world.clock, &world.entropy, cutoff).await.unwrap();
    assert!(prune().await, "the first eight");
    assert!(prune().await, "the ninth and tenth");
    assert!(!prune().await, "what is younger stays");
    assert_eq!(world.seal().await, Some(2), "the prunings are recorded themselves");

    let report = world.verify().await;
    assert_eq!((report.batches, report.rows), (2, 5));
    assert_eq!(report.findings, []);
}

#[rstest]
#[tokio::test]
async fn the_oldest_batches_cannot_be_cut_in_secret(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(world) = World::sealed(engine, 3).await else { return };
    world.tamper("DELETE FROM audit_batches WHERE number = 1").await;
    world.tamper("DELETE FROM audit WHERE batch = 1").await;
    assert_eq!(world.verify().await.findings, [Finding::Cut(0, 2)]);
}

/// Two instances chain, while others write: one chain, every row in it once.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_instances_make_one_chain(#[values(On::Sqlite, On::Postgres)] engine: On) {
    const WRITERS: usize = 8;
    const ROWS: usize = 25;
    let Some(world) = World::on(engine).await else { return };
    let world = std::sync::Arc::new(world);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let world = world.clone();
        tasks.spawn(async move { world.record(ROWS).await });
    }
    for _ in 0..3 {
        let world = world.clone();
        tasks.spawn(async move {
            for _ in 0..50 {
                world.seal().await;
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
    while world.seal().await != Some(0) {}
    let report = world.verify().await;
    assert_eq!((report.rows, report.unsealed), ((WRITERS * ROWS) as u64, 0));
    assert_eq!(report.findings, []);
}
