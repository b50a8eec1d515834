//! A preset's file becomes a [`Preset`].

use std::path::Path;

use indexmap::IndexMap;
use regex::Regex;
use url::Url;

use super::{MultiTenant, Parameter, Preset, Presets, template::Template};
use crate::config::{
    claims::ClaimPath,
    environment::Environment,
    expand::reason,
    form::{one_of, text},
    problem::{Problem, Problems, Wrong},
    provider::{
        RESERVED_KEYS,
        behaviour::{Behaviour, parameter_name},
        client_auth::Method,
    },
    reader::{Reading, Section},
    yaml,
};

/// Name and text of every file in `providers/` (see `build.rs`).
const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/presets.rs"));

/// More than a folder of presets ever holds.
const MAX_FILES: usize = 1000;

impl Presets {
    /// Those that are compiled in, and those of a folder.
    pub fn load(folder: Option<&Path>, environment: &Environment) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let mut presets = Self::built_in(&mut problems);
        if let Some(folder) = folder {
            let read = presets.add_folder(folder, environment, &mut problems);
            problems.extend(read.err().map(|why| Problem::of_file(&folder.display().to_string(), why)));
        }
        Problems::new(problems).map_or(Ok(presets), Err)
    }

    pub(in crate::config) fn built_in(problems: &mut Vec<Problem>) -> Self {
        let presets = BUILT_IN.iter().filter_map(|(name, text)| {
            Preset::parse(name, text.as_bytes(), &format!("providers/{name}.yaml"), problems)
        });
        Self(presets.map(|preset| (preset.name.clone(), preset)).collect())
    }

    /// Adds the `*.yaml` of a folder; a name that is there already is replaced.
    pub(in crate::config) fn add_folder(
        &mut self,
        folder: &Path,
        environment: &Environment,
        problems: &mut Vec<Problem>,
    ) -> Result<(), String> {
        let cannot = |error| format!("the folder {} cannot be read: {}", folder.display(), reason(&error));
        let mut files = environment.list(folder).map_err(cannot)?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
        files.sort();
        for file in files.iter().take(MAX_FILES) {
            let shown = file.display().to_string();
            let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            match environment.read(file, yaml::MAX_BYTES) {
                Ok(bytes) => {
                    let preset = Preset::parse(name, &bytes, &shown, problems);
                    self.0.extend(preset.map(|preset| (preset.name.clone(), preset)));
                }
                Err(error) => {
                    problems.push(Problem::of_file(&shown, format!("cannot be read: {}", reason(&error))));
                }
            }
        }
        self.0.sort_keys();
        Ok(())
    }
}

impl Preset {
    fn parse(name: &str, bytes: &[u8], file: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let tree = match yaml::parse(bytes) {
            Ok(tree) => tree,
            Err(error) => {
                problems.push(Problem::of_syntax(file, error));
                return None;
            }
        };
        let reading = Reading::new(file, Path::new(""), None);
        let preset = reading.root(&tree, |root| Self::read(name, root));
        let found = reading.finish();
        let sound = found.is_empty();
        problems.extend(found);
        preset.filter(|_| sound)
    }

    fn read(name: &str, root: &Section<'_>) -> Option<Self> {
        let title = root.required("title", "what people call the upstream", text);
        let summary = root.required("summary", "what it covers, in a sentence", text);
        let docs = root.required("docs", "the vendor's documentation", |written| {
            Url::parse(&written).map_err(|_| Wrong::from("must be a URL"))
        });
        let verified = root.optional("verified", date);
        let parameters: IndexMap<_, _> =
            root.entries("parameters", parameter, |_, section| Parameter::read(section));
        let names: Vec<_> =
            parameters.iter().filter(|(_, p)| !p.list).map(|(name, _)| name.as_str()).collect();
        let template = |written: String| Template::parse(&written, &names);

        let issuer = root.required("issuer", "the issuer, with parameters in braces", template);
        let discovery_url = root.optional("discovery_url", template);
        let multi_tenant = root
            .has("multi_tenant")
            .then(|| root.section("multi_tenant", |section| MultiTenant::read(section, &parameters)));
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
        let sign_in =
            root.required("sign_in", "a sign_in that suits most, as one line of YAML in quotes", text);
        let register = root.list("register", text).unwrap_or_default();
        let notes = root.list("notes", text).unwrap_or_default();
        Some(Self {
            name: name.to_owned(),
            title: title?,
            summary: summary?,
            docs: docs?,
            verified,
            sign_in: sign_in?,
            register,
            notes,
            issuer: issuer?,
            discovery_url,
            multi_tenant: match multi_tenant {
                Some(read) => Some(read?),
                None => None,
            },
            parameters,
            client_auth,
            authorize_params,
            refused_params,
            hosted_domain,
            required_claims,
            behaviour,
        })
    }
}

impl Parameter {
    fn read(section: &Section<'_>) -> Option<Self> {
        let description = section.required("description", "what it is, as the rest of a sentence", text);
        let place = section.optional("where", text);
        let example = section.required("example", "a value that fits", text);
        let pattern =
            section.required("pattern", "the regular expression that every value matches", |written| {
                Regex::new(&format!("^(?:{written})$"))
                    .map_err(|error| format!("is no regular expression: {error}"))
            });
        let required = section.flag("required").unwrap_or(false);
        let default = section.optional("default", text);
        let list = section.flag("list").unwrap_or(false);
        let pattern = pattern?;
        let fits = |value: &Option<String>| value.as_ref().is_none_or(|value| pattern.is_match(value));
        for (key, value) in [("example", &example), ("default", &default)] {
            if !fits(value) {
                section.problem(key, "does not match the pattern");
            }
        }
        if default.is_some() && (required || list) {
            section.problem("default", "is of no use to a required parameter or a list");
        }
        Some(Self { description: description?, place, example: example?, pattern, required, default, list })
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

/// The name of a parameter becomes a key of the provider, beside those that every provider has.
fn parameter(written: String) -> Result<String, Wrong> {
    if RESERVED_KEYS.contains(&written.as_str()) || written == "tid" {
        return Err("has a meaning for every provider already".into());
    }
    if written.is_empty() || !written.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return Err("must be a word of a-z and _".into());
    }
    Ok(written)
}

fn date(written: String) -> Result<String, Wrong> {
    let digits = |part: Option<&str>, len| {
        part.is_some_and(|p| p.len() == len && p.bytes().all(|b| b.is_ascii_digit()))
    };
    let mut parts = written.split('-');
    if digits(parts.next(), 4) && digits(parts.next(), 2) && digits(parts.next(), 2) && parts.next().is_none()
    {
        Ok(written)
    } else {
        Err("must be a day such as 2026-11-21".into())
    }
}
