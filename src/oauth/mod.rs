//! The words of OAuth as values, without I/O: what is built here is valid, and what cannot be built is refused
//! at the edge with the error that the RFCs give it.

pub mod authorization;
pub mod error;
pub mod grant_type;
pub mod issuer;
pub mod params;
pub mod pkce;
pub mod purpose;
pub mod redirect_uri;
pub mod resource;
pub mod scope;
pub mod token_exchange;
