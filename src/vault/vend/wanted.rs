//! What is wanted of the vault, and for whom: for a person who sent her token to the server that asks, or for one who
//! is not there, by a job of the operator's.

use super::{Stop, interaction::Lack};
use crate::{
    audit::{About, Event, Kind},
    config::{connection::Connection as Configured, resource::Resource},
    ids::{ConnectionId, UserId},
    oauth::{
        error::ErrorCode,
        scope::{Scope, ScopeSet},
    },
    store::connections::Connection,
    token::{TokenRequest, grants::token_exchange::SubjectToken},
    vault::refresh::NotFresh,
    web::error::ApiError,
};

/// What is wanted of the vault.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The connection, which whoever asks may use.
    pub connection: &'a Configured,
    /// Which of the person's accounts, if not the one that she prefers.
    pub account: Option<&'a str>,
    /// The vendor's scopes that are needed, where it is said.
    pub scope: Option<&'a ScopeSet>,
    /// For whom.
    pub whom: Whom<'a>,
}

/// For whom something is wanted.
#[derive(Debug, Clone, Copy)]
pub enum Whom<'a> {
    /// For a person who uses a resource now.
    Present {
        /// The resource, whose server asks.
        own: &'a Resource,
        /// The token that she sent it.
        subject: &'a SubjectToken,
    },
    /// For a person who is not there: a job asks, to which the operator opened the connection.
    Absent(&'a UserId),
}

impl<'a> Wanted<'a> {
    /// Whose account it is.
    pub(super) const fn user(&self) -> &'a UserId {
        match self.whom {
            Whom::Present { subject, .. } => &subject.grant.user_id,
            Whom::Absent(user) => user,
        }
    }

    /// The resource that the person is using.
    pub(super) const fn own(&self) -> Option<&'a Resource> {
        match self.whom {
            Whom::Present { own, .. } => Some(own),
            Whom::Absent(_) => None,
        }
    }

    /// What is known of the request, for the record.
    pub(super) fn about(&self, scope: &ScopeSet) -> About {
        let about = About::default().user(self.user()).asked(scope);
        match self.whom {
            Whom::Present { own, subject } => about.grant(&subject.grant.id).resource(&own.uri),
            Whom::Absent(_) => about,
        }
    }

    pub(super) fn event(&self, request: &TokenRequest, kind: Kind) -> Event {
        let event = request.event(kind).user(self.user()).detail("connection", &self.connection.name);
        match self.whom {
            Whom::Present { own, subject } => event
                .grant(&subject.grant.id)
                .resource(&own.uri)
                .detail("subject_jti", &subject.id)
                .detail("subject_client", &subject.client),
            Whom::Absent(_) => event,
        }
    }

    /// The vendor's scopes that are needed.
    pub(super) fn needed(&self) -> Result<ScopeSet, ApiError> {
        match self.whom {
            Whom::Present { own, subject } => self.needed_by(own, subject),
            Whom::Absent(_) => self.needed_by_job(),
        }
    }

    /// No more than what the person allowed is worth there; all of it where nothing is said.
    fn needed_by(&self, own: &Resource, subject: &SubjectToken) -> Result<ScopeSet, ApiError> {
        let held = &subject.held;
        let refuse = |text: &'static str, scope: &ScopeSet| self.not_worth(text, held, scope);
        let none = |text| refuse(text, self.scope.unwrap_or(&ScopeSet::default()));
        let worth = |scopes| self.connection.uses.worth(&own.id, scopes);
        if worth(held).is_none() {
            return Err(none("the subject token has no scope for which its server uses this connection"));
        }
        let worth = worth(&self.agreed(own, subject)).ok_or_else(|| {
            none("its person was not told that the resource uses this connection: have the client ask her again")
        })?;
        match self.scope {
            Some(asked) if !asked.is_subset(&worth) => {
                Err(refuse("the subject token is not worth all of these scopes there", asked))
            }
            Some(asked) if !asked.is_empty() => Ok(asked.clone()),
            _ => Ok(worth),
        }
    }

    /// No more than what people are ever asked for; the account alone where nothing is said.
    fn needed_by_job(&self) -> Result<ScopeSet, ApiError> {
        let asked = self.scope.cloned().unwrap_or_default();
        let known = self.connection.uses.all().union(&self.connection.scopes);
        if asked.is_subset(&known) {
            return Ok(asked);
        }
        Err(self.not_worth("nobody is asked for all of these scopes there", &known, &asked))
    }

    fn not_worth(&self, text: &'static str, held: &ScopeSet, asked: &ScopeSet) -> ApiError {
        let reason = format!("connection {}: {text}: {held}", self.connection.name);
        ApiError::new(ErrorCode::InvalidScope, text).with_reason(reason).with_about(self.about(asked))
    }

    /// Those of the token's scopes of which its person knew, when she allowed them, what they need at the vendor. Of
    /// the accounts that a server behind the one that she called may use, nobody tells her.
    fn agreed(&self, own: &Resource, subject: &SubjectToken) -> ScopeSet {
        let SubjectToken { held, actor, standing, .. } = subject;
        let pairs = self.connection.uses.of(&own.id);
        let knew = |scope: &&Scope| match (&standing.uses, pairs.and_then(|pairs| pairs.get(*scope))) {
            (Some(told), Some(needed)) => told.say(scope, &self.connection.name, needed),
            (None, _) | (_, None) => true,
        };
        if actor.is_some() { ScopeSet::default() } else { held.iter().filter(knew).cloned().collect() }
    }

    /// What of the connection's rules or of what is needed an account does not meet today.
    pub(super) fn lacks(&self, found: &Connection, needed: &ScopeSet) -> Option<Lack> {
        let tenants = &self.connection.account.require.tenants;
        if !tenants.is_empty() && found.tenant.as_ref().is_none_or(|tenant| !tenants.contains(tenant)) {
            return Some(Lack::Account);
        }
        let missing = needed.difference(&found.scope);
        (!missing.is_empty()).then_some(Lack::Scopes(missing))
    }

    /// No account of the person's is the one that is meant. Another person's, named by its id, is as one that never
    /// was: it is none that she could connect.
    pub(super) fn not_meant(&self, lack: Lack, needed: &ScopeSet) -> Stop {
        match lack {
            Lack::NotConnected if self.account.and_then(ConnectionId::parse).is_some() => {
                let error = ApiError::not_found("the person has no connected account of this id");
                Stop::Refused(error.with_about(self.about(needed).reason("unknown_account")))
            }
            lack => Stop::Lack(lack),
        }
    }

    /// An operator has switched it off.
    pub(super) fn disabled(&self, needed: &ScopeSet) -> ApiError {
        let error = ApiError::access_denied("an operator has switched this connection off");
        error.with_about(self.about(needed).reason("connection_disabled"))
    }

    /// Why there is no good token.
    pub(super) fn stop(&self, not: NotFresh, needed: &ScopeSet) -> Stop {
        let outage = |reason: String| ApiError::unavailable(reason).with_about(self.about(needed));
        let name = &self.connection.name;
        Stop::Refused(match not {
            NotFresh::Reconnect(loss) => return Stop::Lack(Lack::Reconnect(loss)),
            NotFresh::Gone => return Stop::Lack(Lack::NotConnected),
            NotFresh::Disabled => self.disabled(needed),
            NotFresh::Unavailable { retry_after } => {
                outage(format!("connection {name}: {not}")).with_retry_after(retry_after)
            }
            NotFresh::Unopened(_) => outage(format!("connection {name}: {not}")),
            NotFresh::Store(error) => error.into(),
            NotFresh::Key(error) => error.into(),
        })
    }
}
