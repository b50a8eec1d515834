//! Our own signing keys: made at the first start, sealed in the database, published before they sign and for as long
//! as a token of theirs can be alive. Each of our roles has a ring of its own.
//!
//! A key is *upcoming* until its `active_at`, then *current*, and *retiring* from its successor's `active_at` until
//! its `retired_at`. All three are published. Instances on one database agree: a key is made under a lock, and each
//! instance reads the table again from time to time ([`KeyRing::reload`]).

use std::{
    fmt,
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
    oauth::purpose::Role,
    seal::{KeyUnavailable, OpenError, SealContext, Sealed, Sealer},
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

/// The keys of one role at work.
pub struct KeyRing {
    role: Role,
    clock: Clock,
    ring: RwLock<Arc<Ring>>,
}

/// Nothing of a key.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({})", self.role.as_str())
    }
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
    /// None can be sealed.
    #[error(transparent)]
    Unavailable(#[from] KeyUnavailable),
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
    /// Reads the role's keys, or makes the first one. Instances that start together on one database end with the same
    /// key.
    pub async fn load_or_create(
        role: Role,
        db: &Db,
        sealer: &Sealer,
        clock: &Clock,
        entropy: &Entropy,
    ) -> Result<Self, KeyRingError> {
        let now = clock.now();
        let mut keys = signing_keys::published(db, role, now).await?;
        if keys.is_empty() {
            keys = create_first(role, db, sealer, (clock, entropy)).await?;
        }
        let ring = Ring::read(role, &keys, sealer, now).await?;
        Ok(Self { role, clock: clock.clone(), ring: RwLock::new(Arc::new(ring)) })
    }

    /// Reads the keys again, so that one that another instance made is published here as well.
    pub async fn reload(&self, db: &Db, sealer: &Sealer) -> Result<(), KeyRingError> {
        let now = self.clock.now();
        let keys = signing_keys::published(db, self.role, now).await?;
        let ring = Ring::read(self.role, &keys, sealer, now).await?;
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
        let new = make(self.role, sealer, entropy).await?;
        let mut tx = db.begin().await?;
        let present = signing_keys::lock(&mut tx, self.role, now).await?;
        let waiting = present.last().filter(|key| key.active_at > now);
        let next = if let Some(waiting) = waiting {
            waiting.clone()
        } else {
            let active_at = now.plus(PUBLISH_AHEAD);
            let retired_at = active_at.plus(longest_lifetime).plus(PUBLISH_AFTER);
            signing_keys::retire_all(&mut tx, self.role, retired_at).await?;
            for key in present.iter().filter(|key| key.retired_at.is_none()) {
                let event = Event::new(audit::Kind::KeyRetired, &Origin::house(entropy))
                    .detail("role", self.role.as_str())
                    .detail("kid", &key.id)
                    .detail("signs_until", active_at)
                    .detail("published_until", retired_at);
                audit::record(&mut tx, &self.clock, entropy, &event).await?;
            }
            insert(self.role, &mut tx, new, (&self.clock, entropy), active_at).await?
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
        self.verify(token, Kind::AccessToken)
    }

    /// The same of an ID token.
    pub fn verify_own_id_token(&self, token: &str) -> Result<Verified, VerifyError> {
        self.verify(token, Kind::IdToken)
    }

    fn verify(&self, token: &str, kind: Kind) -> Result<Verified, VerifyError> {
        let token = Unverified::parse(token, kind, &ALGORITHMS)?;
        let key = self.ring().published.find(token.kid(), token.algorithm())?;
        token.verify(&key)
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Ring {
    /// Opens `keys`, which are in the order in which they become active.
    async fn read(
        role: Role,
        keys: &[SigningKey],
        sealer: &Sealer,
        now: Timestamp,
    ) -> Result<Self, KeyRingError> {
        let mut entries: Vec<Value> = Vec::new();
        let mut current = None;
        let mut upcoming = None;
        for key in keys {
            let pkcs8 = sealer
                .open(&context(role, &key.id), &key.sealed)
                .await
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
    role: Role,
    db: &Db,
    sealer: &Sealer,
    (clock, entropy): (&Clock, &Entropy),
) -> Result<Vec<SigningKey>, KeyRingError> {
    let now = clock.now();
    let first = make(role, sealer, entropy).await?;
    let mut tx = db.begin().await?;
    let mut keys = signing_keys::lock(&mut tx, role, now).await?;
    if keys.is_empty() {
        keys.push(insert(role, &mut tx, first, (clock, entropy), now).await?);
        tx.commit().await?;
    }
    Ok(keys)
}

/// A key that is nowhere yet: its `kid`, and itself, sealed.
async fn make(role: Role, sealer: &Sealer, entropy: &Entropy) -> Result<(String, Sealed), KeyRingError> {
    let pkcs8 = ALGORITHM.generate()?;
    let id = Signer::from_pkcs8(ALGORITHM, &pkcs8)?.kid().to_owned();
    let sealed = sealer.seal(entropy, &context(role, &id), &pkcs8).await?;
    Ok((id, sealed))
}

/// Keeps a key that was made, and records it.
async fn insert(
    role: Role,
    tx: &mut Tx,
    (id, sealed): (String, Sealed),
    (clock, entropy): (&Clock, &Entropy),
    active_at: Timestamp,
) -> Result<SigningKey, KeyRingError> {
    let key =
        SigningKey { id, algorithm: ALGORITHM, sealed, created_at: clock.now(), active_at, retired_at: None };
    signing_keys::insert(tx, role, &key).await?;
    let event = Event::new(audit::Kind::KeyCreated, &Origin::house(entropy))
        .detail("use", "signing")
        .detail("role", role.as_str())
        .detail("kid", &key.id)
        .detail("signs_from", active_at);
    audit::record(tx, clock, entropy, &event).await?;
    Ok(key)
}

/// The role is part of it: a key that is moved from one to the other does not open.
fn context(role: Role, kid: &str) -> SealContext<'_> {
    let owner = match role {
        Role::AuthorizationServer => "",
        Role::IdentityProvider => role.as_str(),
    };
    SealContext { table: "signing_keys", column: "sealed", row: kid, owner, provider: "", version: 1 }
}

#[cfg(test)]
mod tests;
