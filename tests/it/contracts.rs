//! Presets keep what vendors document: for each there is a file in `tests/contracts/` with the exchange as the vendor's
//! pages show it, and it is played with the preset as it is compiled in.
//!
//! The configuration is a production one and is judged as such. Only then the addresses are turned to a server of ours:
//! `https://vendor/path` is asked as `http://127.0.0.1:PORT/vendor/path`, and turned back before it is compared.

mod hostile;
mod played;
mod written;

use std::{collections::BTreeSet, fs, path::Path};

use chancery::config::{connection::Kind, environment::Environment, preset::Presets};

use self::{
    played::Stage,
    written::{Contract, Does},
};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contracts")
}

fn contracts() -> Vec<(String, Contract)> {
    let mut files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut tree: serde_yaml::Value = serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        tree.apply_merge().unwrap();
        let contract = serde_yaml::from_value(tree);
        (name.clone(), contract.unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    files.into_iter().map(read).collect()
}

#[tokio::test]
async fn presets_keep_what_vendors_document() {
    let mut broken = Vec::new();
    for (name, contract) in contracts() {
        let shown = name.clone();
        let played = tokio::spawn(async move {
            let stage = Stage::of(&name, &contract).await;
            stage.compare_authorize_url(contract.authorize.as_ref(), &contract.documents).await;
            for step in &contract.steps {
                stage.play(step).await;
            }
        });
        if played.await.is_err() {
            broken.push(shown);
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
}

/// A contract is whole: all that a vendor is ever asked for is in it, and the errors that decide over a connection.
#[test]
fn every_preset_has_a_whole_contract() {
    let presets = Presets::load(None, &Environment::of([])).unwrap();
    let contracts = contracts();
    let presets: Vec<_> = presets.iter().filter(|preset| preset.connection.is_some()).collect();
    let names: BTreeSet<_> = presets.iter().map(|preset| preset.name.as_str()).collect();
    assert_eq!(names, contracts.iter().map(|(name, _)| name.as_str()).collect());
    for (name, contract) in &contracts {
        let preset = presets.iter().find(|preset| preset.name == *name).unwrap();
        let kind = preset.connection.as_ref().unwrap().kind;
        let fails = |kind: &str| {
            contract
                .steps
                .iter()
                .any(|step| step.fails.as_deref().is_some_and(|error| error.starts_with(kind)))
        };
        let succeeds =
            |does: Does| contract.steps.iter().any(|step| step.does == does && step.fails.is_none());
        let first = if kind.is_personal() { Does::Account } else { Does::Fetch };
        assert!(succeeds(first), "{name}: {first:?}");
        assert!(succeeds(Does::Revoke), "{name}: nothing is revoked");
        assert!(fails("refused"), "{name}: it never refuses our app");
        assert!(fails("unavailable"), "{name}: it never fails for a while");
        if kind != Kind::Oauth {
            continue;
        }
        assert!(contract.authorize.is_some(), "{name}: nobody is sent anywhere");
        assert!(succeeds(Does::Exchange), "{name}: no code is redeemed");
        if !contract.never_refreshes {
            assert!(succeeds(Does::Refresh), "{name}: nothing is refreshed");
            assert!(fails("reconnect"), "{name}: no grant ever ends");
        }
    }
}
