//! `workload:` programs that prove who they are by a token of their own platform (RFC 7523 §2.1), such as a CI job or a
//! pod, each as a client that the operator declared. Nothing of it has to do with people or with ID-JAG.

use std::time::Duration;

use indexmap::IndexMap;

use super::{
    IdTokenAlg,
    behaviour::{Behaviour, algorithms},
    id_jag::Replay,
    issuer::{Around, TrustedIssuer},
};
use crate::{
    config::{
        Names,
        form::{duration, name_of, one_of, text},
        reader::Section,
    },
    ids::ClientId,
};

/// What platforms give: Kubernetes an hour, CI systems minutes.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// A token that lives longer is a password.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The section, read.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Who signs the assertions.
    pub issuer: TrustedIssuer,
    /// Whom they must be made for, and nobody else. `None`: our issuer, or our token endpoint.
    pub audience: Option<String>,
    /// What they may be signed with; never empty.
    pub algorithms: Vec<IdTokenAlg>,
    /// How often one counts.
    pub replay: Replay,
    /// The longest life of one.
    pub max_lifetime: Duration,
    /// Which `sub` is which declared client; never empty.
    pub subjects: IndexMap<String, ClientId>,
}

impl Workload {
    /// `None`: the section is absent, or wrong and reported.
    pub(super) fn read(
        provider: &Section<'_>,
        names: &Names<'_>,
        behaviour: &Behaviour,
        around: Around<'_>,
    ) -> Option<Self> {
        if !provider.has("workload") {
            // Asked for all the same, so that the keys below are known.
            provider.section("workload", |_| ());
            return None;
        }
        provider.section("workload", |section| {
            let own = TrustedIssuer::of_sign_in(around);
            let issuer = if section.has("issuer") || section.has("jwks_uri") || own.is_none() {
                TrustedIssuer::read(section, around)
            } else {
                own
            };
            let audience = section.optional("audience", text);
            let algorithms = algorithms(section, "algorithms");
            let replay = section.optional("replay", one_of(&Replay::NAMES));
            let lifetime = duration(Duration::from_secs(1), LONGEST_LIFETIME);
            let max_lifetime = section.optional("max_lifetime", lifetime);
            let client = name_of(&names.clients, "no client has this name");
            let subjects = section.texts("subjects", text, |_, written| client(written));
            if section.count("subjects") == 0 {
                let message = "is missing: which sub is which declared client, such as \"repo:acme/api:ref:refs/heads/main\": build-agent";
                section.problem("subjects", message);
            }
            Some(Self {
                issuer: issuer?,
                audience,
                algorithms: algorithms.unwrap_or_else(|| behaviour.id_token_algs.clone()),
                replay: replay.unwrap_or(Replay::SingleUse),
                max_lifetime: max_lifetime.unwrap_or(DEFAULT_LIFETIME),
                subjects,
            })
        })
    }
}
