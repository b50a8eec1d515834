//! One refresh at a time for each connection within this instance. It is a task of its own: whoever asked for it may go
//! away, and what the vendor gives is stored all the same.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use super::{Fresh, NotFresh};
use crate::{entropy::Entropy, ids::ConnectionId};

type Outcome = Result<Fresh, NotFresh>;
type UnderWay = Mutex<HashMap<ConnectionId, Flight>>;

/// The refreshes that are under way in this instance.
#[derive(Debug)]
pub struct Flights {
    /// What this instance signs its leases with.
    pub(super) instance: String,
    under_way: Arc<UnderWay>,
}

/// A refresh that is under way.
#[derive(Debug, Clone)]
pub(super) struct Flight(watch::Receiver<Option<Outcome>>);

/// Takes the flight off the list, however it ends.
struct Landing {
    id: ConnectionId,
    under_way: Arc<UnderWay>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        hold(&self.under_way).remove(&self.id);
    }
}

fn hold(under_way: &UnderWay) -> MutexGuard<'_, HashMap<ConnectionId, Flight>> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flights {
    /// None is under way.
    pub fn new(entropy: &Entropy) -> Self {
        Self { instance: entropy.token(), under_way: Arc::default() }
    }

    /// The flight of this connection; `work` becomes it where there is none.
    pub(super) fn join<W>(&self, id: &ConnectionId, work: impl FnOnce() -> W) -> Flight
    where
        W: Future<Output = Outcome> + Send + 'static,
    {
        match hold(&self.under_way).entry(id.clone()) {
            Entry::Occupied(flight) => flight.get().clone(),
            Entry::Vacant(place) => {
                let (tell, told) = watch::channel(None);
                let landing = Landing { id: id.clone(), under_way: Arc::clone(&self.under_way) };
                let work = work();
                tokio::spawn(async move {
                    let _landing = landing;
                    let outcome = work.await;
                    let _ = tell.send(Some(outcome));
                });
                place.insert(Flight(told)).clone()
            }
        }
    }

    /// Returns once what is under way now has ended, or after `patience`: before the database is closed, so that what a
    /// vendor has given is stored.
    pub async fn settle(&self, patience: Duration) {
        let flights: Vec<_> = hold(&self.under_way).values().cloned().collect();
        let all = async {
            for flight in flights {
                flight.outcome().await;
            }
        };
        if timeout(patience, all).await.is_err() {
            tracing::error!(?patience, "refreshes were still under way when the time was over");
        }
    }
}

impl Flight {
    /// How it ended. `None`: it broke off.
    pub(super) async fn outcome(mut self) -> Option<Outcome> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn id(digit: &str) -> ConnectionId {
        ConnectionId::parse(&digit.repeat(32)).unwrap()
    }

    #[tokio::test]
    async fn many_share_one_and_it_outlives_them() {
        let flights = Flights::new(&Entropy::System);
        let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let join = |name| {
            let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
            flights.join(&id(name), move || async move {
                begun.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                ended.fetch_add(1, Ordering::SeqCst);
                Err(NotFresh::Gone)
            })
        };
        let all: Vec<_> = (0..10).map(|_| join("1")).collect();
        drop(join("2"));
        for flight in all {
            assert!(matches!(flight.outcome().await, Some(Err(NotFresh::Gone))));
        }
        flights.settle(Duration::from_secs(5)).await;
        assert_eq!((begun.load(Ordering::SeqCst), ended.load(Ordering::SeqCst)), (2, 2));
        join("1").outcome().await;
        assert_eq!(begun.load(Ordering::SeqCst), 3, "the first is over");
    }

    #[tokio::test]
    async fn one_that_breaks_off_blocks_nobody() {
        let flights = Flights::new(&Entropy::System);
        let broken = flights.join(&id("1"), || async { panic!("broken") });
        assert!(broken.outcome().await.is_none());
        tokio::task::yield_now().await;
        let next = flights.join(&id("1"), || async { Err(NotFresh::Gone) });
        assert!(next.outcome().await.is_some());
    }

    #[tokio::test]
    async fn no_one_waits_for_ever_for_the_last_of_them() {
        let flights = Flights::new(&Entropy::System);
        let _stuck = flights.join(&id("1"), std::future::pending);
        flights.settle(Duration::from_millis(20)).await;
    }
}
