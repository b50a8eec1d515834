//! The table on both engines.

use std::collections::BTreeMap;

use rstest::rstest;

use super::{fixture::connection, *};
use crate::{
    clock::Clock,
    entropy::Entropy,
    ids::{ClientId, RevocationId},
    store::{
        connection_uses,
        fixture::{Fresh, On},
        revocations::{self, Revocation},
    },
    vault::state::{Loss, Trouble},
};

const NOW: Timestamp = Timestamp::from_secs(1_795_219_200);

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_795_219_200 + secs)
}

async fn kept(fresh: &Fresh) -> Connection {
    let mut tx = fresh.db.begin().await.unwrap();
    let new = connection(&fixture::user(&mut tx).await);
    insert(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    new
}

async fn read(fresh: &Fresh, id: &ConnectionId) -> Connection {
    find(&fresh.db, id).await.unwrap().unwrap()
}

async fn take(fresh: &Fresh, before: &Connection, owner: &str, now: Timestamp) -> Option<i64> {
    let mut tx = fresh.db.begin().await.unwrap();
    let until = now.plus(std::time::Duration::from_secs(10));
    let lease = begin_redeeming(&mut tx, before, owner, (now, until)).await.unwrap();
    tx.commit().await.unwrap();
    lease
}

fn renewed(from: &Connection) -> Renewed {
    Renewed {
        tokens: from.tokens.clone(),
        scope: from.scope.clone(),
        details: BTreeMap::new(),
        expires_at: None,
        refresh_expires_at: None,
        refreshed_at: at(1),
        refresh_due_at: None,
        state: State::Active,
    }
}

#[rstest]
#[tokio::test]
async fn what_is_written_is_read(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(fresh) = engine.fresh().await else { return };
    let new = kept(&fresh).await;
    let same = [read(&fresh, &new.id).await]
        .into_iter()
        .chain(of_user(&fresh.db, &new.user_id).await.unwrap())
        .chain(of_user_named(&fresh.db, &new.user_id, &new.name).await.unwrap());
    let mut seen = 0;
    for found in same {
        assert_eq!(format!("{found:?}"), format!("{new:?}"));
        seen += 1;
    }
    assert_eq!(seen, 3);
    assert_eq!(count(&fresh.db).await.unwrap(), [("github".to_owned(), "active".to_owned(), 1)]);
    assert_eq!(names(&fresh.db).await.unwrap(), [new.name]);
}

/// Two who read the same row: one has the lease, and keeps it to its end.
#[rstest]
#[tokio::test]
async fn one_redeems_at_a_time(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(fresh) = engine.fresh().await else { return };
    let before = kept(&fresh).await;
    let (one, two) = tokio::join!(take(&fresh, &before, "a", NOW), take(&fresh, &before, "b", NOW));
    assert_eq!(one.or(two), Some(1));
    assert!(one.is_none() != two.is_none());
    let marked = read(&fresh, &before.id).await;
    assert_eq!((marked.redeeming_since, marked.leased_until), (Some(NOW), Some(at(10))));

    assert_eq!(take(&fresh, &marked, "c", at(9)).await, None, "it has not ended");
    assert_eq!(take(&fresh, &marked, "c", at(10)).await, Some(2));
    let marked = read(&fresh, &before.id).await;
    assert_eq!(marked.redeeming_since, Some(NOW), "the vendor may have seen the token then");
}

/// The first holder was slow. That its attempt failed says nothing any more, but a token is a token.
#[rstest]
#[tokio::test]
async fn a_lease_that_was_taken_again_writes_no_failure(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(fresh) = engine.fresh().await else { return };
    let before = kept(&fresh).await;
    let slow = take(&fresh, &before, "a", NOW).await.unwrap();
    let marked = read(&fresh, &before.id).await;
    let quick = take(&fresh, &marked, "b", at(10)).await.unwrap();
    let mut tx = fresh.db.begin().await.unwrap();
    let lost = (State::NeedsReconnect(Loss::Revoked), None, false);
    assert!(!fail(&mut tx, &before.id, slow, lost).await.unwrap());
    let trouble = (State::Degraded(Trouble::Unavailable), Some(at(20)), false);
    assert!(fail(&mut tx, &before.id, quick, trouble).await.unwrap());
    tx.commit().await.unwrap();
    let failed = read(&fresh, &before.id).await;
    assert_eq!((failed.failures, failed.next_attempt_at), (1, Some(at(20))));
    assert_eq!((failed.redeeming_since, failed.leased_until, failed.lease), (None, None, 2));
    assert_eq!(failed.state, State::Degraded(Trouble::Unavailable));

    let mut tx = fresh.db.begin().await.unwrap();
    assert!(renew(&mut tx, &before.id, before.generation, &renewed(&before)).await.unwrap());
    assert!(!renew(&mut tx, &before.id, before.generation, &renewed(&before)).await.unwrap(), "not twice");
    tx.commit().await.unwrap();
    let after = read(&fresh, &before.id).await;
    assert_eq!((after.generation, after.failures, after.next_attempt_at), (2, 0, None));
    assert_eq!(take(&fresh, &failed, "c", at(30)).await, None, "its tokens are not those that were read");
}

/// Whoever sent the token and heard nothing leaves the note, and the next one knows.
#[rstest]
#[tokio::test]
async fn a_doubt_stays(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(fresh) = engine.fresh().await else { return };
    let before = kept(&fresh).await;
    let lease = take(&fresh, &before, "a", NOW).await.unwrap();
    let mut tx = fresh.db.begin().await.unwrap();
    let trouble = (State::Degraded(Trouble::Unavailable), Some(at(20)), true);
    assert!(fail(&mut tx, &before.id, lease, trouble).await.unwrap());
    tx.commit().await.unwrap();
    let failed = read(&fresh, &before.id).await;
    assert_eq!((failed.redeeming_since, failed.lease_owner, failed.leased_until), (Some(NOW), None, None));
}

#[rstest]
#[tokio::test]
async fn what_nobody_attends_to_is_found(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(fresh) = engine.fresh().await else { return };
    let found = async |now| {
        let found = unattended(&fresh.db, now, (None, 9)).await.unwrap();
        assert!(found.iter().all(|row| row.wants_attention(now)));
        let mut pages = unattended(&fresh.db, now, (None, 1)).await.unwrap();
        if let Some(first) = pages.first().map(|first| first.id.clone()) {
            pages.extend(unattended(&fresh.db, now, (Some(&first), 9)).await.unwrap());
        }
        assert_eq!(format!("{pages:?}"), format!("{found:?}"));
        found.into_iter().map(|connection| connection.id).collect::<Vec<_>>()
    };
    let left = kept(&fresh).await;
    let mut tx = fresh.db.begin().await.unwrap();
    let due = Connection { refresh_due_at: Some(at(5)), ..connection(&fixture::user(&mut tx).await) };
    insert(&mut tx, &due).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(found(at(4)).await, []);
    assert!(!left.wants_attention(at(4)) && !due.wants_attention(at(4)) && due.wants_attention(at(5)));
    take(&fresh, &left, "a", NOW).await;
    assert_eq!(found(at(9)).await, std::slice::from_ref(&due.id), "the other has a holder");
    let mut both = [left.id.clone(), due.id.clone()];
    both.sort_unstable();
    assert_eq!(found(at(10)).await, both);

    let mut tx = fresh.db.begin().await.unwrap();
    set_state(&mut tx, &left.id, State::NeedsReconnect(Loss::Interrupted)).await.unwrap();
    set_state(&mut tx, &due.id, State::Disabled).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(found(at(10)).await, []);
}

#[rstest]
#[tokio::test]
async fn one_account_of_several_is_the_default(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(fresh) = engine.fresh().await else { return };
    let first = kept(&fresh).await;
    let mut tx = fresh.db.begin().await.unwrap();
    let second = Connection { is_default: false, account: "2".into(), ..connection(&first.user_id) };
    insert(&mut tx, &second).await.unwrap();
    set_default(&mut tx, &first.user_id, &first.name, Some(&second.id)).await.unwrap();
    set_label(&mut tx, &second.id, Some("Work")).await.unwrap();
    let held = lock_account(&mut tx, &first.user_id, &first.name, "2").await.unwrap().unwrap();
    assert_eq!((held.id.clone(), held.label.as_deref()), (second.id.clone(), Some("Work")));
    tx.commit().await.unwrap();
    let all = of_user_named(&fresh.db, &first.user_id, &first.name).await.unwrap();
    let all: Vec<_> = all.into_iter().map(|found| (found.id, found.is_default)).collect();
    assert_eq!(all, [(second.id, true), (first.id.clone(), false)]);

    let mut tx = fresh.db.begin().await.unwrap();
    let same = insert(&mut tx, &Connection { is_default: false, ..connection(&first.user_id) }).await;
    assert!(matches!(same, Err(StoreError::Conflict)), "an account is connected once");
}

#[rstest]
#[tokio::test]
async fn what_is_gone_is_owed_and_cannot_be_used(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(fresh) = engine.fresh().await else { return };
    let used = kept(&fresh).await;
    let client = ClientId::try_from("tickets-server".to_owned()).unwrap();
    let mut tx = fresh.db.begin().await.unwrap();
    for now in [NOW, at(1)] {
        connection_uses::count(&mut tx, &used.id, &client, None, now).await.unwrap();
    }
    tx.commit().await.unwrap();
    let uses = connection_uses::of_connection(&fresh.db, &used.id).await.unwrap();
    assert_eq!((uses.len(), uses[0].count, uses[0].first_at, uses[0].last_at), (1, 2, NOW, at(1)));

    let mut tx = fresh.db.begin().await.unwrap();
    let gone = delete(&mut tx, &used.id).await.unwrap().unwrap();
    let id = RevocationId::new(&Clock::System, &Entropy::System);
    revocations::owe(&mut tx, &Revocation::of(gone, id.clone(), NOW)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(connection_uses::of_connection(&fresh.db, &used.id).await.unwrap(), []);
    let mut tx = fresh.db.begin().await.unwrap();
    let late = connection_uses::count(&mut tx, &used.id, &client, None, NOW).await;
    assert!(matches!(late, Err(StoreError::Conflict)));
    drop(tx);

    let mut tx = fresh.db.begin().await.unwrap();
    let taken = revocations::take(&mut tx, (NOW, at(60)), 9).await.unwrap();
    assert_eq!((taken.len(), taken[0].attempts, &taken[0].connection_id), (1, 1, &used.id));
    assert!(revocations::take(&mut tx, (at(59), at(99)), 9).await.unwrap().is_empty(), "somebody is at it");
    revocations::put_off(&mut tx, &id, at(70)).await.unwrap();
    assert!(revocations::take(&mut tx, (at(69), at(99)), 9).await.unwrap().is_empty());
    assert_eq!(revocations::take(&mut tx, (at(70), at(99)), 9).await.unwrap()[0].attempts, 2);
    assert!(revocations::settle(&mut tx, &id).await.unwrap());
    assert!(!revocations::settle(&mut tx, &id).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(revocations::count(&fresh.db).await.unwrap(), 0);
}

/// Whoever read the row before it was switched off has new tokens for it, and does not switch it on.
#[rstest]
#[tokio::test]
async fn new_tokens_switch_nothing_on(#[values(On::Sqlite, On::Postgres)] engine: On) {
    let Some(fresh) = engine.fresh().await else { return };
    let before = kept(&fresh).await;
    let mut tx = fresh.db.begin().await.unwrap();
    set_state(&mut tx, &before.id, State::Disabled).await.unwrap();
    assert!(renew(&mut tx, &before.id, before.generation, &renewed(&before)).await.unwrap());
    tx.commit().await.unwrap();
    let after = read(&fresh, &before.id).await;
    assert_eq!((after.state, after.generation), (State::Disabled, 2));
}
