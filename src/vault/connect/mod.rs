//! How an account comes to be connected.

pub mod link;
