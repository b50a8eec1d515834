//! Handing out: the server of a resource trades the token that it was sent for one of its person's account at a vendor.
//!
//! The vendor's token is handed out as it is, for no vendor makes a weaker one of it: what it is wanted for is checked,
//! and who gets it, but it can do all that the account was connected for. So whoever may not have all of `use` for the
//! scopes that the person allowed gets nothing. Her refresh token never leaves the vault.

mod account;
mod answer;
mod interaction;

use std::sync::Arc;

use self::{account::choose, interaction::Lack};
pub use self::{
    answer::{Answer, Vended},
    interaction::Links,
};
use crate::{
    app::App,
    audit::{About, Event, Kind},
    config::{connection::Connection as Configured, resource::Resource},
    oauth::{
        error::ErrorCode,
        scope::{Scope, ScopeSet},
    },
    store::{
        StoreError, connection_uses,
        connections::{self, Connection},
        grants,
        switched_off::{self, Switch},
    },
    token::{
        TokenRequest,
        grants::token_exchange::{SubjectToken, unusable},
    },
    vault::{
        figures::Vend,
        refresh::{Fresh, NotFresh, fresh},
        state::State,
    },
    web::error::ApiError,
};

/// What is wanted of the vault.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The connection, which `own` uses.
    pub connection: &'a Configured,
    /// Which of the person's accounts, if not the one that she prefers.
    pub account: Option<&'a str>,
    /// The vendor's scopes that are needed; all that the person's token is worth there where nothing is said.
    pub scope: Option<&'a ScopeSet>,
    /// The resource whose server asks.
    pub own: &'a Resource,
    /// The person's token for that resource.
    pub subject: &'a SubjectToken,
}

/// Why nothing is handed out.
enum Stop {
    /// The person can do something about it.
    Lack(Lack),
    /// She cannot.
    Refused(ApiError),
}

/// Hands out the token that is wanted, or says where its person has to go first.
pub async fn vend(app: &Arc<App>, request: &TokenRequest, wanted: &Wanted<'_>) -> Result<Answer, ApiError> {
    let answer = answer(app, request, wanted).await;
    let became = match &answer {
        Ok(Answer::Token(_)) => Vend::Vended,
        Ok(Answer::Person(_)) => Vend::ConnectFirst,
        Err(error) if error.code() == ErrorCode::InteractionRequired => Vend::ConnectFirst,
        Err(error) if error.is_fault() => Vend::Unavailable,
        Err(_) => Vend::Refused,
    };
    app.vault.figures.count(&wanted.connection.name, became);
    answer
}

async fn answer(app: &Arc<App>, request: &TokenRequest, wanted: &Wanted<'_>) -> Result<Answer, ApiError> {
    let needed = wanted.needed()?;
    within_limit(app, request, wanted)?;
    let handed_out = match good(app, wanted, &needed).await {
        Ok(fresh) => hand_out(app, request, wanted, &needed, fresh).await,
        Err(stop) => Err(stop),
    };
    match handed_out {
        Ok(vended) => Ok(Answer::Token(Box::new(vended))),
        Err(Stop::Lack(lack)) => interaction::ask(app, request, wanted, &needed, &lack).await,
        Err(Stop::Refused(error)) => Err(error),
    }
}

impl Wanted<'_> {
    /// What is known of the request, for the record.
    fn about(&self, scope: &ScopeSet) -> About {
        let grant = &self.subject.grant;
        About::default().user(&grant.user_id).grant(&grant.id).resource(&self.own.uri).asked(scope)
    }

    /// The vendor's scopes that are needed: no more than what the person allowed is worth there.
    fn needed(&self) -> Result<ScopeSet, ApiError> {
        let held = &self.subject.held;
        let refuse = |text: &'static str, scope: &ScopeSet| {
            let reason = format!("connection {}: {text}: {held}", self.connection.name);
            ApiError::new(ErrorCode::InvalidScope, text).with_reason(reason).with_about(self.about(scope))
        };
        let none = |text| refuse(text, self.scope.unwrap_or(&ScopeSet::default()));
        let worth = |scopes| self.connection.uses.worth(&self.own.id, scopes);
        if worth(held).is_none() {
            return Err(none("the subject token has no scope for which its server uses this connection"));
        }
        let worth = worth(&self.agreed()).ok_or_else(|| {
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

    /// Those of the token's scopes of which its person knew, when she allowed them, what they need at the vendor. Of the
    /// accounts that a server behind the one that she called may use, nobody tells her.
    fn agreed(&self) -> ScopeSet {
        let SubjectToken { held, actor, standing, .. } = self.subject;
        let pairs = self.connection.uses.of(&self.own.id);
        let knew = |scope: &&Scope| match (&standing.uses, pairs.and_then(|pairs| pairs.get(*scope))) {
            (Some(told), Some(needed)) => told.say(scope, &self.connection.name, needed),
            (None, _) | (_, None) => true,
        };
        if actor.is_some() { ScopeSet::default() } else { held.iter().filter(knew).cloned().collect() }
    }

    /// What of the connection's rules or of what is needed an account does not meet today.
    fn lacks(&self, found: &Connection, needed: &ScopeSet) -> Option<Lack> {
        let tenants = &self.connection.account.require.tenants;
        if !tenants.is_empty() && found.tenant.as_ref().is_none_or(|tenant| !tenants.contains(tenant)) {
            return Some(Lack::Account);
        }
        let missing = needed.difference(&found.scope);
        (!missing.is_empty()).then_some(Lack::Scopes(missing))
    }
}

fn within_limit(app: &App, request: &TokenRequest, wanted: &Wanted<'_>) -> Result<(), ApiError> {
    let Some(limit) = app.limits.vends.get(&wanted.connection.name) else { return Ok(()) };
    let key = (request.client.client().id.clone(), wanted.subject.grant.user_id.clone());
    let now = app.clock.now();
    if let Some(wait) = limit.wait(&key, now) {
        let about = wanted.about(wanted.scope.unwrap_or(&ScopeSet::default()));
        return Err(ApiError::too_many_requests().with_retry_after(wait).with_about(about));
    }
    limit.count(key, now);
    Ok(())
}

/// The account that is meant, with a token that is good now.
async fn good(app: &Arc<App>, wanted: &Wanted<'_>, needed: &ScopeSet) -> Result<Fresh, Stop> {
    let (user, name) = (&wanted.subject.grant.user_id, &wanted.connection.name);
    if switched_off::is_off(&app.db, Switch::Connection(name)).await? {
        return Err(wanted.disabled(needed));
    }
    let theirs = connections::of_user_named(&app.db, user, name).await?;
    let found = choose(theirs, wanted.account).map_err(Stop::Lack)?;
    match found.state {
        State::Disabled => return Err(wanted.disabled(needed)),
        State::NeedsReconnect(loss) => return Err(Stop::Lack(Lack::Reconnect(loss))),
        State::Active | State::Degraded(_) => {}
    }
    if let Some(lack) = wanted.lacks(&found, needed) {
        return Err(Stop::Lack(lack));
    }
    let fresh = fresh(app, wanted.connection, found).await.map_err(|not| wanted.stop(not, needed))?;
    // A refresh may have brought fewer scopes, and another process may have connected another account meanwhile.
    match wanted.lacks(&fresh.connection, needed) {
        Some(lack) => Err(Stop::Lack(lack)),
        None => Ok(fresh),
    }
}

impl Wanted<'_> {
    fn disabled(&self, needed: &ScopeSet) -> Stop {
        let error = ApiError::access_denied("an operator has switched this connection off");
        let about = self.about(needed).reason("connection_disabled");
        Stop::Refused(error.with_about(about))
    }

    fn stop(&self, not: NotFresh, needed: &ScopeSet) -> Stop {
        let outage = |reason: String| ApiError::unavailable(reason).with_about(self.about(needed));
        let name = &self.connection.name;
        Stop::Refused(match not {
            NotFresh::Reconnect(loss) => return Stop::Lack(Lack::Reconnect(loss)),
            NotFresh::Gone => return Stop::Lack(Lack::NotConnected),
            NotFresh::Disabled => return self.disabled(needed),
            NotFresh::Unavailable { retry_after } => {
                outage(format!("connection {name}: {not}")).with_retry_after(retry_after)
            }
            NotFresh::Unopened(_) => outage(format!("connection {name}: {not}")),
            NotFresh::Store(error) => error.into(),
            NotFresh::Key(error) => error.into(),
        })
    }
}

/// Writes down who gets the token, and only then gives it.
async fn hand_out(
    app: &App,
    request: &TokenRequest,
    wanted: &Wanted<'_>,
    needed: &ScopeSet,
    Fresh { connection, access }: Fresh,
) -> Result<Vended, Stop> {
    let now = app.clock.now();
    let mut tx = request.spend(app).await?;
    if !grants::touch(&mut tx, &wanted.subject.grant.id, now).await? {
        return Err(unusable("its grant ended meanwhile").into());
    }
    let event = wanted
        .event(request, Kind::ConnectionVended)
        .scope(&connection.scope)
        .detail("connection_id", &connection.id)
        .detail("account", &connection.account)
        .detail("needed", needed);
    app.record(&mut tx, &event).await?;
    let client = &request.client.client().id;
    match connection_uses::count(&mut tx, &connection.id, client, Some(&wanted.own.id), now).await {
        // She disconnected the account while its token was on its way.
        Err(StoreError::Conflict) => return Err(Stop::Lack(Lack::NotConnected)),
        counted => counted?,
    }
    tx.commit().await?;
    Ok(Vended::new(wanted.connection, connection, access, now))
}

impl Wanted<'_> {
    fn event(&self, request: &TokenRequest, kind: Kind) -> Event {
        let SubjectToken { id, client, grant, .. } = self.subject;
        request
            .event(kind)
            .user(&grant.user_id)
            .grant(&grant.id)
            .resource(&self.own.uri)
            .detail("connection", &self.connection.name)
            .detail("subject_jti", id)
            .detail("subject_client", client)
    }
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}
