//! Handing out: the server of a resource trades the token that it was sent for one of its person's account at a vendor.
//!
//! The vendor's token is handed out as it is, for no vendor makes a weaker one of it: what it is wanted for is checked,
//! and who gets it, but it can do all that the account was connected for. So whoever may not have all of `use` for the
//! scopes that the person allowed gets nothing. Her refresh token never leaves the vault.
//!
//! A job may have one while its person is not there, where the operator has opened the connection to it.

mod account;
mod answer;
mod interaction;
mod service;
mod wanted;

use std::sync::Arc;

use self::{account::choose, interaction::Lack};
pub use self::{
    answer::{Answer, Vended},
    interaction::Links,
    wanted::{Wanted, Whom},
};
use crate::{
    app::App,
    audit::Kind,
    oauth::{error::ErrorCode, scope::ScopeSet},
    store::{
        StoreError, Tx, connection_uses, connections, grants,
        switched_off::{self, Switch},
    },
    token::{TokenRequest, grants::token_exchange::unusable},
    vault::{
        figures::Vend,
        refresh::{Fresh, fresh},
        state::State,
    },
    web::error::ApiError,
};

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
    app.vault.figures.vend(&wanted.connection.name, became);
    answer
}

async fn answer(app: &Arc<App>, request: &TokenRequest, wanted: &Wanted<'_>) -> Result<Answer, ApiError> {
    let needed = wanted.needed()?;
    within_limit(app, request, wanted)?;
    let handed_out = if wanted.connection.kind.is_personal() {
        match good(app, wanted, &needed).await {
            Ok(fresh) => hand_out(app, request, wanted, &needed, fresh).await,
            Err(stop) => Err(stop),
        }
    } else {
        Box::pin(service::hand_out(app, request, wanted, &needed)).await
    };
    let lack = match handed_out {
        Ok(vended) => return Ok(Answer::Token(Box::new(vended))),
        Err(Stop::Refused(error)) => return Err(error),
        Err(Stop::Lack(lack)) => lack,
    };
    // Nobody is sent to connect what is switched off.
    if switched_off::is_off(&app.db, Switch::Connection(&wanted.connection.name)).await? {
        return Err(wanted.disabled(&needed));
    }
    interaction::ask(app, request, wanted, &needed, &lack).await
}

fn within_limit(app: &App, request: &TokenRequest, wanted: &Wanted<'_>) -> Result<(), ApiError> {
    let Some(limit) = app.limits.vends.get(&wanted.connection.name) else { return Ok(()) };
    let key = (request.client.client().id.clone(), wanted.user().clone());
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
    let (user, name) = (wanted.user(), &wanted.connection.name);
    let theirs = connections::of_user_named(&app.db, user, name).await?;
    let found = choose(theirs, wanted.account).map_err(|lack| wanted.not_meant(lack, needed))?;
    match found.state {
        State::Disabled => return Err(wanted.disabled(needed).into()),
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
    let kind = touch(app, &mut tx, wanted).await?;
    let event = wanted
        .event(request, kind)
        .scope(&connection.scope)
        .detail("connection_id", &connection.id)
        .detail("account", &connection.account)
        .detail("needed", needed);
    app.record(&mut tx, &event).await?;
    let client = &request.client.client().id;
    match connection_uses::count(&mut tx, &connection.id, client, wanted.own().map(|own| &own.id), now).await
    {
        // She disconnected the account while its token was on its way.
        Err(StoreError::Conflict) => return Err(Stop::Lack(Lack::NotConnected)),
        counted => counted?,
    }
    tx.commit().await?;
    Ok(Vended::new(wanted.connection, connection, access, now))
}

/// Uses the grant that the person's token is of, where she is there. Answers what it is called in the record.
async fn touch(app: &App, tx: &mut Tx, wanted: &Wanted<'_>) -> Result<Kind, Stop> {
    match wanted.whom {
        Whom::Absent(_) => Ok(Kind::ConnectionVendedOffline),
        Whom::Present { subject, .. } if grants::touch(tx, &subject.grant.id, app.clock.now()).await? => {
            Ok(Kind::ConnectionVended)
        }
        Whom::Present { .. } => Err(unusable("its grant ended meanwhile").into()),
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
