//! Presets: how an upstream behaves, as data.
//!
//! A preset is a file in `providers/`, compiled in, and a folder of the operator's may add to them or replace
//! them. It names the parameters that an operator fills in, and makes from them the provider by which people sign in,
//! the connection that keeps their accounts there, or either.

pub(super) mod connection;
pub(super) mod filled;
mod read;
mod sign_in;
pub(super) mod template;

use indexmap::IndexMap;
use url::Url;

pub use self::{connection::ConnectionPart, sign_in::SignInPart};

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
    /// What the operator fills in. A connection has those that its own part names.
    pub parameters: IndexMap<String, Parameter>,
    /// How people sign in by it, where they can.
    pub sign_in: Option<SignInPart>,
    /// How their accounts there are used, where that can be.
    pub connection: Option<ConnectionPart>,
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

    /// The names of those with the part that `has` looks for.
    pub(super) fn names_with(&self, has: impl Fn(&Preset) -> bool) -> Vec<&str> {
        self.iter().filter(|preset| has(preset)).map(|preset| preset.name.as_str()).collect()
    }
}
