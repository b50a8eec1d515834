use rstest::rstest;

use super::*;
use crate::{
    seal::fixture,
    store::{
        fixture::{Fresh, On},
        on,
    },
};

fn sealer(byte: u8) -> Sealer {
    fixture::sealer(&[("k", byte)])
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
        self.start_as(Role::AuthorizationServer).await
    }

    async fn start_as(&self, role: Role) -> Result<KeyRing, KeyRingError> {
        KeyRing::load_or_create(role, &self.fresh.db, &self.sealer, &self.clock, &self.entropy).await
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
    let kid =
        |details: &str| serde_json::from_str::<Value>(details).unwrap()["kid"].as_str().unwrap().to_owned();
    rows.into_iter().map(|(event, details)| (event, kid(&details))).collect()
}

fn token(keys: &KeyRing) -> String {
    keys.signer().sign("at+jwt", &json!({ "sub": "alice" })).unwrap()
}

fn published(keys: &KeyRing) -> Vec<String> {
    let document: Value = serde_json::from_slice(&keys.jwks_json()).unwrap();
    let kids = document["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned());
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
    let key = signing_keys::published(&stage.fresh.db, Role::AuthorizationServer, stage.clock.now())
        .await
        .unwrap()
        .remove(0);
    let context = context(Role::AuthorizationServer, &key.id);
    let pkcs8 = stage.sealer.open(&context, &key.sealed).await.unwrap();
    assert!(Signer::from_pkcs8(key.algorithm, &pkcs8).is_ok());
    let kept: Vec<u8> = on!(stage.fresh.db, |executor| {
        sqlx::query_scalar("SELECT sealed FROM signing_keys").fetch_one(executor).await
    })
    .unwrap();
    assert!(pkcs8.windows(16).all(|secret| !kept.windows(16).any(|seen| seen == secret)));
    let moved = SealContext { row: "another", ..context };
    assert_eq!(stage.sealer.open(&moved, &key.sealed).await.unwrap_err(), OpenError::Tampered);
}

#[rstest]
#[tokio::test]
async fn each_role_has_keys_of_its_own(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(stage) = Stage::new(on).await else { return };
    let (server, idp) = (stage.start().await.unwrap(), stage.start_as(Role::IdentityProvider).await.unwrap());
    assert_ne!(published(&server), published(&idp));
    assert!(matches!(idp.verify_own(&token(&server)), Err(VerifyError::Lookup(_))));
    assert!(matches!(server.verify_own(&token(&idp)), Err(VerifyError::Lookup(_))));

    let (next, _) = stage.rotate(&idp).await;
    server.reload(&stage.fresh.db, &stage.sealer).await.unwrap();
    assert_eq!((published(&server).len(), published(&idp).len()), (1, 2));
    assert!(!published(&server).contains(&next));
    let again = stage.start_as(Role::IdentityProvider).await.unwrap();
    assert_eq!(published(&again), published(&idp));
}

#[tokio::test]
async fn a_key_that_is_moved_to_the_other_role_does_not_open() {
    let stage = Stage::new(On::Sqlite).await.unwrap();
    stage.start_as(Role::IdentityProvider).await.unwrap();
    let mut tx = stage.fresh.db.begin().await.unwrap();
    let moved = "UPDATE signing_keys SET role = 'authorization_server'";
    on!(tx, |executor| sqlx::query(moved).execute(executor).await.map(|_| ())).unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(stage.start().await, Err(KeyRingError::Sealed { .. })));
}
