//! Accounts that people have connected: counted, shown, switched off, and disconnected.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{AdminError, Operator};
use crate::{
    audit::{Event, Kind},
    identity::ending::{Cause, Ending},
    ids::{ConnectionId, ConnectionName, UserId},
    store::{
        connection_uses,
        connections::{self, Connection},
        revocations,
        switched_off::{self, Switch},
        vendor_clients::Forgotten,
    },
    vault::{disconnect, state::Happened, vendor},
};

/// How many are ended in one transaction.
const BATCH: u32 = 200;

/// What people have connected, counted.
#[derive(Debug, Serialize)]
pub struct Overview {
    /// By the entry under `connections:`.
    pub connections: Vec<Entry>,
    /// How many connections that are gone have tokens that are yet to be revoked at their vendors.
    pub revocations_owed: i64,
}

/// An entry under `connections:`, or one that was there.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it is in this configuration.
    pub configured: bool,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Since when it is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_since: Option<String>,
    /// How many accounts are in each state.
    pub accounts: BTreeMap<String, i64>,
}

/// An account that a person has connected.
#[derive(Debug, Serialize)]
pub struct Connected {
    /// The connection's id.
    pub connection_id: String,
    /// The entry under `connections:`.
    pub connection: String,
    /// The vendor's name of the account.
    pub account: String,
    /// What people know it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// How it stands.
    pub state: String,
    /// The vendor's scopes that were given.
    pub scope: String,
    /// When it was connected.
    pub connected_at: String,
    /// When its tokens were written.
    pub refreshed_at: String,
    /// When a token of it was last handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
}

/// Accounts that were disconnected.
#[derive(Debug, Serialize)]
pub struct Disconnected {
    /// How many. The tokens of each are owed to its vendor.
    pub ended: usize,
    /// The number under which the record has it, if there was anything to record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// What servers had called us that registered us on request, which no longer counts.
#[derive(Debug, Serialize)]
pub struct Unregistered {
    /// The entry under `connections:`.
    pub connection: String,
    /// The clients that we were.
    pub clients: Vec<Forgotten>,
    /// The number under which the record has it, if there was anything to record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// One person's accounts, switched off or on.
#[derive(Debug, Serialize)]
pub struct SwitchedAccounts {
    /// The entry under `connections:`.
    pub connection: String,
    /// Whose they are.
    pub user: String,
    /// How they stand now.
    pub enabled: bool,
    /// How many this command changed.
    pub changed: usize,
    /// The number under which the record has it, if there was anything to record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl From<&Connection> for Connected {
    fn from(found: &Connection) -> Self {
        Self {
            connection_id: found.id.to_string(),
            connection: found.name.to_string(),
            account: found.account.clone(),
            account_name: found.account_name.clone(),
            state: found.state.to_string(),
            scope: found.scope.to_string(),
            connected_at: found.created_at.to_string(),
            refreshed_at: found.refreshed_at.to_string(),
            last_used_at: None,
        }
    }
}

impl Operator<'_> {
    /// What all people have connected: of one name, or of each.
    pub async fn overview(&self, name: Option<&ConnectionName>) -> Result<Overview, AdminError> {
        let mut counts: BTreeMap<String, BTreeMap<String, i64>> = self
            .config
            .connections
            .iter()
            .map(|configured| (configured.name.to_string(), BTreeMap::new()))
            .collect();
        for (name, state, count) in connections::count(self.db).await? {
            counts.entry(name).or_default().insert(state, count);
        }
        for name in switched_off::connections(self.db).await? {
            counts.entry(name.to_string()).or_default();
        }
        if let Some(name) = name {
            counts.retain(|known, _| known == name.as_str());
            if counts.is_empty() {
                return Err(self.unknown_connection(name));
            }
        }
        let mut entries = Vec::new();
        for (name, accounts) in counts {
            let Ok(name) = ConnectionName::try_from(name) else { continue };
            let since = switched_off::since(self.db, Switch::Connection(&name)).await?;
            entries.push(Entry {
                configured: self.config.connections.get(&name).is_some(),
                enabled: since.is_none(),
                disabled_since: since.map(|at| at.to_string()),
                name: name.into(),
                accounts,
            });
        }
        Ok(Overview { connections: entries, revocations_owed: revocations::count(self.db).await? })
    }

    /// What one person has connected.
    pub async fn connected(
        &self,
        user: &UserId,
        name: Option<&ConnectionName>,
    ) -> Result<Vec<Connected>, AdminError> {
        let uses = connection_uses::of_user(self.db, user).await?;
        let hers = self.of(user, name).await?;
        let shown = hers.iter().map(|found| {
            let last = uses.iter().find(|used| used.connection_id == found.id);
            Connected { last_used_at: last.map(|used| used.last_at.to_string()), ..Connected::from(found) }
        });
        Ok(shown.collect())
    }

    async fn of(&self, user: &UserId, name: Option<&ConnectionName>) -> Result<Vec<Connection>, AdminError> {
        Ok(match name {
            Some(name) => connections::of_user_named(self.db, user, name).await?,
            None => connections::of_user(self.db, user).await?,
        })
    }

    /// Disconnects one person's accounts, all or those of one name.
    pub async fn disconnect_of(
        &self,
        user: &UserId,
        name: Option<&ConnectionName>,
    ) -> Result<Disconnected, AdminError> {
        let ids: Vec<ConnectionId> = self.of(user, name).await?.into_iter().map(|found| found.id).collect();
        let mut ended = 0;
        let mut tx = self.db.begin().await?;
        for id in &ids {
            ended += usize::from(disconnect::end(&mut tx, id, &self.ending()).await?.is_some());
        }
        tx.commit().await?;
        Ok(self.disconnected(ended))
    }

    /// Disconnects everybody's accounts of one name, in transactions small enough not to keep others waiting.
    pub async fn disconnect_all(&self, name: &ConnectionName) -> Result<Disconnected, AdminError> {
        self.overview(Some(name)).await?;
        let mut ended = 0;
        loop {
            let mut tx = self.db.begin().await?;
            let some = disconnect::end_named(&mut tx, name, BATCH, &self.ending()).await?;
            tx.commit().await?;
            ended += some.len();
            if some.is_empty() {
                return Ok(self.disconnected(ended));
            }
        }
    }

    fn ending(&self) -> Ending<'_> {
        Ending { origin: &self.origin, cause: Cause::Operator, chance: self.chance }
    }

    fn disconnected(&self, ended: usize) -> Disconnected {
        Disconnected { ended, reference: (ended > 0).then(|| self.origin.reference.to_string()) }
    }

    /// Has the authorization server of a remote MCP server register us anew, the next time that somebody connects.
    pub async fn unregister(&self, name: &ConnectionName) -> Result<Unregistered, AdminError> {
        self.overview(Some(name)).await?;
        let clients = vendor::forget(self.db, (name, None), "operator", &self.origin, self.chance).await?;
        let reference = (!clients.is_empty()).then(|| self.origin.reference.to_string());
        Ok(Unregistered { connection: name.to_string(), clients, reference })
    }

    /// Switches one person's accounts of one name off, or on again. They stay connected.
    pub async fn switch_of(
        &self,
        user: &UserId,
        name: &ConnectionName,
        enabled: bool,
    ) -> Result<SwitchedAccounts, AdminError> {
        let (happened, kind) = if enabled {
            (Happened::SwitchedOn, Kind::ConnectionEnabled)
        } else {
            (Happened::SwitchedOff, Kind::ConnectionDisabled)
        };
        let hers = self.of(user, Some(name)).await?;
        if hers.is_empty() && self.config.connections.get(name).is_none() {
            return Err(self.unknown_connection(name));
        }
        let mut changed = 0;
        let mut tx = self.db.begin().await?;
        for found in hers {
            let Some(found) = connections::lock(&mut tx, &found.id).await? else { continue };
            let state = found.state.after(happened);
            if state == found.state {
                continue;
            }
            connections::set_state(&mut tx, &found.id, state).await?;
            let event = Event::new(kind, &self.origin)
                .user(user)
                .detail("connection", name)
                .detail("connection_id", &found.id)
                .detail("was", found.state);
            self.record(&mut tx, &event).await?;
            changed += 1;
        }
        tx.commit().await?;
        Ok(SwitchedAccounts {
            connection: name.to_string(),
            user: user.to_string(),
            enabled,
            changed,
            reference: (changed > 0).then(|| self.origin.reference.to_string()),
        })
    }
}
