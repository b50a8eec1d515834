//! A person as an upstream vouches for her, by an ID token or by an ID-JAG. Whether she may come in, and who she is to
//! us, [`resolve`](super::users::resolve) says.

use std::{borrow::Cow, collections::BTreeSet};

use super::{authentication::Authentication, claims::Claims, entry};
use crate::{config::provider::Provider, store::identities::Identity};

/// The most groups that are kept of one person; directories that tell more (a forest of nested groups, an attack)
/// count as not telling, see [`Groups::TooMany`].
const MAX_GROUPS: usize = 2000;
/// The longest name of a group; a distinguished name fits.
const MAX_GROUP_BYTES: usize = 512;

/// Facts about a person that a provider signed, or answered to the token that it had issued for her.
#[derive(Debug, Clone)]
pub struct VerifiedIdentity<'p> {
    /// The provider whose rules verified it.
    pub provider: &'p Provider,
    /// The issuer, byte for byte; with a template, the tenant's own.
    pub issuer: String,
    /// What never changes about the person at this issuer. (`issuer`, `subject`) is the key, nothing else is.
    pub subject: String,
    /// The e-mail address: a label.
    pub email: Option<String>,
    /// Whether the provider vouches for the address. `None`: it does not say.
    pub email_verified: Option<bool>,
    /// The person's name, for pages.
    pub name: Option<String>,
    /// The groups or roles.
    pub groups: Groups,
    /// The upstream tenant.
    pub tenant: Option<String>,
    /// How she proved herself there.
    pub authentication: Authentication,
    /// What says all this.
    pub voucher: Voucher,
    /// Everything that was said, for rules on any claim.
    pub claims: Claims,
}

/// By what a provider vouches for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Voucher {
    /// She signed in: what the provider does not say is not so.
    SignIn,
    /// An assertion (ID-JAG), which seldom says all: what it is silent about stays as the provider said it last.
    Assertion {
        /// The user of ours whom it names (`aud_sub`).
        aud_sub: Option<String>,
    },
}

impl VerifiedIdentity<'_> {
    /// The same with what an assertion is silent about, as the provider said it of this account last.
    #[must_use]
    pub fn completed(&self, known: Option<&Identity>) -> Cow<'_, Self> {
        let (Voucher::Assertion { .. }, Some(known)) = (&self.voucher, known) else {
            return Cow::Borrowed(self);
        };
        let mut whole = self.clone();
        if self.email.as_ref().is_none_or(|email| known.email.as_ref() == Some(email)) {
            whole.email.clone_from(&known.email);
            whole.email_verified = self.email_verified.or(Some(known.email_verified));
        }
        whole.name = whole.name.or_else(|| known.name.clone());
        whole.tenant = whole.tenant.or_else(|| known.tenant.clone());
        if whole.groups == Groups::Unsaid {
            whole.groups = Groups::of(known.groups.0.iter().cloned());
        }
        entry::complete(&mut whole, &known.claims);
        Cow::Owned(whole)
    }
}

impl<'p> VerifiedIdentity<'p> {
    /// The person as her provider described her last, to ask again whether she may come in.
    pub fn remembered(provider: &'p Provider, known: &Identity) -> Self {
        Self {
            provider,
            issuer: known.issuer.clone(),
            subject: known.subject.clone(),
            email: known.email.clone(),
            email_verified: Some(known.email_verified),
            name: known.name.clone(),
            groups: Groups::of(known.groups.0.iter().cloned()),
            tenant: known.tenant.clone(),
            authentication: Authentication::default(),
            voucher: Voucher::SignIn,
            claims: Claims { signed: known.claims.0.clone(), userinfo: None },
        }
    }
}

/// What a provider said about a person's groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// These.
    Known(BTreeSet<String>),
    /// More than it tells, or than we keep. No rule that asks for a group can be decided.
    TooMany,
    /// Nothing.
    Unsaid,
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
            Self::TooMany | Self::Unsaid => Vec::new(),
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
