//! The key set of one issuer, fetched and kept (RFC 7517 §5).
//!
//! A request that finds fresh keys waits for nobody. Otherwise one request fetches and the rest wait for its outcome.
//! A token that the kept keys cannot prove, because its key is new, causes one more fetch, at most one in half a
//! minute, so that forged tokens cannot make us hammer the issuer. While the issuer is down, the last good keys serve
//! on for some hours.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tracing::warn;
use url::Url;

use super::{
    KeySet, Unverified, Verified, VerifyError,
    key_set::{KeySetError, LookupError},
};
use crate::{
    clock::{Clock, Timestamp},
    net::{Guarded, NetError, Upstream, lifetime},
};

/// The largest key set: a hundred RSA keys fit.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
/// Keys are taken as current at least this long, whatever the issuer's cache headers say…
const MIN_FRESH: Duration = Duration::from_secs(5 * 60);
/// …and at most this long, since a key that was withdrawn must stop working.
const MAX_FRESH: Duration = Duration::from_secs(60 * 60);
/// How long the last good keys serve while no newer ones can be had: an evening's outage, not a forgotten issuer.
const MAX_STALE: Duration = Duration::from_secs(6 * 60 * 60);
/// The shortest time between two fetches that nothing but an unknown key or a failure asked for, while there are keys
/// to go on with.
const COOLDOWN: Duration = Duration::from_secs(30);

/// One issuer's keys. Share it: what it keeps is worth only as much as the requests that find it.
#[derive(Debug)]
pub struct Jwks {
    client: Outbound,
    url: Url,
    clock: Clock,
    state: Mutex<State>,
    fetching: tokio::sync::Mutex<()>,
}

/// Who asks, by who chose the address.
#[derive(Debug)]
pub enum Outbound {
    /// The operator did, or somebody the operator trusts.
    Upstream(Upstream),
    /// A stranger did. Such an address is left alone for half a minute after a failure too, so that nobody can make us
    /// knock at another's door all the time.
    Guarded(Guarded),
}

impl From<Upstream> for Outbound {
    fn from(client: Upstream) -> Self {
        Self::Upstream(client)
    }
}

impl From<Guarded> for Outbound {
    fn from(client: Guarded) -> Self {
        Self::Guarded(client)
    }
}

#[derive(Debug, Default, Clone)]
struct State {
    kept: Option<Kept>,
    attempts: u64,
    /// When a fetch was last made out of turn, or failed.
    attempted_at: Option<Timestamp>,
    failure: Option<Arc<JwksError>>,
}

#[derive(Debug, Clone)]
struct Kept {
    keys: Arc<KeySet>,
    fetched_at: Timestamp,
    fresh_for: Duration,
}

/// Why there are no keys. The text continues a sentence that begins with the issuer's name, as that of [`NetError`].
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The key set could not be fetched.
    #[error(transparent)]
    Net(#[from] NetError),
    /// What was fetched is no key set.
    #[error("publishes signing keys that cannot be read")]
    Document(#[from] KeySetError),
    /// No key in it can verify anything.
    #[error("publishes no signing key that can be used")]
    Empty,
}

impl JwksError {
    /// Whether asking again a little later may succeed.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Net(error) => error.is_transient(),
            Self::Document(_) | Self::Empty => false,
        }
    }
}

impl Jwks {
    /// The keys at `url`; nothing is fetched yet.
    pub fn new(client: impl Into<Outbound>, url: Url, clock: Clock) -> Self {
        Self {
            client: client.into(),
            url,
            clock,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// Where the keys are.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Fetches the keys and keeps none of them: for an operator who asks what is there.
    pub async fn look(&self) -> Result<Arc<KeySet>, JwksError> {
        self.fetch(self.clock.now()).await.map(|found| found.keys)
    }

    /// Proves a token by the issuer's keys.
    pub async fn verify(&self, token: Unverified<'_>) -> Result<Verified, VerifyError> {
        let before = self.state();
        let now = self.clock.now();
        if let Some(kept) = before.kept
            && now.since(kept.fetched_at) < kept.fresh_for
            && let Ok(key) = kept.keys.find(token.kid(), token.algorithm())
            && token.is_proved_by(&key)
        {
            return token.verify(&key);
        }
        self.refresh(before.attempts).await;
        let after = self.state();
        let usable = after.kept.filter(|kept| self.clock.now().since(kept.fetched_at) < MAX_STALE);
        match (usable, after.failure) {
            (Some(kept), _) => {
                let key = kept.keys.find(token.kid(), token.algorithm())?;
                token.verify(&key)
            }
            (None, Some(failure)) => Err(VerifyError::NoKeys(failure)),
            (None, None) => Err(LookupError::Unknown.into()),
        }
    }

    /// Fetches, unless somebody did since the caller looked, or a moment ago.
    async fn refresh(&self, attempts_seen: u64) {
        let _turn = self.fetching.lock().await;
        let state = self.state();
        let now = self.clock.now();
        let fresh = state.kept.as_ref().is_some_and(|kept| now.since(kept.fetched_at) < kept.fresh_for);
        let just_tried = state.attempted_at.is_some_and(|at| now.since(at) < COOLDOWN);
        let is_patient = state.kept.is_some() || matches!(self.client, Outbound::Guarded(_));
        if state.attempts != attempts_seen || (just_tried && is_patient) {
            return;
        }
        let outcome = self.fetch(now).await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.attempts += 1;
        // A fetch that was due anyway and went well leaves the next unknown key its own.
        state.attempted_at = (fresh || outcome.is_err()).then_some(now);
        match outcome {
            Ok(kept) => (state.kept, state.failure) = (Some(kept), None),
            Err(error) => {
                warn!(url = %self.url, error = &error as &dyn std::error::Error, "signing keys not fetched");
                state.failure = Some(Arc::new(error));
            }
        }
    }

    async fn fetch(&self, now: Timestamp) -> Result<Kept, JwksError> {
        let answer = match &self.client {
            Outbound::Upstream(client) => client.get(&self.url, MAX_DOCUMENT_BYTES).await?,
            Outbound::Guarded(client) => client.get(&self.url, MAX_DOCUMENT_BYTES).await?,
        };
        let keys = KeySet::parse(answer.body())?;
        if keys.is_empty() {
            return Err(JwksError::Empty);
        }
        let fresh_for = lifetime(answer.headers(), MIN_FRESH..=MAX_FRESH);
        Ok(Kept { keys: Arc::new(keys), fetched_at: now, fresh_for })
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use jsonwebtoken::Algorithm;
    use serde_json::json;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;
    use crate::{
        jose::{Signer, signer::SigningAlgorithm, verifier::Kind},
        oauth::issuer::Issuer,
    };

    const MINUTE: Duration = Duration::from_secs(60);

    fn signer() -> Signer {
        let algorithm = SigningAlgorithm::Es256;
        Signer::from_pkcs8(algorithm, &algorithm.generate().unwrap()).unwrap()
    }

    fn document(signers: &[&Signer]) -> ResponseTemplate {
        let keys: Vec<_> = signers.iter().map(|signer| signer.public_jwk()).collect();
        ResponseTemplate::new(200).set_body_json(json!({ "keys": keys }))
    }

    /// An issuer whose answers can be changed, and a cache of its keys on a manual clock.
    struct Stage {
        server: MockServer,
        clock: Clock,
        jwks: Arc<Jwks>,
    }

    impl Stage {
        async fn new(answer: ResponseTemplate) -> Self {
            let server = MockServer::start().await;
            let clock = Clock::manual(Timestamp::from_secs(1_000_000));
            let issuer = Issuer::try_from("http://127.0.0.1:9000".to_owned()).unwrap();
            let url = Url::parse(&server.uri()).unwrap();
            let jwks = Arc::new(Jwks::new(Upstream::new(&issuer).unwrap(), url, clock.clone()));
            let stage = Self { server, clock, jwks };
            stage.answers(answer).await;
            stage
        }

        async fn answers(&self, answer: ResponseTemplate) {
            self.server.reset().await;
            Mock::given(any()).respond_with(answer).mount(&self.server).await;
        }

        /// How many fetches there were since the answer was last set.
        async fn fetches(&self) -> usize {
            self.server.received_requests().await.unwrap().len()
        }

        async fn accepts(&self, signer: &Signer) -> Result<(), String> {
            self.proves(&signer.sign("JWT", &json!({ "sub": "alice" })).unwrap()).await
        }

        async fn proves(&self, token: &str) -> Result<(), String> {
            let token = Unverified::parse(token, Kind::IdToken, &[Algorithm::ES256]).unwrap();
            self.jwks.verify(token).await.map(|_| ()).map_err(|error| error.to_string())
        }
    }

    #[tokio::test]
    async fn keys_are_fetched_once_and_again_when_their_time_is_over() {
        let ours = signer();
        let stage = Stage::new(document(&[&ours]).insert_header("cache-control", "max-age=900")).await;
        for _ in 0..3 {
            stage.accepts(&ours).await.unwrap();
        }
        stage.clock.advance(14 * MINUTE);
        stage.accepts(&ours).await.unwrap();
        assert_eq!(stage.fetches().await, 1);
        stage.clock.advance(2 * MINUTE);
        stage.accepts(&ours).await.unwrap();
        assert_eq!(stage.fetches().await, 2);
    }

    #[tokio::test]
    async fn a_withdrawn_key_stops_working_within_the_hour() {
        let (old, new) = (signer(), signer());
        let stage = Stage::new(document(&[&old]).insert_header("cache-control", "max-age=999999999")).await;
        stage.accepts(&old).await.unwrap();
        stage.answers(document(&[&new])).await;
        stage.clock.advance(61 * MINUTE);
        assert!(stage.accepts(&old).await.is_err());
    }

    #[tokio::test]
    async fn a_new_key_is_found_at_once_and_forgeries_cause_one_fetch_in_half_a_minute() {
        let (old, new, forger) = (signer(), signer(), signer());
        let stage = Stage::new(document(&[&old])).await;
        stage.accepts(&old).await.unwrap();
        stage.answers(document(&[&old, &new])).await;
        stage.accepts(&new).await.unwrap();
        assert_eq!(stage.fetches().await, 1);
        for _ in 0..20 {
            assert_eq!(stage.accepts(&forger).await.unwrap_err(), "no published key fits the token");
        }
        assert_eq!(stage.fetches().await, 1);
        stage.clock.advance(COOLDOWN);
        for _ in 0..20 {
            assert!(stage.accepts(&forger).await.is_err());
        }
        assert_eq!(stage.fetches().await, 2);
    }

    /// Some issuers name no keys; then only a failing signature tells that the key has changed.
    #[tokio::test]
    async fn a_nameless_key_that_was_replaced_is_noticed_by_its_signature() {
        let issuer = || {
            let pkcs8 = SigningAlgorithm::Es256.generate().unwrap();
            let mut jwk = Signer::from_pkcs8(SigningAlgorithm::Es256, &pkcs8).unwrap().public_jwk();
            jwk.as_object_mut().unwrap().remove("kid");
            let key = jsonwebtoken::EncodingKey::from_ec_der(&pkcs8);
            let header = jsonwebtoken::Header::new(Algorithm::ES256);
            let token = jsonwebtoken::encode(&header, &json!({}), &key).unwrap();
            (ResponseTemplate::new(200).set_body_json(json!({ "keys": [jwk] })), token)
        };
        let ((old_keys, old_token), (new_keys, new_token)) = (issuer(), issuer());
        let stage = Stage::new(old_keys).await;
        stage.proves(&old_token).await.unwrap();
        stage.answers(new_keys).await;
        stage.proves(&new_token).await.unwrap();
        assert!(stage.proves(&old_token).await.is_err());
        assert_eq!(stage.fetches().await, 1);
    }

    #[tokio::test]
    async fn an_outage_is_bridged_for_hours_without_a_wait_for_each_request() {
        let ours = signer();
        let stage = Stage::new(document(&[&ours])).await;
        stage.accepts(&ours).await.unwrap();
        stage.answers(ResponseTemplate::new(500)).await;
        stage.clock.advance(6 * MINUTE);
        for _ in 0..10 {
            stage.accepts(&ours).await.unwrap();
        }
        assert_eq!(stage.fetches().await, 1);
        stage.clock.advance(MAX_STALE);
        assert_eq!(stage.accepts(&ours).await.unwrap_err(), "answered with the status 500");
        stage.answers(document(&[&ours])).await;
        stage.clock.advance(COOLDOWN);
        stage.accepts(&ours).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_key_set_neither_counts_nor_replaces_good_keys() {
        let ours = signer();
        let stage = Stage::new(document(&[&ours])).await;
        stage.accepts(&ours).await.unwrap();
        for bad in [
            ResponseTemplate::new(200).set_body_string("<html>"),
            ResponseTemplate::new(200).set_body_json(json!({ "keys": [] })),
            ResponseTemplate::new(200).set_body_json(json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] })),
            ResponseTemplate::new(200).set_body_string(" ".repeat(MAX_DOCUMENT_BYTES + 1)),
            ResponseTemplate::new(302).insert_header("location", "/other"),
        ] {
            stage.clock.advance(6 * MINUTE);
            stage.answers(bad.clone()).await;
            stage.accepts(&ours).await.unwrap();
            assert_eq!(stage.fetches().await, 1);
            assert!(Stage::new(bad).await.accepts(&ours).await.is_err());
        }
    }

    #[tokio::test]
    async fn many_requests_share_one_fetch_and_its_outcome() {
        let ours = Arc::new(signer());
        let good = document(&[&*ours]).set_delay(Duration::from_millis(100));
        let bad = ResponseTemplate::new(503).set_delay(Duration::from_millis(100));
        for (answer, accepted) in [(good, 50), (bad, 0)] {
            let stage = Arc::new(Stage::new(answer).await);
            let count = Arc::new(AtomicUsize::new(0));
            let mut requests = tokio::task::JoinSet::new();
            for _ in 0..50 {
                let (stage, ours, count) = (stage.clone(), ours.clone(), count.clone());
                requests.spawn(async move {
                    if stage.accepts(&ours).await.is_ok() {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            requests.join_all().await;
            assert_eq!((count.load(Ordering::SeqCst), stage.fetches().await), (accepted, 1));
        }
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_does_not_hold_the_others() {
        let ours = signer();
        let slow = document(&[&ours]).set_delay(Duration::from_millis(200));
        let stage = Stage::new(slow).await;
        let given_up = tokio::time::timeout(Duration::from_millis(50), stage.accepts(&ours)).await;
        assert!(given_up.is_err());
        stage.accepts(&ours).await.unwrap();
    }
}
