//! What a preset says of connections: how accounts at a vendor are used.

use indexmap::IndexMap;
use url::Url;

use super::{Parameter, read::date, template::Template};
use crate::{
    config::{
        connection::{Kind, Urls, behaviour::Behaviour},
        form::{one_of, text},
        problem::Wrong,
        provider::client_auth::Method,
        reader::Section,
    },
    oauth::scope::Scope,
};

/// The part of a preset by which accounts are connected.
#[derive(Debug, Clone)]
pub struct ConnectionPart {
    /// The vendor's documentation of its OAuth.
    pub docs: Url,
    /// The day on which it last ran against a real account. `None`: never yet.
    pub verified: Option<String>,
    /// The keys whose values the vendor's documentation does not confirm.
    pub unverified: Vec<String>,
    /// What is kept of an account.
    pub kind: Kind,
    /// What the operator does at the vendor's; `{redirect_uri}` stands for ours.
    pub register: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    /// The names of the preset's parameters that it needs.
    pub parameters: Vec<String>,
    pub(in crate::config) resource: Option<Template>,
    pub(in crate::config) issuer: Option<Template>,
    pub(in crate::config) discovery: Option<Template>,
    pub(in crate::config) urls: Urls<Template>,
    pub(in crate::config) api: Vec<Template>,
    pub(in crate::config) client_auth: Vec<Method>,
    pub(in crate::config) scopes: Vec<Scope>,
    pub(in crate::config) behaviour: Behaviour,
}

impl ConnectionPart {
    pub(super) fn read(section: &Section<'_>, parameters: &IndexMap<String, Parameter>) -> Option<Self> {
        let docs = section.required("docs", "the vendor's documentation of its OAuth", |written| {
            Url::parse(&written).map_err(|_| Wrong::from("must be a URL"))
        });
        let verified = section.optional("verified", date);
        let names: Vec<_> = (parameters.iter().filter(|(_, parameter)| !parameter.list))
            .map(|(name, _)| name.as_str())
            .chain(["client_id"])
            .collect();
        let template = |written: String| Template::parse(&written, &names);
        let kind = section.optional("kind", one_of(&Kind::NAMES)).unwrap_or(Kind::Oauth);
        let resource = section.optional("resource", template);
        let issuer = section.optional("issuer", template);
        let discovery = section.optional("discovery_url", template);
        let urls = Urls::each(|key| section.optional(key, template));
        for key in kind.needs() {
            if urls.get(key).is_none() && issuer.is_none() && resource.is_none() && !section.has(key) {
                section.problem(key, "is missing, and there is no issuer whose metadata would tell it");
            }
        }
        if discovery.is_some() && issuer.is_none() {
            section.problem("issuer", "is missing: what the document at discovery_url must say");
        }
        let api = section.list("api", template).unwrap_or_default();
        let client_auth = section.list("client_auth", one_of(&Method::NAMES)).unwrap_or_default();
        if section.count("client_auth") == 0 && !kind.is_entered() {
            section
                .problem("client_auth", "is missing: the ways to prove ourselves, the preferred one first");
        }
        let scopes = section.list("scopes", Scope::try_from).unwrap_or_default();
        let behaviour = Behaviour::read(section, Behaviour::standard());
        let unverified = section.list("unverified", |key| {
            let is_said = match key.split_once('.') {
                Some((outer, inner)) => section.names(outer).contains(&inner),
                None => section.has(&key),
            };
            if is_said { Ok(key) } else { Err("is no key that this preset has") }
        });
        let register = section.list("register", text).unwrap_or_default();
        let notes = section.list("notes", text).unwrap_or_default();
        let used = |name: &String| {
            let templates =
                urls.iter().map(|(_, url)| url).chain(&resource).chain(&issuer).chain(&discovery).chain(&api);
            templates.flat_map(Template::names).any(|used| used == name)
        };
        Some(Self {
            docs: docs?,
            verified,
            unverified: unverified.unwrap_or_default(),
            kind,
            register,
            notes,
            parameters: parameters.keys().filter(|name| used(name)).cloned().collect(),
            resource,
            issuer,
            discovery,
            urls,
            api,
            client_auth,
            scopes,
            behaviour,
        })
    }

    /// Whether our own document can be our client there.
    pub fn knows_documents(&self) -> bool {
        self.resource.is_some()
    }

    /// The ways in which we may prove ourselves, by their registered names, the preferred one first.
    pub fn client_auth_methods(&self) -> Vec<&'static str> {
        self.client_auth.iter().filter_map(|method| method.name()).collect()
    }
}
