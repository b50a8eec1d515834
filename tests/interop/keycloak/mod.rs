//! Keycloak as the provider, for real: its login form, its groups and roles, its keys, its outages.

mod assertion;
#[path = "../../it/support/browser.rs"]
#[expect(dead_code, reason = "shared with the stories, which need more of it")]
mod browser;
mod logout;
mod person;
mod realm;
mod sign_in;
mod step_up;
mod trouble;
mod workload;

use crate::house::http;
