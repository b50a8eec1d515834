//! `server:` who we are and where we listen.

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::{ids::ResourceId, oauth::issuer::Issuer};

/// The `server:` section.
#[derive(Debug, Clone)]
pub struct Server {
    /// Our issuer identifier, from which every URL of ours is built.
    pub issuer: Issuer,
    /// What pages call this service.
    pub name: String,
    /// Whom people ask for help; shown where something is refused.
    pub contact: Option<String>,
    /// The public port.
    pub listen: SocketAddr,
    /// The port of the admin API and the metrics.
    pub admin_listen: SocketAddr,
    /// The reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The resource that is meant when a client names none and has no default of its own.
    pub default_resource: Option<ResourceId>,
}
