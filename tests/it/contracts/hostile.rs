//! Answers of a vendor that means harm, or of whoever took its place: at each preset, at everything that it is asked
//! for.

use std::time::{Duration, Instant};

use chancery::vault::vendor::VendorError;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use wiremock::ResponseTemplate;

use super::{
    contracts,
    played::Stage,
    written::{Contract, Does, Step},
};

/// What succeeds in the contract, once for each thing that we do there.
fn steps(contract: &Contract) -> impl Iterator<Item = &Step> {
    let all = [Does::Exchange, Does::Refresh, Does::Fetch, Does::Account, Does::Sites, Does::Revoke];
    let step = |does| contract.steps.iter().find(|step| step.does == does && step.fails.is_none());
    all.into_iter().filter_map(step).filter(|step| !step.asked.is_empty())
}

/// Whether the last request of a step asks for something, so that its answer is read.
fn reads(step: &Step) -> bool {
    step.does != Does::Revoke
}

#[tokio::test]
async fn no_hostile_answer_gets_anywhere() {
    let huge = json!({ "access_token": "x".repeat(10_000_000), "token_type": "Bearer" }).to_string();
    for (name, contract) in contracts() {
        let stage = Stage::of(&name, &contract).await;
        stage.compare_authorize_url(contract.authorize.as_ref(), &contract.documents).await;
        for step in steps(&contract) {
            let what = format!("{name}: {:?}", step.does);
            let page = ResponseTemplate::new(200).set_body_raw("<html>all is well</html>", "text/html");
            let outcome = stage.spoil(step, page).await;
            if reads(step) {
                assert!(matches!(outcome, Err(VendorError::Malformed { .. })), "{what}: {outcome:?}");
            }
            let body = ResponseTemplate::new(200).set_body_raw(huge.clone(), "application/json");
            let outcome = stage.spoil(step, body).await;
            let told = outcome.unwrap_err().to_string();
            assert!(told.starts_with("answered with more than"), "{what}: {told}");
            for status in [302, 307, 308] {
                for to in [stage.elsewhere(), "http://169.254.169.254/latest/meta-data/".to_owned()] {
                    let redirect = ResponseTemplate::new(status).insert_header("location", to);
                    let told = stage.spoil(step, redirect).await.unwrap_err().to_string();
                    assert!(told.starts_with("answered with a redirect"), "{what}: {told}");
                }
            }
        }
    }
}

/// Whoever sends a byte a second is given up after five, and it stays open whether it did what it was asked for.
#[tokio::test]
async fn an_answer_that_drips_in_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
                while stream.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
        }
    });
    let contract = contracts().into_iter().find(|(name, _)| name == "atlassian").unwrap().1;
    let stage = Stage::of("atlassian", &contract).await.moved(address);
    let begun = Instant::now();
    let outcomes: [Result<Value, VendorError>; 3] = tokio::join!(
        stage.outcome(Does::Exchange),
        stage.outcome(Does::Refresh),
        stage.outcome(Does::Sites),
    )
    .into();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    for outcome in &outcomes {
        let in_doubt = matches!(outcome, Err(VendorError::Unavailable { in_doubt: true, .. }));
        assert!(in_doubt, "{outcome:?}");
    }
}
