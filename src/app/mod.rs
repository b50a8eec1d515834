//! The parts of the house, built once from configuration, clock and entropy, and lent to every request.

mod audience;
mod metadata;
pub mod removed;
pub mod router;
mod unopened;

use std::sync::Arc;

use tokio::sync::Notify;

pub use self::{
    audience::{Audience, Idp},
    metadata::cached,
    unopened::Unopened,
};

use self::removed::Configured;
use crate::{
    audit::{self, Event},
    clients::{assertion::PublishedKeys, document::DocumentCache},
    clock::Clock,
    config::Config,
    dpop::Nonces,
    entropy::Entropy,
    federation::Federation,
    jose::keys::{KeyRing, KeyRingError},
    net::{Guarded, Upstream},
    oauth::{error::ErrorCode, purpose::Role},
    seal::{self, KeyProofError, KeysError, Sealer},
    store::{Db, MigrateError, StoreError, Tx},
    vault::{
        Vault,
        figures::Figures,
        refresh::Flights,
        safe::Safe,
        service::Services,
        vend::Links,
        vendor::{Lines, Vendors},
    },
    web::{error::ApiError, limits::Limits, pages::Chrome, request::Origin},
};

/// Everything that a request may need.
pub struct App {
    /// What the operator declared.
    pub config: Config,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub entropy: Entropy,
    /// The database.
    pub db: Db,
    /// What seals secrets that must be used again.
    pub sealer: Sealer,
    /// People's accounts elsewhere.
    pub vault: Vault,
    /// Our signing keys.
    pub keys: KeyRing,
    /// Those of the identity provider that we are, where the operator wants one.
    pub idp_keys: Option<KeyRing>,
    /// What proofs of possession must hold.
    pub nonces: Nonces,
    /// The client for addresses that the operator configured.
    pub upstream: Upstream,
    /// Clients' metadata documents.
    pub documents: DocumentCache,
    /// The keys that clients publish.
    pub client_keys: PublishedKeys,
    /// What we know of the providers at run time.
    pub federation: Federation,
    /// Counts of what strangers do.
    pub limits: Limits,
    /// Whether pages say that this is not for production.
    pub dev: bool,
}

/// Why the house could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database could not be reached.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// Its tables could not be brought up to date.
    #[error("the database's tables: {0}")]
    Migrate(#[from] MigrateError),
    /// The encryption keys are of no use.
    #[error("the encryption keys: {0}")]
    Keys(#[from] KeysError),
    /// The encryption keys are not those that sealed what is there.
    #[error("the encryption keys: {0}")]
    Proof(#[from] KeyProofError),
    /// The client for outbound requests could not be made.
    #[error("outbound requests: {0}")]
    Net(#[from] reqwest::Error),
    /// The signing keys could not be loaded or made.
    #[error("the signing keys: {0}")]
    Signing(#[from] KeyRingError),
}

impl App {
    /// Opens the database, brings it up to date, proves the encryption keys, loads the signing keys, which are made at
    /// the first start, and looks after providers that are not configured any more.
    pub async fn open(
        config: Config,
        clock: Clock,
        entropy: Entropy,
        dev: bool,
    ) -> Result<Arc<Self>, OpenError> {
        let db = Db::open(&config.database.url).await?;
        db.migrate().await?;
        let sealer = Sealer::new(&config.encryption.keys, &clock)?;
        let roots = seal::prove_keys(&db, &sealer, &clock, &entropy).await?;
        let keys = ring(Role::AuthorizationServer, (&db, &sealer), (&clock, &entropy)).await?;
        let mut idp_keys = None;
        if config.idp.is_some() {
            idp_keys = Some(ring(Role::IdentityProvider, (&db, &sealer), (&clock, &entropy)).await?);
        }
        removed::begin(&db, &Configured::of(&config), (&clock, &entropy)).await?;
        let issuer = &config.server.issuer;
        let (upstream, guarded) = (Upstream::new(issuer)?, Guarded::new(issuer)?);
        let vault = Vault {
            safe: Safe::new(sealer.clone()),
            vendors: Vendors::new(Lines::new(issuer)?, db.clone(), clock.clone(), entropy.clone()),
            flights: Flights::new(&entropy),
            owed: Notify::new(),
            services: Services::default(),
            links: Links::default(),
            figures: Figures::default(),
        };
        Ok(Arc::new(Self {
            vault,
            client_keys: PublishedKeys::new(upstream.clone(), guarded.clone(), clock.clone()),
            upstream,
            documents: DocumentCache::new(
                guarded,
                config.registration.documents.clone(),
                issuer.is_loopback(),
            ),
            federation: Federation::new(&config),
            nonces: Nonces::new(&roots, config.dpop.nonce),
            limits: Limits::new(&config.connections),
            config,
            clock,
            entropy,
            db,
            sealer,
            keys,
            idp_keys,
            dev,
        }))
    }

    /// Keeps up with the signing keys that another instance, or `chancery keys rotate`, has made.
    pub async fn reload_keys(&self) -> Result<(), KeyRingError> {
        for keys in [&self.keys].into_iter().chain(&self.idp_keys) {
            let reloaded = keys.reload(&self.db, &self.sealer).await;
            if let Some(value) = reloaded.as_ref().err().and_then(unopened) {
                self.unopened(value).await?;
            }
            reloaded?;
        }
        Ok(())
    }

    /// Records an event in the transaction of the effect that it tells of.
    pub async fn record(&self, tx: &mut Tx, event: &Event) -> Result<(), StoreError> {
        audit::record(tx, &self.clock, &self.entropy, event).await
    }

    /// Records an event that stands alone, such as a refusal.
    pub async fn record_alone(&self, event: &Event) -> Result<(), StoreError> {
        audit::record_alone(&self.db, &self.clock, &self.entropy, event).await
    }

    /// Records a refusal, unless so many from one address are recorded already that the record would drown in them; the
    /// log has each.
    pub async fn record_refusal(&self, origin: &Origin, event: &Event) -> Result<(), StoreError> {
        let now = self.clock.now();
        if !self.limits.recorded_refusals.admits(&origin.source, now) {
            return Ok(());
        }
        self.limits.recorded_refusals.count(origin.source, now);
        self.record_alone(event).await
    }

    /// Records that a program was refused, with `error` as the reason and all that it tells of the request, and returns
    /// what it is answered, with the number under which the operator finds that reason and the program nothing. Our own
    /// faults, and challenges for a nonce, with which an exchange by DPoP begins, are no decisions and are only logged.
    pub async fn refuse(&self, origin: &Origin, event: Event, error: ApiError) -> ApiError {
        if error.is_fault() || error.code() == ErrorCode::UseDpopNonce {
            return error;
        }
        let event = event.reason(error.code().as_str()).detail("why", error.reason());
        let event = event.about(error.about().cloned().unwrap_or_default());
        let number = origin.recorded.reference.to_string().into();
        let recorded = self.record_refusal(origin, &event).await;
        recorded.map_or_else(ApiError::from, |()| error.with_member("reference", number))
    }

    /// A path of ours as browsers see it, under the issuer's.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.config.server.issuer.path())
    }

    /// What frames every page.
    pub fn chrome(&self) -> Chrome {
        Chrome::new(self.config.server.name.as_str(), self.config.server.issuer.path(), self.dev)
    }
}

/// The keys of a role. That they do not open is recorded, though nothing starts.
async fn ring(
    role: Role,
    (db, sealer): (&Db, &Sealer),
    (clock, entropy): (&Clock, &Entropy),
) -> Result<KeyRing, OpenError> {
    let ring = KeyRing::load_or_create(role, db, sealer, clock, entropy).await;
    if let Some(value) = ring.as_ref().err().and_then(unopened) {
        unopened::at_start(db, (clock, entropy), value).await?;
    }
    Ok(ring?)
}

fn unopened(error: &KeyRingError) -> Option<Unopened<'_>> {
    match error {
        KeyRingError::Sealed { kid, source } => {
            Some(Unopened { table: "signing_keys", row: kid, user: None, error: source })
        }
        _ => None,
    }
}
