//! Chancery: one binary between every corporate identity provider and every MCP server.
//!
//! It sends people to their own identity provider, asks their consent and writes tokens for one audience each.
//! The rooms, from the ground up; a room uses those above it in this list and never those below:

pub mod audit;
pub mod clock;
pub mod config;
pub mod dev;
pub mod entropy;
pub mod identity;
pub mod ids;
pub mod jose;
pub mod net;
pub mod oauth;
pub mod seal;
pub mod secret;
pub mod store;
pub mod web;
