//! The configuration: one file a section of the YAML, each with the types that the section becomes.
//!
//! A [`Config`] cannot be half right: every reference in it leads somewhere, every URL is one that we would ask,
//! every provider says who may come in.

pub mod claims;
pub mod client;
pub mod database;
pub mod encryption;
pub mod environment;
pub mod lifetimes;
pub mod problem;
pub mod provider;
pub mod registration;
pub mod resource;
pub mod server;

use indexmap::IndexMap;

use self::{
    client::DeclaredClient, database::Database, encryption::Encryption, lifetimes::Lifetimes,
    provider::Provider, registration::Registration, resource::Resource, server::Server,
};
use crate::ids::{ClientId, ProviderId, ResourceId};

/// A whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `server:`
    pub server: Server,
    /// `database:`
    pub database: Database,
    /// `encryption:`
    pub encryption: Encryption,
    /// `providers:`, in the order of the file.
    pub providers: IndexMap<ProviderId, Provider>,
    /// `resources:`, in the order of the file.
    pub resources: IndexMap<ResourceId, Resource>,
    /// `clients:`, in the order of the file.
    pub clients: IndexMap<ClientId, DeclaredClient>,
    /// `registration:`
    pub registration: Registration,
    /// `lifetimes:`
    pub lifetimes: Lifetimes,
}
