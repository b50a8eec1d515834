//! What the configuration may take from around it: environment variables and files, as a value.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// The variables of a process and the files it can read. `Debug` prints names, never values.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    files: Files,
}

#[derive(Clone)]
enum Files {
    Disk,
    Memory(BTreeMap<PathBuf, Vec<u8>>),
}

impl Environment {
    /// This process's variables (those that are UTF-8) and the disk.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn capture() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { variables, files: Files::Disk }
    }

    /// These variables and no file at all: for tests, and for configurations that are generated.
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let variables = variables.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Self { variables, files: Files::Memory(BTreeMap::new()) }
    }

    /// Adds a file to an environment that is not the disk's.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        if let Files::Memory(files) = &mut self.files {
            files.insert(path.into(), content.into());
        }
        self
    }

    /// The variable of this name.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// All variables in the order of their names.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The files in a folder, in no order.
    pub fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        match &self.files {
            Files::Disk => fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect(),
            Files::Memory(files) => {
                let within: Vec<_> = files.keys().filter(|f| f.parent() == Some(folder)).cloned().collect();
                if within.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(within) }
            }
        }
    }

    /// A file's bytes, if it is a regular file of at most `limit` bytes.
    pub fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let too_large = || io::Error::other(format!("it is larger than {limit} bytes"));
        let bytes = match &self.files {
            Files::Disk => {
                let found = fs::metadata(path)?;
                if !found.is_file() {
                    return Err(io::Error::other("it is not a regular file"));
                }
                if found.len() > limit as u64 {
                    return Err(too_large());
                }
                fs::read(path)?
            }
            Files::Memory(files) => files.get(path).cloned().ok_or(io::ErrorKind::NotFound)?,
        };
        if bytes.len() > limit { Err(too_large()) } else { Ok(bytes) }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
