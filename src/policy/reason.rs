//! What a rule says, and why: the words of a decision.

use std::fmt;

use crate::oauth::scope::Scope;

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The rule's path in the configuration, such as `resources.tickets.allow.groups`.
    pub rule: String,
    /// What did not fit.
    pub kind: ReasonKind,
}

/// What a rule asks about, and so what did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasonKind {
    /// The resource declares no scope of this name.
    UnknownScope,
    /// The entry rules of the user's provider no longer let her in.
    Entry,
    /// The user's organization is not among those named.
    Organization,
    /// The user's provider is not among those named.
    Provider,
    /// The user is in none of the groups named.
    Group,
    /// The client is not among those named.
    Client,
    /// The client asks for itself, and its own entry does not list it.
    NotListed,
    /// The provider's assertions give nothing at this resource.
    Resource,
    /// The provider's assertions do not give this scope.
    Scope,
    /// A claim of the assertion has none of the values named.
    Claim,
    /// The assertion itself does not hold this scope.
    NotAsserted,
}

impl ReasonKind {
    /// Its name in the audit record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownScope => "unknown_scope",
            Self::Entry => "entry",
            Self::Organization => "organization",
            Self::Provider => "provider",
            Self::Group => "group",
            Self::Client => "client",
            Self::NotListed => "not_listed",
            Self::Resource => "resource",
            Self::Scope => "scope",
            Self::Claim => "claim",
            Self::NotAsserted => "not_asserted",
        }
    }

    /// What the user is told.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::UnknownScope => "this service does not offer it",
            Self::Entry => "your account is no longer let in here",
            Self::Organization => "it is reserved for another organization",
            Self::Provider => "it is not open to people who sign in the way you did",
            Self::Group => "it is reserved for groups that you are not in",
            Self::Client => "it is not open to this application",
            Self::NotListed => "it was not given to this application itself",
            Self::Resource | Self::Scope => "your company's sign-in does not give it to applications",
            Self::Claim => "the way you signed in does not suffice for it",
            Self::NotAsserted => "your company's sign-in did not give it to this application",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.rule, self.kind.as_str())
    }
}

/// What one rule said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The scope that it was asked about; `None`: the resource as a whole.
    pub scope: Option<Scope>,
    /// The rule's path in the configuration.
    pub rule: String,
    /// What it asks about.
    pub kind: ReasonKind,
    /// What it asks for; empty where the path says it all.
    pub wants: String,
    /// Whether it is met.
    pub admits: bool,
}
