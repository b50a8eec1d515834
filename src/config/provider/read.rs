//! A provider's entry and its preset become a [`Provider`].

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;
use url::Url;

use super::{
    IdentityRules, IssuerRule, KeepsTokens, Provider, Recheck, Requirements, Tenants, UpstreamClientAuth,
    Workload,
    behaviour::{Behaviour, parameter_name},
    entry::SignIn,
    id_jag::IdJag,
    issuer::{Around, is_own},
};
use crate::{
    config::{
        Names,
        form::{duration, mail_domain, text, upstream_url},
        preset::{Presets, SignInPart, filled::Filled},
        problem::Wrong,
        reader::Section,
    },
    ids::ProviderId,
    oauth::issuer::Issuer,
};

const DEFAULT_LEEWAY: Duration = Duration::from_secs(60);
/// A clock that is further off is broken, and a token that is older is replayed.
const LONGEST_LEEWAY: Duration = Duration::from_secs(5 * 60);
const LONGEST_MAX_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The keys that every provider has; a preset's parameters are named otherwise.
pub(in crate::config) const RESERVED_KEYS: [&str; 27] = [
    "assertion_audience",
    "authorize_params",
    "claims",
    "client_auth",
    "client_id",
    "client_secret",
    "contact",
    "discovery_url",
    "id_jag",
    "id_token_algs",
    "identity",
    "leeway",
    "max_age",
    "name",
    "organization",
    "pkce",
    "preset",
    "private_key",
    "private_key_alg",
    "private_key_id",
    "prompt_login",
    "response_iss",
    "scopes",
    "sign_in",
    "userinfo",
    "vault",
    "workload",
];

impl Provider {
    pub(in crate::config) fn read_all(
        root: &Section<'_>,
        presets: &Presets,
        names: &Names<'_>,
        ours: (Option<&Issuer>, bool),
    ) -> IndexMap<ProviderId, Self> {
        if root.count("providers") == 0 {
            root.problem(
                "providers",
                "is missing: where people sign in; chancery providers list shows what there is",
            );
        }
        let mut before = Vec::new();
        root.entries("providers", ProviderId::try_from, |id, section| {
            let provider = Self::read(id, section, presets, names, ours)?;
            provider.differ(&before, section);
            before.push(provider.clone());
            Some(provider)
        })
    }

    /// Reports what two providers say of the same people: it must be clear whose rules hold, and who speaks for whom.
    fn differ(&self, before: &[Self], section: &Section<'_>) {
        for other in before {
            self.identity.agree(&self.id, (&other.id, &other.identity), section);
            if let Some(issuer) =
                other.asserting().find(|issuer| self.asserting().any(|mine| mine == *issuer))
            {
                let message = format!("takes assertions of {issuer}, as {} does already", other.id);
                section.problem("id_jag", message);
            }
            let programs =
                |provider: &Self| provider.workload.as_ref().map(|told| told.issuer.issuer.clone());
            if let Some(issuer) = programs(self).filter(|issuer| programs(other).as_ref() == Some(issuer)) {
                let message = format!("takes assertions of {issuer}, as {} does already", other.id);
                section.problem("workload", message);
            }
            for (asserts, signs_in) in [(self, other), (other, self)] {
                if let Some(issuer) = asserts.speaks_for(signs_in) {
                    let (who, whose) = (&asserts.id, &signs_in.id);
                    let message =
                        format!("{who} takes assertions of {issuer}, by which people sign in at {whose}");
                    section.problem("id_jag", message);
                }
            }
        }
    }

    fn asserting(&self) -> impl Iterator<Item = &str> {
        let issuers = self.id_jag.iter().flat_map(|id_jag| &id_jag.issuers);
        issuers.map(|issuer| issuer.trusted.issuer.as_str())
    }

    /// An issuer of assertions by which not this provider's own people sign in, but the other's.
    fn speaks_for(&self, other: &Self) -> Option<&str> {
        self.asserting().find(|issuer| other.issuer.admits(issuer) && !self.issuer.admits(issuer))
    }

    fn read(
        id: ProviderId,
        section: &Section<'_>,
        presets: &Presets,
        names: &Names<'_>,
        ours: (Option<&Issuer>, bool),
    ) -> Option<Self> {
        let (ours, loopback) = ours;
        let Some((preset, part)) = section.required("preset", "which kind of provider this is", |written| {
            let found = presets.get(&written);
            let unknown = match found {
                Some(_) => "nobody signs in by this preset; it is for connections",
                None => "no preset has this name",
            };
            found.and_then(|preset| Some((preset, preset.sign_in.as_ref()?))).ok_or_else(|| {
                let there = presets.names_with(|preset| preset.sign_in.is_some());
                Wrong::unknown(unknown, &written, &there)
            })
        }) else {
            section.abandon();
            return None;
        };
        let filled = Filled::read(section, &preset.parameters);
        let issuer = filled.issuer(section, part, (ours, loopback));
        let discovery_url = filled.discovery_url(section, part, loopback);
        let client_id = section.required("client_id", "what the upstream calls us", text);
        let behaviour = Behaviour::read(section, part.behaviour.clone());
        let client_auth = UpstreamClientAuth::read(section, &part.client_auth, behaviour.assertion_audience);
        let authorize_params = filled.authorize_params(section, part);
        let max_age = section.optional("max_age", duration(Duration::ZERO, LONGEST_MAX_AGE));
        let leeway = section.optional("leeway", duration(Duration::ZERO, LONGEST_LEEWAY));
        let name = section.optional("name", text);
        let contact = section.optional("contact", text);
        let organization = section.optional("organization", text);
        let sign_in = SignIn::read(section, filled.requirements(section, part), &behaviour.claims);
        let around = Around { sign_in: issuer.as_ref(), ours, loopback };
        let id_jag = IdJag::read(section, names, &behaviour, around);
        let workload = Workload::read(section, names, &behaviour, around);
        let keeps = KeepsTokens::read(section, names);
        let identity = IdentityRules::read(section, names, (issuer.as_ref(), id_jag.as_ref()));
        let sign_in = sign_in?;
        if sign_in.recheck == Recheck::Upstream && keeps.is_none() {
            section.problem(
                "sign_in",
                "has recheck: upstream, which asks with the tokens of the sign-in; say where they are kept: vault",
            );
        }
        Some(Self {
            id,
            preset: preset.name.clone(),
            name: name.unwrap_or_else(|| preset.title.clone()),
            contact,
            issuer: issuer?,
            discovery_url: discovery_url?,
            client_id: client_id?,
            client_auth: client_auth?,
            scopes: behaviour.scopes,
            authorize_params,
            pkce: behaviour.pkce,
            prompt_login: behaviour.prompt_login,
            max_age,
            response_iss: behaviour.response_iss,
            id_token_algs: behaviour.id_token_algs,
            claims: behaviour.claims,
            userinfo: behaviour.userinfo,
            leeway: leeway.unwrap_or(DEFAULT_LEEWAY),
            organization,
            email_domains: sign_in.route_domains,
            sign_in: sign_in.rules,
            logout: sign_in.logout,
            recheck: sign_in.recheck,
            keeps,
            identity,
            id_jag,
            workload,
        })
    }
}

impl Filled {
    fn issuer(
        &self,
        section: &Section<'_>,
        part: &SignInPart,
        ours: (Option<&Issuer>, bool),
    ) -> Option<IssuerRule> {
        let tenants = self.tenants(section, part);
        if self.broken {
            return None;
        }
        let text = part.issuer.fill(&self.single)?;
        check(section, &text, ours)?;
        let Some(tenants) = tenants.ok()? else { return Some(IssuerRule::Exact(text)) };
        let mut values = self.single.clone();
        values.insert("tid".into(), "{tid}".into());
        let template = part.multi_tenant.as_ref()?.issuer.fill(&values)?;
        Some(IssuerRule::Template { template, tenants })
    }

    /// The tenants that are let in, where there are several.
    fn tenants(&self, section: &Section<'_>, part: &SignInPart) -> Result<Option<Tenants>, Reported> {
        let Some(several) = &part.multi_tenant else { return Ok(None) };
        let listed = self.lists.get(&several.tenants).cloned().unwrap_or_default();
        let value = self.single.get(&several.parameter);
        let open = value.filter(|value| several.values.contains(value));
        match (open, Tenants::new(listed)) {
            (Some(_), Some(tenants)) => Ok(Some(tenants)),
            (Some(value), None) => {
                if !section.has(&several.tenants) {
                    let message = "is missing: the tenants whose people are let in, since every tenant in the world uses";
                    section.problem(&several.tenants, format!("{message} {}: {value}", several.parameter));
                }
                Err(Reported)
            }
            (None, Some(_)) => {
                let message =
                    format!("is only asked for with {} {}", several.parameter, several.values.join(", "));
                section.problem(&several.tenants, message);
                Err(Reported)
            }
            (None, None) => Ok(None),
        }
    }

    fn discovery_url(&self, section: &Section<'_>, part: &SignInPart, loopback: bool) -> Option<Url> {
        let said = section.optional("discovery_url", |written| upstream_url(&written, loopback));
        if self.broken || section.has("discovery_url") {
            return said;
        }
        let text = if let Some(template) = &part.discovery_url {
            template.fill(&self.single)?
        } else {
            let issuer = part.issuer.fill(&self.single)?;
            format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(&issuer))
        };
        upstream_url(&text, loopback).ok()
    }

    fn authorize_params(&self, section: &Section<'_>, part: &SignInPart) -> IndexMap<String, String> {
        let mut parameters: IndexMap<_, _> = part
            .authorize_params
            .iter()
            .filter_map(|(name, template)| Some((name.clone(), template.fill(&self.single)?)))
            .collect();
        let name = parameter_name(&part.refused_params);
        parameters.extend(section.texts("authorize_params", name, |_, value| text(value)));
        parameters
    }

    /// What the parameters demand of a person on their own.
    fn requirements(&self, section: &Section<'_>, part: &SignInPart) -> Requirements {
        let hosted_domain = part.hosted_domain.as_ref().and_then(|template| template.fill(&self.single));
        let hosted_domains = hosted_domain
            .and_then(|domain| mail_domain(domain).map_err(|wrong| section.problem_here(wrong)).ok());
        let claims = part
            .required_claims
            .iter()
            .filter_map(|(claim, template)| {
                Some((claim.clone(), vec![Value::String(template.fill(&self.single)?)]))
            })
            .collect();
        Requirements {
            hosted_domains: hosted_domains.into_iter().collect(),
            claims,
            ..Requirements::default()
        }
    }
}

/// Something is wrong, and that has been said.
struct Reported;

/// Whether an issuer that a preset made is one that we would ask.
fn check(section: &Section<'_>, issuer: &str, (ours, loopback): (Option<&Issuer>, bool)) -> Option<()> {
    let wrong = match upstream_url(issuer, loopback) {
        _ if is_own(issuer, ours) => Wrong::from("is our own: people sign in elsewhere"),
        Ok(url) if url.query().is_none() => return Some(()),
        Ok(_) => Wrong::from("must not have a query"),
        Err(wrong) => wrong,
    };
    section.problem_here(format!("the issuer {issuer} {}", wrong.message));
    None
}
