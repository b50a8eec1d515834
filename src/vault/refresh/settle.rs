//! What came of a refresh is written, each time with its line in the record.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Fresh, NotFresh, times};
use crate::{
    app::App,
    audit::{Event, Kind, Origin},
    config::connection::Connection as Configured,
    ids::RevocationId,
    seal::ReadyKey,
    secret::Secret,
    store::{
        StoreError, Tx,
        connections::{self, Connection, Renewed},
        revocations::{self, Revocation},
    },
    vault::{
        safe::Kept,
        state::{Happened, Loss, State, Trouble},
        vendor::{Tokens, VendorError},
    },
};

/// How long storing is tried while the database is away: what the vendor gave may be the only token that works.
const LONGEST: Duration = Duration::from_secs(60);

/// Stores the tokens that the vendor gave, whoever has the lease by now, unless others were stored meanwhile. `None`:
/// these are not the ones to hand out; the row says what is. `spent`: the refresh token that was sent, and the key that
/// was prepared for what comes after it.
pub(super) async fn keep(
    app: &App,
    configured: &Configured,
    before: &Connection,
    tokens: Tokens,
    spent: (Secret, ReadyKey),
) -> Result<Option<Fresh>, NotFresh> {
    let now = app.clock.now();
    let refreshing = &configured.app.behaviour.refreshing;
    let is_other =
        tokens.account().is_some_and(|told| !before.account.is_empty() && told.id != before.account);
    let happened = if is_other { Happened::Lost(Loss::Account) } else { Happened::Refreshed };
    // The vendor said nothing of a new end: the old one stands, as it does for a token that stays.
    let refresh_expires_at = tokens.refresh_expires_at.or(before.refresh_expires_at);
    let kept = Kept { access: tokens.access_token, refresh: Some(tokens.refresh_token.unwrap_or(spent.0)) };
    let details = before.details.0.clone().into_iter().chain(tokens.details);
    let mut renewed = Renewed {
        tokens: kept.seal(spent.1),
        scope: tokens.scopes,
        details: details.collect::<BTreeMap<_, _>>(),
        expires_at: tokens.expires_at,
        refresh_expires_at,
        refreshed_at: now,
        refresh_due_at: times::refresh_due_at(refreshing, refresh_expires_at, now, &app.entropy),
        state: before.state,
    };
    let mut patience = Patience::default();
    let stored = loop {
        match store(app, before, &mut renewed, happened).await {
            Err(error) if patience.bears(&error).await => {}
            stored => break stored,
        }
    };
    let stored = stored.inspect_err(|error| {
        tracing::error!(connection = %before.id, %error, "new tokens could not be stored");
    });
    let Some(row) = stored? else { return Ok(None) };
    let Renewed { tokens, scope, expires_at, state, .. } = renewed;
    let connection = Connection {
        tokens,
        scope,
        details: sqlx::types::Json(renewed.details),
        expires_at,
        refresh_expires_at,
        state,
        generation: before.generation + 1,
        refreshed_at: now,
        refresh_due_at: renewed.refresh_due_at,
        redeeming_since: None,
        lease_owner: None,
        leased_until: None,
        failures: 0,
        next_attempt_at: None,
        ..row
    };
    Ok((state == State::Active).then_some(Fresh { connection, access: kept.access }))
}

/// Answers the row as it was before. `None`: it has other tokens by now, or is gone.
async fn store(
    app: &App,
    before: &Connection,
    renewed: &mut Renewed,
    happened: Happened,
) -> Result<Option<Connection>, StoreError> {
    let mut tx = app.db.begin().await?;
    let Some(row) = connections::lock(&mut tx, &before.id).await? else {
        owe(app, &mut tx, before, renewed).await?;
        tx.commit().await?;
        return Ok(None);
    };
    renewed.state = row.state.after(happened);
    if connections::renew(&mut tx, &row.id, before.generation, renewed).await? {
        record(app, &mut tx, &row, renewed.state, None).await?;
        tx.commit().await?;
        return Ok(Some(row));
    }
    // An attempt of ours whose end we were not told of may have written it.
    Ok((row.tokens == renewed.tokens).then_some(row))
}

/// The account was disconnected while the vendor made new tokens: they must end as well.
async fn owe(app: &App, tx: &mut Tx, before: &Connection, renewed: &Renewed) -> Result<(), StoreError> {
    let gone =
        Connection { tokens: renewed.tokens.clone(), generation: before.generation + 1, ..before.clone() };
    let id = RevocationId::new(&app.clock, &app.entropy);
    revocations::owe(tx, &Revocation::of(gone, id, app.clock.now())).await
}

/// Writes that the vendor gave nothing, and when it is asked again; unless somebody else has stored tokens meanwhile,
/// or has taken the lease over and will learn more.
pub(super) async fn fail(
    app: &App,
    (before, lease): (&Connection, i64),
    error: &VendorError,
) -> Result<(), StoreError> {
    let was_sent_before = before.redeeming_since.is_some();
    let (happened, asked) = match error {
        // It is the first time that it hears of this token, or the answer to the first time was lost.
        VendorError::Reconnect { .. } if was_sent_before => (Happened::Lost(Loss::Interrupted), None),
        VendorError::Reconnect { .. } => (Happened::Lost(Loss::Revoked), None),
        VendorError::Refused { .. } => (Happened::Failed(Trouble::Refused), None),
        VendorError::Malformed { .. } => (Happened::Failed(Trouble::Malformed), None),
        VendorError::Unavailable { retry_after, .. } => {
            (Happened::Failed(Trouble::Unavailable), *retry_after)
        }
    };
    tracing::warn!(connection = %before.id, name = %before.name, why = %error, "the vendor gave no new token");
    let in_doubt = was_sent_before || error.leaves_doubt();
    let wait = times::back_off(before.failures, asked, &app.entropy);
    let mut patience = Patience::default();
    loop {
        match write_failure(app, (before, lease), happened, (wait, in_doubt), error).await {
            Err(error) if patience.bears(&error).await => {}
            written => return written,
        }
    }
}

async fn write_failure(
    app: &App,
    (before, lease): (&Connection, i64),
    happened: Happened,
    next: (Duration, bool),
    error: &VendorError,
) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    let Some(row) = connections::lock(&mut tx, &before.id).await? else { return Ok(()) };
    if (row.lease, row.generation) != (lease, before.generation) {
        return Ok(());
    }
    write(app, &mut tx, &row, happened, next, Some(error)).await?;
    tx.commit().await
}

/// Writes that nothing but the person will help, as it was found without asking the vendor. Does nothing where the row
/// is not as it was read any more.
pub async fn lose(app: &App, before: &Connection, loss: Loss) -> Result<(), StoreError> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let Some(row) = connections::lock(&mut tx, &before.id).await? else { return Ok(()) };
    if (row.lease, row.generation) != (before.lease, before.generation) || row.is_leased(now) {
        return Ok(());
    }
    write(app, &mut tx, &row, Happened::Lost(loss), (Duration::ZERO, false), None).await?;
    tx.commit().await
}

/// Writes a failure of the row that is held.
async fn write(
    app: &App,
    tx: &mut Tx,
    row: &Connection,
    happened: Happened,
    (wait, in_doubt): (Duration, bool),
    error: Option<&VendorError>,
) -> Result<(), StoreError> {
    let state = row.state.after(happened);
    let next = matches!(happened, Happened::Failed(_)).then(|| app.clock.now().plus(wait));
    connections::fail(tx, &row.id, row.lease, (state, next, in_doubt && next.is_some())).await?;
    if state == row.state { Ok(()) } else { record(app, tx, row, state, error).await }
}

/// The line in the record: that it was refreshed, or that it is in another state now.
async fn record(
    app: &App,
    tx: &mut Tx,
    row: &Connection,
    state: State,
    error: Option<&VendorError>,
) -> Result<(), StoreError> {
    let kind = match state {
        State::Active | State::Disabled => Kind::ConnectionRefreshed,
        State::Degraded(_) => Kind::ConnectionDegraded,
        State::NeedsReconnect(_) => Kind::ConnectionLost,
    };
    let mut event = Event::new(kind, &Origin::house(&app.entropy))
        .user(&row.user_id)
        .detail("connection", &row.name)
        .detail("connection_id", &row.id);
    if let Some(reason) = state.reason() {
        event = event.reason(reason);
    }
    if state != row.state {
        event = event.detail("was", row.state);
    }
    if let Some(error) = error {
        event = event.detail("why", error);
    }
    app.record(tx, &event).await
}

/// How long and how often writing is tried while the database is away.
struct Patience {
    begun: Instant,
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { begun: Instant::now(), pause: Duration::from_millis(100) }
    }
}

impl Patience {
    /// Waits a little, if after this error writing may succeed and there is time left.
    async fn bears(&mut self, error: &StoreError) -> bool {
        let bears = matches!(error, StoreError::Unavailable(_)) && self.begun.elapsed() < LONGEST;
        if bears {
            tracing::warn!(%error, "what came of a refresh could not be written and will be");
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(Duration::from_secs(2));
        }
        bears
    }
}
