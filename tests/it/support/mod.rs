//! What every story needs: a server, a browser and a client.

pub(crate) mod agent;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod dpop;
pub(crate) mod log;
pub(crate) mod server;
pub(crate) mod setup;
pub(crate) mod upstream;
pub(crate) mod vault;

use std::sync::LazyLock;

pub(crate) use agent::Agent;
pub(crate) use browser::Browser;
pub(crate) use client::{Client, Tokens};
pub(crate) use dpop::DpopKey;
pub(crate) use log::Log;
pub(crate) use server::Server;
pub(crate) use setup::{On, PLAIN, Setup};
pub(crate) use upstream::Upstream;

/// Bare HTTP: no cookies, no redirect followed, and each request on a connection of its own, since every story has a
/// runtime of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "what talks to the server from outside is no part of the house"
)]
pub(crate) fn http() -> reqwest::Client {
    static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .tls_certs_only([])
            .no_proxy()
            .build()
            .unwrap()
    });
    HTTP.clone()
}
