//! The product from outside: one binary, one file a story. A story starts a whole server on a free port with a clock
//! that it moves, and talks HTTP as a browser and as a client would.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a story that cannot go on has failed"
)]

mod support;

mod abuse;
mod account;
mod authorization;
mod backchannel_logout;
mod bad_input;
mod client_authentication;
mod consent;
mod contracts;
mod docs;
mod documents;
mod dpop;
mod dpop_binding;
mod ending;
mod exchange;
mod explain;
mod explain_assertion;
mod id_jag;
mod identity;
mod idp;
mod keys;
mod machine;
mod managed_guide;
mod mcp_upstream;
mod metadata;
mod operations_guide;
mod outage;
mod path_issuer;
mod policy_guide;
mod propagation;
mod provider_logout;
mod races;
mod recheck;
mod record;
mod refresh;
mod registration;
mod removed_provider;
mod rooms;
mod secrets;
mod shut_out;
mod sign_in;
mod standing;
mod switched_off;
mod upstream_trouble;
mod vault;
mod vend;
mod walk;
mod workload;
