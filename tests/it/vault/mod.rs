//! Accounts elsewhere.

mod crash;
mod refresh;
mod trouble;
