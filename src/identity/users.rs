//! From a verified identity to a user: the one function, for sign-in and for ID-JAG alike.
//!
//! A person is found by (issuer, subject) and by nothing else. An e-mail address can change hands; whoever holds it
//! now must not become whoever held it before.

use sqlx::types::Json;

use super::verified::VerifiedIdentity;
use crate::{
    clock::{Clock, Timestamp},
    entropy::Entropy,
    ids::{IdentityId, UserId},
    store::{
        StoreError, Tx,
        identities::{self, Identity, Owner},
        users,
    },
};

/// A user, and the account by which she was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The person.
    pub user_id: UserId,
    /// The account.
    pub identity_id: IdentityId,
    /// Whether this is the first time that we see her.
    pub is_new: bool,
}

/// Why an identity is no user.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The operator shut her out. Nothing was written.
    #[error("the user {0} is disabled")]
    Disabled(UserId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Finds the user of an identity, or makes one, and notes what the provider says of her now.
pub async fn resolve(
    tx: &mut Tx,
    verified: &VerifiedIdentity,
    (clock, entropy): (&Clock, &Entropy),
) -> Result<Resolved, ResolveError> {
    let now = clock.now();
    let labels = (verified.name.as_deref(), verified.email.as_deref());
    let mut owner = identities::find_owner(tx, &verified.issuer, &verified.subject).await?;
    if owner.is_none() {
        let (id, user_id) = (IdentityId::new(clock, entropy), UserId::new(clock, entropy));
        users::insert(tx, &user_id, labels, now).await?;
        let account = account(verified, (id, user_id), now);
        if identities::insert(tx, &account).await? {
            return Ok(Resolved { user_id: account.user_id, identity_id: account.id, is_new: true });
        }
        // The same person's other tab was first, and by now its transaction is over.
        users::delete(tx, &account.user_id).await?;
        owner = identities::find_owner(tx, &verified.issuer, &verified.subject).await?;
    }
    let Owner { id, user_id, disabled_at } = owner.ok_or(StoreError::Conflict)?;
    if disabled_at.is_some() {
        return Err(ResolveError::Disabled(user_id));
    }
    users::relabel(tx, &user_id, labels).await?;
    let account = account(verified, (id, user_id), now);
    identities::refresh(tx, &account).await?;
    Ok(Resolved { user_id: account.user_id, identity_id: account.id, is_new: false })
}

fn account(verified: &VerifiedIdentity, (id, user_id): (IdentityId, UserId), now: Timestamp) -> Identity {
    let verified = verified.clone();
    Identity {
        id,
        user_id,
        provider: verified.provider,
        issuer: verified.issuer,
        subject: verified.subject,
        organization: verified.organization,
        tenant: verified.tenant,
        email: verified.email,
        email_verified: verified.email_verified,
        name: verified.name,
        groups: Json(verified.groups.names()),
        last_seen_at: now,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rstest::rstest;

    use super::*;
    use crate::{
        identity::verified::Groups,
        store::{Db, fixture::On, on},
    };

    fn someone(issuer: &str, subject: &str) -> VerifiedIdentity {
        VerifiedIdentity {
            provider: "okta".to_owned().try_into().unwrap(),
            issuer: issuer.into(),
            subject: subject.into(),
            organization: Some("acme".into()),
            email: Some("ada@acme.com".into()),
            email_verified: true,
            name: Some("Ada".into()),
            groups: Groups::Known(BTreeSet::from(["staff".into()])),
            tenant: None,
            auth_time: None,
            acr: None,
            amr: Vec::new(),
            sid: None,
        }
    }

    async fn come(db: &Db, who: &VerifiedIdentity) -> Result<Resolved, ResolveError> {
        let mut tx = db.begin().await?;
        let resolved = resolve(&mut tx, who, (&Clock::System, &Entropy::System)).await?;
        tx.commit().await?;
        Ok(resolved)
    }

    async fn count(db: &Db) -> (i64, i64) {
        on!(db, |executor| {
            sqlx::query_as("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM identities)")
                .fetch_one(executor)
                .await
        })
        .unwrap()
    }

    #[rstest]
    #[tokio::test]
    async fn an_address_is_no_key_and_neither_is_a_subject_alone(#[values(On::Sqlite, On::Postgres)] on: On) {
        let Some(fresh) = on.fresh().await else { return };
        let first = come(&fresh.db, &someone("https://a", "1")).await.unwrap();
        for other in [someone("https://a", "2"), someone("https://b", "1"), someone("https://a", "1 ")] {
            let resolved = come(&fresh.db, &other).await.unwrap();
            assert!(resolved.is_new && resolved.user_id != first.user_id);
        }
        let again = come(&fresh.db, &someone("https://a", "1")).await.unwrap();
        assert_eq!(again, Resolved { is_new: false, ..first });
    }

    #[rstest]
    #[tokio::test]
    async fn what_the_provider_says_last_holds(#[values(On::Sqlite, On::Postgres)] on: On) {
        let Some(fresh) = on.fresh().await else { return };
        let mut ada = someone("https://a", "1");
        let Resolved { identity_id, .. } = come(&fresh.db, &ada).await.unwrap();
        (ada.name, ada.email, ada.groups) = (None, Some("ada@byron.uk".into()), Groups::TooMany);
        come(&fresh.db, &ada).await.unwrap();
        let kept = identities::find_enabled(&fresh.db, &identity_id).await.unwrap().unwrap();
        assert_eq!((kept.name, kept.email.as_deref(), kept.groups.0), (None, Some("ada@byron.uk"), vec![]));
        let shown: (Option<String>, Option<String>) =
            on!(fresh.db, |e| sqlx::query_as("SELECT name, email FROM users").fetch_one(e).await).unwrap();
        assert_eq!(shown, (Some("Ada".into()), Some("ada@byron.uk".into())));
    }

    #[rstest]
    #[tokio::test]
    async fn whoever_is_shut_out_stays_out_and_leaves_no_trace(#[values(On::Sqlite, On::Postgres)] on: On) {
        let Some(fresh) = on.fresh().await else { return };
        let mut ada = someone("https://a", "1");
        let Resolved { user_id, identity_id, .. } = come(&fresh.db, &ada).await.unwrap();
        let mut tx = fresh.db.begin().await.unwrap();
        on!(tx, |e| sqlx::query("UPDATE users SET disabled_at = 1").execute(e).await.map(|_| ())).unwrap();
        tx.commit().await.unwrap();
        ada.email = Some("new@acme.com".into());
        assert!(matches!(come(&fresh.db, &ada).await, Err(ResolveError::Disabled(id)) if id == user_id));
        assert_eq!(identities::find_enabled(&fresh.db, &identity_id).await.unwrap(), None);
        let (email,): (String,) =
            on!(fresh.db, |e| sqlx::query_as("SELECT email FROM identities").fetch_one(e).await).unwrap();
        assert_eq!(email, "ada@acme.com");
    }

    #[rstest]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_first_sign_ins_of_one_person_make_one_user(#[values(On::Sqlite, On::Postgres)] on: On) {
        let Some(fresh) = on.fresh().await else { return };
        let tabs: Vec<_> = (0..16)
            .map(|_| {
                let db = fresh.db.clone();
                tokio::spawn(async move { come(&db, &someone("https://a", "1")).await.unwrap() })
            })
            .collect();
        let mut users = BTreeSet::new();
        let mut new = 0;
        for tab in tabs {
            let resolved = tab.await.unwrap();
            new += usize::from(resolved.is_new);
            users.insert(resolved.user_id);
        }
        assert_eq!((users.len(), new, count(&fresh.db).await), (1, 1, (1, 1)));
    }
}
