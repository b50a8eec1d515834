//! Reading a tree key by key, gathering everything that is wrong with it.
//!
//! Whoever reads a section asks for each key that it knows. What was asked for is therefore the schema: a key that
//! nobody asked for is unknown, and so is a `CHANCERY__…` variable that overrides none of them.

mod section;
mod value;

use std::{cell::RefCell, collections::BTreeMap, path::Path as FilePath};

pub(super) use self::section::Section;
use self::value::{Source, Value};
use super::{
    environment::Environment,
    problem::{Problem, Wrong},
    yaml::{Node, Position},
};

const PREFIX: &str = "CHANCERY__";

/// One file being read.
pub(in crate::config) struct Reading<'a> {
    file: &'a str,
    base: &'a FilePath,
    /// Without one nothing is expanded or overridden: so presets are read.
    environment: Option<&'a Environment>,
    overrides: BTreeMap<String, Override<'a>>,
    problems: RefCell<Vec<Problem>>,
    asked: RefCell<BTreeMap<String, Asked>>,
    abandoned: RefCell<Vec<String>>,
}

struct Override<'a> {
    name: &'a str,
    value: &'a str,
}

/// A key that somebody asked for, by the name of the variable that may override it.
#[derive(Clone)]
pub(in crate::config) struct Asked {
    pub(in crate::config) path: String,
    single: bool,
}

/// Where a value stands, as people and as variables write it.
#[derive(Clone, Default)]
struct Path {
    shown: String,
    variable: String,
}

impl Path {
    fn key(&self, name: &str) -> Self {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let quoted = if plain { name.to_owned() } else { format!("{name:?}") };
        let dot = if self.shown.is_empty() { "" } else { "." };
        self.below(&format!("{dot}{quoted}"), name)
    }

    fn item(&self, index: usize) -> Self {
        self.below(&format!("[{index}]"), &index.to_string())
    }

    fn below(&self, shown: &str, variable: &str) -> Self {
        let separator = if self.variable.is_empty() { PREFIX } else { "__" };
        Self {
            shown: format!("{}{shown}", self.shown),
            variable: format!("{}{separator}{}", self.variable, as_variable(variable)),
        }
    }
}

fn as_variable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

impl<'a> Reading<'a> {
    pub(in crate::config) fn new(
        file: &'a str,
        base: &'a FilePath,
        environment: Option<&'a Environment>,
    ) -> Self {
        let reading = Self {
            file,
            base,
            environment,
            overrides: BTreeMap::new(),
            problems: RefCell::default(),
            asked: RefCell::default(),
            abandoned: RefCell::default(),
        };
        let mut overrides = BTreeMap::new();
        for (name, value) in environment.into_iter().flat_map(Environment::variables) {
            let key = as_variable(name);
            if !key.starts_with(PREFIX) {
                continue;
            }
            if let Some(Override { name: other, .. }) = overrides.insert(key, Override { name, value }) {
                reading.report_variable(name, format!("says the same as {other}; set only one").into());
            }
        }
        Self { overrides, ..reading }
    }

    /// Reads the whole tree.
    pub(in crate::config) fn root<T>(&'a self, tree: &'a Node, read: impl FnOnce(&Section<'a>) -> T) -> T {
        Value { reading: self, path: Path::default(), source: Source::File(tree) }.section(read)
    }

    /// Everything that was wrong, and what is wrong with the overrides that nobody asked for.
    pub(in crate::config) fn finish(self) -> Vec<Problem> {
        let asked = self.asked.borrow();
        let names: Vec<_> = asked.iter().filter(|(_, a)| a.single).map(|(name, _)| name.as_str()).collect();
        for (key, Override { name, .. }) in &self.overrides {
            match asked.get(key) {
                Some(Asked { single: true, .. }) => {}
                Some(Asked { path, .. }) => self.report_variable(
                    name,
                    format!("{path} holds several values; a variable can only override a single one").into(),
                ),
                None if self.abandoned.borrow().iter().any(|path| key.starts_with(path)) => {}
                None => self.report_variable(name, Wrong::unknown("overrides no key", key, &names)),
            }
        }
        drop(asked);
        self.problems.into_inner()
    }

    /// What was asked for, by the paths of the file.
    #[cfg(test)]
    pub(in crate::config) fn asked(&self) -> Vec<String> {
        self.asked.borrow().values().map(|asked| asked.path.clone()).collect()
    }

    fn report(&self, at: Position, path: &Path, wrong: Wrong) {
        self.push(self.file.to_owned(), Some(at), path.shown.clone(), wrong);
    }

    fn report_override(&self, name: &str, path: &Path, wrong: Wrong) {
        self.push(format!("environment variable {name}"), None, path.shown.clone(), wrong);
    }

    fn report_variable(&self, name: &str, wrong: Wrong) {
        self.report_override(name, &Path::default(), wrong);
    }

    fn push(&self, file: String, position: Option<Position>, path: String, wrong: Wrong) {
        let Wrong { message, hint } = wrong;
        self.problems.borrow_mut().push(Problem {
            file,
            position,
            path,
            message: message.into_owned(),
            hint,
        });
    }

    /// Notes that a key exists, and finds what overrides it.
    fn ask(&self, path: &Path, single: bool) -> Option<&Override<'a>> {
        let asked = Asked { path: path.shown.clone(), single };
        let before = self.asked.borrow_mut().insert(path.variable.clone(), asked);
        let found = self.overrides.get(&path.variable)?;
        if let Some(other) = before.filter(|before| before.path != path.shown) {
            let message = format!("could mean {} or {}; rename one of them", other.path, path.shown);
            self.report_variable(found.name, message.into());
        }
        single.then_some(found)
    }
}
