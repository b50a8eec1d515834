//! From a verified identity to a user: the one function, for sign-in and for ID-JAG alike.
//!
//! A person is found by the key of her account, (issuer, subject). An account that is seen for the first time is a
//! known person's only where the operator says so ([`link`](super::link)), and else makes a new user. The provider's
//! entry rules are asked in here, so that no caller can forget them.

use sqlx::types::Json;

use super::{
    entry::{self, EntryRefusal},
    link::{self, Link},
    verified::{Groups, VerifiedIdentity, Voucher},
};
use crate::{
    audit::{self, Event, Kind, Origin},
    clock::{Clock, Timestamp},
    entropy::Entropy,
    ids::{IdentityId, UserId},
    store::{
        StoreError, Tx,
        identities::{self, Account, Identity, Said},
        users,
    },
};

/// A user, by the account by which she was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The account, with what is known of her now.
    pub identity: Identity,
    /// How she was found.
    pub found: Found,
}

/// How a user was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// She came by this account before.
    Known,
    /// The account is new and joined a user who was known.
    Linked(Link),
    /// This is the first time that we see her.
    New,
}

/// Why an identity is no user. Nothing was written that the caller's transaction, once dropped, would leave behind.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// She may not come in.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why somebody may not come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A rule of the operator's keeps her out.
    #[error("an entry rule keeps her out: {0}")]
    Entry(#[from] EntryRefusal),
    /// The operator shut her out.
    #[error("the operator has disabled the user {0}")]
    Disabled(UserId),
    /// Her address is linked, and is that of several users.
    #[error("her verified address is that of several users, so it is not known whose account this is")]
    Ambiguous,
    /// The assertion names a user (`aud_sub`) who is not among the provider's own, or not the one whose account it is.
    #[error("aud_sub names a user who is not this provider's, or whose account this is not")]
    AudSub,
}

impl Refusal {
    /// A stable code for the record.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Entry(refusal) => refusal.code(),
            Self::Disabled(_) => "user_disabled",
            Self::Ambiguous => "identity_ambiguous",
            Self::AudSub => "aud_sub",
        }
    }

    /// What the person is told.
    pub fn in_words(&self) -> String {
        match self {
            Self::Entry(refusal) => refusal.in_words(),
            Self::Disabled(_) => "Your access to this service has been switched off.".into(),
            Self::Ambiguous => {
                "Several people here have your e-mail address, so we cannot tell who you are.".into()
            }
            Self::AudSub => "This account belongs to somebody else here.".into(),
        }
    }
}

/// Lets the person in, finds her user or makes one, and notes what the provider says of her now.
pub async fn resolve(
    tx: &mut Tx,
    who: &VerifiedIdentity<'_>,
    origin: &Origin,
    (clock, entropy): (&Clock, &Entropy),
) -> Result<Resolved, ResolveError> {
    let now = clock.now();
    let known = identities::hold(tx, &who.issuer, &who.subject).await?;
    let whole = who.completed(known.as_ref().map(|account| &account.identity));
    entry::admit(&whole).map_err(Refusal::from)?;
    if let Some(account) = known {
        return recognise(tx, who, account, now).await;
    }
    let owner = link::owner(tx, who).await?;
    let user_id = match &owner {
        Some((user, _)) => user.clone(),
        None => UserId::new(clock, entropy),
    };
    let labels = (who.name.as_deref(), who.email.as_deref());
    if owner.is_none() {
        users::insert(tx, &user_id, labels, now).await?;
    }
    let identity = first_seen(who, (IdentityId::new(clock, entropy), user_id), now);
    if !identities::insert(tx, &identity).await? {
        // The same person's other tab was first, and by now its transaction is over.
        if owner.is_none() {
            users::delete(tx, &identity.user_id).await?;
        }
        let account = identities::hold(tx, &who.issuer, &who.subject).await?.ok_or(StoreError::Conflict)?;
        return recognise(tx, who, account, now).await;
    }
    let Some((user, link)) = owner else { return Ok(Resolved { identity, found: Found::New }) };
    if !users::relabel(tx, &user, labels).await? {
        return Err(Refusal::Disabled(user).into());
    }
    let event = Event::new(Kind::IdentityLinked, origin)
        .user(&user)
        .provider(&identity.provider)
        .reason(link.code())
        .detail("identity", &identity.id)
        .detail("issuer", &identity.issuer);
    audit::record(tx, clock, entropy, &event).await?;
    Ok(Resolved { identity, found: Found::Linked(link) })
}

/// She came by this account before.
async fn recognise(
    tx: &mut Tx,
    who: &VerifiedIdentity<'_>,
    account: Account,
    now: Timestamp,
) -> Result<Resolved, ResolveError> {
    let Identity { id, user_id, .. } = &account.identity;
    if account.disabled_at.is_some() {
        return Err(Refusal::Disabled(user_id.clone()).into());
    }
    if link::named(who).is_some_and(|named| named != user_id.as_str()) {
        return Err(Refusal::AudSub.into());
    }
    // Asked again by the write, which waits for whoever is shutting her out at this moment.
    if !users::relabel(tx, user_id, (who.name.as_deref(), who.email.as_deref())).await? {
        return Err(Refusal::Disabled(user_id.clone()).into());
    }
    let groups = (who.groups != Groups::Unsaid).then(|| who.groups.names());
    let said = Said {
        provider: &who.provider.id,
        organization: who.provider.organization.as_deref(),
        tenant: who.tenant.as_deref(),
        email: who.email.as_deref(),
        email_verified: who.email_verified,
        name: who.name.as_deref(),
        groups: groups.as_deref(),
        claims: &entry::kept(&who.completed(Some(&account.identity))),
    };
    let identity = match who.voucher {
        Voucher::SignIn => identities::replace(tx, id, said, now).await?,
        Voucher::Assertion { .. } => identities::complete(tx, id, said, now).await?,
    };
    Ok(Resolved { identity, found: Found::Known })
}

/// The account of somebody who came for the first time.
pub(super) fn first_seen(
    who: &VerifiedIdentity<'_>,
    (id, user_id): (IdentityId, UserId),
    now: Timestamp,
) -> Identity {
    Identity {
        id,
        user_id,
        provider: who.provider.id.clone(),
        issuer: who.issuer.clone(),
        subject: who.subject.clone(),
        organization: who.provider.organization.clone(),
        tenant: who.tenant.clone(),
        email: who.email.clone(),
        email_verified: who.email_verified == Some(true),
        name: who.name.clone(),
        groups: Json(who.groups.names()),
        claims: Json(entry::kept(who)),
        created_at: now,
        last_seen_at: now,
    }
}

#[cfg(test)]
mod tests;
