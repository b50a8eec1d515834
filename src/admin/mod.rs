//! What an operator may do: switch clients, providers and connections off and on, shut people out, disconnect their
//! accounts, and see what a person has.
//!
//! Each act is one transaction with its lines in the record, and all of these bear one reference number. It is in force
//! for every instance once it is committed, since whoever decides about access asks the database.

mod connections;
mod person;
mod shut_out;
mod switches;

pub use self::{
    connections::{Connected, Disconnected, Entry, Overview, SwitchedAccounts, Unregistered},
    person::{Account, Permission, Profile, Session},
    shut_out::{Act, Other, Receipt, Withdrawn},
    switches::Switched,
};

use crate::{
    audit::{self, Event, Origin},
    clock::Clock,
    config::Config,
    entropy::Entropy,
    ids::{ClientId, ConnectionName, ProviderId, Reference, UserId},
    store::{Db, StoreError, Tx},
};

/// An operator, at one command.
pub struct Operator<'a> {
    config: &'a Config,
    db: &'a Db,
    chance: (&'a Clock, &'a Entropy),
    origin: Origin,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The database failed.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// No such provider.
    #[error("provider {name} is not in the configuration; there {}", are(there))]
    UnknownProvider {
        /// What was named.
        name: ProviderId,
        /// Those that exist.
        there: Vec<String>,
    },
    /// No such connection.
    #[error("connection {name} is not in the configuration; there {}", are(there))]
    UnknownConnection {
        /// What was named.
        name: ConnectionName,
        /// Those that exist.
        there: Vec<String>,
    },
    /// No such client.
    #[error(
        "client {name} is neither declared nor registered; declared {}; one that registered itself goes by the \
         client_id that it was given",
        are(there)
    )]
    UnknownClient {
        /// What was named.
        name: ClientId,
        /// Those that are declared.
        there: Vec<String>,
    },
    /// Nobody is known like this.
    #[error("{0}")]
    Nobody(String),
    /// Several people are.
    #[error("{what}; say which by her id:{}", listed(who))]
    Several {
        /// What was said.
        what: String,
        /// The users and what they go by.
        who: Vec<(UserId, String)>,
    },
}

fn are(names: &[String]) -> String {
    match names {
        [] => "are none".to_owned(),
        [only] => format!("is {only}"),
        several => format!("are {}", several.join(", ")),
    }
}

fn listed(who: &[(UserId, String)]) -> String {
    who.iter().fold(String::new(), |listed, (user, label)| listed + &format!("\n  {user}  ({label})"))
}

impl<'a> Operator<'a> {
    /// Begins a command: all that it records bears one number.
    pub fn new(config: &'a Config, db: &'a Db, chance: (&'a Clock, &'a Entropy)) -> Self {
        Self { config, db, chance, origin: audit::Origin::house(chance.1) }
    }

    /// The number under which the record has what the command does.
    pub const fn reference(&self) -> &Reference {
        &self.origin.reference
    }

    fn unknown_connection(&self, name: &ConnectionName) -> AdminError {
        let there = self.config.connections.iter().map(|connection| connection.name.to_string()).collect();
        AdminError::UnknownConnection { name: name.clone(), there }
    }

    async fn record(&self, tx: &mut Tx, event: &Event) -> Result<(), StoreError> {
        audit::record(tx, self.chance.0, self.chance.1, event).await
    }
}
