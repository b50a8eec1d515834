//! `identity:` when accounts at several issuers are one person's.

use std::collections::BTreeSet;

use super::{IssuerRule, Tenants, id_jag::IdJag};
use crate::{
    config::{Names, form::name_of, reader::Section},
    ids::ProviderId,
};

/// How a person who comes by another account than before is recognised. By nothing, unless the operator says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityRules {
    /// The providers whose accounts with the same verified e-mail address are the same person's. Each of them names
    /// this one as well; a provider that names itself joins its own issuers.
    pub link_verified_email: BTreeSet<ProviderId>,
}

impl IdentityRules {
    pub(super) fn read(
        provider: &Section<'_>,
        names: &Names<'_>,
        (issuer, id_jag): (Option<&IssuerRule>, Option<&IdJag>),
    ) -> Self {
        let asserts_for_several = id_jag.is_some_and(|id_jag| {
            id_jag.issuers.iter().any(|issuer| issuer.tenants.as_ref().is_some_and(Tenants::are_several))
        });
        let has_tenants = asserts_for_several || matches!(issuer, Some(IssuerRule::Template { .. }));
        provider.section("identity", |section| {
            let known = name_of(&names.providers, "no provider has this name");
            let linked = section.restriction("link_verified_email", known);
            if !linked.is_empty() && has_tenants {
                section.problem("link_verified_email", SEVERAL_TENANTS);
            }
            Self { link_verified_email: linked.into_iter().collect() }
        })
    }

    /// Reports a link that only one of two providers wants.
    pub(super) fn agree(
        &self,
        id: &ProviderId,
        (other, theirs): (&ProviderId, &Self),
        provider: &Section<'_>,
    ) {
        let wants = self.link_verified_email.contains(other);
        if wants != theirs.link_verified_email.contains(id) {
            let (this, that) = if wants { (other, id) } else { (id, other) };
            let message = format!(
                "link_verified_email of {this} does not name {that}, which names it: a link needs the word of both"
            );
            provider.problem("identity", message);
        }
    }
}

const SEVERAL_TENANTS: &str = "cannot be: each of this provider's tenants would speak for the others' addresses; \
                               write a provider for each tenant";
