//! Our two roles, and what a permission is for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::ResourceId;

/// In which role we are asked. Each is an issuer of its own, with endpoints, clients and keys of its own, and nothing
/// that one of them gives is any good at the other: whoever writes grants for others must not accept its own
/// (draft-ietf-oauth-identity-assertion-authz-grant §9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Tokens for the operator's own resources.
    AuthorizationServer,
    /// Sign-in (OpenID Connect), and grants for the authorization servers of others (ID-JAG).
    IdentityProvider,
}

impl Role {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::AuthorizationServer, Self::IdentityProvider];

    /// Where people are sent (OAuth 2.1 §3.1), below our own path.
    pub const fn authorization_endpoint(self) -> &'static str {
        match self {
            Self::AuthorizationServer => "/oauth/authorize",
            Self::IdentityProvider => "/idp/authorize",
        }
    }

    /// Where clients ask (OAuth 2.1 §3.2), below our own path.
    pub const fn token_endpoint(self) -> &'static str {
        match self {
            Self::AuthorizationServer => "/oauth/token",
            Self::IdentityProvider => "/idp/token",
        }
    }

    /// Its name in the database and in the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationServer => "authorization_server",
            Self::IdentityProvider => "identity_provider",
        }
    }
}

/// What a person permits a client: to use a resource of ours, or to know who she is and to ask in her name for grants
/// at the authorization servers of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Purpose {
    /// Tokens for this resource.
    Resource(ResourceId),
    /// Sign-in.
    SignIn,
}

/// How sign-in stands where the name of a resource would: no resource can be called so.
const SIGN_IN: &str = "(sign-in)";

impl Purpose {
    /// The role in which such a permission is asked for and given.
    pub const fn role(&self) -> Role {
        match self {
            Self::Resource(_) => Role::AuthorizationServer,
            Self::SignIn => Role::IdentityProvider,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource(id) => f.write_str(id.as_str()),
            Self::SignIn => f.write_str(SIGN_IN),
        }
    }
}

impl TryFrom<String> for Purpose {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == SIGN_IN { Ok(Self::SignIn) } else { ResourceId::try_from(text).map(Self::Resource) }
    }
}

impl From<Purpose> for String {
    fn from(purpose: Purpose) -> Self {
        purpose.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_resource_can_pass_for_sign_in() {
        assert!(ResourceId::try_from(SIGN_IN.to_owned()).is_err());
        for text in [SIGN_IN, "tickets"] {
            assert_eq!(Purpose::try_from(text.to_owned()).unwrap().to_string(), text);
        }
    }
}
