//! What a preset says of signing in: how a provider is made of it.

use indexmap::IndexMap;

use super::{Parameter, template::Template};
use crate::config::{
    claims::ClaimPath,
    form::{one_of, text},
    problem::Wrong,
    provider::{
        behaviour::{Behaviour, parameter_name},
        client_auth::Method,
    },
    reader::Section,
};

/// The part of a preset by which people sign in.
#[derive(Debug, Clone)]
pub struct SignInPart {
    /// A `sign_in` that suits most, as one line of YAML.
    pub example: String,
    /// What the operator does at the vendor's; `{redirect_uri}` stands for ours.
    pub register: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    pub(in crate::config) issuer: Template,
    pub(in crate::config) discovery_url: Option<Template>,
    pub(in crate::config) multi_tenant: Option<MultiTenant>,
    pub(in crate::config) client_auth: Vec<Method>,
    pub(in crate::config) authorize_params: IndexMap<String, Template>,
    pub(in crate::config) refused_params: IndexMap<String, String>,
    pub(in crate::config) hosted_domain: Option<Template>,
    pub(in crate::config) required_claims: IndexMap<ClaimPath, Template>,
    pub(in crate::config) behaviour: Behaviour,
}

/// When one registration serves several tenants, each with an issuer of its own.
#[derive(Debug, Clone)]
pub(in crate::config) struct MultiTenant {
    /// The parameter that decides it,
    pub(in crate::config) parameter: String,
    /// by having one of these values.
    pub(in crate::config) values: Vec<String>,
    /// The issuer, in which `{tid}` stays for the token's tenant.
    pub(in crate::config) issuer: Template,
    /// The parameter that lists the tenants which are let in.
    pub(in crate::config) tenants: String,
}

impl SignInPart {
    pub(super) fn read(root: &Section<'_>, parameters: &IndexMap<String, Parameter>) -> Option<Self> {
        let names: Vec<_> =
            parameters.iter().filter(|(_, p)| !p.list).map(|(name, _)| name.as_str()).collect();
        let template = |written: String| Template::parse(&written, &names);

        let issuer = root.required("issuer", "the issuer, with parameters in braces", template);
        let discovery_url = root.optional("discovery_url", template);
        let multi_tenant = root
            .has("multi_tenant")
            .then(|| root.section("multi_tenant", |section| MultiTenant::read(section, parameters)));
        let client_auth = root.list("client_auth", one_of(&Method::NAMES)).unwrap_or_default();
        if root.count("client_auth") == 0 {
            root.problem("client_auth", "is missing: the ways to prove ourselves, the preferred one first");
        }
        let refused_params = root.texts("refused_params", text_name, |_, reason| text(reason));
        let authorize_params =
            root.texts("authorize_params", parameter_name(&refused_params), |_, written| template(written));
        let (hosted_domain, required_claims) = root.section("require", |require| {
            let claims = require.texts("claims", ClaimPath::try_from, |_, written| template(written));
            (require.optional("hosted_domain", template), claims)
        });
        let behaviour = Behaviour::read(root, Behaviour::standard());
        if multi_tenant.is_some() && behaviour.claims.tenant.is_none() {
            root.problem("multi_tenant", "needs claims.tenant, which tells the tenants apart");
        }
        let example =
            root.required("sign_in", "a sign_in that suits most, as one line of YAML in quotes", text);
        let register = root.list("register", text).unwrap_or_default();
        let notes = root.list("notes", text).unwrap_or_default();
        Some(Self {
            example: example?,
            register,
            notes,
            issuer: issuer?,
            discovery_url,
            multi_tenant: match multi_tenant {
                Some(read) => Some(read?),
                None => None,
            },
            client_auth,
            authorize_params,
            refused_params,
            hosted_domain,
            required_claims,
            behaviour,
        })
    }

    /// The ways in which we may prove ourselves, by their registered names, the preferred one first.
    pub fn client_auth_methods(&self) -> Vec<&'static str> {
        self.client_auth.iter().filter_map(|method| method.name()).collect()
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

impl MultiTenant {
    fn read(section: &Section<'_>, parameters: &IndexMap<String, Parameter>) -> Option<Self> {
        let one_that_is = |list: bool| {
            move |written: String| match parameters.get(&written) {
                Some(parameter) if parameter.list == list => Ok(written),
                _ if list => Err("must be the name of a parameter that is a list"),
                _ => Err("must be the name of a parameter that is no list"),
            }
        };
        let parameter = section.required("parameter", "the parameter that decides it", one_that_is(false));
        let values = section.list("values", text).unwrap_or_default();
        if values.is_empty() {
            section.problem("values", "is missing: the values with which there are several tenants");
        }
        let names: Vec<_> = parameters.keys().map(String::as_str).chain(["tid"]).collect();
        let issuer = section.required("issuer", "the issuer with {tid} for the tenant", |written| {
            if written.matches("{tid}").count() != 1 {
                return Err("must hold {tid} once, for the token's tenant".to_owned());
            }
            Template::parse(&written, &names)
        });
        let tenants =
            section.required("tenants", "the parameter that lists who is let in", one_that_is(true));
        Some(Self { parameter: parameter?, values, issuer: issuer?, tenants: tenants? })
    }
}

fn text_name(written: String) -> Result<String, Wrong> {
    text(written)
}
