//! What is said to the OAuth server behind a connection, and how its answers are read.
//!
//! No vendor is named here: how each behaves is in its preset. Nothing is stored but what a server calls us that
//! [registered](registration) us, and nothing is decided but what an
//! answer means: whether the person must connect again ([`VendorError::Reconnect`], which only the errors that the
//! preset lists are), or whether the same request may succeed later.

mod account;
mod answer;
mod authorize;
mod failure;
mod id_token;
mod lines;
mod reached;
mod redeem;
mod registration;
mod request;
mod resource;
mod revoke;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

use self::reached::Document;
pub use self::{
    account::{Account, Site},
    answer::Tokens,
    authorize::Authorization,
    failure::VendorError,
    lines::Lines,
    redeem::Redemption,
    registration::forget,
    revoke::Revoked,
};
use crate::{clock::Clock, config::connection::ConnectionName, entropy::Entropy, net::Kept, store::Db};

/// Speaks to the vendors. Every request is bounded in time and size and follows no redirect ([`Lines`]).
pub struct Vendors {
    lines: Lines,
    db: Db,
    clock: Clock,
    entropy: Entropy,
    met: Mutex<HashMap<ConnectionName, Arc<Met>>>,
}

/// What a vendor has said of itself.
#[derive(Default)]
struct Met {
    document: Kept<Document, VendorError>,
    /// Held while it is asked to register us, so that it does so once for all who wait.
    registering: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Vendors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vendors").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Vendors {
    /// Nobody has been spoken to yet.
    pub fn new(lines: Lines, db: Db, clock: Clock, entropy: Entropy) -> Self {
        Self { lines, db, clock, entropy, met: Mutex::default() }
    }
}
