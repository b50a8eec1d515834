//! What can go wrong with the database, as its callers must tell it apart.

use std::sync::Arc;

/// Why a read or write did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is full, too busy, or broke off. At the edge a 503 with `Retry-After`,
    /// never an OAuth refusal.
    #[error("the database is unavailable: {0}")]
    Unavailable(Arc<sqlx::Error>),
    /// Another row is in the way, or the row that this one refers to is gone: somebody else was first.
    #[error("another row is in the way")]
    Conflict,
    /// What the database holds is not what this binary writes.
    #[error("the database holds something unreadable: {0}")]
    Corrupt(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(database)
                if database.is_unique_violation() || database.is_foreign_key_violation() =>
            {
                Self::Conflict
            }
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. } => Self::Corrupt(error.to_string()),
            _ => Self::Unavailable(Arc::new(error)),
        }
    }
}
