use std::num::NonZeroU32;

use rstest::rstest;

use super::*;
use crate::{
    clock::Timestamp,
    ids::{ConnectionId, RevocationId, UserId},
    jose::keys::KeyRing,
    oauth::purpose::Role,
    seal::{KeyProofError, fixture::sealer, prove_keys},
    secret::Secret,
    store::{
        connections::{self, fixture},
        fixture::{Fresh, On},
        on, revocations, signing_keys,
    },
    vault::safe::{Kept, Place, Safe},
};

const OLD: &[(&str, u8)] = &[("old", 1)];
const BOTH: &[(&str, u8)] = &[("new", 2), ("old", 1)];
const NEW: &[(&str, u8)] = &[("new", 2)];

/// A database on which the old key has sealed.
struct Stage {
    fresh: Fresh,
    clock: Clock,
    entropy: Entropy,
}

impl Stage {
    /// With so many connections, and one of everything else.
    async fn with(on: On, connections: usize) -> Option<Self> {
        let fresh = on.fresh().await?;
        let clock = Clock::manual(Timestamp::from_secs(1_795_219_200));
        let stage = Self { fresh, clock, entropy: Entropy::System };
        stage.prove(OLD).await.unwrap();
        for role in Role::ALL {
            stage.ring(role, OLD).await;
        }
        stage.connect(OLD, connections).await;
        let gone = stage.connections().await.remove(0);
        let mut tx = stage.fresh.db.begin().await.unwrap();
        connections::delete(&mut tx, &gone.id).await.unwrap();
        let id = RevocationId::new(&stage.clock, &stage.entropy);
        let owed = revocations::Revocation::of(gone, id, stage.clock.now());
        revocations::owe(&mut tx, &owed).await.unwrap();
        tx.commit().await.unwrap();
        audit::seal_batch(&stage.fresh.db, &sealer(OLD), &stage.clock, &stage.entropy).await.unwrap();
        Some(stage)
    }

    async fn prove(&self, keys: &[(&str, u8)]) -> Result<(), KeyProofError> {
        prove_keys(&self.fresh.db, &sealer(keys), &self.clock, &self.entropy).await.map(drop)
    }

    async fn ring(&self, role: Role, keys: &[(&str, u8)]) -> KeyRing {
        KeyRing::load_or_create(role, &self.fresh.db, &sealer(keys), &self.clock, &self.entropy)
            .await
            .unwrap()
    }

    /// So many more connections of one person's, sealed by these keys.
    async fn connect(&self, keys: &[(&str, u8)], count: usize) {
        let safe = Safe::new(sealer(keys));
        let mut tx = self.fresh.db.begin().await.unwrap();
        let user = fixture::user(&mut tx).await;
        for number in 0..count {
            let mut new = fixture::connection(&user);
            new.id = ConnectionId::new(&self.clock, &self.entropy);
            new.account = number.to_string();
            new.is_default = number == 0;
            let place = Place { id: &new.id, user: &user, name: &new.name, generation: new.generation };
            let kept = Kept { access: Secret::new(format!("token of {}", new.id)), refresh: None };
            new.tokens = kept.seal(safe.prepare(&self.entropy, place).await.unwrap());
            connections::insert(&mut tx, &new).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn connections(&self) -> Vec<connections::Connection> {
        let users: Vec<UserId> = on!(self.fresh.db, |executor| {
            sqlx::query_scalar("SELECT DISTINCT user_id FROM connections").fetch_all(executor).await
        })
        .unwrap();
        let mut all = Vec::new();
        for user in users {
            all.extend(connections::of_user(&self.fresh.db, &user).await.unwrap());
        }
        all
    }

    async fn rewrap(&self, stop: &CancellationToken, told: &mut impl FnMut(Progress)) -> Report {
        self.rewrap_at(100_000, stop, told).await
    }

    async fn rewrap_at(
        &self,
        rate: u32,
        stop: &CancellationToken,
        told: &mut impl FnMut(Progress),
    ) -> Report {
        let sealer = sealer(BOTH);
        let (db, clock, entropy) = (&self.fresh.db, &self.clock, &self.entropy);
        let rate = NonZeroU32::new(rate).unwrap();
        Rewrap { db, sealer: &sealer, clock, entropy, rate, stop }.run(told).await.unwrap()
    }

    async fn rewrap_all(&self) -> Report {
        self.rewrap(&CancellationToken::new(), &mut |_| ()).await
    }

    async fn execute(&self, statement: &'static str) {
        let mut tx = self.fresh.db.begin().await.unwrap();
        on!(tx, |executor| sqlx::query(statement).execute(executor).await.map(drop)).unwrap();
        tx.commit().await.unwrap();
    }

    /// Every connection opens by these keys, to its own token.
    async fn all_open(&self, keys: &[(&str, u8)]) {
        let safe = Safe::new(sealer(keys));
        for connection in self.connections().await {
            let kept = safe.open(&connection, self.clock.now()).await.unwrap();
            assert_eq!(kept.access.expose(), format!("token of {}", connection.id));
        }
    }

    async fn recorded(&self, event: &'static str) -> Vec<(Option<String>, String)> {
        on!(self.fresh.db, |executor| {
            sqlx::query_as("SELECT reason, details FROM audit WHERE event = $1 ORDER BY id")
                .bind(event)
                .fetch_all(executor)
                .await
        })
        .unwrap()
    }
}

/// Counts of what is sealed by each key, in the order of [`COLUMNS`].
fn counts(uses: &Uses) -> Vec<(&str, Vec<(&str, u64)>)> {
    let tables = |values: &Values| values.0.iter().map(|(column, count)| (column.table, *count)).collect();
    uses.keys.iter().map(|(id, values)| (id.as_str(), tables(values))).collect()
}

/// A column of bytes is a hash or something else that anybody may see, or it is in [`COLUMNS`].
#[tokio::test]
async fn no_sealed_column_is_left_out() {
    const OTHERS: [(&str, &str); 18] = [
        ("audit_batches", "members"),
        ("audit_batches", "previous"),
        ("audit_batches", "root"),
        ("browser_sessions", "id_hash"),
        ("clients", "fingerprint"),
        ("clients", "secret_hash"),
        ("codes", "hash"),
        ("connect_links", "hash"),
        ("connects", "browser_hash"),
        ("connects", "link_hash"),
        ("connects", "state_hash"),
        ("consents", "document"),
        ("interactions", "browser_hash"),
        ("key_proofs", "sealed"),
        ("logins", "browser_hash"),
        ("logins", "state_hash"),
        ("refresh_tokens", "hash"),
        ("refresh_tokens", "salt"),
    ];
    let fresh = On::Sqlite.fresh().await.unwrap();
    let mut found: Vec<(String, String)> = on!(fresh.db, |executor| {
        sqlx::query_as(
            "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c ON c.type = 'BLOB'
             WHERE t.type = 'table' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\'",
        )
        .fetch_all(executor)
        .await
    })
    .unwrap();
    let mut known: Vec<_> = COLUMNS.iter().map(Column::names).chain(OTHERS).collect();
    found.sort();
    known.sort_unstable();
    let found: Vec<_> = found.iter().map(|(table, column)| (table.as_str(), column.as_str())).collect();
    assert_eq!(found, known);
}

#[rstest]
#[tokio::test]
async fn everything_is_moved_and_the_old_key_can_go(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(stage) = Stage::with(on, 3).await else { return };
    stage.prove(BOTH).await.unwrap();
    let before = Uses::count(&stage.fresh.db, &sealer(BOTH)).await.unwrap();
    let old = [("signing_keys", 2), ("connections", 2), ("revocations", 1), ("audit_batches", 1)];
    assert_eq!(counts(&before), [("new", vec![]), ("old", old.to_vec())]);
    assert!(matches!(stage.prove(NEW).await, Err(KeyProofError::Missing(id)) if id == "old"));

    let mut told = Vec::new();
    let report = stage.rewrap(&CancellationToken::new(), &mut |progress| told.push(progress.done())).await;
    assert_eq!(report.progress, Progress { of: 6, moved: 6, overtaken: 0, refused: 0 });
    assert_eq!(counts(&report.uses), [("new", old.to_vec()), ("old", vec![])]);
    assert_eq!((told[0], *told.last().unwrap()), (0, 6));
    let begun = r#"{"to":"new","values":"6"}"#.to_owned();
    assert_eq!(stage.recorded("rewrap.begun").await, [(None, begun)]);
    let ended = r#"{"left":"0","moved":"6","overtaken":"0","refused":"0","to":"new"}"#.to_owned();
    assert_eq!(stage.recorded("rewrap.ended").await, [(None, ended)]);

    stage.prove(NEW).await.unwrap();
    assert_eq!(stage.recorded("key.dropped").await, [(None, r#"{"id":"old"}"#.to_owned())]);
    stage.all_open(NEW).await;
    let mut tx = stage.fresh.db.begin().await.unwrap();
    let (now, later) = (stage.clock.now(), stage.clock.now().plus(Duration::from_secs(60)));
    let owed = revocations::take(&mut tx, (now, later), 1).await.unwrap().remove(0);
    Safe::new(sealer(NEW)).open_owed(&owed, now).await.unwrap();
    drop(tx);
    for role in Role::ALL {
        stage.ring(role, NEW).await;
        let published = signing_keys::published(&stage.fresh.db, role, stage.clock.now()).await.unwrap();
        assert_eq!(published.len(), 1, "the one that was there is read, and no other made");
    }
    let report = audit::verify(&stage.fresh.db, &sealer(NEW)).await.unwrap();
    assert_eq!((report.batches, report.findings), (1, vec![]));
}

#[rstest]
#[tokio::test]
async fn it_can_be_interrupted_and_run_again_and_twice_at_once(#[values(On::Sqlite, On::Postgres)] on: On) {
    const MANY: u64 = 350;
    let Some(stage) = Stage::with(on, MANY.try_into().unwrap()).await else { return };
    stage.prove(BOTH).await.unwrap();
    let stop = CancellationToken::new();
    let first = stage
        .rewrap(&stop, &mut |progress| {
            if progress.moved > 50 {
                stop.cancel();
            }
        })
        .await;
    assert!(first.interrupted && first.progress.moved > 50 && first.progress.moved < MANY, "{first:?}");
    assert_eq!(stage.recorded("rewrap.ended").await[0].0.as_deref(), Some("interrupted"));
    assert!(matches!(stage.prove(NEW).await, Err(KeyProofError::Missing(_))));

    let (one, other) = tokio::join!(stage.rewrap_all(), stage.rewrap_all());
    let of_all = [&first, &one, &other].map(|report| report.progress.moved).iter().sum::<u64>();
    // One connection owes a revocation; two signing keys and one batch are sealed as well.
    assert_eq!(of_all, MANY + 3, "each value is moved once");
    assert_eq!((one.progress.refused, other.progress.refused), (0, 0));
    stage.prove(NEW).await.unwrap();
    stage.all_open(NEW).await;
}

/// No more than a hundred at a time, and those no sooner than the rate allows.
#[rstest]
#[tokio::test]
async fn it_takes_its_time(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(stage) = Stage::with(on, 250).await else { return };
    stage.prove(BOTH).await.unwrap();
    let mut batches = Vec::new();
    let mut told = |progress: Progress| batches.push((std::time::Instant::now(), progress.moved));
    stage.rewrap_at(400, &CancellationToken::new(), &mut told).await;
    assert!(batches.windows(2).all(|pair| pair[1].1 - pair[0].1 <= 100), "{batches:?}");
    let (first, last) = (batches[1], batches.last().unwrap());
    assert_eq!(last.1, 253);
    // Of five batches four wait a quarter of a second at least.
    assert!(last.0 - first.0 >= Duration::from_millis(900), "{batches:?}");
}

#[rstest]
#[tokio::test]
async fn whoever_writes_meanwhile_wins(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(stage) = Stage::with(on, 2).await else { return };
    stage.prove(BOTH).await.unwrap();
    let both = sealer(BOTH);
    let column = COLUMNS.iter().find(|column| column.table == "connections").unwrap();
    let found = sealed_values::others(&stage.fresh.db, column, "new", (None, 10)).await.unwrap().remove(0);
    let context = column.context(&found).unwrap();
    let rewrapped = both.rewrap(&stage.entropy, &context, &found.sealed).await.unwrap();
    let fresh = both.seal(&stage.entropy, &context, b"{\"access\":\"newer\"}").await.unwrap();
    let mut tx = stage.fresh.db.begin().await.unwrap();
    assert!(sealed_values::replace(&mut tx, column, &found, &fresh).await.unwrap());
    assert!(!sealed_values::replace(&mut tx, column, &found, &rewrapped).await.unwrap());
    tx.commit().await.unwrap();
    let connection = stage.connections().await.remove(0);
    let kept = Safe::new(both).open(&connection, stage.clock.now()).await.unwrap();
    assert_eq!(kept.access.expose(), "newer");
}

#[rstest]
#[tokio::test]
async fn what_does_not_open_stays_and_is_told(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(stage) = Stage::with(on, 3).await else { return };
    stage.prove(BOTH).await.unwrap();
    stage.execute("UPDATE connections SET generation = 7 WHERE account = '1'").await;
    stage.execute("UPDATE revocations SET tokens = substr(tokens, 1, 2)").await;
    let report = stage.rewrap_all().await;
    assert_eq!(report.progress, Progress { of: 6, moved: 4, overtaken: 0, refused: 2 });
    assert_eq!(report.uses.to_move(), 2);
    let refused = stage.recorded("seal.refused").await;
    let reasons: Vec<_> = refused.iter().map(|(reason, _)| reason.as_deref().unwrap()).collect();
    assert!(reasons.contains(&"tampered") && reasons.contains(&"unknown_format"), "{reasons:?}");
    assert!(matches!(stage.prove(NEW).await, Err(KeyProofError::Missing(_))), "one value refers to it yet");
}

/// A server that was not told of the change goes on sealing with the old key.
#[rstest]
#[tokio::test]
async fn a_key_that_is_used_again_cannot_be_left_out(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(stage) = Stage::with(on, 2).await else { return };
    stage.prove(BOTH).await.unwrap();
    stage.rewrap_all().await;
    stage.connect(OLD, 4).await;
    let refused = stage.prove(NEW).await.unwrap_err();
    assert!(matches!(&refused, KeyProofError::Needed { id, values: 4 } if id == "old"), "{refused}");
    stage.rewrap_all().await;
    // It is put on top once more: from then on it may seal at any moment, whatever is there now.
    stage.prove(&[("old", 1), ("new", 2)]).await.unwrap();
    assert!(matches!(stage.prove(NEW).await, Err(KeyProofError::Missing(_))));
    stage.rewrap_all().await;
    stage.prove(NEW).await.unwrap();
    stage.all_open(NEW).await;
}

/// Before it seals, a new key is made known to every server; one that is not told yet may be restarted meanwhile.
#[rstest]
#[tokio::test]
async fn a_key_that_has_never_sealed_can_be_left_out(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(stage) = Stage::with(on, 2).await else { return };
    stage.prove(&[("old", 1), ("new", 2)]).await.unwrap();
    stage.prove(OLD).await.unwrap();
    stage.prove(BOTH).await.unwrap();
    assert!(matches!(stage.prove(OLD).await, Err(KeyProofError::Missing(id)) if id == "new"));
}
