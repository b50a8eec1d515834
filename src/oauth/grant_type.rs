//! Grant types and client authentication methods by their registered names.

use serde::{Deserialize, Serialize};

use super::{purpose::Role, token_exchange};

/// A `grant_type` that the token endpoint serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// RFC 6749 §4.1.
    AuthorizationCode,
    /// RFC 6749 §6.
    RefreshToken,
    /// RFC 6749 §4.4: the client speaks for itself.
    ClientCredentials,
    /// RFC 8693: one token for another.
    TokenExchange,
    /// RFC 7523 §2.1: an assertion of somebody whom the operator trusts.
    JwtBearer,
}

impl GrantType {
    /// All of them, in the order in which the metadata lists them.
    pub const ALL: [Self; 5] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::TokenExchange,
        Self::JwtBearer,
    ];

    /// Those that a client can claim for itself by registering: a person allows each use.
    pub const BY_REGISTRATION: [Self; 2] = [Self::AuthorizationCode, Self::RefreshToken];

    /// Those that a client can claim for itself by its metadata document, which tells who it is. An assertion gives it
    /// what the operator listed for this very client, and nothing else. Any other grant is the operator's to give.
    pub const BY_DOCUMENT: [Self; 3] = [Self::AuthorizationCode, Self::RefreshToken, Self::JwtBearer];

    /// Those that are served where Chancery is an identity provider.
    pub const AT_IDP: [Self; 3] = [Self::AuthorizationCode, Self::RefreshToken, Self::TokenExchange];

    /// Those that are served in a role.
    pub const fn served(role: Role) -> &'static [Self] {
        match role {
            Role::AuthorizationServer => &Self::ALL,
            Role::IdentityProvider => &Self::AT_IDP,
        }
    }

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::TokenExchange => token_exchange::GRANT_TYPE,
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }

    /// The grant type of this name, if we serve it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == name)
    }
}

/// How a client proves itself at the token endpoint (`token_endpoint_auth_method`, RFC 7591 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMethod {
    /// A public client: PKCE alone.
    None,
    /// HTTP Basic (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// In the form body.
    ClientSecretPost,
    /// A signed assertion (RFC 7523 §2.2).
    PrivateKeyJwt,
}

impl ClientAuthMethod {
    /// All of them, in the order in which the metadata lists them.
    pub const ALL: [Self; 4] =
        [Self::None, Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// The method of this name, if we serve it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}
