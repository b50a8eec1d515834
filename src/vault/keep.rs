//! First tokens are kept: those that a person has just fetched, over the old ones of the same account or in a new row.
//!
//! An account is pinned: what is kept under a connection's id is of one account for ever. Another one is a further
//! connection where a person may have several, takes the place of the one before where the operator allows a change,
//! and is refused everywhere else.

use std::{collections::BTreeMap, time::Duration};

use sqlx::types::Json;

use super::{
    refresh::refresh_due_at,
    safe::{Kept, Place},
    state::{Happened, State},
    vendor::Account,
};
use crate::{
    app::{App, Unopened},
    clock::Timestamp,
    config::connection::{Connection as Configured, behaviour::Incremental},
    ids::{ConnectionId, RevocationId, UserId},
    oauth::scope::ScopeSet,
    seal::{KeyUnavailable, OpenError},
    store::{
        StoreError, Tx,
        connections::{self, Connection, Renewed},
        revocations::{self, Revocation},
    },
};

/// What people call an account fits on a line.
const LONGEST_LABEL: usize = 60;
/// How often it is begun anew when somebody else writes the same rows.
const ATTEMPTS: u32 = 40;
/// How long that somebody is given each time: together longer than a refresh may take.
const PAUSE: Duration = Duration::from_millis(250);

/// Tokens that have just come, and whose account they open.
#[derive(Debug)]
pub struct Arrived {
    /// The account.
    pub account: Account,
    /// The tokens.
    pub tokens: Kept,
    /// The vendor's scopes that they have.
    pub scope: ScopeSet,
    /// Whether the vendor named them, so that they have no others.
    pub names_scope: bool,
    /// What else the vendor said that callers of its API need.
    pub details: BTreeMap<String, String>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token ends, where the vendor says so.
    pub refresh_expires_at: Option<Timestamp>,
}

/// For whom, and as what.
#[derive(Debug, Clone, Copy)]
pub struct Keeping<'a> {
    /// Whose account it is.
    pub user: &'a UserId,
    /// The entry under `connections:`.
    pub configured: &'a Configured,
    /// The connection that was to be made again.
    pub renews: Option<&'a ConnectionId>,
    /// What she calls it.
    pub label: Option<&'a str>,
}

/// What a person typed as the name of an account; none where she typed nothing that can be seen.
pub fn label(typed: &str) -> Option<String> {
    let label: String = typed.trim().chars().filter(|c| !c.is_control()).take(LONGEST_LABEL).collect();
    let label = label.trim();
    (!label.is_empty()).then(|| label.to_owned())
}

/// Why nothing was kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// It is another account than the one that is pinned.
    #[error("it is another account than the one that is connected")]
    AnotherAccount,
    /// An operator has switched the connection off.
    #[error("an operator has switched the connection off")]
    Disabled,
    /// What is kept cannot be opened with the keys that are configured.
    #[error(transparent)]
    Unopened(OpenError),
    /// Our database failed, or somebody else kept writing the same rows.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service that keeps our encryption key gave no answer.
    #[error(transparent)]
    Key(#[from] KeyUnavailable),
}

/// What is to be written: sealed, and right as long as the rows are as they were read.
#[derive(Debug)]
pub struct Prepared(Change);

#[derive(Debug)]
enum Change {
    /// A new row, and in the place of which.
    New(Box<Connection>, Option<Connection>),
    /// New tokens of an account that is connected.
    Again { before: Box<Connection>, renewed: Renewed, account: Account, label: Option<String> },
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The connection.
    pub id: ConnectionId,
    /// How it came about.
    pub how: How,
}

/// How a connection came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The account was not connected.
    New,
    /// It was, and has new tokens.
    Again,
    /// It has taken the place of another one.
    Changed,
}

impl How {
    /// The stable code of the record.
    pub const fn code(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Again => "again",
            Self::Changed => "changed",
        }
    }
}

impl Prepared {
    /// Whether what is written has a detail of this name.
    pub fn has_detail(&self, name: &str) -> bool {
        match &self.0 {
            Change::New(new, _) => new.details.contains_key(name),
            Change::Again { renewed, .. } => renewed.details.contains_key(name),
        }
    }

    /// Whether tokens with these scopes would take some away from a connection that has them.
    pub fn gives_less(&self, scopes: &ScopeSet) -> bool {
        match &self.0 {
            Change::New(..) => false,
            Change::Again { before, .. } => {
                !matches!(before.state, State::NeedsReconnect(_)) && !before.scope.is_subset(scopes)
            }
        }
    }

    /// Seals what arrived for the row that it belongs to. To be called outside of any transaction.
    pub async fn of(app: &App, keeping: Keeping<'_>, arrived: &Arrived) -> Result<Self, NotKept> {
        for _ in 1..ATTEMPTS {
            let rows = connections::of_user_named(&app.db, keeping.user, &keeping.configured.name).await?;
            match place(keeping, arrived, rows)? {
                Placed::Again(before) => {
                    if let Some(prepared) = again(app, keeping, arrived, before).await? {
                        return Ok(prepared);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Placed::New { default, gone } => return new(app, keeping, arrived, default, gone).await,
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Writes it. `None`: the rows are not as they were read; what was written before in this transaction must be taken
    /// back, and all of it prepared anew.
    pub async fn write(&self, app: &App, tx: &mut Tx) -> Result<Option<Written>, StoreError> {
        let written = match &self.0 {
            Change::New(new, gone) => write_new(app, tx, new, gone.as_ref()).await,
            Change::Again { before, renewed, account, label } => {
                if !connections::renew(tx, &before.id, before.generation, renewed).await? {
                    return Ok(None);
                }
                let names = (Some(account.label.as_str()), account.tenant.as_deref());
                connections::set_account_names(tx, &before.id, names).await?;
                if label.is_some() {
                    connections::set_label(tx, &before.id, label.as_deref()).await?;
                }
                Ok(Written { id: before.id.clone(), how: How::Again })
            }
        };
        match written {
            Ok(written) => Ok(Some(written)),
            Err(StoreError::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Where an account belongs.
enum Placed {
    Again(Connection),
    New { default: bool, gone: Option<Connection> },
}

fn place(keeping: Keeping<'_>, arrived: &Arrived, rows: Vec<Connection>) -> Result<Placed, NotKept> {
    let rules = &keeping.configured.account;
    let (mut same, others): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| row.account == arrived.account.id);
    if let Some(row) = same.pop() {
        return if row.state == State::Disabled { Err(NotKept::Disabled) } else { Ok(Placed::Again(row)) };
    }
    let default = !others.iter().any(|row| row.is_default);
    let replaced = match keeping.renews {
        Some(id) => others.into_iter().find(|row| row.id == *id),
        None if rules.several => None,
        None => others.into_iter().next(),
    };
    match replaced {
        None => Ok(Placed::New { default, gone: None }),
        Some(row) if row.state == State::Disabled => Err(NotKept::Disabled),
        Some(row) if rules.change => Ok(Placed::New { default: default || row.is_default, gone: Some(row) }),
        Some(_) => Err(NotKept::AnotherAccount),
    }
}

/// `None`: its refresh token, which is to be kept, is being redeemed at this moment.
async fn again(
    app: &App,
    keeping: Keeping<'_>,
    arrived: &Arrived,
    before: Connection,
) -> Result<Option<Prepared>, NotKept> {
    let now = app.clock.now();
    let lost = matches!(before.state, State::NeedsReconnect(_));
    let carries_over = arrived.tokens.refresh.is_none() && !lost;
    if carries_over && before.is_leased(now) {
        return Ok(None);
    }
    let generation = before.generation + 1;
    let place = Place { id: &before.id, user: keeping.user, name: &before.name, generation };
    let ready = app.vault.safe.prepare(&app.entropy, place).await?;
    let (mut tokens, mut refresh_expires_at) = (arrived.tokens.clone(), ends(keeping, arrived, now));
    if carries_over {
        // Some vendors give a refresh token at the first connect alone.
        tokens.refresh = match app.vault.safe.open(&before, now).await {
            Ok(old) => old.refresh,
            Err(OpenError::Unavailable(outage)) => return Err(outage.into()),
            Err(error) => {
                let (row, user) = (before.id.as_str(), Some(&before.user_id));
                app.unopened(Unopened { table: "connections", row, user, error: &error }).await?;
                if !matches!(error, OpenError::Tampered | OpenError::Unknown) {
                    return Err(NotKept::Unopened(error));
                }
                None
            }
        };
        refresh_expires_at = before.refresh_expires_at;
    }
    let adds = keeping.configured.app.behaviour.scopes.incremental == Incremental::Added;
    let scope = if adds && !lost && !arrived.names_scope {
        arrived.scope.union(&before.scope)
    } else {
        arrived.scope.clone()
    };
    // What was chosen once, such as a site, is not asked for again.
    let details = before.details.0.clone().into_iter().chain(arrived.details.clone()).collect();
    let renewed = Renewed {
        refresh_due_at: due(app, keeping, &tokens, (refresh_expires_at, now)),
        tokens: tokens.seal(ready),
        scope,
        details,
        expires_at: arrived.expires_at,
        refresh_expires_at,
        refreshed_at: now,
        state: before.state.after(Happened::Reconnected),
    };
    let (account, label) = (arrived.account.clone(), keeping.label.map(str::to_owned));
    Ok(Some(Prepared(Change::Again { before: Box::new(before), renewed, account, label })))
}

async fn new(
    app: &App,
    keeping: Keeping<'_>,
    arrived: &Arrived,
    is_default: bool,
    gone: Option<Connection>,
) -> Result<Prepared, NotKept> {
    let now = app.clock.now();
    let (id, name) = (ConnectionId::new(&app.clock, &app.entropy), &keeping.configured.name);
    let place = Place { id: &id, user: keeping.user, name, generation: 1 };
    let ready = app.vault.safe.prepare(&app.entropy, place).await?;
    let refresh_expires_at = ends(keeping, arrived, now);
    let new = Connection {
        id,
        user_id: keeping.user.clone(),
        name: name.clone(),
        label: keeping.label.map(str::to_owned),
        is_default,
        account: arrived.account.id.clone(),
        account_name: Some(arrived.account.label.clone()),
        tenant: arrived.account.tenant.clone(),
        scope: arrived.scope.clone(),
        details: Json(arrived.details.clone()),
        state: State::Active,
        tokens: arrived.tokens.seal(ready),
        generation: 1,
        expires_at: arrived.expires_at,
        refresh_expires_at,
        refreshed_at: now,
        refresh_due_at: due(app, keeping, &arrived.tokens, (refresh_expires_at, now)),
        redeeming_since: None,
        lease: 0,
        lease_owner: None,
        leased_until: None,
        failures: 0,
        next_attempt_at: None,
        created_at: now,
    };
    Ok(Prepared(Change::New(Box::new(new), gone)))
}

async fn write_new(
    app: &App,
    tx: &mut Tx,
    new: &Connection,
    replaced: Option<&Connection>,
) -> Result<Written, StoreError> {
    let mut how = How::New;
    if let Some(replaced) = replaced {
        let gone = connections::delete(tx, &replaced.id).await?.ok_or(StoreError::Conflict)?;
        let id = RevocationId::new(&app.clock, &app.entropy);
        revocations::owe(tx, &Revocation::of(gone, id, app.clock.now())).await?;
        how = How::Changed;
    }
    connections::insert(tx, new).await?;
    Ok(Written { id: new.id.clone(), how })
}

/// When the refresh token ends, by what the vendor said or by what is known of it.
fn ends(keeping: Keeping<'_>, arrived: &Arrived, now: Timestamp) -> Option<Timestamp> {
    let known = keeping.configured.app.behaviour.refreshing.absolute_expiry;
    arrived.tokens.refresh.as_ref()?;
    arrived.refresh_expires_at.or_else(|| known.map(|lasts| now.plus(lasts)))
}

/// When the tokens are to be refreshed though nobody asks.
fn due(
    app: &App,
    keeping: Keeping<'_>,
    tokens: &Kept,
    (ends, now): (Option<Timestamp>, Timestamp),
) -> Option<Timestamp> {
    tokens.refresh.as_ref()?;
    refresh_due_at(&keeping.configured.app.behaviour.refreshing, ends, now, &app.entropy)
}
