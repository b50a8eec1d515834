//! What every story needs: a server, a browser and a client.

pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod server;

pub(crate) use browser::Browser;
pub(crate) use client::{Client, Tokens};
pub(crate) use server::{On, Server};
