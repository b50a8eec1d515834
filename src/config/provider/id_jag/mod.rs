//! `id_jag:` what a provider's identity assertions (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant) are worth
//! here. Nothing, unless this section is there.

mod allow;

use indexmap::IndexMap;

pub use self::allow::AssertionRule;
use crate::{
    config::{Names, claims::ClaimPaths, reader::Section},
    ids::ResourceId,
};

/// A provider that is trusted to say which client reaches which resource for whom.
#[derive(Debug, Clone)]
pub struct IdJag {
    /// What may be had by its assertions, by resource. What is not listed is refused; never empty.
    pub allow: IndexMap<ResourceId, AssertionRule>,
}

impl IdJag {
    /// `None`: the section is absent, or wrong and reported.
    pub(super) fn read(provider: &Section<'_>, names: &Names<'_>, claims: &ClaimPaths) -> Option<Self> {
        if !provider.has("id_jag") {
            // Asked for all the same, so that the keys below are known.
            provider.section("id_jag", |_| ());
            return None;
        }
        provider.section("id_jag", |section| Some(Self { allow: allow::read(section, names, claims)? }))
    }
}
