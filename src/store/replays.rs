//! Table `replays`: signed statements that count once (RFC 7519 §4.1.7), told apart by kind, issuer and `jti`.

use super::{Db, StoreError, Tx, on};
use crate::{clock::Timestamp, ids::ClientId};

/// What sort of statement it is: the same issuer may make several, each with identifiers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneTimeKind {
    /// What a client proves itself with (RFC 7523 §2.2).
    ClientAssertion,
    /// An enterprise's identity assertion (ID-JAG §4.4).
    IdJag,
    /// A workload's own assertion (RFC 7523 §2.1).
    Workload,
    /// What a request proves possession of a key with (RFC 9449 §11.1); its issuer is the key.
    DpopProof,
    /// A provider's word that a session is over (OpenID Connect Back-Channel Logout §2.4).
    LogoutToken,
}

impl OneTimeKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ClientAssertion => "client_assertion",
            Self::IdJag => "id_jag",
            Self::Workload => "workload",
            Self::DpopProof => "dpop_proof",
            Self::LogoutToken => "logout_token",
        }
    }
}

/// A statement that counts once and whose every other part is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTime {
    /// What it is.
    pub kind: OneTimeKind,
    /// Who made it.
    pub issuer: String,
    /// Its identifier.
    pub jti: String,
    /// When nobody would accept it any more.
    pub expires_at: Timestamp,
    /// For whom it counts again, where it does.
    pub holder: Option<ClientId>,
}

/// Spends it. `false`: it was spent before, and not by its holder. Two transactions that spend the same one wait for
/// each other, so that one of them has it, and only if that one commits.
pub async fn spend(tx: &mut Tx, once: &OneTime, now: Timestamp) -> Result<bool, StoreError> {
    let spent: Option<(String,)> = on!(tx, |executor| {
        sqlx::query_as(
            "INSERT INTO replays (kind, issuer, jti, expires_at, holder) VALUES ($1, $2, $3, $4, $6)
             ON CONFLICT (kind, issuer, jti) DO UPDATE SET expires_at = excluded.expires_at, holder = excluded.holder
             WHERE replays.expires_at <= $5 OR replays.holder = $6 RETURNING jti",
        )
        .bind(once.kind.as_str())
        .bind(&once.issuer)
        .bind(&once.jti)
        .bind(once.expires_at)
        .bind(now)
        .bind(&once.holder)
        .fetch_optional(executor)
        .await
    })?;
    Ok(spent.is_some())
}

/// Whether [`spend`] would refuse it now.
pub async fn is_spent(db: &Db, once: &OneTime, now: Timestamp) -> Result<bool, StoreError> {
    let spent: Option<(String,)> = on!(db, |executor| {
        sqlx::query_as(
            "SELECT jti FROM replays WHERE kind = $1 AND issuer = $2 AND jti = $3 AND expires_at > $4
             AND NOT COALESCE(holder = $5, FALSE)",
        )
        .bind(once.kind.as_str())
        .bind(&once.issuer)
        .bind(&once.jti)
        .bind(now)
        .bind(&once.holder)
        .fetch_optional(executor)
        .await
    })?;
    Ok(spent.is_some())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;
    use crate::store::{fixture::On, sweep};

    const NOW: Timestamp = Timestamp::from_secs(1_795_219_200);
    const MINUTE: Duration = Duration::from_secs(60);
    const ALMOST: Duration = Duration::from_millis(59_999);

    fn once(issuer: &str, jti: &str) -> OneTime {
        let kind = OneTimeKind::ClientAssertion;
        OneTime { kind, issuer: issuer.into(), jti: jti.into(), expires_at: NOW.plus(MINUTE), holder: None }
    }

    async fn spent(db: &Db, once: &OneTime, now: Timestamp) -> bool {
        let mut tx = db.begin().await.unwrap();
        let spent = spend(&mut tx, once, now).await.unwrap();
        tx.commit().await.unwrap();
        spent
    }

    #[rstest]
    #[tokio::test]
    async fn each_counts_once_for_its_issuer_until_it_has_expired(
        #[values(On::Sqlite, On::Postgres)] engine: On,
    ) {
        let Some(fresh) = engine.fresh().await else { return };
        let db = &fresh.db;
        assert!(spent(db, &once("a", "1"), NOW).await);
        assert!(!spent(db, &once("a", "1"), NOW).await);
        assert!(spent(db, &once("a", "2"), NOW).await);
        assert!(spent(db, &once("b", "1"), NOW).await);
        sweep::sweep(db, NOW.plus(ALMOST)).await.unwrap();
        assert!(!spent(db, &once("a", "1"), NOW.plus(ALMOST)).await);
        assert!(spent(db, &once("a", "1"), NOW.plus(MINUTE)).await, "by then it is another one of that name");
        sweep::sweep(db, NOW.plus(MINUTE)).await.unwrap();
        assert!(spent(db, &once("b", "1"), NOW).await, "swept");
    }

    #[rstest]
    #[tokio::test]
    async fn it_counts_again_for_its_holder_alone(#[values(On::Sqlite, On::Postgres)] engine: On) {
        let Some(fresh) = engine.fresh().await else { return };
        let of = |client: &str| OneTime {
            holder: Some(ClientId::try_from(client.to_owned()).unwrap()),
            ..once("a", "1")
        };
        assert!(spent(&fresh.db, &of("agent"), NOW).await);
        assert!(spent(&fresh.db, &of("agent"), NOW).await);
        for (once, refused) in
            [(of("agent"), false), (of("other"), true), (once("a", "1"), true), (once("a", "3"), false)]
        {
            assert_eq!(is_spent(&fresh.db, &once, NOW).await.unwrap(), refused, "{once:?}");
            assert!(!is_spent(&fresh.db, &once, NOW.plus(MINUTE)).await.unwrap(), "expired: {once:?}");
        }
        assert!(!spent(&fresh.db, &of("other"), NOW).await);
        assert!(!spent(&fresh.db, &once("a", "1"), NOW).await);
        assert!(spent(&fresh.db, &once("a", "2"), NOW).await);
        assert!(!spent(&fresh.db, &OneTime { jti: "2".into(), ..of("agent") }, NOW).await);
    }

    #[rstest]
    #[tokio::test]
    async fn what_is_rolled_back_was_not_spent(#[values(On::Sqlite, On::Postgres)] engine: On) {
        let Some(fresh) = engine.fresh().await else { return };
        let mut tx = fresh.db.begin().await.unwrap();
        assert!(spend(&mut tx, &once("a", "1"), NOW).await.unwrap());
        drop(tx);
        assert!(spent(&fresh.db, &once("a", "1"), NOW).await);
    }

    #[rstest]
    #[tokio::test]
    async fn of_many_at_once_one_has_it(#[values(On::Sqlite, On::Postgres)] engine: On) {
        let Some(fresh) = engine.fresh().await else { return };
        let mut racers = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let db = fresh.db.clone();
            racers.spawn(async move { spent(&db, &once("a", "1"), NOW).await });
        }
        let outcomes = racers.join_all().await;
        assert_eq!(outcomes.iter().filter(|spent| **spent).count(), 1);
    }
}
