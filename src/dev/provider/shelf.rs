//! Codes and tokens in memory, found by the hash of what was handed out, for a fixed time.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::{clock::Timestamp, secret::TokenHash};

/// The most entries kept; when reached, the oldest makes room, so that a loop of sign-ins cannot fill the memory.
const MAX_ENTRIES: usize = 10_000;

/// Entries that last a fixed time.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    lifetime: Duration,
    entries: HashMap<TokenHash, (Timestamp, T)>,
    by_age: VecDeque<(Timestamp, TokenHash)>,
}

impl<T> Shelf<T> {
    pub(super) fn lasting(lifetime: Duration) -> Self {
        Self { lifetime, entries: HashMap::new(), by_age: VecDeque::new() }
    }

    pub(super) fn put(&mut self, token: &str, value: T, now: Timestamp) {
        while let Some((expires, oldest)) = self.by_age.front()
            && (*expires <= now || self.by_age.len() >= MAX_ENTRIES)
        {
            self.entries.remove(oldest);
            self.by_age.pop_front();
        }
        let (hash, expires) = (TokenHash::of(token), now.plus(self.lifetime));
        self.entries.insert(hash.clone(), (expires, value));
        self.by_age.push_back((expires, hash));
    }

    pub(super) fn get(&self, token: &str, now: Timestamp) -> Option<&T> {
        let (expires, value) = self.entries.get(&TokenHash::of(token))?;
        (*expires > now).then_some(value)
    }

    pub(super) fn remove(&mut self, token: &str) {
        self.entries.remove(&TokenHash::of(token));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_and_the_oldest_make_room() {
        let mut shelf = Shelf::lasting(Duration::from_secs(60));
        let start = Timestamp::from_secs(0);
        for n in 0..=MAX_ENTRIES {
            shelf.put(&n.to_string(), n, start);
        }
        assert_eq!(shelf.get("0", start), None);
        assert_eq!(shelf.get("1", start), Some(&1));
        assert_eq!(shelf.get("1", Timestamp::from_secs(60)), None);
        shelf.put("new", 0, Timestamp::from_secs(60));
        assert_eq!((shelf.entries.len(), shelf.by_age.len()), (1, 1));
    }
}
