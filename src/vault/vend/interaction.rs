//! "Connect first": what the server of a resource is told when only its person can help, in every dialect that such
//! servers are known to speak, so that they need to pass it on and no more.
//!
//! Each time would write a link and a line of the record, and a server that waits asks every few seconds, or for many
//! calls of its person at once. So it is given the same link again while that has half of its life before it and was
//! not opened, and nothing is written then. What is remembered for that is this process's alone: another one gives
//! another link, which is as good.

use std::{fmt, sync::Arc};

use moka::sync::Cache;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;

use super::{Answer, Wanted};
use crate::{
    app::App,
    audit::Kind,
    clock::Timestamp,
    ids::{ClientId, ConnectionName, ResourceId, UserId},
    oauth::{error::ErrorCode, scope::ScopeSet},
    store::{
        StoreError, connect_links,
        switched_off::{self, Switch},
    },
    token::TokenRequest,
    vault::{
        connect::link::{self, Link, Purpose, issue_link},
        state::Loss,
    },
    web::error::ApiError,
};

/// After how many seconds a server that waits asks again (draft-parecki-oauth-jwt-grant-interaction-response).
const INTERVAL: u64 = 5;

/// As many links are remembered as people can be at it in ten minutes.
const MAX_LINKS: u64 = 10_000;

/// What only the person can put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lack {
    /// She has not connected the account.
    NotConnected,
    /// Its tokens are of no use any more.
    Reconnect(Loss),
    /// These scopes were not given.
    Scopes(ScopeSet),
    /// It is not one that the operator's rules allow.
    Account,
    /// She has several, and has not said which is meant where nobody says.
    Several,
}

impl Lack {
    /// A stable code.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::Reconnect(_) => "needs_reconnect",
            Self::Scopes(_) => "missing_scopes",
            Self::Account => "account",
            Self::Several => "several_accounts",
        }
    }

    /// A sentence for the person. `who`: the resource or the job that needs the account.
    fn message(&self, connection: &str, who: &str) -> String {
        match self {
            Self::NotConnected => format!("{who} needs your {connection} account. Connect it to go on."),
            Self::Reconnect(_) => {
                format!("{who} can no longer use your {connection} account. Connect it again to go on.")
            }
            Self::Scopes(_) => {
                format!("{who} needs more of your {connection} account than you allowed. Allow it to go on.")
            }
            Self::Account => format!(
                "{who} may not use the {connection} account that you connected. Connect the right one to go on."
            ),
            Self::Several => format!(
                "You have connected several {connection} accounts. Choose the one that {who} shall use."
            ),
        }
    }
}

/// The code, and behind a colon why a connection was lost.
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())?;
        match self {
            Self::Reconnect(loss) => write!(f, ":{}", loss.code()),
            _ => Ok(()),
        }
    }
}

/// For whom and what a link was made.
type Key = (UserId, ConnectionName, ClientId, Option<ResourceId>, String, Option<String>);

/// The links that this process made of late. Each has a place that one request holds at a time, so that those who come
/// together are given one.
pub struct Links(Cache<Key, Arc<Mutex<Option<Link>>>>);

impl Default for Links {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MAX_LINKS).time_to_idle(link::LASTS).build())
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Links(***)")
    }
}

/// Says where the person has to go. Where that is a link, it is made and recorded before. Nobody is sent to what an
/// operator has switched off.
pub(super) async fn ask(
    app: &Arc<App>,
    request: &TokenRequest,
    wanted: &Wanted<'_>,
    needed: &ScopeSet,
    lack: &Lack,
) -> Result<Answer, ApiError> {
    let now = app.clock.now();
    if switched_off::is_off(&app.db, Switch::Connection(&wanted.connection.name)).await? {
        return Err(wanted.disabled(needed));
    }
    if *lack == Lack::Several {
        let expires_at = now.plus(link::LASTS);
        let error = said(app, request, wanted, lack, (app.config.server.issuer.url("/account"), expires_at));
        return Err(error.with_about(wanted.about(needed).reason(lack.code())));
    }
    let return_to = return_to(request, wanted)?;
    let client = &request.client.client().id;
    let purpose = Purpose {
        user: wanted.user(),
        connection: &wanted.connection.name,
        scope: needed,
        client,
        resource: wanted.own().map(|own| &own.id),
        return_to: return_to.as_ref(),
    };
    let place = app.vault.links.0.get_with(key(&purpose), Arc::default);
    let mut place = place.lock().await;
    let link = match good_still(app, place.as_ref(), now).await? {
        Some(link) => link,
        None => make(app, request, wanted, &purpose, lack).await?,
    };
    *place = Some(link.clone());
    drop(place);
    let error = said(app, request, wanted, lack, (link.url, link.expires_at));
    Ok(Answer::Person(Box::new(error)))
}

fn key(purpose: &Purpose<'_>) -> Key {
    (
        purpose.user.clone(),
        purpose.connection.clone(),
        purpose.client.clone(),
        purpose.resource.cloned(),
        purpose.scope.to_string(),
        purpose.return_to.map(ToString::to_string),
    )
}

/// The link that was made for the same before, if the person can still open it in good time.
async fn good_still(app: &App, made: Option<&Link>, now: Timestamp) -> Result<Option<Link>, StoreError> {
    let Some(link) = made else { return Ok(None) };
    if link.expires_at.since(now) < link::LASTS / 2 {
        return Ok(None);
    }
    let stored = connect_links::find(&app.db, &link.hash).await?;
    Ok(stored.filter(|stored| stored.used_at.is_none()).map(|_| link.clone()))
}

async fn make(
    app: &App,
    request: &TokenRequest,
    wanted: &Wanted<'_>,
    purpose: &Purpose<'_>,
    lack: &Lack,
) -> Result<Link, ApiError> {
    let now = app.clock.now();
    let counted = (purpose.client.clone(), purpose.user.clone(), purpose.connection.clone());
    if let Some(wait) = app.limits.links.wait(&counted, now) {
        let error = ApiError::too_many_requests().with_retry_after(wait);
        return Err(error.with_about(wanted.about(purpose.scope).reason(lack.code())));
    }
    app.limits.links.count(counted, now);
    let event = wanted.event(request, Kind::ConnectionNeeded).scope(purpose.scope).reason(lack.code());
    let event = match lack {
        Lack::Reconnect(loss) => event.detail("loss", loss.code()),
        Lack::Scopes(missing) => event.detail("missing", missing),
        Lack::NotConnected | Lack::Account | Lack::Several => event,
    };
    let mut tx = request.spend(app).await?;
    let link = issue_link(app, &mut tx, *purpose).await?;
    app.record(&mut tx, &event).await?;
    tx.commit().await?;
    Ok(link)
}

/// Where the browser goes when all is done, by the parameter `return_to`: a page of the resource's own site, or one
/// where the client gets codes.
fn return_to(request: &TokenRequest, wanted: &Wanted<'_>) -> Result<Option<Url>, ApiError> {
    let Some(written) = request.params.get("return_to") else { return Ok(None) };
    let client = request.client.client();
    let allowed = |url: &Url| {
        let is_own = wanted.own().is_some_and(|own| url.origin() == own.uri.url().origin());
        (is_own && url.username().is_empty() && url.password().is_none())
            || client.redirect_uris.iter().any(|uri| uri.as_str() == written)
    };
    let url = Url::parse(written).ok().filter(allowed);
    url.map(Some).ok_or_else(|| {
        let text = "return_to must be on the site of the resource, or a redirect URI of the client";
        ApiError::new(ErrorCode::InvalidRequest, text)
    })
}

/// The refusal in all dialects: that of draft-parecki-oauth-jwt-grant-interaction-response, the members that
/// authplane-sdk 0.5.0 reads, and what MCP clients of either generation are to be told.
fn said(
    app: &App,
    request: &TokenRequest,
    wanted: &Wanted<'_>,
    lack: &Lack,
    (url, expires_at): (String, Timestamp),
) -> ApiError {
    let name = &wanted.connection.name;
    let who = wanted.own().map_or(&request.client.client().name, |own| &own.name);
    let message = lack.message(&wanted.connection.title, who);
    let missing: Vec<_> = match lack {
        Lack::Scopes(missing) => missing.iter().collect(),
        _ => Vec::new(),
    };
    let id = request.origin.recorded.reference.to_string();
    let elicitation = elicitation(name, &id, &url, &message);
    ApiError::new(ErrorCode::InteractionRequired, message.clone())
        .with_reason(format!("connection {name}: {lack}"))
        .with_member("connection", json!(name))
        .with_member("reason", json!(lack.to_string()))
        .with_member("missing_scopes", json!(missing))
        .with_member("interval", json!(INTERVAL))
        .with_member("expires_in", json!(expires_at.since(app.clock.now()).as_secs()))
        .with_member("interaction_uri", json!(url))
        .with_member("consent_url", json!(url))
        .with_member("service_id", json!(name))
        .with_member("cause", json!(message))
        .with_member("elicitation", elicitation)
}

/// For a client of MCP 2025-11-25 the error of the request, for one of 2026-07-28 its result.
fn elicitation(name: &ConnectionName, id: &str, url: &str, message: &str) -> Value {
    json!({
        "2025-11-25": {
            "code": -32042,
            "message": message,
            "data": { "elicitations": [{ "mode": "url", "elicitationId": id, "url": url, "message": message }] },
        },
        "2026-07-28": {
            "resultType": "input_required",
            "inputRequests": {
                (name.as_str()): {
                    "method": "elicitation/create",
                    "params": { "mode": "url", "url": url, "message": message },
                },
            },
        },
    })
}
