//! Clients, providers and connections, switched off and on.

use serde::Serialize;

use super::{AdminError, Operator};
use crate::{
    audit::{Event, Kind},
    store::{
        clients,
        switched_off::{self, Switch},
    },
};

/// What became of a switch.
#[derive(Debug, Serialize)]
pub struct Switched {
    /// `client`, `provider` or `connection`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// How it stands now.
    pub enabled: bool,
    /// Since when it is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_since: Option<String>,
    /// Whether this command changed it.
    pub changed: bool,
    /// The number under which the record has it, if there was anything to record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Operator<'_> {
    /// Switches a client, a provider or a connection off.
    pub async fn disable(&self, switch: Switch<'_>) -> Result<Switched, AdminError> {
        self.expect_known(switch).await?;
        let now = self.chance.0.now();
        let mut tx = self.db.begin().await?;
        let changed = switched_off::put(&mut tx, switch, now).await?;
        if changed {
            let (off, _) = kinds(switch);
            self.record(&mut tx, &self.switched(off, switch)).await?;
        }
        tx.commit().await?;
        self.outcome(switch, changed).await
    }

    /// Switches it on again; also one that is known no more, so that no switch is left behind.
    pub async fn enable(&self, switch: Switch<'_>) -> Result<Switched, AdminError> {
        let mut tx = self.db.begin().await?;
        let changed = switched_off::delete(&mut tx, switch).await?;
        if changed {
            let (_, on) = kinds(switch);
            self.record(&mut tx, &self.switched(on, switch)).await?;
        }
        tx.commit().await?;
        if !changed {
            self.expect_known(switch).await?;
        }
        self.outcome(switch, changed).await
    }

    fn switched(&self, kind: Kind, switch: Switch<'_>) -> Event {
        let event = Event::new(kind, &self.origin);
        match switch {
            Switch::Client(id) => event.client(id),
            Switch::Provider(id) => event.provider(id),
            Switch::Connection(name) => event.detail("connection", name),
        }
    }

    async fn outcome(&self, switch: Switch<'_>, changed: bool) -> Result<Switched, AdminError> {
        let since = switched_off::since(self.db, switch).await?;
        let (kind, name) = match switch {
            Switch::Client(id) => ("client", id.to_string()),
            Switch::Provider(id) => ("provider", id.to_string()),
            Switch::Connection(name) => ("connection", name.to_string()),
        };
        Ok(Switched {
            kind,
            name,
            enabled: since.is_none(),
            disabled_since: since.map(|at| at.to_string()),
            changed,
            reference: changed.then(|| self.origin.reference.to_string()),
        })
    }

    /// A misspelt name switches nothing off. A metadata document need never have been seen.
    async fn expect_known(&self, switch: Switch<'_>) -> Result<(), AdminError> {
        match switch {
            Switch::Provider(id) if self.config.providers.contains_key(id) => Ok(()),
            Switch::Provider(id) => Err(AdminError::UnknownProvider {
                name: id.clone(),
                there: self.config.providers.keys().map(ToString::to_string).collect(),
            }),
            Switch::Connection(name) if self.config.connections.get(name).is_some() => Ok(()),
            Switch::Connection(name) => Err(self.unknown_connection(name)),
            Switch::Client(id) => {
                let of_idp = self.config.idp.iter().flat_map(|idp| idp.clients.keys());
                let mut declared = self.config.clients.keys().chain(of_idp);
                if id.is_url()
                    || declared.clone().any(|known| known == id)
                    || clients::find(self.db, id).await?.is_some()
                {
                    return Ok(());
                }
                let there = declared.by_ref().map(ToString::to_string).collect();
                Err(AdminError::UnknownClient { name: id.clone(), there })
            }
        }
    }
}

const fn kinds(switch: Switch<'_>) -> (Kind, Kind) {
    match switch {
        Switch::Client(_) => (Kind::ClientDisabled, Kind::ClientEnabled),
        Switch::Provider(_) => (Kind::ProviderDisabled, Kind::ProviderEnabled),
        Switch::Connection(_) => (Kind::ConnectionDisabled, Kind::ConnectionEnabled),
    }
}
