//! Chancery as an identity provider, at an issuer of its own.

mod another_chancery;
mod bound;
mod expected_person;
mod grants;
mod sign_in;
mod step_up;
mod subject_token;
mod two_issuers;

use chancery::oauth::purpose::Role;

use crate::support::{Client, On, PLAIN, Server, Setup, Tokens, client::post_to};

/// What `backend` proves itself with at either issuer.
const SECRET: &str = "correct-horse-battery-staple-+%-0123456789";

/// The authorization server of somebody else, and its resources.
const CLOUD: &str = "https://auth.cloud.example";
const PAGES: &str = "https://mcp.cloud.example/pages";
/// Another one, whose issuer ends with a slash.
const VAULT: &str = "https://vault.example/";

const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";

/// The section: a public client that also exists at the other issuer, and a confidential one; a target for both, and
/// one for the second.
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
  targets:
    cloud:
      audience: {CLOUD}
      name: Cloud wiki
      client_ids: {{ desk: desk-in-the-cloud, backend: backend-in-the-cloud }}
      allow: {{ organizations: [acme] }}
      resources:
        pages:
          uri: {PAGES}
          scopes:
            "pages:read": {{ default: true }}
            "pages:write": {{}}
            "pages:close": {{ allow: {{ groups: [support] }} }}
    vault:
      audience: {VAULT}
      client_ids: {{ backend: b-4711 }}
      subject: pairwise
      token_claims: [email, groups]
      allow: {{ groups: [support] }}
      resources:
        safes: {{ uri: "https://vault.example/safes", scopes: {{ open: {{}} }} }}
        logs: {{ uri: "https://vault.example/logs", scopes: {{ read: {{ default: true }} }} }}
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

/// A request for a grant of `desk` at the cloud; `(absent)` leaves a parameter out.
async fn ask(server: &Server, id_token: &str, changed: &[(&'static str, &str)]) -> Tokens {
    post_to(server, Role::IdentityProvider, &parameters(id_token, changed)).await
}

/// Its parameters.
fn parameters(id_token: &str, changed: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let mut form = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange".to_owned()),
        ("client_id", "desk".to_owned()),
        ("requested_token_type", ID_JAG.to_owned()),
        ("subject_token_type", ID_TOKEN.to_owned()),
        ("subject_token", id_token.to_owned()),
        ("audience", CLOUD.to_owned()),
        ("resource", PAGES.to_owned()),
    ];
    for (name, _) in changed {
        form.retain(|(known, _)| known != name);
    }
    let changed = changed.iter().filter(|(_, value)| *value != "(absent)");
    form.extend(changed.map(|(name, value)| (*name, (*value).to_owned())));
    form
}

/// What is changed where `backend` asks.
const AS_BACKEND: [(&str, &str); 2] = [("client_id", "backend"), ("client_secret", SECRET)];

/// `backend`'s tokens for a person who signed in for it.
async fn signed_in_for_backend(server: &Server, user: &str) -> Tokens {
    let client = backend().with("prompt", "consent");
    let code = client.authorize(server, &crate::support::Browser::new(), user).await;
    let mut parameters = client.exchange_parameters(&code);
    parameters.push(("client_secret", SECRET.to_owned()));
    let tokens = post_to(server, client.role, &parameters).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    tokens
}
