//! Keycloak as the provider, for real: its login form, its groups and roles, its keys, its outages.

mod assertion;
mod connect;
mod logout;
mod person;
mod realm;
mod sign_in;
mod step_up;
mod trouble;
mod workload;
