//! A person shut out: for a while, or for good when she leaves.
//!
//! Her accounts stay, as what is refused: were they deleted, the next assertion about her would make a new user of her.
//! The user's row goes first. Whoever is letting her in holds it, so what comes of that is there to be ended.

use std::time::Duration;

use serde::Serialize;

use super::{
    AdminError, Operator,
    connections::Connected,
    person::{Account, Permission, Session},
};
use crate::{
    audit::{Event, Kind},
    clock::Timestamp,
    identity::ending::{Cause, Ended, Ending, Extent},
    ids::UserId,
    store::{
        StoreError,
        connections::Connection,
        consents::{self, Consent},
        identities::{self, Identity},
        refresh_tokens, revocations, users,
    },
    vault::disconnect,
};

/// How far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// All of her access ends; what she allowed stays remembered.
    Disable,
    /// She has left: what she allowed is withdrawn as well, and the accounts that she connected are disconnected.
    Offboard,
}

/// What was ended.
#[derive(Debug, Serialize)]
pub struct Receipt {
    /// What was done.
    pub act: Act,
    /// Her id.
    pub user: String,
    /// Her name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Her address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// When this was done.
    pub at: String,
    /// Since when she is shut out.
    pub disabled_since: String,
    /// The number under which the record has all of it.
    pub reference: String,
    /// Her accounts at providers: from now on refused, for sign-in and for assertions (ID-JAG).
    pub accounts_refused: Vec<Account>,
    /// The sessions that ended.
    pub sessions: Vec<Session>,
    /// The grants that ended.
    pub grants: Vec<Permission>,
    /// How many refresh tokens ended with them.
    pub refresh_tokens: i64,
    /// How many codes under way were taken away.
    pub codes: u64,
    /// What she had allowed, and is withdrawn.
    pub consents: Vec<Withdrawn>,
    /// The accounts that she had connected, and that are disconnected.
    pub connections: Vec<Connected>,
    /// How many connections of hers, ended now or before, have tokens that are yet to be revoked at their vendors.
    pub revocations_owed: i64,
    /// Access tokens that were handed out before cannot be called back: the last has run out by then.
    pub access_tokens_until: String,
    /// Other users who go by one of her verified addresses. They are not touched.
    pub others: Vec<Other>,
}

/// A consent that was withdrawn.
#[derive(Debug, Serialize)]
pub struct Withdrawn {
    /// Who was allowed.
    pub client: String,
    /// Where.
    pub resource: String,
}

/// Somebody who may be the same person.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Other {
    /// The user.
    pub user: String,
    /// The account.
    #[serde(flatten)]
    pub account: Account,
}

/// What one transaction ended.
struct Done {
    act: Act,
    at: Timestamp,
    ended: Ended,
    refresh_tokens: i64,
    withdrawn: Vec<Consent>,
    disconnected: Vec<Connection>,
}

impl Operator<'_> {
    /// Shuts a person out. To do it again ends what there is by then, and does no harm.
    pub async fn shut_out(&self, user: &UserId, act: Act) -> Result<Receipt, AdminError> {
        let at = self.chance.0.now();
        let mut tx = self.db.begin().await?;
        users::disable(&mut tx, user, at).await?;
        let ending = Ending { origin: &self.origin, cause: Cause::Operator, chance: self.chance };
        let refresh_tokens = refresh_tokens::unused_of_user(&mut tx, user).await?;
        let ended = ending.user(&mut tx, user, Extent::Everything).await?;
        let (withdrawn, disconnected) = match act {
            Act::Disable => (Vec::new(), Vec::new()),
            Act::Offboard => (
                consents::delete_of_user(&mut tx, user).await?,
                disconnect::end_of_user(&mut tx, user, &ending).await?,
            ),
        };
        for consent in &withdrawn {
            let event = Event::new(Kind::ConsentWithdrawn, &self.origin)
                .user(user)
                .client(&consent.client_id)
                .reason(Cause::Operator.code())
                .detail("purpose", &consent.purpose);
            self.record(&mut tx, &event).await?;
        }
        let kind = match act {
            Act::Disable => Kind::UserDisabled,
            Act::Offboard => Kind::UserOffboarded,
        };
        let event = Event::new(kind, &self.origin)
            .user(user)
            .detail("sessions", ended.sessions.len())
            .detail("grants", ended.grants.len())
            .detail("refresh_tokens", refresh_tokens)
            .detail("codes", ended.codes)
            .detail("consents", withdrawn.len())
            .detail("connections", disconnected.len());
        self.record(&mut tx, &event).await?;
        tx.commit().await?;
        self.receipt(user, Done { act, at, ended, refresh_tokens, withdrawn, disconnected }).await
    }

    /// Lets a person in again, with nothing of what had ended. `false`: she was not shut out.
    pub async fn let_in(&self, user: &UserId) -> Result<bool, AdminError> {
        let mut tx = self.db.begin().await?;
        let changed = users::enable(&mut tx, user).await?;
        if changed {
            self.record(&mut tx, &Event::new(Kind::UserEnabled, &self.origin).user(user)).await?;
        }
        tx.commit().await?;
        Ok(changed)
    }

    async fn receipt(&self, user: &UserId, done: Done) -> Result<Receipt, AdminError> {
        let Done { act, at, ended, refresh_tokens, withdrawn, disconnected } = done;
        let found = self.user(user).await?;
        let accounts = identities::of_user(self.db, user).await?;
        let lifetimes = self.config.resources.values().filter_map(|resource| resource.access_token);
        let longest = lifetimes.fold(self.config.lifetimes.access_token, Duration::max);
        Ok(Receipt {
            act,
            user: user.to_string(),
            name: found.name,
            email: found.email,
            at: at.to_string(),
            disabled_since: found.disabled_at.unwrap_or(at).to_string(),
            reference: self.origin.reference.to_string(),
            accounts_refused: accounts.iter().map(|account| Account::from(&account.identity)).collect(),
            sessions: ended.sessions.into_iter().map(Session::from).collect(),
            grants: ended.grants.into_iter().map(Permission::from).collect(),
            refresh_tokens,
            codes: ended.codes,
            consents: withdrawn.iter().map(Withdrawn::from).collect(),
            connections: disconnected.iter().map(Connected::from).collect(),
            revocations_owed: revocations::count_of_user(self.db, user).await?,
            access_tokens_until: at.plus(longest).to_string(),
            others: self.others(user, &accounts).await?,
        })
    }

    /// Who else goes by an address for which a provider of hers vouches.
    async fn others(
        &self,
        user: &UserId,
        accounts: &[identities::Account],
    ) -> Result<Vec<Other>, StoreError> {
        let mut others = Vec::new();
        let vouched = accounts.iter().map(|account| &account.identity).filter(|own| own.email_verified);
        for email in vouched.filter_map(|own| own.email.as_deref()) {
            for account in identities::with_email(self.db, email).await? {
                let other = Other::from(&account.identity);
                if other.user != user.as_str() && !others.contains(&other) {
                    others.push(other);
                }
            }
        }
        Ok(others)
    }
}

impl From<&Consent> for Withdrawn {
    fn from(consent: &Consent) -> Self {
        Self { client: consent.client_id.to_string(), resource: consent.purpose.to_string() }
    }
}

impl From<&Identity> for Other {
    fn from(identity: &Identity) -> Self {
        Self { user: identity.user_id.to_string(), account: Account::from(identity) }
    }
}
