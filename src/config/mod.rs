//! The configuration: one file a section of the YAML, each with the types that the section becomes.
//!
//! A [`Config`] cannot be half right: every reference in it leads somewhere, every URL is one that we would ask,
//! every provider says who may come in.

pub mod claims;
pub mod client;
pub mod connection;
pub mod database;
pub mod dpop;
pub mod encryption;
pub mod environment;
mod expand;
mod form;
pub mod idp;
pub mod lifetimes;
pub mod places;
pub mod preset;
pub mod problem;
pub mod provider;
mod reader;
pub mod registration;
pub mod resource;
pub mod server;
#[cfg(test)]
mod tests;
mod yaml;

use std::path::Path;

use indexmap::IndexMap;

use self::{
    client::{DeclaredClient, RESERVED_ID_PREFIX},
    connection::Connections,
    database::Database,
    dpop::Dpop,
    encryption::Encryption,
    environment::Environment,
    expand::reason,
    form::name_of,
    idp::Idp,
    lifetimes::Lifetimes,
    preset::Presets,
    problem::{Problem, Problems, Wrong},
    provider::Provider,
    reader::{Reading, Section},
    registration::Registration,
    resource::Resource,
    server::Server,
};
use crate::{
    ids::{ClientId, ConnectionName, ProviderId, ResourceId},
    oauth::{issuer::Issuer, purpose::Role},
};

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
    /// `connections:`, in the order of the file.
    pub connections: Connections,
    /// `idp:`, where the file has it.
    pub idp: Option<Idp>,
    /// `registration:`
    pub registration: Registration,
    /// `dpop:`
    pub dpop: Dpop,
    /// `lifetimes:`
    pub lifetimes: Lifetimes,
}

/// What the sections may name of one another.
#[derive(Clone)]
struct Names<'a> {
    /// `None` while a provider is wrong, since its organization is then unknown.
    organizations: Option<Vec<String>>,
    providers: Vec<&'a str>,
    resources: Vec<&'a str>,
    /// The scopes that each resource says it has.
    scopes: IndexMap<&'a str, Vec<&'a str>>,
    clients: Vec<&'a str>,
    connections: Vec<&'a str>,
    /// The clients that are workloads, each with the provider that says so.
    workloads: Vec<(ClientId, ProviderId)>,
    /// The clients that may have people's tokens while these are away, each with a connection that says so.
    offline: Vec<(ClientId, ConnectionName)>,
    /// The clients that may present identity assertions, each with the provider and the resource that say so.
    presenters: Vec<(ClientId, ProviderId, ResourceId)>,
}

impl Names<'_> {
    /// A client that rules may name: one that is declared, one with a document, or one that we gave its id.
    fn client(&self, written: String) -> Result<ClientId, Wrong> {
        match ClientId::try_from(written.clone()) {
            Ok(id) if id.is_url() || id.as_str().starts_with(RESERVED_ID_PREFIX) => Ok(id),
            _ => name_of(&self.clients, "no client has this name, and it is not the URL of a document")(
                written,
            ),
        }
    }
}

impl Config {
    /// Who we are in a role (RFC 8414 §2).
    pub const fn issuer(&self, role: Role) -> &Issuer {
        match role {
            Role::AuthorizationServer => &self.server.issuer,
            Role::IdentityProvider => &self.server.idp_issuer,
        }
    }

    /// What people call a declared client; its id where it is none.
    pub fn client_name<'a>(&'a self, id: &'a ClientId) -> &'a str {
        self.clients.get(id).map_or(id.as_str(), |client| client.name.as_str())
    }

    /// Reads and checks a file. Relative paths in it begin at its folder.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, Problems> {
        let file = path.display().to_string();
        match environment.read(path, yaml::MAX_BYTES) {
            Ok(bytes) => Self::read(&bytes, &file, path, environment),
            Err(error) => {
                Err(Problems::one(Problem::of_file(&file, format!("cannot be read: {}", reason(&error)))))
            }
        }
    }

    /// Checks a text; `file` is what problems call it, and relative paths in it begin at that file's folder.
    pub fn parse(text: &str, file: &str, environment: &Environment) -> Result<Self, Problems> {
        Self::read(text.as_bytes(), file, Path::new(file), environment)
    }

    fn read(bytes: &[u8], file: &str, path: &Path, environment: &Environment) -> Result<Self, Problems> {
        let tree = yaml::parse(bytes).map_err(|error| Problems::one(Problem::of_syntax(file, error)))?;
        let base = path.parent().unwrap_or(Path::new(""));
        let reading = Reading::new(file, base, Some(environment));
        let mut problems = Vec::new();
        let config = reading.root(&tree, |root| Self::read_sections(root, base, environment, &mut problems));
        problems.extend(reading.finish());
        match (config, Problems::new(problems)) {
            (_, Some(problems)) => Err(problems),
            (Some(config), None) => Ok(config),
            (None, None) => Err(Problems::one(Problem::of_file(file, "is incomplete"))),
        }
    }

    fn read_sections(
        root: &Section<'_>,
        base: &Path,
        environment: &Environment,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let mut presets = Presets::built_in(problems);
        root.optional("presets", |folder| presets.add_folder(&base.join(folder), environment, problems));
        let mut names = Names {
            organizations: None,
            providers: root.names("providers"),
            resources: root.names("resources"),
            scopes: root.names_within("resources", "scopes"),
            clients: root.names("clients"),
            connections: root.names("connections"),
            workloads: Vec::new(),
            offline: Vec::new(),
            presenters: Vec::new(),
        };
        let server = root.section("server", |section| Server::read(section, &names.resources));
        let database = root.section("database", Database::read);
        let encryption = root.section("encryption", Encryption::read);
        // Without an issuer it is unknown whether this is development; its absence is problem enough.
        let loopback = server.as_ref().is_none_or(|server| server.issuer.is_loopback());
        let ours = server.as_ref().map(|server| &server.issuer);
        let providers = Provider::read_all(root, &presets, &names, (ours, loopback));
        names.organizations = (providers.len() == root.count("providers"))
            .then(|| providers.values().filter_map(|provider| provider.organization.clone()).collect());
        names.workloads = (providers.values())
            .filter_map(|provider| Some((provider.workload.as_ref()?.subjects.values(), &provider.id)))
            .flat_map(|(clients, id)| clients.map(|client| (client.clone(), id.clone())))
            .collect();
        names.presenters = (providers.values())
            .flat_map(|provider| provider.id_jag.iter().map(move |id_jag| (&provider.id, id_jag)))
            .flat_map(|(id, id_jag)| id_jag.allow.iter().map(move |(resource, rule)| (id, resource, rule)))
            .flat_map(|(id, resource, rule)| {
                rule.clients.iter().map(|client| (client.clone(), id.clone(), resource.clone()))
            })
            .collect();
        let resources = Resource::read_all(root, &names, loopback);
        let around = connection::Around {
            names: &names,
            providers: &providers,
            resources: &resources,
            server: server.as_ref(),
            loopback,
        };
        let connections = Connections::read(root, &presets, &around);
        names.offline = (connections.iter())
            .flat_map(|one| one.offline.clients.iter().map(|client| (client.clone(), one.name.clone())))
            .collect();
        let clients = DeclaredClient::read_all(root, &names, &resources, loopback);
        let idp = Idp::read(root, &names, server.as_ref(), loopback);
        let registration = root.section("registration", Registration::read);
        let dpop = root.section("dpop", Dpop::read);
        let lifetimes = root.section("lifetimes", Lifetimes::read);
        Some(Self {
            server: server?,
            database: database?,
            encryption: encryption?,
            providers,
            resources,
            clients,
            connections,
            idp,
            registration: registration?,
            dpop,
            lifetimes,
        })
    }
}
