//! The token vault: people's accounts elsewhere, whose tokens we keep, refresh, and hand to the servers they use.
//!
//! Only [`safe`] opens what is sealed. [`state`] says how a connection stands. [`vendor`] speaks to the other side.
//! [`connect`] leads a person there and back, [`keep`] keeps the tokens that she fetched, as [`sign_in`] does those of
//! a sign-in, [`refresh`] gets new ones, and [`vend`] hands them out, beside those of a [`service`]. [`disconnect`]
//! ends a connection, and [`revoke`] its tokens at the vendor.

pub mod client_document;
pub mod connect;
pub mod disconnect;
pub mod figures;
pub mod keep;
pub mod refresh;
pub mod revoke;
pub mod safe;
pub mod service;
pub mod sign_in;
pub mod state;
pub mod vend;
pub mod vendor;

use tokio::sync::Notify;

use self::{figures::Figures, refresh::Flights, safe::Safe, service::Services, vend::Links, vendor::Vendors};

/// What the rooms of the vault share.
#[derive(Debug)]
pub struct Vault {
    /// What opens and seals.
    pub safe: Safe,
    /// What speaks to the vendors.
    pub vendors: Vendors,
    /// The refreshes that are under way.
    pub flights: Flights,
    /// Told when this instance owes a vendor a revocation.
    pub owed: Notify,
    /// The tokens of the operator's own accounts.
    pub services: Services,
    /// The links that people were sent of late.
    pub links: Links,
    /// What is counted.
    pub figures: Figures,
}
