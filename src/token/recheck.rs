//! Whether a person's provider still stands by her (`sign_in.recheck: upstream`): asked before a token, so that whoever
//! is disabled there is out within the life of one access token, whether or not the provider says so by itself.
//!
//! It is asked with the tokens of her sign-in, which are kept as a connection: its refresh token is redeemed by the
//! vault, which loses none; where there is no refresh token, its identity URL is asked with the access token. A
//! provider that says no, and tokens with which nobody can ask any more, end her sessions there and what was born in
//! them. A provider that says nothing is another matter: then its last word holds for a while.

use std::{sync::Arc, time::Duration};

use crate::{
    app::App,
    clock::Timestamp,
    config::{
        connection::Connection as Configured,
        provider::{Provider, Recheck},
    },
    identity::ending::{Cause, Ending},
    ids::{IdentityId, ProviderId, SessionId},
    oauth::error::ErrorCode,
    store::{connections, sessions, sign_in_tokens, upstream_sessions},
    vault::{
        refresh::{self, Fresh, NotFresh},
        state::{Loss, State},
    },
    web::{error::ApiError, request::Origin},
};

/// How long the provider's word holds without being asked for again: while a person goes from her sign-in to her
/// client, or several clients come at once.
const HOLDS: Duration = Duration::from_secs(60);

/// How long its last word holds while it gives none.
const GRACE: Duration = Duration::from_secs(60 * 60);

/// When to come back to a provider that gives none.
const LATER: Duration = Duration::from_secs(30);

/// What the provider says.
enum Word {
    /// She is still hers.
    Stands,
    /// Nothing; the last time was then.
    Silent(Timestamp),
    /// She is not, or nobody can ask any more.
    Gone(&'static str),
}

/// Asks the provider about one of its people, if its entry says so.
pub async fn confirm(
    app: &Arc<App>,
    (provider, identity): (&ProviderId, &IdentityId),
    session: Option<&SessionId>,
    origin: &Origin,
) -> Result<(), ApiError> {
    let Some((provider, configured)) = asks(app, provider) else { return Ok(()) };
    let now = app.clock.now();
    let begun = match session {
        Some(session) => sessions::begun(&app.db, session).await?,
        None => None,
    };
    if begun.is_some_and(|begun| begun >= now.minus(HOLDS)) {
        return Ok(());
    }
    match ask(app, configured, identity, now).await? {
        Word::Stands => Ok(()),
        Word::Silent(since) if now.since(since) <= GRACE => {
            tracing::warn!(provider = %provider.id, "it cannot be asked about its people, whose tokens are renewed for now");
            Ok(())
        }
        Word::Silent(_) => {
            let reason = format!("{} could not be asked about this person for too long", provider.id);
            Err(ApiError::unavailable(reason).with_retry_after(LATER))
        }
        Word::Gone(why) => {
            end(app, identity, session, origin).await?;
            let text = "the permission behind this token is no longer in force";
            let reason = format!("{} does not stand by this person any more: {why}", provider.id);
            Err(ApiError::new(ErrorCode::InvalidGrant, text).with_reason(reason))
        }
    }
}

/// The provider, where it is asked, and what the tokens of its sign-ins are kept as.
fn asks<'a>(app: &'a App, provider: &ProviderId) -> Option<(&'a Provider, &'a Configured)> {
    let provider = app.config.providers.get(provider)?;
    let keeps = provider.keeps.as_ref().filter(|_| provider.recheck == Recheck::Upstream)?;
    Some((provider, app.config.connections.get(&keeps.connection)?))
}

async fn ask(
    app: &Arc<App>,
    configured: &Configured,
    identity: &IdentityId,
    now: Timestamp,
) -> Result<Word, ApiError> {
    let kept = match sign_in_tokens::find(&app.db, identity, &configured.name).await? {
        Some(id) => connections::find(&app.db, &id).await?,
        None => None,
    };
    let Some(kept) = kept else { return Ok(Word::Gone("none of its tokens are kept")) };
    let (last, since) = (kept.refreshed_at, now.minus(HOLDS));
    if kept.state == State::Active && last >= since {
        return Ok(Word::Stands);
    }
    let fresh = match refresh::renewed(app, configured, kept, since).await {
        Ok(fresh) => fresh,
        Err(NotFresh::Unavailable { .. } | NotFresh::Disabled) => return Ok(Word::Silent(last)),
        Err(NotFresh::Gone) => return Ok(Word::Gone("none of its tokens are kept")),
        Err(NotFresh::Reconnect(loss)) => return Ok(Word::Gone(loss.code())),
        Err(fault) => return Err(ApiError::unavailable(format!("kept tokens: {fault}"))),
    };
    if fresh.connection.refreshed_at >= since {
        return Ok(Word::Stands);
    }
    if matches!(fresh.connection.state, State::Degraded(_)) {
        return Ok(Word::Silent(last));
    }
    by_access_token(app, configured, &fresh).await
}

/// For a provider that gave no refresh token.
async fn by_access_token(app: &App, configured: &Configured, fresh: &Fresh) -> Result<Word, ApiError> {
    match app.vault.vendors.knows(configured, &fresh.access).await {
        Ok(true) => Ok(Word::Stands),
        Ok(false) => {
            refresh::lose(app, &fresh.connection, Loss::Revoked).await?;
            Ok(Word::Gone(Loss::Revoked.code()))
        }
        Err(error) => {
            tracing::warn!(connection = %configured.name, why = %error, "an access token could not be asked about");
            Ok(Word::Silent(fresh.connection.refreshed_at))
        }
    }
}

/// Ends what stands on this account: its sessions, and whatever was born in them.
async fn end(
    app: &App,
    identity: &IdentityId,
    session: Option<&SessionId>,
    origin: &Origin,
) -> Result<(), ApiError> {
    let chance = (&app.clock, &app.entropy);
    let ending = Ending { origin: &origin.recorded, cause: Cause::Upstream, chance };
    let mut tx = app.db.begin().await?;
    let mut sessions = upstream_sessions::of_identity(&mut tx, identity).await?;
    sessions.extend(session.cloned());
    for session in &sessions {
        ending.session(&mut tx, session).await?;
    }
    Ok(tx.commit().await?)
}
