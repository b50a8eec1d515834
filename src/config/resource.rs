//! `resources:` the MCP servers, their scopes and who may have them.

use std::time::Duration;

use indexmap::IndexMap;

use crate::{
    ids::{ClientId, ProviderId, ResourceId},
    oauth::{resource::ResourceUri, scope::Scope},
};

/// One entry under `resources:`.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its name in the file.
    pub id: ResourceId,
    /// Its URI: the audience of its tokens.
    pub uri: ResourceUri,
    /// What people call it.
    pub name: String,
    /// What can be asked for; never empty.
    pub scopes: IndexMap<Scope, ScopeRule>,
    /// Who may have tokens for it at all.
    pub allow: Allow,
    /// What its tokens say of a person beyond `sub` and `org_id`.
    pub token_claims: Vec<TokenClaim>,
    /// How long its access tokens live, where that differs from `lifetimes.access_token`.
    pub access_token: Option<Duration>,
    /// Whether we host its RFC 9728 metadata.
    pub host_metadata: bool,
}

/// One scope of a resource.
#[derive(Debug, Clone)]
pub struct ScopeRule {
    /// What the consent page says it allows.
    pub description: String,
    /// Whether it is granted when a client asks for no scope.
    pub default: bool,
    /// Who may have it, within those whom the resource allows.
    pub allow: Allow,
}

/// Who may. An empty list does not restrict; every list that is not empty must be met, by any of its values.
#[derive(Debug, Clone, Default)]
pub struct Allow {
    /// Organizations of the person.
    pub organizations: Vec<String>,
    /// Providers through which the person signed in.
    pub providers: Vec<ProviderId>,
    /// Groups of the person.
    pub groups: Vec<String>,
    /// Clients that ask.
    pub clients: Vec<ClientId>,
}

/// A fact about a person that a resource may ask to see in its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenClaim {
    /// `groups`.
    Groups,
    /// `email`.
    Email,
}
