//! What was refused, by the number that the log and the page show, and what would be decided today.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Asker, By, Case, Explanation, itself};
use crate::{
    clock::Timestamp,
    config::Config,
    ids::{ClientId, GrantId, ProviderId, UserId},
    jose::json::Object,
    oauth::{grant_type::GrantType, scope::ScopeSet},
    store::{
        Db, StoreError,
        audit::{self, Row},
        grants,
        identities::{self, Account},
    },
};

/// A line of the record that tells of a refusal.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// When.
    pub at: String,
    /// What: an event of the record.
    pub event: String,
    /// Its stable code.
    pub reason: Option<String>,
    /// Further particulars: among them `why`, `rules` and `grant_type`.
    pub details: BTreeMap<String, String>,
    /// For whom.
    pub user: Option<String>,
    /// Who asked.
    pub client: Option<String>,
    /// Through which provider.
    pub provider: Option<String>,
    /// Where.
    pub resource: Option<String>,
    /// What was asked for.
    pub scope: Option<String>,
    /// On which grant.
    pub grant: Option<String>,
}

/// What would be decided today.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// This.
    Today(Box<Explanation>),
    /// It cannot be said, because of this.
    Unknown(String),
}

/// The refusals of this number, in their order. The number may be written in any case.
pub async fn of_reference(db: &Db, reference: &str) -> Result<Vec<Refused>, StoreError> {
    let rows = audit::of_reference(db, &reference.to_ascii_uppercase()).await?;
    Ok(rows.into_iter().filter(|row| row.outcome == "refused").map(Refused::from).collect())
}

impl Refused {
    /// Puts the same question to today's rules and facts.
    pub async fn again(&self, config: &Config, db: &Db, now: Timestamp) -> Result<Again, StoreError> {
        let unknown = |text: &str| Ok(Again::Unknown(text.to_owned()));
        if self.reason.as_deref().is_some_and(|reason| reason.starts_with("assertion_")) {
            return unknown(
                "the assertion itself was not accepted; with it at hand, --assertion says what of it",
            );
        }
        let (Some(client), Some(uri)) = (&self.client, &self.resource) else {
            return unknown("the record does not say which client asked for which resource");
        };
        let Ok(client) = ClientId::try_from(client.clone()) else { return unknown("the client has no name") };
        let client = Asker::find(config, db, &client).await?;
        let Some(resource) = config.resources.values().find(|resource| resource.uri.as_str() == uri) else {
            return unknown("the resource is no longer configured, so it would be refused");
        };
        let scope = ScopeSet::parse(self.scope.as_deref().unwrap_or_default()).unwrap_or_default();
        let by = match (self.event.as_str(), self.details.get("grant_type").map(String::as_str)) {
            ("authorization.refused", _) => By::Consent,
            (_, Some(grant)) => match GrantType::parse(grant) {
                Some(GrantType::AuthorizationCode) => By::Consent,
                Some(GrantType::RefreshToken) => By::Refresh,
                Some(GrantType::JwtBearer) => By::Assertion,
                Some(GrantType::ClientCredentials) => By::Itself,
                _ => return unknown("this kind of request is not asked again here"),
            },
            _ => return unknown("the record does not say by which grant"),
        };
        if by == By::Itself {
            return Ok(Again::Today(Box::new(itself((config, db), &client, resource, &scope).await?)));
        }
        let Some(account) = self.account(db).await? else {
            return unknown("nobody is known any more, or yet, whom it was about");
        };
        let case = Case {
            config,
            provider: config.providers.get(&account.identity.provider),
            account: &account,
            client: &client,
            resource,
            scope: &scope,
            claims: &Object::new(),
        };
        Ok(Again::Today(Box::new(case.explain(db, now, &[by]).await?)))
    }

    /// The account that it was about: the grant's, or else the one through which she came last.
    async fn account(&self, db: &Db) -> Result<Option<Account>, StoreError> {
        let grant = match self.grant.as_deref().and_then(GrantId::parse) {
            Some(id) => grants::find(db, &id).await?,
            None => None,
        };
        let mut accounts = match self.user.as_deref().and_then(UserId::parse) {
            Some(user) => identities::of_user(db, &user).await?,
            None => match (self.provider.clone().map(ProviderId::try_from), self.details.get("subject")) {
                (Some(Ok(provider)), Some(subject)) => {
                    identities::with_subject(db, &provider, subject).await?
                }
                _ => Vec::new(),
            },
        };
        accounts.retain(|account| match (&grant, &self.provider) {
            (Some(grant), _) => account.identity.id == grant.identity_id,
            (None, Some(provider)) => account.identity.provider.as_str() == provider,
            (None, None) => true,
        });
        Ok(accounts.into_iter().max_by_key(|account| account.identity.last_seen_at))
    }
}

impl From<Row> for Refused {
    fn from(row: Row) -> Self {
        let details = row.details.as_deref().and_then(|details| serde_json::from_str(details).ok());
        Self {
            at: row.at.to_string(),
            event: row.event,
            reason: row.reason,
            details: details.unwrap_or_default(),
            user: row.user_id,
            client: row.client_id,
            provider: row.provider,
            resource: row.resource,
            scope: row.scope,
            grant: row.grant_id,
        }
    }
}
