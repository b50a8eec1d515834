//! `idp:` Chancery in its other role: an identity provider at `{server.issuer}/idp`, with clients of its own, and
//! grants for the authorization servers of others.

mod client;
mod target;

use indexmap::IndexMap;

pub use self::{
    client::{IdpClient, SignInClient},
    target::{SubjectForm, Target, TargetResource},
};
use super::{Names, reader::Section, server::Server};
use crate::{
    ids::{ClientId, TargetId},
    oauth::{resource::ResourceUri, scope::ScopeSet},
};

/// The `idp:` section. Where the file has none, there is no such role.
#[derive(Debug, Clone)]
pub struct Idp {
    /// Its issuer, as the audience of what is given for its own use.
    pub uri: ResourceUri,
    /// The clients that sign people in here; never empty.
    pub clients: IndexMap<ClientId, IdpClient>,
    /// The authorization servers of others for which they may ask for grants.
    pub targets: IndexMap<TargetId, Target>,
}

impl Idp {
    /// What a client of this id may learn about a person.
    pub fn scopes_of(&self, client: &ClientId) -> ScopeSet {
        match self.clients.get(client) {
            None => ScopeSet::default(),
            Some(IdpClient::Declared(declared)) => declared.scopes.clone(),
            Some(IdpClient::Document) => client::usual_scopes(),
        }
    }

    pub(super) fn read(
        root: &Section<'_>,
        names: &Names<'_>,
        server: Option<&Server>,
        loopback: bool,
    ) -> Option<Self> {
        let present = root.has("idp");
        root.section("idp", |section| {
            if !present {
                return None;
            }
            let clients = IdpClient::read_all(section, loopback);
            if section.count("clients") == 0 {
                section.problem("clients", "is missing: the applications that sign people in here");
            }
            // Whom rules name here are the clients of this role.
            let names = Names { clients: section.names("clients"), ..names.clone() };
            let targets = Target::read_all(section, &names, server, loopback);
            let uri = ResourceUri::try_from(server?.idp_issuer.as_str().to_owned());
            let uri = uri.map_err(|wrong| root.problem("server", wrong)).ok()?;
            Some(Self { uri, clients, targets })
        })
    }
}
