//! The proof, at start-up, that the configured keys are those that this database was sealed with.
//!
//! A wrong key under a right name would otherwise be noticed one failing row at a time, while new rows are sealed
//! with it.

use super::{OpenError, SealContext, Sealer, seal_with};
use crate::{
    audit::{self, Event, Kind, Origin},
    clock::Clock,
    entropy::Entropy,
    store::{Db, StoreError, key_proofs},
};

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
        "the encryption key `{0}` has sealed values in this database and is not configured: \
         add it again, below the others if it shall not seal new ones"
    )]
    Missing(String),
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the known text of each configured key; a key that is new to the database leaves one. Instances that start
/// together with different keys under one id cannot both pass.
pub async fn prove_keys(
    db: &Db,
    sealer: &Sealer,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<(), KeyProofError> {
    let configured = |id: &String| sealer.keys().any(|key| key.id == *id);
    if let Some(missing) = key_proofs::key_ids(db).await?.into_iter().find(|id| !configured(id)) {
        return Err(KeyProofError::Missing(missing));
    }
    for key in sealer.keys() {
        let context = SealContext {
            table: "key_proofs",
            column: "sealed",
            row: &key.id,
            owner: "",
            provider: "",
            version: 1,
        };
        let fresh = seal_with(key, entropy, &context, KNOWN_TEXT);
        let mut tx = db.begin().await?;
        let kept = key_proofs::keep(&mut tx, &key.id, &fresh, clock.now()).await?;
        if kept == fresh {
            let event = Event::new(Kind::KeyCreated, &Origin::house(entropy))
                .detail("use", "encryption")
                .detail("id", &key.id);
            audit::record(&mut tx, clock, entropy, &event).await?;
        }
        tx.commit().await?;
        match sealer.open(&context, &kept) {
            Ok(text) if *text == KNOWN_TEXT => {}
            Ok(_) | Err(OpenError::WrongKey(_) | OpenError::Tampered) => {
                return Err(KeyProofError::Wrong(key.id.clone()));
            }
            Err(error @ (OpenError::Unknown | OpenError::UnknownKey(_))) => {
                return Err(StoreError::Corrupt(error.to_string()).into());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{
        clock::Timestamp,
        config::encryption::{EncryptionKey, KeyBytes},
        store::{fixture::On, on},
    };

    fn sealer(keys: &[(&str, u8)]) -> Sealer {
        let key =
            |(id, byte): &(&str, u8)| EncryptionKey { id: (*id).into(), key: KeyBytes::new([*byte; 32]) };
        Sealer::new(&keys.iter().map(key).collect::<Vec<_>>()).unwrap()
    }

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
