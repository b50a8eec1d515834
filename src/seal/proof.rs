//! The proof, at start-up, that the configured keys are those that this database was sealed with.
//!
//! A wrong key under a right name would otherwise be noticed one failing row at a time, while new rows are sealed
//! with it.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    KeyUnavailable, OpenError, SealContext, Sealer,
    envelope::KEY,
    key::{DataKey, KeyEncryptionKey},
};
use crate::{
    audit::{self, Event, Kind, Origin},
    clock::Clock,
    entropy::Entropy,
    store::{
        Db, StoreError,
        key_proofs::{self, Known},
        sealed_values,
    },
};

/// What every proof begins with; 32 random bytes follow, except in those of old.
const KNOWN_TEXT: &[u8] = b"chancery";

/// Why the server must not start with these keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyProofError {
    /// The key under this id is not the one that sealed what is in the database.
    #[error(
        "the encryption key `{0}` is not the one that this database was sealed with: \
         put the earlier key back, or give the new one an id of its own"
    )]
    Wrong(String),
    /// A key that was used on this database is not configured any more.
    #[error(
        "the encryption key `{0}` has sealed values in this database and is not configured: add it again, below the \
         others if it shall not seal new ones; after `chancery keys rotate --encryption` it can be left out"
    )]
    Missing(String),
    /// The same of a key that had nothing left once, and has now.
    #[error(
        "the encryption key `{id}` is not configured, and so many values in this database are sealed by it: {values}. \
         Add it again, below the others, and run `chancery keys rotate --encryption` once no server seals with it"
    )]
    Needed {
        /// The key.
        id: String,
        /// How many they are.
        values: u64,
    },
    /// The service that keeps the key does not let us use it.
    #[error("{0}; `chancery check --online` asks it alone")]
    Unavailable(#[from] KeyUnavailable),
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the configured keys stand for where no value is sealed: secrets that are the same on every instance and change
/// with the keys. The first is for what is made now, all for what was made.
pub struct Roots(pub(super) Vec<DataKey>);

/// 256 secret bits for one purpose.
pub type DerivedKey = Zeroizing<[u8; KEY]>;

impl Roots {
    /// A key for a purpose other than sealing, derived from each configured key (RFC 5869): the first to make
    /// something with, the rest to know again what was made with them.
    pub fn derived(&self, purpose: &[u8]) -> (DerivedKey, Vec<DerivedKey>) {
        let mut keys = self.0.iter().map(|root| derive(root, purpose));
        (keys.next().unwrap_or_default(), keys.collect())
    }
}

#[expect(clippy::expect_used, reason = "HKDF gives up to 255 times 32 bytes, and this asks for 32")]
fn derive(root: &DataKey, purpose: &[u8]) -> DerivedKey {
    let mut derived = Zeroizing::new([0; KEY]);
    let hkdf = Hkdf::<Sha256>::new(None, root.as_slice());
    hkdf.expand(purpose, derived.as_mut()).expect("32 bytes are few enough");
    derived
}

/// Opens the known text of each configured key; a key that is new to the database leaves one. Instances that start
/// together with different keys under one id cannot both pass. A key that is not configured any more is forgotten if it
/// is idle and nothing is sealed by it, which is looked up only then.
pub async fn prove_keys(
    db: &Db,
    sealer: &Sealer,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<Roots, KeyProofError> {
    for known in key_proofs::all(db).await? {
        if !sealer.keys().any(|key| key.id() == known.key_id) {
            let_go(db, &known, (clock, entropy)).await?;
        }
    }
    let mut roots = Vec::new();
    for key in sealer.keys() {
        roots.push(prove(db, sealer, key, (clock, entropy)).await?);
    }
    Ok(Roots(roots))
}

/// Forgets a key that is not configured any more, unless something may still be sealed by it.
async fn let_go(
    db: &Db,
    Known { key_id: id, idle_since }: &Known,
    (clock, entropy): (&Clock, &Entropy),
) -> Result<(), KeyProofError> {
    if idle_since.is_none() {
        return Err(KeyProofError::Missing(id.clone()));
    }
    let mut values = 0;
    for column in &sealed_values::COLUMNS {
        values += sealed_values::count(db, column, id).await?;
    }
    if values > 0 {
        return Err(KeyProofError::Needed { id: id.clone(), values });
    }
    let mut tx = db.begin().await?;
    if key_proofs::forget(&mut tx, id).await? {
        let event = Event::new(Kind::KeyDropped, &Origin::house(entropy)).detail("id", id);
        audit::record(&mut tx, clock, entropy, &event).await?;
    }
    Ok(tx.commit().await?)
}

/// Proves one key, and gives what it stands for. The bytes of a key that lives elsewhere are not ours to derive from,
/// so its proof holds some that are.
async fn prove(
    db: &Db,
    sealer: &Sealer,
    key: &KeyEncryptionKey,
    (clock, entropy): (&Clock, &Entropy),
) -> Result<DataKey, KeyProofError> {
    let id = key.id();
    let context =
        SealContext { table: "key_proofs", column: "sealed", row: id, owner: "", provider: "", version: 1 };
    let fresh = Zeroizing::new([KNOWN_TEXT, &*Zeroizing::new(entropy.bytes::<KEY>())].concat());
    let fresh = sealer.prepare_with(key, entropy, &context).await?.seal(&fresh);
    let mut tx = db.begin().await?;
    let seals = id == sealer.first.id();
    let kept = key_proofs::keep(&mut tx, id, &fresh, (clock.now(), seals)).await?;
    if kept == fresh {
        let event = Event::new(Kind::KeyCreated, &Origin::house(entropy))
            .detail("use", "encryption")
            .detail("id", id);
        audit::record(&mut tx, clock, entropy, &event).await?;
    }
    tx.commit().await?;
    // The service shall be asked, and not what was kept of it a moment ago.
    sealer.forget_data_keys();
    let proof = sealer.open(&context, &kept).await.map_err(|error| match error {
        OpenError::WrongKey(_) | OpenError::Tampered => KeyProofError::Wrong(id.into()),
        OpenError::Unavailable(error) => error.into(),
        OpenError::Unknown | OpenError::UnknownKey(_) => StoreError::Corrupt(error.to_string()).into(),
    })?;
    let held = proof.strip_prefix(KNOWN_TEXT).ok_or_else(|| KeyProofError::Wrong(id.into()))?;
    match key {
        KeyEncryptionKey::Local(key) => Ok(Zeroizing::new(*key.bytes.expose())),
        KeyEncryptionKey::Transit(_) => {
            let root = held.first_chunk().copied().map(Zeroizing::new);
            root.ok_or_else(|| StoreError::Corrupt(format!("the proof of the key `{id}`")).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{
        clock::Timestamp,
        seal::fixture::sealer,
        store::{fixture::On, on},
    };

    #[rstest]
    #[tokio::test]
    async fn only_the_keys_that_sealed_a_database_start_on_it(
        #[values(On::Sqlite, On::Postgres)] engine: On,
    ) {
        let Some(fresh) = engine.fresh().await else { return };
        let (clock, entropy) = (Clock::manual(Timestamp::from_secs(1)), Entropy::seeded(1));
        let prove = async |keys: &[(&str, u8)]| prove_keys(&fresh.db, &sealer(keys), &clock, &entropy).await;

        prove(&[("a", 1)]).await.unwrap();
        prove(&[("a", 1)]).await.unwrap();
        assert!(matches!(prove(&[("a", 2)]).await, Err(KeyProofError::Wrong(id)) if id == "a"));
        prove(&[("b", 2), ("a", 1)]).await.unwrap();
        assert!(matches!(prove(&[("b", 2)]).await, Err(KeyProofError::Missing(id)) if id == "a"));
        assert!(matches!(prove(&[("b", 1), ("a", 2)]).await, Err(KeyProofError::Wrong(_))));
        prove(&[("a", 1), ("b", 2)]).await.unwrap();

        let recorded: Vec<(String, String)> = on!(fresh.db, |executor| {
            sqlx::query_as("SELECT event, details FROM audit ORDER BY details").fetch_all(executor).await
        })
        .unwrap();
        let met = |id: &str| ("key.created".to_owned(), format!(r#"{{"id":"{id}","use":"encryption"}}"#));
        assert_eq!(recorded, [met("a"), met("b")], "each once, and a wrong one never");
    }

    #[rstest]
    #[tokio::test]
    async fn of_two_keys_under_one_id_that_start_at_once_one_is_refused(
        #[values(On::Sqlite, On::Postgres)] engine: On,
    ) {
        let Some(fresh) = engine.fresh().await else { return };
        let (clock, entropy) = (Clock::manual(Timestamp::from_secs(1)), Entropy::seeded(1));
        let (one, two) = (sealer(&[("a", 1)]), sealer(&[("a", 2)]));
        let (one, two) = tokio::join!(
            prove_keys(&fresh.db, &one, &clock, &entropy),
            prove_keys(&fresh.db, &two, &clock, &entropy)
        );
        assert!(one.is_ok() != two.is_ok());
    }
}
