//! A vendor in trouble costs nobody an account: it is left alone for a while, and what has not expired is served. Only
//! what it says of the token itself, and tokens that are not what they were, send the person there again.

use std::time::Duration;

use chancery::{
    ids::ConnectionId,
    vault::{
        refresh::NotFresh,
        state::{Loss, State, Trouble},
    },
};
use rstest::rstest;
use serde_json::json;
use wiremock::ResponseTemplate;

use super::refresh::{access, start, start_with};
use crate::support::{On, Server, vault::refused};

const OVER: Duration = Duration::ZERO;
const NEARLY_OVER: Duration = Duration::from_secs(30);
const IDENTITY_IN_ANSWER: &str = "    vendor: { identity: { source: answer, id: [account] } }";

fn status(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status)
}

async fn needs(server: &Server, id: &ConnectionId, loss: Loss) {
    for _ in 0..2 {
        let outcome = server.fresh(id).await;
        assert!(matches!(outcome, Err(NotFresh::Reconnect(why)) if why == loss), "{outcome:?}");
    }
    assert_eq!(server.connection(id).await.state, State::NeedsReconnect(loss));
    assert_eq!(server.reasons("connection.lost").await, [loss.code()], "it is recorded once");
}

#[rstest]
#[case::throttling(status(429).insert_header("retry-after", "120"), Trouble::Unavailable, 120)]
#[case::down(status(503), Trouble::Unavailable, 1)]
#[case::broken(status(500), Trouble::Unavailable, 1)]
#[case::says_so(refused(400, "temporarily_unavailable"), Trouble::Unavailable, 1)]
#[case::hanging(status(200).set_delay(Duration::from_secs(60)), Trouble::Unavailable, 1)]
#[case::our_secret(refused(401, "invalid_client"), Trouble::Refused, 1)]
#[case::another_error(refused(400, "unauthorized_client"), Trouble::Refused, 1)]
#[case::html(status(200).set_body_raw("<html>evil.example</html>", "text/html"), Trouble::Malformed, 1)]
#[case::html_error(status(400).set_body_raw("<html>evil.example</html>", "text/html"), Trouble::Malformed, 1)]
#[case::no_token(status(200).set_body_json(json!({ "token_type": "bearer" })), Trouble::Malformed, 1)]
#[case::endless(status(200).set_body_raw(vec![b'x'; 10_000_000], "application/json"), Trouble::Malformed, 1)]
#[case::redirect(status(302).insert_header("location", "http://169.254.169.254/"), Trouble::Malformed, 1)]
#[tokio::test]
async fn a_vendor_in_trouble_is_left_alone_and_costs_nothing(
    #[case] answer: ResponseTemplate,
    #[case] trouble: Trouble,
    #[case] least: u64,
) {
    let (vendor, server) = start(On::Sqlite).await.unwrap();
    let id = server.connected(NEARLY_OVER).await;
    vendor.says(answer);
    assert_eq!(access(&server, &id).await, "at-0", "it is still good");
    let row = server.connection(&id).await;
    assert_eq!((row.state, row.failures, row.generation), (State::Degraded(trouble), 1, 1));
    assert_eq!((row.lease_owner, row.leased_until), (None, None));
    let wait = row.next_attempt_at.unwrap().since(server.clock.now());
    assert!((least..=least * 2).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(access(&server, &id).await, "at-0");
    assert_eq!(vendor.asked().await, 1, "it is left alone");

    if let Some(expected) = wait.checked_sub(NEARLY_OVER) {
        server.later(NEARLY_OVER);
        let early = server.fresh(&id).await;
        assert!(
            matches!(early, Err(NotFresh::Unavailable { retry_after }) if retry_after == expected),
            "{early:?}"
        );
    }
    server.later(wait);
    assert_eq!(access(&server, &id).await, "at-1");
    let row = server.connection(&id).await;
    assert_eq!((row.state, row.failures, row.next_attempt_at), (State::Active, 0, None));
    assert_eq!((row.redeeming_since, vendor.asked().await), (None, 2));
    assert_eq!(server.on_record("connection.degraded", "reason").await.len(), 1);
    let was = State::Degraded(trouble).to_string();
    assert_eq!(server.last("connection.refreshed").await.detail("was"), was);
    let log = server.details("connection.degraded").await;
    assert!(!log[0].to_string().contains("evil.example"), "{log:?}");
}

#[rstest]
#[tokio::test]
async fn an_outage_of_any_length_sends_nobody_to_the_vendor(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start(on).await else { return };
    let id = server.connected(OVER).await;
    let mut longest = Duration::ZERO;
    for failures in 1..=12 {
        vendor.says(status(502));
        let outcome = server.fresh(&id).await;
        let Err(NotFresh::Unavailable { retry_after }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(server.connection(&id).await.failures, failures);
        longest = longest.max(retry_after);
        server.later(retry_after);
    }
    assert!((Duration::from_secs(30)..=Duration::from_secs(60)).contains(&longest), "{longest:?}");
    assert_eq!(access(&server, &id).await, "at-1");
    assert_eq!(server.recorded("connection.degraded").await, 1, "a row a change, not one an attempt");
}

#[rstest]
#[tokio::test]
async fn a_token_that_the_vendor_does_not_know_is_lost_once(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some((vendor, server)) = start(on).await else { return };
    let id = server.connected(NEARLY_OVER).await;
    vendor.says(refused(400, "invalid_grant"));
    needs(&server, &id, Loss::Revoked).await;
    assert_eq!(vendor.asked().await, 1);
}

/// Which error says so the preset lists.
#[rstest]
#[case::listed("bad_refresh_token", true)]
#[case::common_elsewhere("invalid_grant", false)]
#[tokio::test]
async fn no_other_error_says_that_a_token_is_lost(#[case] error: &str, #[case] is_lost: bool) {
    let keys = "    vendor: { reauth_errors: [bad_refresh_token] }";
    let (vendor, server) = start_with(On::Sqlite, keys).await.unwrap();
    let id = server.connected(OVER).await;
    vendor.says(refused(400, error));
    if is_lost {
        needs(&server, &id, Loss::Revoked).await;
    } else {
        assert!(matches!(server.fresh(&id).await, Err(NotFresh::Unavailable { .. })));
        assert_eq!(server.connection(&id).await.state, State::Degraded(Trouble::Refused));
    }
}

/// The vendor has replaced the token, and its answer was lost: the outage is waited for, and then it is the vendor who
/// says that nothing is left.
#[rstest]
#[case::broken_off(status(500))]
#[case::no_answer(status(200).set_delay(Duration::from_secs(60)))]
#[case::unreadable(status(200).set_body_string("<html>"))]
#[tokio::test]
async fn an_answer_that_was_lost_is_told_from_a_person_who_took_us_away(#[case] answer: ResponseTemplate) {
    let (vendor, server) = start(On::Sqlite).await.unwrap();
    let id = server.connected(OVER).await;
    vendor.gives_and_says(answer);
    let began = server.clock.now();
    assert!(matches!(server.fresh(&id).await, Err(NotFresh::Unavailable { .. })));
    let row = server.connection(&id).await;
    assert_eq!((row.redeeming_since, row.lease_owner), (Some(began), None));
    server.later(Duration::from_secs(60));
    vendor.says(status(429));
    assert!(matches!(server.fresh(&id).await, Err(NotFresh::Unavailable { .. })));
    assert_eq!(
        server.connection(&id).await.redeeming_since,
        Some(began),
        "the doubt is about the first time"
    );
    server.later(Duration::from_secs(60));
    needs(&server, &id, Loss::Interrupted).await;
}

#[rstest]
#[case::same(json!({ "account": "583231" }), true)]
#[case::not_said(json!({}), true)]
#[case::another(json!({ "account": "1" }), false)]
#[tokio::test]
async fn a_refresh_that_gives_somebody_elses_tokens_is_refused(
    #[case] also: serde_json::Value,
    #[case] same: bool,
) {
    let (vendor, server) = start_with(On::Sqlite, IDENTITY_IN_ANSWER).await.unwrap();
    let id = server.connected(OVER).await;
    vendor.says_also(also);
    if same {
        assert_eq!(access(&server, &id).await, "at-1");
    } else {
        needs(&server, &id, Loss::Account).await;
        let row = server.connection(&id).await;
        let kept = server.app.vault.safe.open(&row, server.clock.now()).await.unwrap();
        assert_eq!(kept.access.expose(), "at-1", "to be ended when the account is disconnected");
    }
}

/// Somebody who can write to the database moves tokens from one person to another.
#[rstest]
#[tokio::test]
async fn tokens_that_were_moved_are_served_to_nobody(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values(3600, 0)] left: u64,
) {
    let Some((vendor, server)) = start(on).await else { return };
    let (mine, other) = (
        server.connected(Duration::from_secs(left)).await,
        server.connected(Duration::from_secs(left)).await,
    );
    server
        .execute(format!(
            "UPDATE connections SET tokens = (SELECT tokens FROM connections WHERE id = '{other}') \
             WHERE id = '{mine}'"
        ))
        .await;
    needs(&server, &mine, Loss::Unreadable).await;
    assert_eq!((vendor.asked().await, server.connection(&mine).await.lease), (0, 0));
}

/// Our keys are not what they were: our fault, and nobody has to do anything at the vendor.
#[tokio::test]
async fn keys_that_do_not_fit_lose_nothing() {
    let (_, server) = start(On::Sqlite).await.unwrap();
    let id = server.connected(Duration::from_secs(3600)).await;
    let mut config = server.app.config.clone();
    let other = Server::start(On::Sqlite).await.unwrap();
    config.database = other.app.config.database.clone();
    config.encryption = other.app.config.encryption.clone();
    let foreign = other.twin_with(config).await;
    let row = server.connection(&id).await;
    let configured = foreign.app.config.connections.get(&row.name).unwrap();
    let outcome = chancery::vault::refresh::fresh(&foreign.app, configured, row).await;
    assert!(matches!(outcome, Err(NotFresh::Unopened(_))), "{outcome:?}");
    assert_eq!(server.connection(&id).await.state, State::Active);
}
