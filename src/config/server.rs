//! `server:` who we are and where we listen.

use std::net::{Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use super::{
    form::{name_of, network, socket, text},
    reader::Section,
};
use crate::{ids::ResourceId, oauth::issuer::Issuer};

/// The `server:` section.
#[derive(Debug, Clone)]
pub struct Server {
    /// Our issuer identifier, from which every URL of ours is built.
    pub issuer: Issuer,
    /// Our issuer identifier in the role of an identity provider: `{issuer}/idp`.
    pub idp_issuer: Issuer,
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

/// Ours by default; the admin port is the next one.
const PUBLIC_PORT: u16 = 9000;
const ADMIN_PORT: u16 = 9001;

impl Server {
    pub(super) fn read(section: &Section<'_>, resources: &[&str]) -> Option<Self> {
        let issuer = section.required(
            "issuer",
            "the URL at which clients reach Chancery, such as https://auth.acme.com",
            Issuer::try_from,
        );
        let name = section.optional("name", text).unwrap_or_else(|| "Chancery".into());
        let contact = section.optional("contact", text);
        let everywhere = issuer.as_ref().is_some_and(|issuer| !issuer.is_loopback());
        let address = if everywhere { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let listen = section.optional("listen", socket).unwrap_or((address, PUBLIC_PORT).into());
        let admin_listen =
            section.optional("admin_listen", socket).unwrap_or((Ipv4Addr::LOCALHOST, ADMIN_PORT).into());
        if listen.port() == admin_listen.port() && listen.port() != 0 {
            section.problem("admin_listen", "has the same port as listen");
        }
        let trusted_proxies = section.list("trusted_proxies", network).unwrap_or_default();
        let default_resource =
            section.optional("default_resource", name_of(resources, "no resource has this name"));
        let issuer = issuer?;
        let idp_issuer = issuer.below("/idp");
        Some(Self {
            issuer,
            idp_issuer,
            name,
            contact,
            listen,
            admin_listen,
            trusted_proxies,
            default_resource,
        })
    }
}
