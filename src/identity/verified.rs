//! A person as an upstream vouches for her: the one way from verified claims, of an ID token or of an ID-JAG, to a
//! user of ours.

use std::collections::BTreeSet;

use crate::{clock::Timestamp, ids::ProviderId};

/// The most groups that are kept of one person; directories that tell more (a forest of nested groups, an attack)
/// count as not telling, see [`Groups::TooMany`].
const MAX_GROUPS: usize = 2000;
/// The longest name of a group; a distinguished name fits.
const MAX_GROUP_BYTES: usize = 512;

/// Facts about a person that a provider signed, or answered to the token that it had issued for her.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedIdentity {
    /// The provider whose rules verified it.
    pub provider: ProviderId,
    /// The issuer, byte for byte; with a template, the tenant's own.
    pub issuer: String,
    /// What never changes about the person at this issuer. (`issuer`, `subject`) is the key, nothing else is.
    pub subject: String,
    /// The operator's tenant that the provider's users belong to.
    pub organization: Option<String>,
    /// The e-mail address: a label.
    pub email: Option<String>,
    /// Whether the provider vouches for the address.
    pub email_verified: bool,
    /// The person's name, for pages.
    pub name: Option<String>,
    /// The groups or roles.
    pub groups: Groups,
    /// The upstream tenant.
    pub tenant: Option<String>,
    /// When the person proved herself at the provider, where it says so.
    pub auth_time: Option<Timestamp>,
    /// How strongly (OIDC Core §2).
    pub acr: Option<String>,
    /// By which means (RFC 8176).
    pub amr: Vec<String>,
    /// The session at the provider, for its logout.
    pub sid: Option<String>,
}

/// What a provider said about a person's groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// These; none, when it says nothing about groups.
    Known(BTreeSet<String>),
    /// More than it tells, or than we keep. No rule that asks for a group can be decided.
    TooMany,
}

impl Groups {
    /// The groups of these names; names that are empty, longer than any real one, or hold a NUL, which PostgreSQL
    /// cannot, are left out.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        let usable = |name: &String| (1..=MAX_GROUP_BYTES).contains(&name.len()) && !name.contains('\0');
        let names: BTreeSet<_> = names.into_iter().filter(usable).collect();
        if names.len() > MAX_GROUPS { Self::TooMany } else { Self::Known(names) }
    }

    /// The names, for the record; none where they are not known.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Known(names) => names.iter().cloned().collect(),
            Self::TooMany => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_groups_are_too_many_and_not_the_first_two_thousand() {
        assert_eq!(Groups::of((0..10_000).map(|n| n.to_string())), Groups::TooMany);
        assert_eq!(Groups::of((0..2000).map(|n| n.to_string())).names().len(), 2000);
    }

    #[test]
    fn names_that_no_directory_has_are_left_out() {
        assert_eq!(Groups::of([String::new(), "x".repeat(513), "staff".into()]).names(), ["staff"]);
    }
}
