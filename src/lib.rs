//! Chancery: one binary between every corporate identity provider and every MCP server.
//!
//! It sends people to their own identity provider, asks their consent and writes tokens for one audience each.
//! The rooms, from the ground up; a room uses those above it in this list and never those below:

// The ground: time, chance, names and secrets as values.
pub mod clock;
pub mod entropy;
pub mod ids;
pub mod secret;

// What the operator declares, and the words of OAuth.
pub mod config;
pub mod oauth;

// What the house stands on: keys, outbound requests, sealed values, the database.
pub mod jose;
pub mod net;
pub mod seal;
pub mod store;

// The record, and the rules.
pub mod audit;
pub mod policy;

// Who is here, what they asked with, and how they are answered.
pub mod clients;
pub mod identity;
pub mod web;

// The protocol: one room each for signing in, permission, tokens, and what a person may end.
pub mod account;
pub mod authorize;
pub mod federation;
pub mod token;

// The house put together, and its doors.
pub mod app;
pub mod cli;
pub mod dev;
