//! The token vault: people's accounts elsewhere, whose tokens we keep, refresh, and hand to the servers they use.
//!
//! Only [`safe`] opens what is sealed. [`state`] says how a connection stands. [`vendor`] speaks to the other side.

pub mod connect;
pub mod safe;
pub mod state;
pub mod vendor;
