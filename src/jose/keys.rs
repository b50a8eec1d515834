//! Our own signing keys: made at the first start, sealed in the database, published before they sign and for as long
//! as a token of theirs can be alive.
//!
//! A key is *upcoming* until its `active_at`, then *current*, and *retiring* from its successor's `active_at` until
//! its `retired_at`. All three are published. Instances on one database agree: a key is made under a lock, and each
//! instance reads the table again from time to time ([`KeyRing::reload`]).

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::error::{KeyRejected, Unspecified};
use axum::body::Bytes;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{
    KeySet, Signer, Unverified, Verified, VerifyError, key_set::KeySetError, signer::SigningAlgorithm,
    verifier::Kind,
};
use crate::{
    audit::{self, Event, Origin},
    clock::{Clock, Timestamp},
    entropy::Entropy,
    seal::{OpenError, SealContext, Sealer},
    store::{
        Db, StoreError, Tx,
        signing_keys::{self, SigningKey},
    },
};

/// How long a new key is published before it signs: every instance has read the table and every resource server has
/// fetched our key set (which it may keep for five minutes) by then.
const PUBLISH_AHEAD: Duration = Duration::from_secs(15 * 60);
/// How long a key stays published after its last token has expired: the clock skew that resource servers allow.
const PUBLISH_AFTER: Duration = Duration::from_secs(5 * 60);
/// What our tokens are signed with: what every resource server understands.
const ALGORITHM: SigningAlgorithm = SigningAlgorithm::Es256;
/// What keys in the table may sign with.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::ES256, Algorithm::EdDSA];

/// The keys at work.
pub struct KeyRing {
    clock: Clock,
    ring: RwLock<Arc<Ring>>,
}

struct Ring {
    current: Arc<Signer>,
    upcoming: Option<(Timestamp, Arc<Signer>)>,
    published: KeySet,
    document: Bytes,
}

/// Why there are no keys to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// Somebody emptied the table while we were running.
    #[error("there is no signing key in the database")]
    None,
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key in the database does not open with the configured encryption keys.
    #[error("the signing key {kid} cannot be opened: {source}")]
    Sealed {
        /// Which one.
        kid: String,
        /// Why.
        source: OpenError,
    },
    /// A key in the database is none.
    #[error("a signing key in the database is not a private key: {0}")]
    Malformed(#[from] KeyRejected),
    /// What we would publish could not be read by us.
    #[error("the published key set would be unreadable")]
    Unpublishable(#[from] KeySetError),
    /// The cryptographic library could not make a key.
    #[error("no signing key could be made")]
    Generate(#[from] Unspecified),
}

impl KeyRing {
    /// Reads the keys, or makes the first one. Instances that start together on one database end with the same key.
    pub async fn load_or_create(
        db: &Db,
        sealer: &Sealer,
        clock: &Clock,
        entropy: &Entropy,
    ) -> Result<Self, KeyRingError> {
        let now = clock.now();
        let mut keys = signing_keys::published(db, now).await?;
        if keys.is_empty() {
            keys = create_first(db, sealer, clock, entropy).await?;
        }
        let ring = Ring::read(&keys, sealer, now)?;
        Ok(Self { clock: clock.clone(), ring: RwLock::new(Arc::new(ring)) })
    }

    /// Reads the keys again, so that one that another instance made is published here as well.
    pub async fn reload(&self, db: &Db, sealer: &Sealer) -> Result<(), KeyRingError> {
        let now = self.clock.now();
        let ring = Ring::read(&signing_keys::published(db, now).await?, sealer, now)?;
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        Ok(())
    }

    /// Makes the next key, which signs from a quarter of an hour on, and lets the present one end once the last of its
    /// tokens, which live for `longest_lifetime` at most, has expired. While a next key is waiting already, nothing is
    /// done. Returns the `kid` of the next key and when it begins to sign.
    pub async fn rotate(
        &self,
        db: &Db,
        sealer: &Sealer,
        entropy: &Entropy,
        longest_lifetime: Duration,
    ) -> Result<(String, Timestamp), KeyRingError> {
        let now = self.clock.now();
        let mut tx = db.begin().await?;
        let present = signing_keys::lock(&mut tx, now).await?;
        let waiting = present.last().filter(|key| key.active_at > now);
        let next = if let Some(waiting) = waiting {
            waiting.clone()
        } else {
            let active_at = now.plus(PUBLISH_AHEAD);
            let retired_at = active_at.plus(longest_lifetime).plus(PUBLISH_AFTER);
            signing_keys::retire_all(&mut tx, retired_at).await?;
            for key in present.iter().filter(|key| key.retired_at.is_none()) {
                let event = Event::new(audit::Kind::KeyRetired, &Origin::house(entropy))
                    .detail("kid", &key.id)
                    .detail("signs_until", active_at)
                    .detail("published_until", retired_at);
                audit::record(&mut tx, &self.clock, entropy, &event).await?;
            }
            insert(&mut tx, sealer, &self.clock, entropy, active_at).await?
        };
        tx.commit().await?;
        self.reload(db, sealer).await?;
        Ok((next.id, next.active_at))
    }

    /// The key to sign with now.
    pub fn signer(&self) -> Arc<Signer> {
        let ring = self.ring();
        match &ring.upcoming {
            Some((active_at, signer)) if *active_at <= self.clock.now() => signer.clone(),
            _ => ring.current.clone(),
        }
    }

    /// The key set that we publish (RFC 7517 §5), as JSON.
    pub fn jwks_json(&self) -> Bytes {
        self.ring().document.clone()
    }

    /// Proves that an access token is of our own making. Its dates, audience and revocation are the caller's to check.
    pub fn verify_own(&self, token: &str) -> Result<Verified, VerifyError> {
        let token = Unverified::parse(token, Kind::AccessToken, &ALGORITHMS)?;
        let key = self.ring().published.find(token.kid(), token.algorithm())?;
        token.verify(&key)
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Ring {
    /// Opens `keys`, which are in the order in which they become active.
    fn read(keys: &[SigningKey], sealer: &Sealer, now: Timestamp) -> Result<Self, KeyRingError> {
        let mut entries: Vec<Value> = Vec::new();
        let mut current = None;
        let mut upcoming = None;
        for key in keys {
            let pkcs8 = sealer
                .open(&context(&key.id), &key.sealed)
                .map_err(|source| KeyRingError::Sealed { kid: key.id.clone(), source })?;
            let signer = Arc::new(Signer::from_pkcs8(key.algorithm, &pkcs8)?);
            entries.push(signer.public_jwk());
            if key.active_at <= now || current.is_none() {
                current = Some(signer);
            } else {
                upcoming = Some((key.active_at, signer));
            }
        }
        let current = current.ok_or(KeyRingError::None)?;
        let document = Bytes::from(json!({ "keys": entries }).to_string());
        Ok(Self { current, upcoming, published: KeySet::parse(&document)?, document })
    }
}

/// The first key, made by whichever instance comes first.
async fn create_first(
    db: &Db,
    sealer: &Sealer,
    clock: &Clock,
    entropy: &Entropy,
) -> Result<Vec<SigningKey>, KeyRingError> {
    let now = clock.now();
    let mut tx = db.begin().await?;
    let mut keys = signing_keys::lock(&mut tx, now).await?;
    if keys.is_empty() {
        keys.push(insert(&mut tx, sealer, clock, entropy, now).await?);
        tx.commit().await?;
    }
    Ok(keys)
}

/// Makes a key, keeps it sealed, and records it.
async fn insert(
    tx: &mut Tx,
    sealer: &Sealer,
    clock: &Clock,
    entropy: &Entropy,
    active_at: Timestamp,
) -> Result<SigningKey, KeyRingError> {
    let pkcs8 = ALGORITHM.generate()?;
    let id = Signer::from_pkcs8(ALGORITHM, &pkcs8)?.kid().to_owned();
    let sealed = sealer.seal(entropy, &context(&id), &pkcs8);
    let key =
        SigningKey { id, algorithm: ALGORITHM, sealed, created_at: clock.now(), active_at, retired_at: None };
    signing_keys::insert(tx, &key).await?;
    let event = Event::new(audit::Kind::KeyCreated, &Origin::house(entropy))
        .detail("use", "signing")
        .detail("kid", &key.id)
        .detail("signs_from", active_at);
    audit::record(tx, clock, entropy, &event).await?;
    Ok(key)
}

fn context(kid: &str) -> SealContext<'_> {
    SealContext { table: "signing_keys", column: "sealed", row: kid, owner: "", provider: "", version: 1 }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{
        config::encryption::{EncryptionKey, KeyBytes},
        store::{
            fixture::{Fresh, On},
            on,
        },
    };

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&[EncryptionKey { id: "k".into(), key: KeyBytes::new([byte; 32]) }]).unwrap()
    }

    const HOUR: Duration = Duration::from_secs(60 * 60);

    struct Stage {
        fresh: Fresh,
        sealer: Sealer,
        clock: Clock,
        entropy: Entropy,
    }

    impl Stage {
        async fn new(on: On) -> Option<Self> {
            let fresh = on.fresh().await?;
            let clock = Clock::manual(Timestamp::from_secs(1_795_219_200));
            Some(Self { fresh, sealer: sealer(1), clock, entropy: Entropy::seeded(1) })
        }

        async fn start(&self) -> Result<KeyRing, KeyRingError> {
            KeyRing::load_or_create(&self.fresh.db, &self.sealer, &self.clock, &self.entropy).await
        }

        async fn rotate(&self, keys: &KeyRing) -> (String, Timestamp) {
            keys.rotate(&self.fresh.db, &self.sealer, &self.entropy, HOUR).await.unwrap()
        }
    }

    /// What is recorded of keys: the event, and the key's `kid`.
    async fn recorded(stage: &Stage) -> Vec<(String, String)> {
        let rows: Vec<(String, String)> = on!(stage.fresh.db, |executor| {
            sqlx::query_as("SELECT event, details FROM audit ORDER BY id").fetch_all(executor).await
        })
        .unwrap();
        let kid = |details: &str| {
            serde_json::from_str::<Value>(details).unwrap()["kid"].as_str().unwrap().to_owned()
        };
        rows.into_iter().map(|(event, details)| (event, kid(&details))).collect()
    }

    fn token(keys: &KeyRing) -> String {
        keys.signer().sign("at+jwt", &json!({ "sub": "alice" })).unwrap()
    }

    fn published(keys: &KeyRing) -> Vec<String> {
        let document: Value = serde_json::from_slice(&keys.jwks_json()).unwrap();
        let kids =
            document["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned());
        kids.collect()
    }

    #[rstest]
    #[tokio::test]
    async fn the_first_start_makes_a_key_and_the_next_finds_it(#[values(On::Sqlite, On::Postgres)] on: On) {
        let Some(stage) = Stage::new(on).await else { return };
        let first = stage.start().await.unwrap();
        let second = stage.start().await.unwrap();
        assert_eq!(first.jwks_json(), second.jwks_json());
        assert_eq!(published(&first), [first.signer().kid()]);
        assert_eq!(second.verify_own(&token(&first)).unwrap().text("sub").unwrap(), "alice");
    }

    #[rstest]
    #[tokio::test]
    async fn instances_that_start_together_agree(#[values(On::Sqlite, On::Postgres)] on: On) {
        let Some(stage) = Stage::new(on).await else { return };
        if let Db::Postgres(_) = &stage.fresh.db {
            // Connections that are open already, so that nobody is late.
            let mut open = Vec::new();
            for _ in 0..8 {
                open.push(stage.fresh.db.begin().await.unwrap());
            }
        }
        let stage = Arc::new(stage);
        let mut starts = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let stage = stage.clone();
            starts.spawn(async move { published(&stage.start().await.unwrap()) });
        }
        let seen = starts.join_all().await;
        assert_eq!(seen[0].len(), 1);
        assert!(seen.iter().all(|kids| *kids == seen[0]), "{seen:?}");
        assert_eq!(published(&stage.start().await.unwrap()), seen[0]);
        assert_eq!(recorded(&stage).await, [("key.created".to_owned(), seen[0][0].clone())]);
    }

    #[rstest]
    #[tokio::test]
    async fn a_new_key_is_published_before_it_signs_and_an_old_one_as_long_as_its_tokens_live(
        #[values(On::Sqlite, On::Postgres)] on: On,
    ) {
        let Some(stage) = Stage::new(on).await else { return };
        let (here, elsewhere) = (stage.start().await.unwrap(), stage.start().await.unwrap());
        let old = here.signer().kid().to_owned();

        let (new, active_at) = stage.rotate(&here).await;
        assert_eq!(active_at, stage.clock.now().plus(PUBLISH_AHEAD));
        assert_eq!(published(&here), [old.as_str(), &new]);
        assert_eq!(here.signer().kid(), old);
        assert_eq!(stage.rotate(&here).await, (new.clone(), active_at), "one rotation at a time");
        let events = [("key.created", &old), ("key.created", &new), ("key.retired", &old)];
        let records = recorded(&stage).await;
        assert_eq!(records.len(), 3, "{records:?}");
        assert!(
            events.iter().all(|(event, kid)| records.contains(&((*event).to_owned(), (*kid).clone()))),
            "{records:?}"
        );

        elsewhere.reload(&stage.fresh.db, &stage.sealer).await.unwrap();
        assert_eq!(published(&elsewhere), [old.as_str(), &new]);
        stage.clock.advance(PUBLISH_AHEAD.saturating_sub(Duration::from_secs(1)));
        let last_of_the_old = token(&elsewhere);
        stage.clock.advance(Duration::from_secs(1));
        assert_eq!((here.signer().kid(), elsewhere.signer().kid()), (&*new, &*new));

        stage.clock.advance(HOUR);
        here.reload(&stage.fresh.db, &stage.sealer).await.unwrap();
        assert!(here.verify_own(&last_of_the_old).is_ok());
        assert_eq!(published(&stage.start().await.unwrap()), [old.as_str(), &new]);

        stage.clock.advance(PUBLISH_AFTER);
        here.reload(&stage.fresh.db, &stage.sealer).await.unwrap();
        assert_eq!(published(&here), [new.as_str()]);
        assert!(here.verify_own(&last_of_the_old).is_err());
        assert!(here.verify_own(&token(&here)).is_ok());
    }

    #[tokio::test]
    async fn rotations_that_race_make_one_key() {
        let stage = Stage::new(On::Sqlite).await.unwrap();
        let (a, b) = (stage.start().await.unwrap(), stage.start().await.unwrap());
        let (first, second) = tokio::join!(stage.rotate(&a), stage.rotate(&b));
        assert_eq!(first, second);
    }

    #[tokio::test]
    async fn another_encryption_key_opens_nothing_and_replaces_nothing() {
        let mut stage = Stage::new(On::Sqlite).await.unwrap();
        let before = published(&stage.start().await.unwrap());
        stage.sealer = sealer(2);
        assert!(matches!(stage.start().await, Err(KeyRingError::Sealed { .. })));
        stage.sealer = sealer(1);
        assert_eq!(published(&stage.start().await.unwrap()), before);
    }

    #[tokio::test]
    async fn only_our_own_access_tokens_are_ours() {
        let stage = Stage::new(On::Sqlite).await.unwrap();
        let keys = stage.start().await.unwrap();
        let id_token = keys.signer().sign("JWT", &json!({})).unwrap();
        assert!(matches!(keys.verify_own(&id_token), Err(VerifyError::Kind)));
        let foreign = Signer::from_pkcs8(ALGORITHM, &ALGORITHM.generate().unwrap()).unwrap();
        let foreign = foreign.sign("at+jwt", &json!({})).unwrap();
        assert!(matches!(keys.verify_own(&foreign), Err(VerifyError::Lookup(_))));
    }

    #[tokio::test]
    async fn the_private_key_is_kept_sealed_and_bound_to_its_row() {
        let stage = Stage::new(On::Sqlite).await.unwrap();
        stage.start().await.unwrap();
        let key = signing_keys::published(&stage.fresh.db, stage.clock.now()).await.unwrap().remove(0);
        let pkcs8 = stage.sealer.open(&context(&key.id), &key.sealed).unwrap();
        assert!(Signer::from_pkcs8(key.algorithm, &pkcs8).is_ok());
        let kept: Vec<u8> = on!(stage.fresh.db, |executor| {
            sqlx::query_scalar("SELECT sealed FROM signing_keys").fetch_one(executor).await
        })
        .unwrap();
        assert!(pkcs8.windows(16).all(|secret| !kept.windows(16).any(|seen| seen == secret)));
        let moved = SealContext { row: "another", ..context(&key.id) };
        assert_eq!(stage.sealer.open(&moved, &key.sealed).unwrap_err(), OpenError::Tampered);
    }
}
