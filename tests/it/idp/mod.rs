//! Chancery as an identity provider, at an issuer of its own.

mod bound;
mod sign_in;
mod two_issuers;

use chancery::oauth::purpose::Role;

use crate::support::{Client, On, PLAIN, Server, Setup};

/// What `backend` proves itself with at either issuer.
const SECRET: &str = "correct-horse-battery-staple-+%-0123456789";

/// The section: a public client that also exists at the other issuer, and a confidential one.
fn section() -> String {
    format!(
        r#"idp:
  clients:
    desk:
      name: Desk agent
      redirect_uris: ["http://127.0.0.1/callback", "https://desk.acme.example/callback"]
    backend:
      name: Back office
      secret: {SECRET}
      redirect_uris: ["https://back.acme.example/callback"]
      scopes: [openid, profile, email, groups]
"#
    )
}

/// The usual server, in both roles.
fn setup(on: On) -> Setup {
    Setup::on(on).sections(&format!("{PLAIN}{}", section()))
}

async fn serve(on: On) -> Option<Server> {
    setup(on).start().await
}

/// `desk` as a client of the identity provider.
fn desk() -> Client {
    Client { role: Role::IdentityProvider, resource: None, ..Client::desk().scope("openid profile email") }
}

/// `backend` as one.
fn backend() -> Client {
    Client {
        id: "backend".to_owned(),
        redirect_uri: "https://back.acme.example/callback".to_owned(),
        ..desk().scope("openid groups")
    }
}
