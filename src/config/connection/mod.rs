//! `connections:` upstream accounts that people connect once and MCP servers then use, each a preset's `connection:`
//! part filled in by the operator.
//!
//! A *vendor* is the OAuth server behind a connection, an *account* is what a person has there.

mod app;
pub mod behaviour;
mod kind;
mod read;
mod rules;
mod urls;
mod usage;

use std::num::NonZeroU32;

use indexmap::IndexMap;

use self::behaviour::Source;
pub(super) use self::read::{Around, RESERVED_KEYS};
pub use self::{
    app::{App, Discovery, OwnClient},
    kind::Kind,
    rules::{AccountRequirements, AccountRules, Offline},
    urls::Urls,
    usage::{Use, Uses},
};
pub use crate::ids::ConnectionName;
use crate::{
    ids::ResourceId,
    oauth::{resource::ResourceUri, scope::ScopeSet},
};

/// One entry under `connections:`, with its preset already applied.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its name in the file, in URLs and as the `audience` of a token exchange.
    pub name: ConnectionName,
    /// The preset it was built on.
    pub preset: String,
    /// What people call it.
    pub title: String,
    /// What is kept of an account.
    pub kind: Kind,
    /// Our application at the vendor, by which people connect. Where they enter what is kept, it says no more than
    /// where an account is asked about and how the vendor behaves.
    pub app: App,
    /// What is asked for at every connect, whatever it is needed for.
    pub scopes: ScopeSet,
    /// Which resources use it, and what for.
    pub uses: Use,
    /// Which accounts may be connected.
    pub account: AccountRules,
    /// Who may use it while nobody is there.
    pub offline: Offline,
    /// The URLs of its API: what `resource` of a token exchange may name instead of the connection.
    pub api: Vec<ResourceUri>,
    /// How much of it is handed out.
    pub limits: Limits,
}

impl Connection {
    /// Whether anybody says whose an account is: the vendor, or its person by her user name. Where nobody does, all
    /// count as the same, and what stands in a row of them is the connection's own name.
    pub fn says_whose(&self) -> bool {
        self.kind == Kind::Basic || self.app.behaviour.identity.source != Source::Nothing
    }
}

/// How much of a connection is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Vends in a minute, for one client and one person.
    pub vends_per_minute: NonZeroU32,
}

/// All connections, in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Connections(IndexMap<ConnectionName, Connection>);

impl Connections {
    /// The connection of this name.
    pub fn get(&self, name: &ConnectionName) -> Option<&Connection> {
        self.0.get(name)
    }

    /// The connection that `audience` of a token exchange names (RFC 8693 §2.1).
    pub fn by_audience(&self, audience: &str) -> Option<&Connection> {
        self.0.values().find(|connection| connection.name.as_str() == audience)
    }

    /// The connection whose API `resource` of a token exchange names (RFC 8693 §2.1); never two.
    pub fn by_resource(&self, resource: &ResourceUri) -> Option<&Connection> {
        self.0.values().find(|connection| connection.api.contains(resource))
    }

    /// What these scopes of a resource need of a person's accounts.
    pub fn needed_by(&self, resource: &ResourceId, scopes: &ScopeSet) -> Uses {
        let used = self.0.values().filter_map(|one| Some((&one.name, one.uses.of(resource)?)));
        Uses::needed(scopes, &used.collect::<Vec<_>>())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.0.values()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
