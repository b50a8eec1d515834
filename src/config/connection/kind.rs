//! What is kept of an account, and how it is come by.

use crate::config::problem::Wrong;

/// What is kept of an account, and how it is come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tokens that the person lets us fetch at the vendor (RFC 6749 §4.1).
    Oauth,
    /// A key that she enters, and that stays as it is.
    ApiKey,
    /// A user name and a password that she enters (RFC 7617).
    Basic,
    /// The operator's own account, the same for everybody: its tokens are fetched with the credentials of our client
    /// (RFC 6749 §4.4) and kept nowhere but in memory.
    ClientCredentials,
}

impl Kind {
    /// Their names in presets.
    pub(in crate::config) const NAMES: [(&str, Self); 4] = [
        ("oauth", Self::Oauth),
        ("api_key", Self::ApiKey),
        ("basic", Self::Basic),
        ("client_credentials", Self::ClientCredentials),
    ];

    /// Whether the person types in what is kept.
    pub const fn is_entered(self) -> bool {
        matches!(self, Self::ApiKey | Self::Basic)
    }

    /// Whether each person has an account of her own.
    pub const fn is_personal(self) -> bool {
        !matches!(self, Self::ClientCredentials)
    }

    /// The endpoints of a preset without which nothing can be fetched.
    pub(in crate::config) const fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Oauth => &["authorize_url", "token_url"],
            Self::ClientCredentials => &["token_url"],
            Self::ApiKey | Self::Basic => &[],
        }
    }

    /// Whether such an account has scopes: nobody limits what a key or a password is good for.
    pub(super) fn bears_scopes(self) -> Result<(), Wrong> {
        if self.is_entered() {
            return Err(
                "names scopes, and a key or password has none: write [], which means the account".into()
            );
        }
        Ok(())
    }
}
