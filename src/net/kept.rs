//! A document of an upstream's, kept for a while.
//!
//! It is asked for at first use and never at start, so an upstream that is down keeps nobody else out. One request at
//! a time is under way; while it fails, the last good document serves on for a day and the upstream is asked at most
//! every ten seconds.

use std::{
    fmt::Display,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::Mutex;

use crate::clock::{Clock, Timestamp};

/// Endpoints move rarely; an operator who moves them waits this long at most.
pub(crate) const FRESH_FOR: Duration = Duration::from_secs(60 * 60);
/// How long an outage of the document alone goes unnoticed by the people who sign in.
pub(crate) const USABLE_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a failure is believed, so that an upstream in trouble is not asked by everybody who waits for it.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(10);

/// What is kept of one document; `E` says why there is none.
#[derive(Debug)]
pub struct Kept<M, E> {
    held: RwLock<Held<M, E>>,
    flight: Mutex<()>,
}

#[derive(Debug)]
struct Held<M, E> {
    good: Option<(Arc<M>, Timestamp)>,
    bad: Option<(E, Timestamp)>,
}

impl<M, E: Clone> Clone for Held<M, E> {
    fn clone(&self) -> Self {
        Self { good: self.good.clone(), bad: self.bad.clone() }
    }
}

impl<M, E: Clone> Held<M, E> {
    fn good(&self, now: Timestamp, age: Duration) -> Option<Arc<M>> {
        self.good.as_ref().filter(|(_, at)| now.since(*at) < age).map(|(metadata, _)| metadata.clone())
    }

    fn recent_failure(&self, now: Timestamp) -> Option<&E> {
        self.bad.as_ref().filter(|(_, at)| now.since(*at) < RETRY_AFTER).map(|(error, _)| error)
    }

    /// What can be answered without asking the upstream.
    fn answer(&self, now: Timestamp) -> Option<Result<Arc<M>, E>> {
        if let Some(fresh) = self.good(now, FRESH_FOR) {
            return Some(Ok(fresh));
        }
        let failure = self.recent_failure(now)?;
        Some(self.good(now, USABLE_FOR).ok_or_else(|| failure.clone()))
    }
}

/// Nothing known yet.
impl<M, E> Default for Kept<M, E> {
    fn default() -> Self {
        Self { held: RwLock::new(Held { good: None, bad: None }), flight: Mutex::default() }
    }
}

impl<M, E: Clone + Display> Kept<M, E> {
    fn held(&self) -> Held<M, E> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The document, from memory or by `fetch`; `name` is what the log calls it.
    pub async fn get(
        &self,
        name: &str,
        clock: &Clock,
        fetch: impl Future<Output = Result<M, E>>,
    ) -> Result<Arc<M>, E> {
        if let Some(answer) = self.held().answer(clock.now()) {
            return answer;
        }
        let _turn = match self.flight.try_lock() {
            Ok(turn) => turn,
            // Somebody is asking already: whoever can do with the last document does not wait.
            Err(_) => match self.held().good(clock.now(), USABLE_FOR) {
                Some(usable) => return Ok(usable),
                None => self.flight.lock().await,
            },
        };
        if let Some(answer) = self.held().answer(clock.now()) {
            return answer;
        }
        let fetched = fetch.await;
        let now = clock.now();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *held = Held { good: Some((metadata.clone(), now)), bad: None };
                Ok(metadata)
            }
            Err(error) => {
                tracing::warn!(upstream = name, %error, "discovery failed");
                held.bad = Some((error.clone(), now));
                held.good(now, USABLE_FOR).ok_or(error)
            }
        }
    }
}
