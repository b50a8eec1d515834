//! The grants, one file each. A grant verifies its credential without changing anything, then consumes it in one
//! transaction with what it makes and what it records.

pub mod authorization_code;
pub mod client_credentials;
pub mod id_jag;
pub mod jwt_bearer;
pub mod refresh_token;
pub mod token_exchange;
pub mod workload;
