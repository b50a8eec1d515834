//! What is wrong with a configuration, said so that it can be put right.

use std::{borrow::Cow, fmt};

use super::yaml::SyntaxError;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was given, or the name of the environment variable that overrides a key.
    pub file: String,
    /// Line and column, each from 1; `None` where the file as a whole is meant.
    pub position: Option<(usize, usize)>,
    /// The key: `providers.acme-okta.client_id`; empty at the top of the file.
    pub path: String,
    /// What is wrong and what would be right, without the value of a secret.
    pub message: String,
    /// What was probably meant.
    pub hint: Option<String>,
}

impl Problem {
    /// A file as a whole is wrong.
    pub(super) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            position: None,
            path: String::new(),
            message: message.into(),
            hint: None,
        }
    }

    /// A file is no YAML, or none that we take.
    pub(super) fn of_syntax(file: &str, error: SyntaxError) -> Self {
        Self { position: error.at, ..Self::of_file(file, error.message) }
    }
}

/// `config.yaml:12:5: providers.acme-okta.client_idd: unknown key; did you mean client_id?`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration, in the order of the file; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// `None` when nothing is wrong.
    pub(super) fn new(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by(|a, b| {
            (b.position.is_some(), &a.file, a.position).cmp(&(a.position.is_some(), &b.file, b.position))
        });
        problems.dedup();
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// The problems in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Why a value is refused, before it is known where it stands.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) message: Cow<'static, str>,
    pub(super) hint: Option<String>,
}

impl Wrong {
    /// A name that is not among those there are.
    pub(super) fn unknown(message: &'static str, written: &str, there: &[&str]) -> Self {
        Self { message: message.into(), hint: hint(written, there) }
    }
}

impl From<&'static str> for Wrong {
    fn from(message: &'static str) -> Self {
        Self { message: message.into(), hint: None }
    }
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self { message: message.into(), hint: None }
    }
}

/// `did you mean scopes?` where one of `there` is close to what was written, otherwise what there is.
pub(super) fn hint(written: &str, there: &[&str]) -> Option<String> {
    /// Longer words are no slips of the finger, and the comparison is quadratic.
    const MAX_BYTES: usize = 96;
    /// More names than this are not read.
    const MAX_LISTED: usize = 12;
    let tolerated = (written.chars().count() / 3).max(1);
    let nearest = (written.len() <= MAX_BYTES).then(|| {
        let distances = there.iter().map(|name| (strsim::damerau_levenshtein(written, name), *name));
        distances.filter(|(distance, _)| *distance <= tolerated).min()
    });
    match nearest.flatten() {
        Some((_, name)) => Some(format!("did you mean {name}?")),
        None if there.is_empty() || there.len() > MAX_LISTED => None,
        None => Some(format!("known are {}", there.join(", "))),
    }
}
