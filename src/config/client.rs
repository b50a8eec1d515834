//! `clients:` OAuth clients that the operator declares.

use crate::{
    ids::{ClientId, ResourceId},
    oauth::{grant_type::GrantType, redirect_uri::RedirectUri},
    secret::Secret,
};

/// One entry under `clients:`. It is confidential when it has a secret.
#[derive(Debug, Clone)]
pub struct DeclaredClient {
    /// Its `client_id`: never a URL, which would name a metadata document.
    pub id: ClientId,
    /// What people call it.
    pub name: String,
    /// What it proves itself with.
    pub secret: Option<Secret>,
    /// Where codes may be sent.
    pub redirect_uris: Vec<RedirectUri>,
    /// What it may ask the token endpoint for.
    pub grant_types: Vec<GrantType>,
    /// The resource whose server this is: it may introspect that resource's tokens.
    pub serves: Option<ResourceId>,
    /// The resource that is meant when it names none.
    pub default_resource: Option<ResourceId>,
}
