//! Presets: how an upstream behaves, as data.
//!
//! A preset is a file in `providers/`, compiled in, and a folder of the operator's may add to them or replace
//! them. It names the parameters that an operator fills in and makes the provider from them.

mod read;
pub(super) mod template;

use indexmap::IndexMap;
use url::Url;

use self::template::Template;
use super::{
    claims::ClaimPath,
    provider::{behaviour::Behaviour, client_auth::Method},
};

/// A preset, checked.
#[derive(Debug, Clone)]
pub struct Preset {
    /// The name of its file and in `preset:`.
    pub name: String,
    /// What people call the upstream.
    pub title: String,
    /// What it covers, in a sentence.
    pub summary: String,
    /// The vendor's documentation.
    pub docs: Url,
    /// The day on which it last ran against a real account. `None`: never yet.
    pub verified: Option<String>,
    /// What the operator fills in.
    pub parameters: IndexMap<String, Parameter>,
    /// A `sign_in` that suits most, as one line of YAML.
    pub sign_in: String,
    /// What the operator does at the vendor's; `{redirect_uri}` stands for ours.
    pub register: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    pub(super) issuer: Template,
    pub(super) discovery_url: Option<Template>,
    pub(super) multi_tenant: Option<MultiTenant>,
    pub(super) client_auth: Vec<Method>,
    pub(super) authorize_params: IndexMap<String, Template>,
    pub(super) refused_params: IndexMap<String, String>,
    pub(super) hosted_domain: Option<Template>,
    pub(super) required_claims: IndexMap<ClaimPath, Template>,
    pub(super) behaviour: Behaviour,
}

/// Something that the operator fills in: a key of the provider.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// What it is, as the rest of a sentence: `the host of your organization`.
    pub description: String,
    /// Where to find it at the vendor's.
    pub place: Option<String>,
    /// A value that fits.
    pub example: String,
    /// What every value matches as a whole.
    pub pattern: regex::Regex,
    /// Whether it must be given.
    pub required: bool,
    /// What it is when it is not given.
    pub default: Option<String>,
    /// Whether it is a list.
    pub list: bool,
}

/// When one registration serves several tenants, each with an issuer of its own.
#[derive(Debug, Clone)]
pub(super) struct MultiTenant {
    /// The parameter that decides it,
    pub(super) parameter: String,
    /// by having one of these values.
    pub(super) values: Vec<String>,
    /// The issuer, in which `{tid}` stays for the token's tenant.
    pub(super) issuer: Template,
    /// The parameter that lists the tenants which are let in.
    pub(super) tenants: String,
}

/// The presets there are, by name.
#[derive(Debug, Clone)]
pub struct Presets(IndexMap<String, Preset>);

impl Presets {
    /// The preset of this name.
    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.0.get(name)
    }

    /// All of them in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Preset> {
        self.0.values()
    }

    /// Their names.
    pub fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

impl Preset {
    /// The ways in which we may prove ourselves, by their registered names, the preferred one first.
    pub fn client_auth_methods(&self) -> Vec<&'static str> {
        let name = |method| Method::NAMES.iter().find(|(_, m)| m == method).map(|(name, _)| *name);
        self.client_auth.iter().filter_map(name).collect()
    }

    /// What is asked for unless the operator says otherwise.
    pub fn scopes(&self) -> &[String] {
        &self.behaviour.scopes
    }

    /// Where the groups are, if anywhere.
    pub fn groups_claim(&self) -> Option<&ClaimPath> {
        self.behaviour.claims.groups.as_ref()
    }
}
