//! OAuth clients of the three kinds: declared by the operator, registered dynamically (RFC 7591), and known by a
//! metadata document. All three become one [`Client`]; only here does it matter where it came from.

pub mod assertion;
pub mod authenticate;
pub mod document;
mod known;
pub mod registration;

use std::sync::Arc;

use indexmap::IndexMap;

use crate::{
    app::App,
    clients::document::{DocumentClient, DocumentError},
    config::{
        client::{ClientKeys, ClientProof, DeclaredClient, Exchange},
        idp::{IdpClient, SignInClient},
    },
    ids::{ClientId, ResourceId},
    oauth::{grant_type::GrantType, purpose::Role, redirect_uri::RedirectUri, scope::ScopeSet},
    secret::{Secret, TokenHash},
    store::{StoreError, clients::DynamicClient},
};

/// A client, from wherever it is known.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its `client_id`.
    pub id: ClientId,
    /// The name that it or the operator gave it.
    pub name: String,
    /// How it came to be known.
    pub origin: Origin,
    /// Where answers to it may go.
    pub redirect_uris: Vec<RedirectUri>,
    /// What it may ask at the token endpoint.
    pub grant_types: Vec<GrantType>,
    /// How it proves itself.
    pub credential: Credential,
    /// What it may have for itself, with no person behind it: what the operator listed.
    pub own_scopes: IndexMap<ResourceId, ScopeSet>,
    /// The resource whose server it is.
    pub serves: Option<ResourceId>,
    /// What the tokens of that resource are worth elsewhere.
    pub exchange: Option<Exchange>,
    /// The resource that it means when it names none.
    pub default_resource: Option<ResourceId>,
    /// Whether it has tokens bound to a key alone (`dpop_bound_access_tokens`, RFC 9449 §5.2).
    pub dpop_bound: bool,
}

/// How a client came to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The operator declared it.
    Declared,
    /// It registered itself (RFC 7591).
    Dynamic,
    /// Its `client_id` is the address of a metadata document.
    Document {
        /// The host that answers for the client's identity.
        host: String,
        /// Whether the operator vouches for the host.
        assured: bool,
        /// What of the document a consent relies on, hashed.
        fingerprint: TokenHash,
    },
}

/// How a client proves itself at the token endpoint.
#[derive(Debug, Clone)]
pub enum Credential {
    /// It cannot: a public client.
    Public,
    /// By the secret that the operator declared.
    Declared(Secret),
    /// By the secret that we gave it, of which we keep the hash.
    Issued(TokenHash),
    /// By its signature (`private_key_jwt`, RFC 7523 §2.2).
    Keys(ClientKeys),
}

impl Client {
    /// Whether the operator vouches, by name, for who this client is.
    pub const fn is_assured(&self) -> bool {
        matches!(self.origin, Origin::Declared | Origin::Document { assured: true, .. })
    }

    /// What of its document a consent relies on, hashed, where it has one.
    pub const fn fingerprint(&self) -> Option<&TokenHash> {
        match &self.origin {
            Origin::Document { fingerprint, .. } => Some(fingerprint),
            Origin::Declared | Origin::Dynamic => None,
        }
    }

    /// Whether it cannot prove itself.
    pub const fn is_public(&self) -> bool {
        matches!(self.credential, Credential::Public)
    }

    /// Whether it may use a grant.
    pub fn may_use(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }
}

/// Why a client could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody of the id that begins so is known.
    #[error("unknown client {0}")]
    Unknown(String),
    /// Its metadata document could not be had or is not valid.
    #[error("metadata document: {0}")]
    Document(#[from] Arc<DocumentError>),
    /// The database did not answer.
    #[error("store: {0}")]
    Store(#[from] StoreError),
}

/// Finds a client of ours in a role by its id.
pub async fn find(app: &Arc<App>, role: Role, id: &ClientId) -> Result<Client, ClientError> {
    match role {
        Role::AuthorizationServer => at_authorization_server(app, id).await,
        Role::IdentityProvider => at_identity_provider(app, id).await,
    }
}

/// The file's word goes first.
async fn at_authorization_server(app: &Arc<App>, id: &ClientId) -> Result<Client, ClientError> {
    if let Some(declared) = app.config.clients.get(id) {
        return Ok(Client::from(declared));
    }
    if id.is_url() {
        let document = app.documents.get(id, &app.clock).await?;
        return Ok(Client::described_by(&document, id, document.assured));
    }
    crate::store::clients::find(&app.db, id)
        .await?
        .map(Client::from)
        .ok_or_else(|| ClientError::Unknown(id.beginning()))
}

/// Only the file makes clients there. It may name one by its document, and with that vouches for it. One that may ask
/// for grants for others is one that stands with a target.
async fn at_identity_provider(app: &Arc<App>, id: &ClientId) -> Result<Client, ClientError> {
    let unknown = || ClientError::Unknown(id.beginning());
    let idp = app.config.idp.as_ref().ok_or_else(unknown)?;
    let mut client = match idp.clients.get(id).ok_or_else(unknown)? {
        IdpClient::Declared(declared) => Client::from(declared.as_ref()),
        IdpClient::Document => {
            let document = app.documents.get_declared(id, &app.clock).await?;
            Client::described_by(&document, id, true)
        }
    };
    if idp.targets.values().any(|target| target.client_ids.contains_key(id)) {
        client.grant_types.push(GrantType::TokenExchange);
    }
    Ok(client)
}

impl Client {
    fn described_by(document: &DocumentClient, id: &ClientId, assured: bool) -> Self {
        Self {
            id: id.clone(),
            name: document.name.clone().unwrap_or_else(|| document.host.clone()),
            origin: Origin::Document {
                host: document.host.clone(),
                assured,
                fingerprint: document.fingerprint.clone(),
            },
            redirect_uris: document.redirect_uris.clone(),
            grant_types: document.grant_types.clone(),
            credential: document.keys.clone().map_or(Credential::Public, Credential::Keys),
            own_scopes: IndexMap::new(),
            serves: None,
            exchange: None,
            default_resource: None,
            dpop_bound: document.dpop_bound,
        }
    }
}

impl From<&ClientProof> for Credential {
    fn from(proof: &ClientProof) -> Self {
        match proof {
            ClientProof::None => Self::Public,
            ClientProof::Secret(secret) => Self::Declared(secret.clone()),
            ClientProof::Keys(keys) => Self::Keys(keys.clone()),
        }
    }
}

impl From<&SignInClient> for Client {
    fn from(declared: &SignInClient) -> Self {
        Self {
            id: declared.id.clone(),
            name: declared.name.clone(),
            origin: Origin::Declared,
            redirect_uris: declared.redirect_uris.clone(),
            grant_types: declared.grant_types.clone(),
            credential: Credential::from(&declared.proof),
            own_scopes: IndexMap::new(),
            serves: None,
            exchange: None,
            default_resource: None,
            dpop_bound: declared.dpop_bound,
        }
    }
}

impl From<&DeclaredClient> for Client {
    fn from(declared: &DeclaredClient) -> Self {
        Self {
            id: declared.id.clone(),
            name: declared.name.clone(),
            origin: Origin::Declared,
            redirect_uris: declared.redirect_uris.clone(),
            grant_types: {
                let exchanges = declared.serves.is_some() || declared.offline;
                let exchange = exchanges.then_some(GrantType::TokenExchange);
                declared.grant_types.iter().copied().chain(exchange).collect()
            },
            credential: Credential::from(&declared.proof),
            own_scopes: declared.resources.clone(),
            serves: declared.serves.clone(),
            exchange: declared.exchange.clone(),
            default_resource: declared.default_resource.clone(),
            dpop_bound: declared.dpop_bound,
        }
    }
}

impl From<DynamicClient> for Client {
    fn from(registered: DynamicClient) -> Self {
        let metadata = registered.metadata.0;
        Self {
            id: registered.id,
            name: metadata.client_name,
            origin: Origin::Dynamic,
            redirect_uris: metadata.redirect_uris,
            grant_types: metadata.grant_types,
            credential: registered.secret_hash.map_or(Credential::Public, Credential::Issued),
            own_scopes: IndexMap::new(),
            serves: None,
            exchange: None,
            default_resource: None,
            dpop_bound: metadata.dpop_bound_access_tokens,
        }
    }
}
