//! Table `browser_sessions`: what tower-sessions keeps for the holder of a cookie. The cookie's value is stored as its
//! hash, so that a stolen database signs nobody in.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use sqlx::types::Json;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store,
};

use super::{Db, StoreError, on};
use crate::{clock::Clock, entropy::Entropy, secret::TokenHash};

/// The key of a record that names the session of whoever is signed in.
pub const SIGNED_IN: &str = "signed_in";

/// How long a browser is remembered in which nobody signed in: long enough for an interaction and a walk through the
/// provider's pages.
const ANONYMOUS: Duration = Duration::from_secs(3600);

/// The store behind tower-sessions.
#[derive(Clone)]
pub struct BrowserSessions {
    /// The database.
    pub db: Db,
    /// The clock by which records expire.
    pub clock: Clock,
    /// Where cookie values come from.
    pub entropy: Entropy,
    /// How long a browser is remembered in which somebody signed in.
    pub signed_in: Duration,
}

/// tower-sessions asks for it; none of the parts has anything to say.
impl std::fmt::Debug for BrowserSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrowserSessions").finish_non_exhaustive()
    }
}

impl BrowserSessions {
    async fn write(&self, record: &Record, statement: &'static str) -> Result<(), StoreError> {
        let lifetime = if record.data.contains_key(SIGNED_IN) { self.signed_in } else { ANONYMOUS };
        let mut tx = self.db.begin().await?;
        on!(tx, |executor| sqlx::query(statement)
            .bind(hash(&record.id))
            .bind(Json(&record.data))
            .bind(self.clock.now().plus(lifetime))
            .execute(executor)
            .await
            .map(drop))?;
        tx.commit().await
    }
}

fn hash(id: &Id) -> TokenHash {
    TokenHash::of(&id.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn backend(error: StoreError) -> session_store::Error {
    session_store::Error::Backend(error.to_string())
}

#[async_trait]
impl SessionStore for BrowserSessions {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        record.id = Id(i128::from_le_bytes(self.entropy.bytes()));
        self.write(record, "INSERT INTO browser_sessions (id_hash, data, expires_at) VALUES ($1, $2, $3)")
            .await
            .map_err(backend)
    }

    /// Only an existing record is changed: one that was ended elsewhere does not come back.
    async fn save(&self, record: &Record) -> session_store::Result<()> {
        self.write(record, "UPDATE browser_sessions SET data = $2, expires_at = $3 WHERE id_hash = $1")
            .await
            .map_err(backend)
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let found: Option<(Json<HashMap<String, Value>>,)> = on!(self.db, |executor| sqlx::query_as(
            "SELECT data FROM browser_sessions WHERE id_hash = $1 AND expires_at > $2"
        )
        .bind(hash(id))
        .bind(self.clock.now())
        .fetch_optional(executor)
        .await)
        .map_err(backend)?;
        // The date is for stores that keep time by it; ours does so by the column above.
        let expiry_date = time::OffsetDateTime::from_unix_timestamp(253_402_300_799)
            .map_err(|error| session_store::Error::Decode(error.to_string()))?;
        Ok(found.map(|(Json(data),)| Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        let deleted: Result<(), StoreError> = async {
            let mut tx = self.db.begin().await?;
            on!(tx, |executor| sqlx::query("DELETE FROM browser_sessions WHERE id_hash = $1")
                .bind(hash(id))
                .execute(executor)
                .await
                .map(drop))?;
            tx.commit().await
        }
        .await;
        deleted.map_err(backend)
    }
}
