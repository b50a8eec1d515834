//! `id_jag:` what a provider's identity assertions (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant) are worth
//! here, and under which conditions they are accepted. Nothing, unless this section is there.

mod allow;
mod issuers;

use std::time::Duration;

use indexmap::IndexMap;

pub use self::{allow::AssertionRule, issuers::IdJagIssuer};
use super::{
    IdTokenAlg,
    behaviour::{Behaviour, algorithms},
    issuer::Around,
};
use crate::{
    config::{
        Names,
        form::{duration, name_of, one_of},
        reader::Section,
    },
    ids::ResourceId,
};

/// What identity providers give (ID-JAG §6.1 shows 300 s); it bounds how long a `jti` is kept.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(5 * 60);
/// Whoever needs longer ones has no use for a short-lived grant.
const LONGEST_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// A provider that is trusted to say which client reaches which resource for whom.
#[derive(Debug, Clone)]
pub struct IdJag {
    /// What may be had by its assertions, by resource. What is not listed is refused; never empty.
    pub allow: IndexMap<ResourceId, AssertionRule>,
    /// Who signs them; never empty.
    pub issuers: Vec<IdJagIssuer>,
    /// What they may be signed with; never empty.
    pub algorithms: Vec<IdTokenAlg>,
    /// How often one counts.
    pub replay: Replay,
    /// Whether clients that cannot prove themselves may present them.
    pub public_clients: bool,
    /// The resource that is meant where neither an assertion nor its request names one.
    pub default_resource: Option<ResourceId>,
    /// The longest life of an assertion, from `iat` to `exp`.
    pub max_lifetime: Duration,
    /// Whether they may name a user of ours (`aud_sub`), if she is one of the provider's own people.
    pub aud_sub: bool,
}

/// How often an assertion counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// Once (Enterprise-Managed Authorization §7.4.2).
    SingleUse,
    /// Again and again while it is good, for the same client, if that can prove itself or is bound to a key
    /// (ID-JAG §4.4.3).
    SameClient,
}

impl Replay {
    pub(super) const NAMES: [(&str, Self); 2] =
        [("single_use", Self::SingleUse), ("same_client", Self::SameClient)];
}

impl IdJag {
    /// `None`: the section is absent, or wrong and reported.
    pub(super) fn read(
        provider: &Section<'_>,
        names: &Names<'_>,
        behaviour: &Behaviour,
        around: Around<'_>,
    ) -> Option<Self> {
        if !provider.has("id_jag") {
            // Asked for all the same, so that the keys below are known.
            provider.section("id_jag", |_| ());
            return None;
        }
        provider.section("id_jag", |section| {
            let allow = allow::read(section, names, &behaviour.claims);
            let issuers = issuers::read(section, around, &behaviour.claims);
            let algorithms = algorithms(section, "algorithms");
            let replay = section.optional("replay", one_of(&Replay::NAMES));
            let default_resource =
                section.optional("default_resource", name_of(&names.resources, "no resource has this name"));
            let public_clients = section.flag("public_clients");
            let aud_sub = section.flag("aud_sub");
            let lifetime = duration(Duration::from_secs(1), LONGEST_LIFETIME);
            let max_lifetime = section.optional("max_lifetime", lifetime);
            Some(Self {
                allow: allow?,
                issuers: Some(issuers).filter(|issuers| !issuers.is_empty())?,
                algorithms: algorithms.unwrap_or_else(|| behaviour.id_token_algs.clone()),
                replay: replay.unwrap_or(Replay::SingleUse),
                public_clients: public_clients.unwrap_or(false),
                default_resource,
                max_lifetime: max_lifetime.unwrap_or(DEFAULT_LIFETIME),
                aud_sub: aud_sub.unwrap_or(false),
            })
        })
    }
}
