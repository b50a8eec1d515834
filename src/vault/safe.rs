//! The safe: the one place where tokens of connections are sealed and opened.
//!
//! Every opening is counted. Nobody needs more of them than there are requests, so a rate beyond [`MANY_OPENS`] is told
//! to the log as something to look at: somebody may be emptying the vault.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    clock::Timestamp,
    entropy::Entropy,
    ids::{ConnectionId, ConnectionName, UserId},
    seal::{KeyUnavailable, OpenError, ReadyKey, SealContext, Sealed, Sealer},
    secret::Secret,
    store::{connections::Connection, revocations::Revocation},
};

/// How many openings within a minute are remarkable: three times what one core can vend.
const MANY_OPENS: u32 = 300_000;

/// What is counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// The tokens of a connection, in the clear for as long as this lives.
#[derive(Clone)]
pub struct Kept {
    /// What is handed out: an access token, or a credential that stays as it is.
    pub access: Secret,
    /// What the next one is got with. It never leaves the vault.
    pub refresh: Option<Secret>,
}

impl Kept {
    /// Seals the tokens for the place that the key was prepared for.
    pub fn seal(&self, ready: ReadyKey) -> Sealed {
        ready.seal(&self.written())
    }

    #[expect(clippy::expect_used, reason = "two strings can be written as JSON into memory")]
    fn written(&self) -> Zeroizing<Vec<u8>> {
        let written =
            Written { access: self.access.expose(), refresh: self.refresh.as_ref().map(Secret::expose) };
        // So large that it never moves and leaves a copy behind: escaped, a byte takes six.
        let length = written.access.len() + written.refresh.map_or(0, str::len);
        let mut plain = Zeroizing::new(Vec::with_capacity(6 * length + 64));
        serde_json::to_writer(&mut *plain, &written).expect("memory takes it");
        plain
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.refresh.is_some() { "Kept(***, ***)" } else { "Kept(***)" })
    }
}

/// The form under the seal.
#[derive(Serialize)]
struct Written<'a> {
    access: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<&'a str>,
}

#[derive(Deserialize)]
struct Read {
    access: Secret,
    refresh: Option<Secret>,
}

/// Where tokens belong. What is sealed for one place opens in no other.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The connection's id.
    pub id: &'a ConnectionId,
    /// Whose it is.
    pub user: &'a UserId,
    /// Which entry under `connections:` it is of.
    pub name: &'a ConnectionName,
    /// The generation of the tokens.
    pub generation: i64,
}

impl<'a> Place<'a> {
    fn context(self) -> SealContext<'a> {
        SealContext {
            table: "connections",
            column: "tokens",
            row: self.id.as_str(),
            owner: self.user.as_str(),
            provider: self.name.as_str(),
            version: self.generation,
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Safe {
    sealer: Sealer,
    opened: AtomicU64,
    window: Mutex<(Timestamp, u32)>,
}

impl Safe {
    /// A safe whose locks are the configured keys.
    pub fn new(sealer: Sealer) -> Self {
        Self { sealer, opened: AtomicU64::new(0), window: Mutex::new((Timestamp::from_millis(0), 0)) }
    }

    /// Does all of sealing for a place that can fail or wait, before there are tokens to be sealed.
    pub async fn prepare(&self, entropy: &Entropy, place: Place<'_>) -> Result<ReadyKey, KeyUnavailable> {
        self.sealer.prepare(entropy, &place.context()).await
    }

    /// Opens the tokens of a connection.
    pub async fn open(&self, connection: &Connection, now: Timestamp) -> Result<Kept, OpenError> {
        let Connection { id, user_id: user, name, generation, tokens, .. } = connection;
        self.open_at(Place { id, user, name, generation: *generation }, tokens, now).await
    }

    /// Opens the tokens of a connection that is gone.
    pub async fn open_owed(&self, owed: &Revocation, now: Timestamp) -> Result<Kept, OpenError> {
        let Revocation { connection_id: id, user_id: user, name, generation, tokens, .. } = owed;
        self.open_at(Place { id, user, name, generation: *generation }, tokens, now).await
    }

    /// How often it was opened since the process began.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    async fn open_at(&self, place: Place<'_>, sealed: &Sealed, now: Timestamp) -> Result<Kept, OpenError> {
        if self.count(now) {
            tracing::error!(opened = MANY_OPENS, within = ?WINDOW, "the vault is opened remarkably often");
        }
        let plain = self.sealer.open(&place.context(), sealed).await?;
        let Read { access, refresh } = serde_json::from_slice(&plain).map_err(|_| OpenError::Unknown)?;
        Ok(Kept { access, refresh })
    }

    /// Counts an opening. Whether they have become remarkably many just now.
    fn count(&self, now: Timestamp) -> bool {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, count) = &mut *window;
        if now.since(*began) >= WINDOW {
            (*began, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count == MANY_OPENS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{seal::fixture::sealer, store::connections::fixture};

    fn safe() -> Safe {
        Safe::new(sealer(&[("a", 1)]))
    }

    fn kept() -> Kept {
        Kept { access: Secret::new("at-\"ü".into()), refresh: Some(Secret::new("rt".into())) }
    }

    async fn sealed(safe: &Safe) -> Connection {
        let mut connection = fixture::connection(&UserId::parse(&"0".repeat(32)).unwrap());
        let Connection { id, user_id: user, name, generation, .. } = &connection;
        let place = Place { id, user, name, generation: *generation };
        let ready = safe.prepare(&Entropy::System, place).await.unwrap();
        connection.tokens = kept().seal(ready);
        connection
    }

    #[tokio::test]
    async fn tokens_open_where_they_belong_and_every_time_is_counted() {
        let (safe, now) = (safe(), Timestamp::from_secs(1));
        let connection = sealed(&safe).await;
        let opened = safe.open(&connection, now).await.unwrap();
        assert_eq!(opened.access.expose(), kept().access.expose());
        assert_eq!(opened.refresh.as_ref().map(Secret::expose), Some("rt"));
        let id = crate::ids::RevocationId::parse(&"1".repeat(32)).unwrap();
        safe.open_owed(&Revocation::of(connection, id, now), now).await.unwrap();
        assert_eq!(safe.opened(), 2);
    }

    /// Somebody who can write to the database can take no tokens into another row, nor put old ones back.
    #[tokio::test]
    async fn tokens_open_nowhere_else() {
        let (safe, now) = (safe(), Timestamp::from_secs(1));
        let connection = sealed(&safe).await;
        let other = || UserId::parse(&"1".repeat(32)).unwrap();
        let elsewhere = [
            Connection { id: ConnectionId::parse(&"1".repeat(32)).unwrap(), ..connection.clone() },
            Connection { user_id: other(), ..connection.clone() },
            Connection { name: ConnectionName::try_from("slack".to_owned()).unwrap(), ..connection.clone() },
            Connection { generation: connection.generation + 1, ..connection.clone() },
        ];
        for moved in elsewhere {
            assert_eq!(safe.open(&moved, now).await.unwrap_err(), OpenError::Tampered, "{moved:?}");
        }
    }

    #[test]
    fn remarkably_many_openings_are_told_once_a_window() {
        let safe = safe();
        let told = |at: u64, openings: u32| {
            let now = Timestamp::from_secs(at.try_into().unwrap());
            (0..openings).filter(|_| safe.count(now)).count()
        };
        assert_eq!(told(100, MANY_OPENS - 1), 0);
        assert_eq!(told(160, MANY_OPENS - 1), 0, "those of a minute ago count no more");
        assert_eq!((told(219, 1), told(219, MANY_OPENS)), (1, 0));
        assert_eq!(told(220, MANY_OPENS), 1);
    }

    #[test]
    fn tokens_never_print() {
        assert_eq!(format!("{:?}", kept()), "Kept(***, ***)");
    }
}
