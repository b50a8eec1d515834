//! Tokens of accounts that are the operator's own (RFC 6749 §4.4). They are kept in memory while they are good and
//! fetched anew before they end, once for all who want one of this instance. No harm is done when they are lost: the
//! vendor gives another.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use moka::sync::Cache;
use tokio::sync::Mutex;

use super::refresh::{NotFresh, back_off};
use crate::{
    app::App, clock::Timestamp, config::connection::Connection, ids::ConnectionName, oauth::scope::ScopeSet,
    secret::Secret, vault::vendor::Tokens,
};

/// Each set of scopes that is wanted has a token of its own; servers want few.
const MAX_KEPT: u64 = 10_000;
/// How long a token is kept of which the vendor does not say when it ends.
const ASSUMED: Duration = Duration::from_secs(5 * 60);
/// What lives no longer than this would end on its way to the vendor's API.
const LEAST: Duration = Duration::from_secs(10);

/// A token of the operator's own account.
#[derive(Debug, Clone)]
pub struct Service {
    /// The token.
    pub access: Secret,
    /// What it can do.
    pub scopes: ScopeSet,
    /// When it ends. `None`: the vendor does not say.
    pub expires_at: Option<Timestamp>,
    /// What else the vendor said that callers of its API need.
    pub details: BTreeMap<String, String>,
    fetched_at: Timestamp,
}

/// Those that are kept.
#[derive(Debug)]
pub struct Services(Cache<(ConnectionName, String), Arc<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    held: RwLock<Held>,
    flight: Mutex<()>,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<Service>,
    /// How often in a row the vendor gave none, and when it is asked again.
    failures: i64,
    next_attempt_at: Option<Timestamp>,
}

impl Default for Services {
    fn default() -> Self {
        Self(Cache::new(MAX_KEPT))
    }
}

impl Services {
    /// A token with these scopes that is good now.
    pub async fn token(
        &self,
        app: &App,
        configured: &Connection,
        scopes: &ScopeSet,
    ) -> Result<Service, NotFresh> {
        let key = (configured.name.clone(), scopes.to_string());
        let kept = self.0.get_with(key, Arc::default);
        let margin = configured.app.behaviour.refreshing.margin;
        if let Some(answer) = kept.answer(app.clock.now(), margin) {
            return answer;
        }
        let _turn = match kept.flight.try_lock() {
            Ok(turn) => turn,
            // Somebody is asking already: whoever can do with the last one does not wait.
            Err(_) => match kept.usable(app.clock.now()) {
                Some(token) => return Ok(token),
                None => kept.flight.lock().await,
            },
        };
        if let Some(answer) = kept.answer(app.clock.now(), margin) {
            return answer;
        }
        let fetched = app.vault.vendors.fetch(configured, scopes).await;
        let now = app.clock.now();
        match fetched {
            Ok(tokens) => {
                let token = Service::of(tokens, now);
                *kept.held.write().unwrap_or_else(PoisonError::into_inner) =
                    Held { token: Some(token.clone()), ..Held::default() };
                Ok(token)
            }
            Err(error) => {
                tracing::warn!(connection = %configured.name, why = %error, "the vendor gave no token of our own account");
                let usable = kept.usable(now);
                let mut held = kept.held.write().unwrap_or_else(PoisonError::into_inner);
                let wait = back_off(held.failures, error.retry_after(), &app.entropy);
                held.failures += 1;
                held.next_attempt_at = Some(now.plus(wait));
                usable.ok_or(NotFresh::Unavailable { retry_after: wait })
            }
        }
    }
}

impl Kept {
    /// What can be answered without asking the vendor.
    fn answer(&self, now: Timestamp, margin: Duration) -> Option<Result<Service, NotFresh>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = held.token.as_ref().filter(|token| token.is_fresh(now, margin)) {
            return Some(Ok(token.clone()));
        }
        let wait = held.next_attempt_at.filter(|at| *at > now)?.since(now);
        let usable = held.token.as_ref().filter(|token| token.is_usable(now));
        Some(usable.cloned().ok_or(NotFresh::Unavailable { retry_after: wait.max(Duration::from_secs(1)) }))
    }

    fn usable(&self, now: Timestamp) -> Option<Service> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.token.clone().filter(|token| token.is_usable(now))
    }
}

impl Service {
    fn of(tokens: Tokens, now: Timestamp) -> Self {
        Self {
            access: tokens.access_token,
            scopes: tokens.scopes,
            expires_at: tokens.expires_at,
            details: tokens.details,
            fetched_at: now,
        }
    }

    fn end(&self) -> Timestamp {
        self.expires_at.unwrap_or_else(|| self.fetched_at.plus(ASSUMED))
    }

    /// Whether it needs no successor yet.
    fn is_fresh(&self, now: Timestamp, margin: Duration) -> bool {
        let lifetime = self.end().since(self.fetched_at);
        self.end().since(now) > margin.min(lifetime / 2)
    }

    fn is_usable(&self, now: Timestamp) -> bool {
        self.end().since(now) >= LEAST
    }
}
