//! Tokens of vendors, planted to be found again: in no line of the log at any level, in nothing that prints, on no
//! record, and nowhere in the database but sealed, whether things go well or badly.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::refresh::start;
use crate::support::{Log, On, upstream::json_of, vault::refused};

const TOKENS: [&str; 4] = [
    "canary-access-0123456789abcdef",
    "canary-refresh-0123456789abcdef",
    "canary-access-fedcba9876543210",
    "canary-refresh-fedcba9876543210",
];

#[rstest]
#[tokio::test]
async fn tokens_are_nowhere_but_sealed(#[values(On::Sqlite, On::Postgres)] on: On) {
    let (log, _logged) = Log::listen();
    let Some((vendor, server)) = start(on).await else { return };
    let id = server.connected(Duration::ZERO).await;
    let mut printed = Vec::new();
    for tokens in TOKENS.chunks(2) {
        vendor.says(json_of(&json!({
            "access_token": tokens[0], "refresh_token": tokens[1], "token_type": "bearer", "expires_in": 60,
        })));
        let fresh = server.fresh(&id).await.unwrap();
        assert_eq!(fresh.access.expose(), tokens[0]);
        printed.push(format!("{fresh:?} {:?}", fresh.access));
        let row = server.connection(&id).await;
        printed.push(format!("{:?} {row:?}", server.app.vault.safe.open(&row, server.clock.now()).await));
        server.later(Duration::from_secs(60));
    }
    // Vendors repeat what they were sent, or send what nobody can use.
    let repeated = format!("the token {} of {} is not known", TOKENS[3], TOKENS[2]);
    for trouble in [
        ResponseTemplate::new(500).set_body_string(repeated.clone()),
        ResponseTemplate::new(200).set_body_string(format!("{{\"access_token\": \"{}\", ", TOKENS[2])),
        ResponseTemplate::new(200).set_body_json(json!({ "access_token": [TOKENS[2]], "error": TOKENS[3] })),
        refused(400, TOKENS[3]),
        ResponseTemplate::new(400)
            .set_body_json(json!({ "error": "invalid_grant", "error_description": repeated })),
    ] {
        vendor.says(trouble);
        let outcome = server.fresh(&id).await;
        printed.push(format!("{outcome:?}"));
        if let Err(error) = &outcome {
            printed.push(error.to_string());
        }
        server.later(Duration::from_secs(300));
    }
    let printed = printed.join("\n");
    assert!(printed.contains("NeedsReconnect") || printed.contains("Reconnect"), "{printed}");

    let details = match on {
        On::Sqlite => "SELECT group_concat(COALESCE(reason, '') || COALESCE(details, '')) FROM audit",
        On::Postgres => "SELECT string_agg(COALESCE(reason, '') || COALESCE(details, ''), ',') FROM audit",
    };
    let recorded = server.text(details.to_owned()).await;
    assert!(recorded.contains(id.as_str()), "{recorded}");
    let log = log.text();
    assert!(log.contains("TRACE") && log.contains("connection"), "was it listened to?");
    let mut stored = Vec::new();
    if let Some(path) = server.database.strip_prefix("sqlite://") {
        for file in [path.to_owned(), format!("{path}-wal")] {
            stored.extend(std::fs::read(file).unwrap_or_default());
        }
        assert!(stored.windows(id.as_str().len()).any(|part| part == id.as_str().as_bytes()), "the database");
    }
    for token in TOKENS {
        for (place, text) in [("what prints", &printed), ("the record", &recorded), ("the log", &log)] {
            let found = text.lines().find(|line| line.contains(token));
            assert!(found.is_none(), "{token} is in {place}: {found:?}");
        }
        assert!(
            !stored.windows(token.len()).any(|part| part == token.as_bytes()),
            "{token} is in the database"
        );
    }
}
