//! Counting what strangers do too often.

use std::{collections::HashMap, hash::Hash, net::IpAddr, time::Duration};

use moka::sync::Cache;

use crate::{
    clock::Timestamp,
    config::connection::Connections,
    ids::{ClientId, ConnectionName, UserId},
};

/// At most this many keys are remembered per limit; beyond that the least used are forgotten.
const MAX_KEYS: u64 = 100_000;

/// At most `most` events of a key within a window that begins with the first.
pub struct Limit<K> {
    most: u32,
    window: Duration,
    counts: Cache<K, (Timestamp, u32)>,
}

impl<K: Hash + Eq + Send + Sync + 'static> Limit<K> {
    fn new(most: u32, window: Duration) -> Self {
        Self { most, window, counts: Cache::new(MAX_KEYS) }
    }

    /// Whether one more is within the limit.
    pub fn admits(&self, key: &K, now: Timestamp) -> bool {
        self.wait(key, now).is_none()
    }

    /// How long it takes until one more is within the limit. `None`: it is.
    pub fn wait(&self, key: &K, now: Timestamp) -> Option<Duration> {
        let (began, count) = self.counts.get(key)?;
        let left = self.window.checked_sub(now.since(began)).filter(|left| !left.is_zero())?;
        (count >= self.most).then_some(left)
    }

    /// Counts one more.
    pub fn count(&self, key: K, now: Timestamp) {
        self.counts.entry(key).and_upsert_with(|entry| match entry.map(moka::Entry::into_value) {
            Some((began, count)) if now.since(began) < self.window => (began, count.saturating_add(1)),
            _ => (now, 1),
        });
    }
}

/// The limits of this process.
pub struct Limits {
    /// Failed client authentications of one client from one address (OAuth 2.1 §2.4.1 demands a bound).
    pub client_failures: Limit<(ClientId, IpAddr)>,
    /// Registrations from one address.
    pub registrations: Limit<IpAddr>,
    /// Refusals from one address that are recorded; the rest are only logged, so that a flood cannot fill the record.
    pub recorded_refusals: Limit<IpAddr>,
    /// Logout tokens from one address that were refused.
    pub refused_logouts: Limit<IpAddr>,
    /// Sealed values that do not open, by table and row, and how often that is recorded; the log has each time.
    pub unopened: Limit<(&'static str, String)>,
    /// Sign-ins and authorizations begun from one address, each of which writes a row.
    pub begun: Limit<IpAddr>,
    /// Tokens of a connection that one client has for one person, as the connection's entry says.
    pub vends: HashMap<ConnectionName, Limit<(ClientId, UserId)>>,
    /// Links that one client has made for one person and connection, each of which writes a row. A client that asks
    /// again is given the same link; ten that differ are enough for anything that it may need.
    pub links: Limit<(ClientId, UserId, ConnectionName)>,
}

impl Limits {
    /// Nobody has done anything yet.
    pub fn new(connections: &Connections) -> Self {
        let minute = Duration::from_secs(60);
        let vends = connections.iter().map(|connection| {
            (connection.name.clone(), Limit::new(connection.limits.vends_per_minute.get(), minute))
        });
        Self {
            vends: vends.collect(),
            links: Limit::new(10, 10 * minute),
            client_failures: Limit::new(20, minute),
            registrations: Limit::new(60, minute),
            recorded_refusals: Limit::new(120, minute),
            refused_logouts: Limit::new(600, minute),
            unopened: Limit::new(1, 60 * minute),
            begun: Limit::new(600, minute),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_per_key_and_ends_with_its_window() {
        let limit = Limit::new(2, Duration::from_secs(60));
        let at = Timestamp::from_secs;
        limit.count("a", at(0));
        assert!(limit.admits(&"a", at(1)));
        limit.count("a", at(1));
        assert!(!limit.admits(&"a", at(59)));
        assert!(limit.admits(&"b", at(59)));
        assert!(limit.admits(&"a", at(60)));
    }
}
