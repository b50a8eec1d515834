//! Whose an account is that is seen for the first time: that of a known user, in two cases that an operator must ask
//! for, and never because of an address alone.
//!
//! - An assertion names the user herself (`aud_sub`), and she is one of the same provider's people.
//! - Two providers vouch for the same e-mail address, and each is configured to trust the other's word for it. An
//!   address changes hands; so nobody gets a second account at one issuer by it, for then the issuer itself says that
//!   these are two people.

use std::collections::BTreeSet;

use super::{
    users::{Refusal, ResolveError},
    verified::{VerifiedIdentity, Voucher},
};
use crate::{
    config::provider::IssuerRule,
    ids::UserId,
    store::{
        Tx,
        identities::{self, Account, Identity},
    },
};

/// By what an account joined a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The assertion named her.
    AudSub,
    /// The verified address that she has elsewhere.
    VerifiedEmail,
}

impl Link {
    /// A stable code for the record.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AudSub => "aud_sub",
            Self::VerifiedEmail => "verified_email",
        }
    }
}

/// The user of ours whom an assertion names, where the provider may do so.
pub fn named<'a>(who: &'a VerifiedIdentity<'_>) -> Option<&'a str> {
    match &who.voucher {
        Voucher::Assertion { aud_sub } if who.provider.id_jag.as_ref()?.aud_sub => aud_sub.as_deref(),
        _ => None,
    }
}

/// The known user whom a new account belongs to. `None`: nobody.
pub(super) async fn owner(
    tx: &mut Tx,
    who: &VerifiedIdentity<'_>,
) -> Result<Option<(UserId, Link)>, ResolveError> {
    if let Some(named) = named(who) {
        return Ok(Some((by_aud_sub(tx, who, named).await?, Link::AudSub)));
    }
    Ok(by_address(tx, who).await?.map(|user| (user, Link::VerifiedEmail)))
}

/// The user of this id, if the provider that names her knows her.
async fn by_aud_sub(tx: &mut Tx, who: &VerifiedIdentity<'_>, named: &str) -> Result<UserId, ResolveError> {
    let user = UserId::parse(named).filter(|user| user.as_str() == named).ok_or(Refusal::AudSub)?;
    let accounts = identities::of_person(tx, &user).await?;
    let own = accounts.iter().find(|account| is_colleague(who, &account.identity));
    let own = own.ok_or(Refusal::AudSub)?;
    if own.disabled_at.is_some() {
        return Err(Refusal::Disabled(user).into());
    }
    Ok(user)
}

/// Whether an account is of the same provider and, where that has several tenants or says which it is, of the same one.
fn is_colleague(who: &VerifiedIdentity<'_>, account: &Identity) -> bool {
    let one_tenant = matches!(who.provider.issuer, IssuerRule::Exact(_)) && who.tenant.is_none();
    account.provider == who.provider.id && (one_tenant || account.tenant == who.tenant)
}

/// The one user who has the same verified address at a provider that is linked with this one.
async fn by_address(tx: &mut Tx, who: &VerifiedIdentity<'_>) -> Result<Option<UserId>, ResolveError> {
    let linked = &who.provider.identity.link_verified_email;
    // Letters beyond ASCII have more than one lower case.
    let address = who.email.as_deref().filter(|email| email.is_ascii() && who.email_verified == Some(true));
    let Some(address) = address.filter(|_| !linked.is_empty()) else { return Ok(None) };
    let holders: Vec<Account> = identities::lock_address(tx, address)
        .await?
        .into_iter()
        .filter(|Account { identity, .. }| {
            let same = identity.email.as_ref().is_some_and(|email| email.eq_ignore_ascii_case(address));
            same && (linked.contains(&identity.provider) || identity.issuer == who.issuer)
        })
        .collect();
    let users: BTreeSet<&UserId> = holders.iter().map(|account| &account.identity.user_id).collect();
    let Some(first) = holders.first() else { return Ok(None) };
    if users.len() > 1 {
        return Err(Refusal::Ambiguous.into());
    }
    let user = &first.identity.user_id;
    let accounts = identities::of_person(tx, user).await?;
    if accounts.iter().any(|account| account.identity.issuer == who.issuer) {
        return Ok(None);
    }
    if first.disabled_at.is_some() {
        return Err(Refusal::Disabled(user.clone()).into());
    }
    Ok(Some(user.clone()))
}

#[cfg(test)]
mod tests;
