//! The database: one engine over SQLite and PostgreSQL, and free functions on it, one file a table.
//!
//! A table's functions take `&Db` to read and `&mut Tx` to write. Each query is written once, with [`on!`], in
//! SQL that both engines read alike: `$1` parameters, times as `BIGINT` milliseconds, `ON CONFLICT`, `RETURNING`.
//! Nothing outside this room and `audit` names a table.

pub mod audit;
pub mod browser_sessions;
pub mod clients;
pub mod codes;
pub mod configured;
pub mod connect_links;
pub mod connection_uses;
pub mod connections;
pub mod connects;
pub mod consents;
mod engine;
#[cfg(test)]
pub(crate) mod fixture;
pub mod grants;
pub mod identities;
pub mod interactions;
pub mod key_proofs;
pub mod logins;
pub mod pairwise_subjects;
pub mod refresh_tokens;
pub mod replays;
pub mod revocations;
pub mod sealed_values;
pub mod sessions;
pub mod sign_in_tokens;
pub mod signing_keys;
pub mod sweep;
pub mod switched_off;
pub mod upstream_sessions;
pub mod users;
pub mod vendor_clients;

pub(crate) use engine::on;
pub use engine::{Db, Engine, MigrateError, Sqlite, SqliteTx, StoreError, Tx};
