//! Whom the operator means.

use crate::{
    ids::{ProviderId, UserId},
    store::{
        Db, StoreError,
        identities::{self, Account},
    },
};

/// Who was found.
#[derive(Debug)]
pub enum Found {
    /// This account.
    One(Box<Account>),
    /// Nobody who ever came through the provider.
    Nobody,
    /// Several, who go by the same label or have several accounts: which is meant must be said by issuer and subject.
    Several(Vec<Account>),
}

/// Finds an account at a provider by `ISSUER#SUBJECT`, by the user's id, by its subject, or by an address. An address
/// is a label that several people may have, so it counts only where nothing else fits.
pub async fn find(db: &Db, provider: &ProviderId, sought: &str) -> Result<Found, StoreError> {
    let mut accounts = by_key(db, provider, sought).await?;
    if accounts.is_empty() {
        accounts = identities::with_email(db, sought).await?;
    }
    accounts.retain(|account| account.identity.provider == *provider);
    Ok(match accounts.len() {
        0 => Found::Nobody,
        1 => accounts.pop().map_or(Found::Nobody, |one| Found::One(Box::new(one))),
        _ => Found::Several(accounts),
    })
}

async fn by_key(db: &Db, provider: &ProviderId, sought: &str) -> Result<Vec<Account>, StoreError> {
    if let Some((issuer, subject)) = sought.split_once('#').filter(|(issuer, _)| issuer.contains("://")) {
        let accounts = identities::with_subject(db, provider, subject).await?;
        return Ok(accounts.into_iter().filter(|account| account.identity.issuer == issuer).collect());
    }
    let mut accounts = identities::with_subject(db, provider, sought).await?;
    if let Some(user) = UserId::parse(sought) {
        accounts.extend(identities::of_user(db, &user).await?);
    }
    Ok(accounts)
}
