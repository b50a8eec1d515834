//! Who gets nothing.

use chancery::{
    ids::ConnectionName,
    jose::{Signer, signer::SigningAlgorithm},
    store::switched_off::{self, Switch},
    vault::state::{State, Trouble},
};
use sqlx::Connection as _;

use super::*;
use crate::support::client::account;

const UNUSABLE: &str = "the subject token is invalid, expired, ended, or not for this client to exchange";

/// Nothing was opened, nobody's use was counted.
async fn nothing_left_the_vault(server: &Server) {
    assert_eq!(server.app.vault.safe.opened(), 0);
    assert_eq!((server.rows("connection_uses").await, server.recorded("connection.vended").await), (0, 0));
}

#[rstest]
#[case::another_resources("audience", "payroll")]
#[case::an_account_of_it("audience", "payroll/octocat")]
#[case::by_its_api("resource", "https://api.payroll.example")]
#[case::unknown("audience", "nothing")]
#[case::unknown_by_its_api("resource", "https://api.nothing.example")]
#[tokio::test]
async fn what_the_resource_does_not_use_does_not_exist_for_it(
    #[case] by: &'static str,
    #[case] name: &str,
    #[values(true, false)] is_good: bool,
) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    connected_at(&server, &sent, "payroll", |_| ()).await;
    let subject = if is_good { sent.access() } else { "x" };
    let got = vend_with(&server, subject, &[("audience", ""), (by, name)]).await;
    let whole = json!({
        "error": "invalid_target", "error_description": "this server does not protect the resource asked for",
    });
    assert_eq!((got.status, got.body), (400, whole));
    nothing_left_the_vault(&server).await;
}

#[rstest]
#[case::a_wrong_secret(&[("client_secret", "wrong")], "invalid_client")]
#[case::a_client_that_serves_nothing(
    &[("client_id", "backend"), ("client_secret", "correct-horse-battery-staple-+%-0123456789")],
    "unauthorized_client"
)]
#[case::the_server_of_another_resource(&[("client_id", "wiki-server")], "invalid_target")]
#[case::another_type(&[("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")], "invalid_request")]
#[case::an_actor(&[("actor_token", "x"), ("actor_token_type", ACCESS_TOKEN)], "invalid_request")]
#[case::a_subject_of_another_type(&[("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")], "invalid_request")]
#[tokio::test]
async fn such_a_request_gets_nothing(#[case] changed: &[(&'static str, &str)], #[case] error: &str) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    let got = vend_with(&server, sent.access(), changed).await;
    assert_eq!(got.error(), error, "{}", got.body);
    assert_eq!(server.reasons("token.refused").await, [error]);
    nothing_left_the_vault(&server).await;
}

#[tokio::test]
async fn a_token_that_is_not_good_gets_nothing() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    let wiki = "https://mcp.acme.example/wiki".to_owned();
    let wiki = Client { resource: Some(wiki), ..Client::desk() }.scope("wiki:read");
    let at_wiki = wiki.obtain(&server, &Browser::new(), "ada").await;
    let algorithm = SigningAlgorithm::Es256;
    let stranger = Signer::from_pkcs8(algorithm, &algorithm.generate().unwrap()).unwrap();
    let forged = stranger.sign("at+jwt", &sent.claims()).unwrap();
    for bad in [at_wiki.access(), &forged, sent.refresh(), "x"] {
        let got = vend(&server, bad).await;
        assert_eq!((got.status, &got.body["error_description"]), (400, &json!(UNUSABLE)), "{}", got.body);
    }
    nothing_left_the_vault(&server).await;
    server.later(Duration::from_secs(600));
    assert_eq!(vend(&server, sent.access()).await.body["error_description"], UNUSABLE, "it has expired");
    nothing_left_the_vault(&server).await;
}

/// What was true when her token was issued and is no longer.
#[rstest]
#[case::the_grant_was_ended("UPDATE grants SET revoked_at = 1")]
#[case::the_user_was_disabled("UPDATE users SET disabled_at = 1")]
#[case::the_consent_was_withdrawn("DELETE FROM consents")]
#[case::a_rule_refuses_her("UPDATE identities SET organization = 'other'")]
#[tokio::test]
async fn a_token_counts_for_what_it_is_worth_today(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] since: &str,
) {
    let Some(server) = serve(on).await else { return };
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    server.execute(since).await;
    let got = vend(&server, sent.access()).await;
    assert_eq!((got.status, &got.body["error_description"]), (400, &json!(UNUSABLE)), "{}", got.body);
    nothing_left_the_vault(&server).await;
}

#[rstest]
#[case::all_that_it_is_worth("tickets:read tickets:write", "", None)]
#[case::what_is_asked_for("tickets:read tickets:write", "repo", None)]
#[case::the_account_alone("tickets:read", "", None)]
#[case::more_than_it_is_worth("tickets:read", "repo", Some("invalid_scope"))]
#[case::partly_more("tickets:write", "repo read:org", Some("invalid_scope"))]
#[case::the_resources_own_words("tickets:write", "tickets:write", Some("invalid_scope"))]
#[case::what_the_connection_has_for_others("tickets:write", "read:org", Some("invalid_scope"))]
#[tokio::test]
async fn nobody_gets_it_for_more_than_she_allowed(
    #[case] held: &str,
    #[case] asked: &str,
    #[case] error: Option<&str>,
) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, "ada", held).await;
    connected(&server, &sent, |_| ()).await;
    let got = vend_with(&server, sent.access(), &[("scope", asked)]).await;
    assert_eq!(got.body.get("error").and_then(Value::as_str), error, "{}", got.body);
    if error.is_some() {
        nothing_left_the_vault(&server).await;
    }
}

/// The rules and the consent are asked anew: what they took from her token is worth nothing at the vendor either.
#[rstest]
#[case::the_rules("UPDATE identities SET groups = '[]'")]
#[case::the_consent("UPDATE consents SET scope = 'tickets:read'")]
#[tokio::test]
async fn what_was_lost_since_is_worth_nothing(#[case] since: &str) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, "ada", "tickets:read tickets:close").await;
    connected(&server, &sent, |connection| {
        connection.scope = ScopeSet::parse("repo admin:org").unwrap();
    })
    .await;
    let close = async || vend_with(&server, sent.access(), &[("scope", "admin:org")]).await;
    assert_eq!(close().await.status, 200);
    server.execute(since).await;
    assert_eq!(close().await.error(), "invalid_scope");
    assert_eq!(server.app.vault.safe.opened(), 1);
}

#[tokio::test]
async fn a_token_that_needs_nothing_of_the_vendor_gets_nothing() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, "ada", "tickets:read").await;
    let got = vend_with(&server, sent.access(), &[("audience", "crm")]).await;
    assert_eq!((got.status, got.error()), (400, "invalid_scope"), "{}", got.body);
    nothing_left_the_vault(&server).await;
}

/// Grace has connected hers; that is no help to Ada, whatever she calls it.
#[rstest]
#[tokio::test]
async fn nobody_gets_another_persons_token(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values(false, true)] another_organization: bool,
) {
    let Some(server) = serve(on).await else { return };
    let (ada, grace) = (adas(&server).await, token(&server, "grace", "tickets:write").await);
    let graces = connected(&server, &grace, |_| ()).await;
    for audience in ["github", "github/octocat", "github/583231"] {
        let got = vend_with(&server, ada.access(), &[("audience", audience)]).await;
        assert_eq!((got.error(), &got.body["reason"]), ("interaction_required", &json!("not_connected")));
        assert!(!got.body.to_string().contains("octocat"), "{}", got.body);
    }
    if another_organization {
        let user = &grace.claims()["sub"];
        let user = user.as_str().unwrap();
        server
            .execute(format!("UPDATE identities SET organization = 'other' WHERE user_id = '{user}'"))
            .await;
    }
    let mut answers = Vec::new();
    for id in [graces.to_string(), "01890a5d-ac96-774b-bcce-b302099a8057".to_owned()] {
        let got = vend_with(&server, ada.access(), &[("audience", &format!("github/{id}"))]).await;
        assert_eq!((got.status, got.error()), (404, "invalid_target"), "{}", got.body);
        answers.push(got.body);
    }
    assert_eq!(answers[0], answers[1], "nobody learns whether it is there");
    assert_eq!(server.reasons("token.refused").await, ["unknown_account"; 2]);
    nothing_left_the_vault(&server).await;
    let hers = vend_with(&server, grace.access(), &[("audience", &format!("github/{graces}"))]).await;
    assert_eq!(hers.status, if another_organization { 400 } else { 200 }, "{}", hers.body);
}

#[tokio::test]
async fn what_an_operator_switched_off_is_not_handed_out() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    connected(&server, &sent, |connection| connection.state = State::Disabled).await;
    let got = vend(&server, sent.access()).await;
    assert_eq!((got.status, got.error()), (400, "access_denied"), "{}", got.body);
    assert_eq!(server.reasons("token.refused").await, ["connection_disabled"]);
    nothing_left_the_vault(&server).await;
}

/// Nothing leaves that is not on record.
#[rstest]
#[case("audit")]
#[case("connection_uses")]
#[tokio::test]
async fn what_cannot_be_written_down_is_not_handed_out(#[case] table: &str) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    let id = connected(&server, &sent, |_| ()).await;
    server.hide(table).await;
    let got = vend(&server, sent.access()).await;
    assert_eq!((got.status, got.error()), (503, "temporarily_unavailable"));
    assert!(got.headers.contains_key("retry-after") && !got.body.to_string().contains(ACCESS));
    server.unhide(table).await;
    assert_eq!(connection_uses::of_connection(&server.app.db, &id).await.unwrap(), []);
    assert_eq!(server.recorded("connection.vended").await, 0);
    assert_eq!(vend(&server, sent.access()).await.status, 200);
}

/// She ends the application's access, or disconnects the account, between our look and our write.
#[rstest]
#[case("UPDATE grants SET revoked_at = 1", "invalid_request")]
#[case("DELETE FROM connections", "interaction_required")]
#[tokio::test]
async fn what_ends_meanwhile_is_not_handed_out(#[case] since: &'static str, #[case] error: &str) {
    let Some(server) = serve(On::Postgres).await else { return };
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    let mut other = sqlx::PgConnection::connect(&server.database).await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut other).await.unwrap();
    let mut watch = sqlx::PgConnection::connect(&server.database).await.unwrap();
    sqlx::query("BEGIN").execute(&mut other).await.unwrap();
    sqlx::query(since).execute(&mut other).await.unwrap();
    let end = async {
        let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))";
        while !sqlx::query_scalar::<_, bool>(waits).bind(pid).fetch_one(&mut watch).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    };
    let (got, ()) = tokio::join!(vend(&server, sent.access()), end);
    assert_eq!((got.status, got.error()), (400, error), "{}", got.body);
    assert_eq!(server.recorded("connection.vended").await, 0);
}

/// She ends it on her account page.
#[tokio::test]
async fn when_she_ends_the_applications_access_its_server_gets_nothing() {
    let server = serve(On::Sqlite).await.unwrap();
    let browser = Browser::new();
    let sent = Client::desk().scope("tickets:write").obtain(&server, &browser, "ada").await;
    connected(&server, &sent, |_| ()).await;
    assert_eq!(vend(&server, sent.access()).await.status, 200);
    let page = account(&server, &browser, "ada").await;
    browser.submit(&page.form("/account/applications/end")).await;
    assert_eq!(vend(&server, sent.access()).await.body["error_description"], UNUSABLE);
}

/// Nobody is sent to connect again because a vendor is down.
#[rstest]
#[tokio::test]
async fn while_the_vendor_is_down_what_is_good_is_handed_out_and_then_nothing(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(server) = serve(on).await else { return };
    let sent = adas(&server).await;
    let id = connected(&server, &sent, |down| {
        down.state = State::Degraded(Trouble::Unavailable);
        down.expires_at = Some(server.clock.now().plus(Duration::from_secs(30)));
    })
    .await;
    let asked_again = server.clock.now().plus(Duration::from_millis(55_300)).as_millis();
    server
        .execute(format!(
            "UPDATE connections SET next_attempt_at = {asked_again}, failures = 6 WHERE id = '{id}'"
        ))
        .await;
    let got = vend(&server, sent.access()).await;
    assert_eq!((got.status, &got.body["expires_in"]), (200, &json!(30)), "{}", got.body);
    server.later(Duration::from_secs(30));
    let got = vend(&server, sent.access()).await;
    assert_eq!((got.status, got.error()), (503, "temporarily_unavailable"), "{}", got.body);
    assert_eq!(got.headers["retry-after"], "26");
    assert_eq!((server.rows("connect_links").await, server.recorded("token.refused").await), (0, 0));
}

/// An operator switches off the whole entry, at whichever instance.
#[rstest]
#[tokio::test]
async fn nothing_is_handed_out_of_an_entry_that_is_switched_off(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    let name = ConnectionName::try_from("github".to_owned()).unwrap();
    let mut tx = server.app.db.begin().await.unwrap();
    switched_off::put(&mut tx, Switch::Connection(&name), server.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    let unconnected = token(&server, "grace", "tickets:write").await;
    for one in [sent, unconnected] {
        let got = vend(&server, one.access()).await;
        assert_eq!((got.status, got.error()), (400, "access_denied"), "{}", got.body);
    }
    assert_eq!(server.rows("connect_links").await, 0, "nobody is sent there");
    nothing_left_the_vault(&server).await;
}
