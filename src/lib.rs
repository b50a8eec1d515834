//! Chancery: one binary between every corporate identity provider and every MCP server.
//!
//! It sends people to their own identity provider, asks their consent and writes tokens for one audience each.
//! The rooms, from the ground up; a room uses those above it in this list. What is allowed to point the other way, and
//! why, is in `docs/architecture.md`:

// The ground: time, chance, names and secrets as values.
pub mod clock;
pub mod entropy;
pub mod ids;
pub mod secret;

// The words of OAuth.
pub mod oauth;

// What the operator declares.
pub mod config;

// Every request that leaves the house.
pub mod net;

// What the house stands on: keys, sealed values, the database.
pub mod jose;
pub mod seal;
pub mod store;

// Proofs of the keys that tokens are bound to.
pub mod dpop;

// The record, and the rules.
pub mod audit;
pub mod policy;

// How people and programs are answered.
pub mod web;

// What they ask with, and who is here.
pub mod clients;
pub mod identity;

// The protocol: one room each for signing in, permission, tokens, our other role, what is kept for people
// elsewhere, and what a person may end.
pub mod account;
pub mod authorize;
pub mod federation;
pub mod id_jag;
pub mod idp;
pub mod token;
pub mod vault;

// What an operator may do to all of it, and ask about it.
pub mod admin;
pub mod explain;

// The house put together, and its doors.
pub mod app;
pub mod cli;
pub mod dev;
