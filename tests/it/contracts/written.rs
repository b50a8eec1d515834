//! A contract as it is written down.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What one vendor documents.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contract {
    /// The entry under `connections:`, beside `preset`, `client_id` and `client_secret`.
    #[serde(default)]
    pub(super) connection: BTreeMap<String, Value>,
    /// Whether its tokens cannot be refreshed.
    #[serde(default)]
    pub(super) never_refreshes: bool,
    /// The vendor's own documents, where it has some that are asked.
    #[serde(default)]
    pub(super) documents: Vec<Asked>,
    /// Where it has one.
    #[serde(default)]
    pub(super) authorize: Option<Authorize>,
    pub(super) steps: Vec<Step>,
}

/// The page that a person is sent to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Authorize {
    /// Beside those that are asked for at every connect.
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    #[serde(default)]
    pub(super) held: Vec<String>,
    /// Whole, without state, `redirect_uri` and challenge, which every vendor gets alike.
    pub(super) url: String,
    /// Whether it gets a challenge.
    pub(super) pkce: bool,
}

/// One thing that we do there, the requests that it takes, and what comes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) does: Does,
    #[serde(default)]
    pub(super) asked: Vec<Asked>,
    /// What it becomes: tokens, an account, sites or what became of a revocation.
    #[serde(default)]
    pub(super) becomes: Option<Value>,
    /// The kind of error, and its code where it has one.
    #[serde(default)]
    pub(super) fails: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Does {
    Exchange,
    Refresh,
    Fetch,
    Account,
    Sites,
    Revoke,
}

/// A request, and how it is answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// `POST https://vendor/path`
    pub(super) with: String,
    /// Those that are not the same for everybody.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// To the byte; none when it is empty.
    #[serde(default)]
    pub(super) body: String,
    pub(super) status: u16,
    #[serde(default)]
    pub(super) json: Option<Value>,
    /// When it is no JSON.
    #[serde(default)]
    pub(super) form: Option<String>,
    #[serde(default)]
    pub(super) retry_after: Option<String>,
}
