//! Who asks: a client as far as it is known without asking anybody.

use serde::Serialize;
use url::Url;

use super::Finding;
use crate::{
    clients::Client,
    config::Config,
    ids::ClientId,
    oauth::grant_type::GrantType,
    store::{Db, StoreError, clients},
};

/// A client.
#[derive(Debug, Clone, Serialize)]
pub struct Asker {
    /// Its `client_id`.
    pub id: ClientId,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it is known.
    pub known: Known,
    /// What is known of it.
    #[serde(skip)]
    pub(super) client: Option<Client>,
}

/// How a client is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// The operator declared it.
    Declared,
    /// It registered itself.
    Registered,
    /// By a metadata document, which is not fetched here.
    Document,
    /// Not at all.
    Unknown,
}

impl Asker {
    /// The client of this id.
    pub async fn find(config: &Config, db: &Db, id: &ClientId) -> Result<Self, StoreError> {
        let (known, client) = if let Some(declared) = config.clients.get(id) {
            (Known::Declared, Some(Client::from(declared)))
        } else if id.is_url() {
            (Known::Document, None)
        } else {
            match clients::find(db, id).await? {
                Some(registered) => (Known::Registered, Some(Client::from(registered))),
                None => (Known::Unknown, None),
            }
        };
        let name = client.as_ref().map(|client| client.name.clone());
        Ok(Self { id: id.clone(), name, known, client })
    }

    /// Whether it may use the grant. Of a metadata document only its host is judged.
    pub(super) fn may_use(&self, grant: GrantType, config: &Config) -> Finding {
        let may = self.client.as_ref().is_some_and(|client| client.may_use(grant));
        match self.known {
            Known::Declared => Finding::of(format!("clients.{}.grant_types", self.id), grant.as_str(), may),
            Known::Registered => Finding::of(format!("the registration of {}", self.id), grant.as_str(), may),
            Known::Document | Known::Unknown => self.is_known(config),
        }
    }

    /// Whether it is known, or could be.
    pub(super) fn is_known(&self, config: &Config) -> Finding {
        match self.known {
            Known::Declared => Finding::of(format!("clients.{}", self.id), "declared", true),
            Known::Registered => Finding::of(format!("the registration of {}", self.id), "in force", true),
            Known::Document => {
                let documents = &config.registration.documents;
                let host = Url::parse(self.id.as_str()).ok();
                let host = host.as_ref().and_then(Url::host_str).unwrap_or_default();
                let allowed: Vec<_> = documents.allow_hosts.iter().map(ToString::to_string).collect();
                let rule = "registration.documents.allow_hosts";
                Finding::of(rule, allowed.join(", "), documents.admits(host))
            }
            Known::Unknown => Finding::of("clients", "one of this id, declared or registered", false),
        }
    }

    /// Whether it can prove who it is; of a metadata document that is not known here.
    pub(super) fn is_public(&self) -> bool {
        self.client.as_ref().is_none_or(Client::is_public)
    }
}
