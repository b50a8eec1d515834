//! By which client a vendor is spoken to. Where the operator chose the address it may lie in a network of his own;
//! where somebody else's server named it, it may not.

use url::{Origin, Url};

use crate::{
    net::{NetError, Upstream},
    oauth::issuer::Issuer,
};

/// The clients for vendors.
#[derive(Debug)]
pub struct Lines {
    /// To addresses that the operator chose.
    configured: Upstream,
    /// To all others.
    strangers: Upstream,
}

/// Those for one vendor. `known`: the hosts that the operator answers for; `None`: all that it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    lines: &'a Lines,
    known: Option<&'a [Origin]>,
}

impl Lines {
    /// Those of the server that calls itself `issuer`. Fails when the machine has no root certificates.
    pub fn new(issuer: &Issuer) -> Result<Self, reqwest::Error> {
        Ok(Self { configured: Upstream::new(issuer)?, strangers: Upstream::to_strangers(issuer)? })
    }

    pub(super) const fn of<'a>(&'a self, known: Option<&'a [Origin]>) -> Line<'a> {
        Line { lines: self, known }
    }
}

impl<'a> Line<'a> {
    /// The client for an address.
    pub(super) fn to(self, url: &Url) -> &'a Upstream {
        match self.known {
            Some(known) if !known.contains(&url.origin()) => &self.lines.strangers,
            _ => &self.lines.configured,
        }
    }

    /// Whether an address may be asked, without asking it.
    pub(super) fn may_ask(self, url: &Url) -> Result<(), NetError> {
        self.to(url).may_ask(url)
    }
}
