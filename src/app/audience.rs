//! What a permission is for, with what the configuration says of it now.

use std::time::Duration;

use crate::{
    app::App,
    config::{self, Config, resource::Resource},
    idp,
    jose::KeyRing,
    oauth::{
        purpose::{Purpose, Role},
        resource::ResourceUri,
        scope::Scope,
    },
};

/// Who accepts the tokens of a permission.
#[derive(Debug, Clone, Copy)]
pub enum Audience<'a> {
    /// A resource of the operator's.
    Resource(&'a Resource),
    /// Chancery itself, as an identity provider.
    Idp(Idp<'a>),
}

/// Chancery as an identity provider.
#[derive(Debug, Clone, Copy)]
pub struct Idp<'a> {
    /// What the operator declared.
    pub declared: &'a config::idp::Idp,
    /// What it signs with.
    pub keys: &'a KeyRing,
}

impl App {
    /// The identity provider that we are, where the operator wants one.
    pub fn idp(&self) -> Option<Idp<'_>> {
        let (declared, keys) = self.config.idp.as_ref().zip(self.idp_keys.as_ref())?;
        Some(Idp { declared, keys })
    }

    /// The audience of such a permission; none where it is no longer configured.
    pub fn audience(&self, purpose: &Purpose) -> Option<Audience<'_>> {
        match purpose {
            Purpose::Resource(id) => self.config.resources.get(id).map(Audience::Resource),
            Purpose::SignIn => self.idp().map(Audience::Idp),
        }
    }

    /// What the tokens for this audience are signed with.
    pub fn keys_for<'a>(&'a self, audience: Audience<'a>) -> &'a KeyRing {
        match audience {
            Audience::Resource(_) => &self.keys,
            Audience::Idp(idp) => idp.keys,
        }
    }
}

impl<'a> Audience<'a> {
    /// What permissions for it are kept as.
    pub fn purpose(self) -> Purpose {
        match self {
            Self::Resource(resource) => Purpose::Resource(resource.id.clone()),
            Self::Idp(_) => Purpose::SignIn,
        }
    }

    /// The role in which we give tokens for it.
    pub const fn role(self) -> Role {
        match self {
            Self::Resource(_) => Role::AuthorizationServer,
            Self::Idp(_) => Role::IdentityProvider,
        }
    }

    /// The `aud` of its access tokens.
    pub const fn uri(self) -> &'a ResourceUri {
        match self {
            Self::Resource(resource) => &resource.uri,
            Self::Idp(idp) => &idp.declared.uri,
        }
    }

    /// What a scope allows, in words; none of one that there is not.
    pub fn words(self, scope: &Scope) -> Option<&'a str> {
        match self {
            Self::Resource(resource) => resource.scopes.get(scope).map(|rule| rule.description.as_str()),
            Self::Idp(_) => idp::scopes::words(scope),
        }
    }

    /// How long its access tokens live.
    pub fn access_token_lasts(self, config: &Config) -> Duration {
        match self {
            Self::Resource(resource) => resource.access_token.unwrap_or(config.lifetimes.access_token),
            Self::Idp(_) => config.lifetimes.access_token,
        }
    }
}
