//! A preset's file becomes a [`Preset`].

use std::path::Path;

use indexmap::IndexMap;
use regex::Regex;
use url::Url;

use super::{ConnectionPart, Parameter, Preset, Presets, SignInPart};
use crate::config::{
    connection,
    environment::Environment,
    expand::reason,
    form::text,
    problem::{Problem, Problems, Wrong},
    provider,
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
        let connection = root
            .has("connection")
            .then(|| root.section("connection", |section| ConnectionPart::read(section, &parameters)));
        // A vendor that only keeps accounts has nothing to say of signing in.
        let sign_in =
            (root.has("issuer") || connection.is_none()).then(|| SignInPart::read(root, &parameters));
        Some(Self {
            name: name.to_owned(),
            title: title?,
            summary: summary?,
            docs: docs?,
            verified,
            parameters,
            sign_in: wanted(sign_in)?,
            connection: wanted(connection)?,
        })
    }
}

/// `None`: it is there and wrong.
#[expect(clippy::option_option, reason = "absent, wrong or read")]
fn wanted<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    match part {
        Some(read) => Some(Some(read?)),
        None => Some(None),
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

/// The name of a parameter becomes a key of the provider, beside those that every provider has.
fn parameter(written: String) -> Result<String, Wrong> {
    let reserved = [provider::RESERVED_KEYS.as_slice(), connection::RESERVED_KEYS.as_slice()].concat();
    if reserved.contains(&written.as_str()) || written == "tid" {
        return Err("has a meaning for every provider or connection already".into());
    }
    if written.is_empty() || !written.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return Err("must be a word of a-z and _".into());
    }
    Ok(written)
}

pub(super) fn date(written: String) -> Result<String, Wrong> {
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
