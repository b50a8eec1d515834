//! People as tests need them, and how they come in.

use std::collections::BTreeSet;

use super::{
    authentication::Authentication,
    claims::Claims,
    users::{Refusal, ResolveError, Resolved, resolve},
    verified::{Groups, VerifiedIdentity, Voucher},
};
use crate::{
    audit::Origin,
    clock::Clock,
    config::provider::{Provider, fixture},
    entropy::Entropy,
    ids::{ProviderId, UserId},
    jose::json::Object,
    store::{Db, on},
};

/// A provider of this name that links verified addresses with those.
pub(super) fn provider(id: &str, links: &[&str]) -> Provider {
    let name = |id: &str| ProviderId::try_from(id.to_owned()).unwrap();
    let mut provider = Provider { id: name(id), ..fixture::provider() };
    provider.identity.link_verified_email = links.iter().map(|id| name(id)).collect();
    provider
}

/// Ada, as she signs in.
pub(super) fn ada<'p>(provider: &'p Provider, issuer: &str, subject: &str) -> VerifiedIdentity<'p> {
    VerifiedIdentity {
        provider,
        issuer: issuer.into(),
        subject: subject.into(),
        email: Some("ada@acme.com".into()),
        email_verified: Some(true),
        name: Some("Ada".into()),
        groups: Groups::Known(BTreeSet::from(["staff".into()])),
        tenant: None,
        authentication: Authentication::default(),
        voucher: Voucher::SignIn,
        claims: Claims { signed: Object::new(), userinfo: None },
    }
}

/// The same person, named by an assertion that says nothing else.
pub(super) fn asserted<'p>(provider: &'p Provider, issuer: &str, subject: &str) -> VerifiedIdentity<'p> {
    VerifiedIdentity {
        email: None,
        email_verified: None,
        name: None,
        groups: Groups::Unsaid,
        voucher: Voucher::Assertion { aud_sub: None },
        ..ada(provider, issuer, subject)
    }
}

/// Whether she comes in, in a transaction of her own.
pub(super) async fn come(db: &Db, who: &VerifiedIdentity<'_>) -> Result<Resolved, Refusal> {
    let mut tx = db.begin().await.unwrap();
    let origin = Origin::house(&Entropy::System);
    match resolve(&mut tx, who, &origin, (&Clock::System, &Entropy::System)).await {
        Ok(resolved) => tx.commit().await.map(|()| resolved).map_err(|error| panic!("{error}")),
        Err(ResolveError::Refused(refusal)) => Err(refusal),
        Err(ResolveError::Store(error)) => panic!("{error}"),
    }
}

/// Shuts a user out.
pub(super) async fn disable(db: &Db, user: &UserId) {
    let mut tx = db.begin().await.unwrap();
    on!(tx, |executor| {
        sqlx::query("UPDATE users SET disabled_at = 1 WHERE id = $1")
            .bind(user)
            .execute(executor)
            .await
            .map(drop)
    })
    .unwrap();
    tx.commit().await.unwrap();
}

/// How many users, accounts and records of links there are.
pub(super) async fn count(db: &Db) -> (i64, i64, i64) {
    const SELECT: &str = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM identities), \
                          (SELECT count(*) FROM audit WHERE event = 'identity.linked')";
    on!(db, |executor| sqlx::query_as(SELECT).fetch_one(executor).await).unwrap()
}
