//! What leaves the vault: a vendor's token, and what is needed to use it.

use std::collections::BTreeMap;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer};

use crate::{
    clock::Timestamp,
    config::connection::{Connection as Configured, behaviour::Inject},
    ids::{ConnectionId, ConnectionName},
    oauth::{scope::ScopeSet, token_exchange::TokenType},
    secret::Secret,
    store::connections::Connection,
    vault::service::Service,
    web::error::ApiError,
};

/// What a request for a token of a connection is answered.
#[derive(Debug)]
pub enum Answer {
    /// The token.
    Token(Box<Vended>),
    /// Where its person has to go first; that is recorded already.
    Person(Box<ApiError>),
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Token(vended) => Json(vended).into_response(),
            Self::Person(error) => error.into_response(),
        }
    }
}

/// A successful answer (RFC 8693 §2.2.1), and what else a program needs to call the vendor's API.
#[derive(Debug, Serialize)]
pub struct Vended {
    #[serde(serialize_with = "in_the_clear")]
    access_token: Secret,
    issued_token_type: &'static str,
    /// `N_A` where it is not sent as a bearer token (RFC 8693 §2.2.1).
    token_type: &'static str,
    /// Seconds; absent where nobody knows when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    /// All that it can do.
    scope: ScopeSet,
    connection: ConnectionName,
    /// Absent where it is nobody's in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Account>,
    /// Where the API is for this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    api_base: Option<String>,
    /// How it is sent, where that is not `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    inject: Option<Sent>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<String, String>,
}

/// The account whose token it is.
#[derive(Debug, Serialize)]
struct Account {
    connection_id: ConnectionId,
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
}

#[derive(Debug, Serialize)]
struct Sent {
    header: String,
    format: String,
}

fn in_the_clear<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

impl Vended {
    pub(super) fn new(
        configured: &Configured,
        connection: Connection,
        access_token: Secret,
        now: Timestamp,
    ) -> Self {
        let token = (access_token, connection.scope, connection.expires_at);
        let is_told = configured.says_whose();
        let account = Account {
            connection_id: connection.id,
            id: if is_told { connection.account } else { String::new() },
            name: connection.account_name.filter(|_| is_told),
            label: connection.label,
            tenant: connection.tenant,
        };
        Self::of(configured, token, connection.details.0, Some(account), now)
    }

    /// A token of the operator's own account.
    pub(super) fn of_service(configured: &Configured, service: Service, now: Timestamp) -> Self {
        let token = (service.access, service.scopes, service.expires_at);
        Self::of(configured, token, service.details, None, now)
    }

    fn of(
        configured: &Configured,
        (access_token, scope, expires_at): (Secret, ScopeSet, Option<Timestamp>),
        details: BTreeMap<String, String>,
        account: Option<Account>,
        now: Timestamp,
    ) -> Self {
        let behaviour = &configured.app.behaviour;
        let inject = sent(&behaviour.inject);
        Self {
            access_token,
            issued_token_type: TokenType::AccessToken.as_str(),
            token_type: if inject.is_none() { "Bearer" } else { "N_A" },
            expires_in: expires_at.map(|end| end.since(now).as_secs()),
            scope,
            connection: configured.name.clone(),
            account,
            api_base: behaviour.api_base.as_ref().and_then(|template| fill(template, &details)),
            inject,
            details,
        }
    }
}

fn sent(inject: &Inject) -> Option<Sent> {
    let is_usual = inject.header.eq_ignore_ascii_case("authorization") && inject.format == "Bearer {token}";
    (!is_usual).then(|| Sent { header: inject.header.clone(), format: inject.format.clone() })
}

/// The template with the details in place. `None`: the vendor did not tell one of them.
fn fill(template: &str, details: &BTreeMap<String, String>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, tail)) = rest.split_once('{') {
        let (name, after) = tail.split_once('}')?;
        filled.push_str(before);
        filled.push_str(details.get(name)?);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_every_detail_or_is_none() {
        let details =
            [("host", "eu1"), ("cloud", "7")].map(|(name, value)| (name.into(), value.into())).into();
        assert_eq!(fill("https://{host}.x/{cloud}/v1", &details).as_deref(), Some("https://eu1.x/7/v1"));
        assert_eq!(fill("https://api.x", &details).as_deref(), Some("https://api.x"));
        assert_eq!(fill("https://{host}.x/{site}", &details), None);
    }

    #[test]
    fn how_it_is_sent_is_said_where_it_is_not_usual() {
        let inject = |header: &str, format: &str| {
            sent(&Inject { header: header.into(), format: format.into() }).is_some()
        };
        assert!(!inject("Authorization", "Bearer {token}"));
        assert!(inject("authorization", "token {token}"));
        assert!(inject("X-Key", "Bearer {token}"));
    }
}
