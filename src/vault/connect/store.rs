//! What came back is written: tokens, link and record in one transaction. What is not kept is ended at the vendor.

use std::time::Duration;

use tokio::time::timeout;

use super::{callback::Stopped, failure::NotConnected, visit};
use crate::{
    app::App,
    audit::{Event, Kind},
    config::connection::Connection as Configured,
    ids::{ConnectionId, RevocationId, SessionId, UserId},
    seal::KeyUnavailable,
    store::{
        StoreError, connect_links,
        connections::{self},
        connects::{self, Connect, SiteOffered},
        revocations::{self, Revocation},
        sessions,
    },
    vault::{
        keep::{Arrived, How, Keeping, NotKept, Prepared, Written},
        safe::{Kept, Place},
        vendor::Revoked,
    },
    web::{error::PageError, request::Origin},
};

/// How often the rows may change between reading and writing them.
const ATTEMPTS: u32 = 5;

/// How long a person waits until tokens that are not kept are ended. Later it is done without her.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was begun, with what it led to.
pub(super) struct Stored {
    pub(super) connect: Connect,
}

/// Writes it all, unless somebody ended the session, or used the link, since it was looked at.
pub(super) async fn store(
    app: &App,
    configured: &Configured,
    (connect, session): (&Connect, &SessionId),
    (arrived, sites): (&Arrived, Option<&[SiteOffered]>),
    origin: &Origin,
) -> Result<Stored, Stopped> {
    let keeping = Keeping {
        user: &connect.user_id,
        configured,
        renews: connect.renews.as_ref(),
        label: connect.label.as_deref().filter(|_| configured.account.several),
    };
    for _ in 0..ATTEMPTS {
        let prepared = match Prepared::of(app, keeping, arrived).await {
            Ok(prepared) => prepared,
            Err(error) => return Err(stopped(app, configured, connect, error).await),
        };
        let sites = sites.filter(|_| !prepared.has_detail(super::site::DETAIL));
        let now = app.clock.now();
        let mut tx = app.db.begin().await?;
        if !sessions::hold(&mut tx, session, now).await? {
            return Err(visit::stale().with_reason("signed out meanwhile").into());
        }
        if let Some(link) = &connect.link_hash
            && !connect_links::consume(&mut tx, link, (connect.created_at, now)).await?
        {
            return Err(visit::used().into());
        }
        let Some(written) = prepared.write(app, &mut tx).await? else { continue };
        connects::finish(&mut tx, &connect.state_hash, &written.id, sites).await?;
        app.record(&mut tx, &event(configured, connect, arrived, &written, origin)).await?;
        tx.commit().await?;
        if written.how == How::Changed {
            app.vault.owed.notify_one();
        }
        let sites = sites.map(|sites| sqlx::types::Json(sites.to_vec()));
        let connect = Connect { kept_as: Some(written.id), sites, ..connect.clone() };
        return Ok(Stored { connect });
    }
    Err(StoreError::Conflict.into())
}

fn event(
    configured: &Configured,
    connect: &Connect,
    arrived: &Arrived,
    written: &Written,
    origin: &Origin,
) -> Event {
    Event::new(Kind::ConnectionMade, &origin.recorded)
        .user(&connect.user_id)
        .reason(written.how.code())
        .scope(&arrived.scope)
        .detail("connection", &configured.name)
        .detail("connection_id", &written.id)
        .detail("account", &arrived.account.id)
        .detail("by_link", connect.link_hash.is_some())
}

async fn stopped(app: &App, configured: &Configured, connect: &Connect, error: NotKept) -> Stopped {
    match error {
        NotKept::AnotherAccount => {
            let rows = connections::of_user_named(&app.db, &connect.user_id, &configured.name).await;
            let pinned = rows.ok().and_then(|rows| rows.into_iter().next());
            Stopped::Refused(NotConnected::AnotherAccount(pinned.and_then(|row| row.account_name)))
        }
        NotKept::Disabled => Stopped::Refused(NotConnected::Disabled),
        NotKept::Store(error) => error.into(),
        NotKept::Key(error) => error.into(),
        NotKept::Unopened(error) => PageError::unavailable(format!("kept tokens: {error}")).into(),
    }
}

/// Ends tokens that are not kept, now or, where the vendor does not do it now, later. Answers what became of them, for
/// the record.
pub(super) async fn let_go(app: &App, configured: &Configured, user: &UserId, tokens: &Kept) -> &'static str {
    let revoked = app.vault.vendors.revoke(configured, &tokens.access, tokens.refresh.as_ref());
    match timeout(PATIENCE, revoked).await {
        Ok(Ok(Revoked::Done)) => "revoked",
        Ok(Ok(Revoked::NotOffered)) => "not_revocable",
        Ok(Err(_)) | Err(_) => match owe(app, configured, user, tokens).await {
            Ok(()) => "to_be_revoked",
            Err(error) => {
                tracing::warn!(connection = %configured.name, %error, "tokens that were not kept live on");
                "lost"
            }
        },
    }
}

/// Why a revocation could not be put down.
#[derive(Debug, thiserror::Error)]
enum NotOwed {
    #[error(transparent)]
    Key(#[from] KeyUnavailable),
    #[error(transparent)]
    Store(#[from] StoreError),
}

async fn owe(app: &App, configured: &Configured, user: &UserId, tokens: &Kept) -> Result<(), NotOwed> {
    let now = app.clock.now();
    let (id, name) = (ConnectionId::new(&app.clock, &app.entropy), &configured.name);
    let ready = app.vault.safe.prepare(&app.entropy, Place { id: &id, user, name, generation: 1 }).await?;
    let owed = Revocation {
        id: RevocationId::new(&app.clock, &app.entropy),
        connection_id: id,
        user_id: user.clone(),
        name: name.clone(),
        generation: 1,
        tokens: tokens.seal(ready),
        created_at: now,
        attempts: 0,
        next_attempt_at: now,
    };
    let mut tx = app.db.begin().await?;
    revocations::owe(&mut tx, &owed).await?;
    tx.commit().await?;
    app.vault.owed.notify_one();
    Ok(())
}
