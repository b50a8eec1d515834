//! `database:` where rows live.

use std::path::PathBuf;

use super::{problem::Wrong, reader::Section};
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

impl Database {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let what =
            "where rows are kept, such as sqlite://chancery.db or postgres://user:password@host/chancery";
        Some(Self { url: section.required("url", what, DatabaseUrl::parse)? })
    }
}

impl DatabaseUrl {
    fn parse(written: String) -> Result<Self, Wrong> {
        if let Some(path) = written.strip_prefix("sqlite://") {
            return match path {
                "" | ":memory:" => {
                    Err("must be a file: a database in memory would forget every grant".into())
                }
                _ if path.contains(['?', '#']) => {
                    Err("must be sqlite:// and a path, without parameters".into())
                }
                _ => Ok(Self::Sqlite(path.into())),
            };
        }
        match url::Url::parse(&written) {
            Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") => {
                Ok(Self::Postgres(Secret::new(written)))
            }
            _ => Err("must begin with sqlite:// or postgres://".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("sqlite://chancery.db", "Sqlite(\"chancery.db\")")]
    #[case("sqlite:///var/lib/c.db", "Sqlite(\"/var/lib/c.db\")")]
    #[case("postgres://u:hunter2@h/db?sslmode=require", "Postgres(***)")]
    #[case("postgresql:///db?host=/run/postgresql", "Postgres(***)")]
    fn engines(#[case] written: &str, #[case] debug: &str) {
        assert_eq!(format!("{:?}", DatabaseUrl::parse(written.into()).unwrap()), debug);
    }

    #[rstest]
    #[case("sqlite://", "must be a file: a database in memory would forget every grant")]
    #[case("sqlite://:memory:", "must be a file: a database in memory would forget every grant")]
    #[case("sqlite://a.db?mode=ro", "must be sqlite:// and a path, without parameters")]
    #[case("mysql://u:hunter2@h/db", "must begin with sqlite:// or postgres://")]
    #[case("chancery.db", "must begin with sqlite:// or postgres://")]
    fn nothing_else(#[case] written: &str, #[case] message: &str) {
        assert_eq!(DatabaseUrl::parse(written.into()).unwrap_err().message, message);
    }
}
