//! `database:` where rows live.

use std::path::PathBuf;

use crate::secret::Secret;

/// The `database:` section.
#[derive(Debug, Clone)]
pub struct Database {
    /// Which engine, and where.
    pub url: DatabaseUrl,
}

/// Where the rows are. A PostgreSQL URL holds a password, so it never prints.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// A file, created when absent; a relative path starts at the working directory.
    Sqlite(PathBuf),
    /// A `postgres://` URL as written.
    Postgres(Secret),
}
