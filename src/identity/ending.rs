//! The end of access: the one way in which sessions end, and with them what was born in them.
//!
//! All of it is in force at once and on every instance, since it is in the database and nobody keeps a copy. The order
//! of the writes matters where others write at the same moment: whoever gives a code holds its session, whoever uses
//! a code or a refresh token holds that row. So the session goes first, then the codes, then the grants, and each write
//! sees what those that it had to wait for have made.

use crate::{
    audit::{self, Event, Kind},
    clock::Clock,
    entropy::Entropy,
    ids::{ProviderId, SessionId, UserId},
    store::{
        StoreError, Tx, codes,
        grants::{self, EndedGrant},
        sessions::{self, EndedSession},
        upstream_sessions,
    },
};

/// How much of a provider is ended in one transaction.
const BATCH: u32 = 200;

/// Who ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The person, by signing out.
    Owner,
    /// Her provider, by its logout.
    Provider,
    /// Her provider, by no longer answering for her.
    Upstream,
    /// An operator.
    Operator,
    /// An operator, by taking the provider out of the configuration.
    ProviderRemoved,
    /// An operator, by taking the connection out of the configuration.
    ConnectionRemoved,
    /// Another person, by signing in in the same browser.
    Replaced,
}

impl Cause {
    /// The stable code of the record.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Owner => "by_owner",
            Self::Provider => "by_provider",
            Self::Upstream => "upstream_refused",
            Self::Operator => "by_operator",
            Self::ProviderRemoved => "provider_removed",
            Self::ConnectionRemoved => "connection_removed",
            Self::Replaced => "replaced",
        }
    }
}

/// What was ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// The sessions.
    pub sessions: Vec<EndedSession>,
    /// The grants, and with each its refresh tokens.
    pub grants: Vec<EndedGrant>,
    /// How many codes under way.
    pub codes: u64,
}

/// Ends access in a transaction, and records each session and grant that ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// Which request, or whose command, it follows from.
    pub origin: &'a audit::Origin,
    /// Who ends it.
    pub cause: Cause,
    /// Time and chance.
    pub chance: (&'a Clock, &'a Entropy),
}

/// How much of a user's ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Her sessions, and whatever was ever born in one.
    Browsers,
    /// What her employer's provider allowed without her, too.
    Everything,
}

impl Ending<'_> {
    /// Ends one session, and all that was born in it; if it has expired, that alone.
    pub async fn session(&self, tx: &mut Tx, id: &SessionId) -> Result<Ended, StoreError> {
        let session = sessions::delete(tx, id).await?;
        let codes = codes::void_of_session(tx, id).await?;
        let grants = grants::revoke_of_session(tx, id, self.chance.0.now()).await?;
        upstream_sessions::delete(tx, id).await?;
        self.record(tx, Ended { sessions: session.into_iter().collect(), grants, codes }).await
    }

    /// Ends all sessions of a user, and what is named besides.
    pub async fn user(&self, tx: &mut Tx, user: &UserId, extent: Extent) -> Result<Ended, StoreError> {
        let sessions = sessions::delete_of_user(tx, user).await?;
        let codes = codes::void_of_user(tx, user).await?;
        let only_from_browsers = extent == Extent::Browsers;
        let grants = grants::revoke_of_user(tx, user, (only_from_browsers, self.chance.0.now())).await?;
        upstream_sessions::delete_of_user(tx, user).await?;
        self.record(tx, Ended { sessions, grants, codes }).await
    }

    /// Ends one session alone: what was born in it goes on without it.
    pub async fn session_alone(&self, tx: &mut Tx, id: &SessionId) -> Result<(), StoreError> {
        let sessions = sessions::delete(tx, id).await?.into_iter().collect();
        self.record(tx, Ended { sessions, ..Ended::default() }).await.map(drop)
    }

    /// Ends a part of what one provider stands behind, and says whether that was all of it.
    pub async fn some_of_provider(
        &self,
        tx: &mut Tx,
        provider: &ProviderId,
    ) -> Result<(Ended, bool), StoreError> {
        let ids = upstream_sessions::of_provider(tx, provider, BATCH).await?;
        let mut all = Ended::default();
        for id in &ids {
            let ended = self.session(tx, id).await?;
            all.sessions.extend(ended.sessions);
            all.grants.extend(ended.grants);
        }
        let rest = grants::revoke_of_provider(tx, provider, (BATCH, self.chance.0.now())).await?;
        let is_all = ids.is_empty() && rest.is_empty();
        let rest = self.record(tx, Ended { grants: rest, ..Ended::default() }).await?;
        all.grants.extend(rest.grants);
        Ok((all, is_all))
    }

    async fn record(&self, tx: &mut Tx, ended: Ended) -> Result<Ended, StoreError> {
        let (clock, entropy) = self.chance;
        for session in &ended.sessions {
            let event = Event::new(Kind::SessionEnded, self.origin)
                .user(&session.user_id)
                .provider(&session.provider)
                .reason(self.cause.code())
                .detail("session", &session.id);
            audit::record(tx, clock, entropy, &event).await?;
        }
        for grant in &ended.grants {
            let event = Event::new(Kind::GrantRevoked, self.origin)
                .user(&grant.user_id)
                .client(&grant.client_id)
                .grant(&grant.id)
                .reason(self.cause.code())
                .detail("purpose", &grant.purpose);
            audit::record(tx, clock, entropy, &event).await?;
        }
        Ok(ended)
    }
}
