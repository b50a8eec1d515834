//! `vault:` of a provider: what becomes of the tokens that come with a sign-in.

use crate::{
    config::{Names, connection::Connection, form::name_of, problem::Wrong, reader::Section},
    ids::ConnectionName,
    oauth::scope::{Scope, ScopeSet},
};

use super::{IssuerRule, Provider};

/// The tokens of a sign-in are kept as a connection.
#[derive(Debug, Clone)]
pub struct KeepsTokens {
    /// As which.
    pub connection: ConnectionName,
    /// What a sign-in asks for besides the provider's own scopes. `None`: all that the connection is there for.
    pub scopes: Option<ScopeSet>,
}

impl KeepsTokens {
    pub(super) fn read(provider: &Section<'_>, names: &Names<'_>) -> Option<Self> {
        provider.section("vault", |section| {
            let keep = section.flag("keep_sign_in_tokens");
            let connection = name_of(&names.connections, "no connection has this name");
            if keep != Some(true) {
                let connection: Option<ConnectionName> = section.optional("connection", connection);
                let scopes = section.list("scopes", scope);
                if connection.is_some() || scopes.is_some() {
                    section.problem_here("says how tokens are kept, but not keep_sign_in_tokens: true");
                }
                return None;
            }
            let connection =
                section.required("connection", "the entry under connections that they become", connection);
            let scopes = section.list("scopes", scope).map(|scopes| scopes.into_iter().collect());
            Some(Self { connection: connection?, scopes })
        })
    }

    /// What a sign-in asks for besides.
    pub fn scopes(&self, configured: &Connection) -> ScopeSet {
        self.scopes.clone().unwrap_or_else(|| configured.scopes.union(&configured.uses.all()))
    }
}

impl Provider {
    /// What keeps the tokens of this provider from being of use as this connection, for which another client, or
    /// another issuer, would have to renew them.
    pub(in crate::config) fn differs_from(&self, connection: &Connection) -> Option<String> {
        let id = &self.id;
        self.keeps.as_ref().filter(|keeps| keeps.connection == connection.name)?;
        if connection.app.client_id != self.client_id {
            return Some(format!(
                "keeps the sign-in tokens of {id}, but is another client there: its client_id must be {}",
                self.client_id
            ));
        }
        match (&self.issuer, &connection.app.issuer) {
            (IssuerRule::Exact(theirs), Some(own)) if theirs != own => {
                Some(format!("keeps the sign-in tokens of {id}, but is of another issuer than {theirs}"))
            }
            _ => None,
        }
    }
}

fn scope(written: String) -> Result<Scope, Wrong> {
    Ok(Scope::try_from(written)?)
}
