//! What a server is told when its person has to do something first.

use chancery::vault::state::{Loss, State};

use super::*;
use crate::support::Log;

/// The link in an answer.
fn link(got: &Tokens) -> String {
    assert_eq!((got.status, got.error()), (400, "interaction_required"), "{}", got.body);
    got.body["interaction_uri"].as_str().unwrap().to_owned()
}

#[rstest]
#[tokio::test]
async fn a_server_is_told_where_its_person_has_to_go(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let sent = adas(&server).await;
    let got = vend(&server, sent.access()).await;
    let url = link(&got);
    assert!(url.starts_with(&format!("{}/connect/github?link=chy_cl_", server.issuer)), "{url}");
    assert_eq!(got.headers["cache-control"], "no-store");
    let message = "Ticket desk needs your GitHub account. Connect it to go on.";
    let id = got.body["elicitation"]["2025-11-25"]["data"]["elicitations"][0]["elicitationId"].clone();
    let whole = json!({
        "error": "interaction_required", "error_description": message,
        "interaction_uri": url, "interval": 5, "expires_in": 600,
        "reason": "not_connected", "connection": "github", "missing_scopes": [],
        "consent_url": url, "service_id": "github", "cause": message,
        "elicitation": {
            "2025-11-25": {
                "code": -32042, "message": message,
                "data": { "elicitations": [{ "mode": "url", "elicitationId": id, "url": url, "message": message }] },
            },
            "2026-07-28": {
                "resultType": "input_required",
                "inputRequests": { "github": {
                    "method": "elicitation/create",
                    "params": { "mode": "url", "url": url, "message": message },
                } },
            },
        },
    });
    assert_eq!(got.body, whole);
    assert_eq!(id.as_str().unwrap().len(), 9, "{id}");

    let claims = sent.claims();
    for (column, value) in [
        ("reason", &json!("not_connected")),
        ("user_id", &claims["sub"]),
        ("grant_id", &claims["grant_id"]),
        ("client_id", &json!("tickets-server")),
        ("resource", &json!(TICKETS)),
        ("scope", &json!("repo")),
    ] {
        assert_eq!(json!(server.on_record("connection.needed", column).await), json!([value]), "{column}");
    }
    let details = json!({ "connection": "github", "subject_jti": claims["jti"], "subject_client": "desk" });
    assert_eq!(server.details("connection.needed").await, [details]);
    assert_eq!(server.recorded("token.refused").await, 0, "it is on record once");
}

#[rstest]
#[case::reconnect(
    |lost: &mut Connection| lost.state = State::NeedsReconnect(Loss::Revoked),
    "needs_reconnect:revoked", json!([]), "needs_reconnect", ("loss", "revoked")
)]
#[case::scopes(
    |poor: &mut Connection| poor.scope = ScopeSet::parse("read:org").unwrap(),
    "missing_scopes", json!(["repo"]), "missing_scopes", ("missing", "repo")
)]
#[case::a_tenant_that_is_not_allowed_any_more(
    |private: &mut Connection| private.tenant = Some("home".to_owned()),
    "account", json!([]), "account", ("loss", "")
)]
#[case::no_tenant(
    |private: &mut Connection| private.tenant = None,
    "account", json!([]), "account", ("loss", "")
)]
#[tokio::test]
async fn it_is_told_why(
    #[case] change: fn(&mut Connection),
    #[case] reason: &str,
    #[case] missing: Value,
    #[case] recorded: &str,
    #[case] (detail, value): (&str, &str),
) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    connected(&server, &sent, change).await;
    let got = vend(&server, sent.access()).await;
    link(&got);
    assert_eq!((&got.body["reason"], &got.body["missing_scopes"]), (&json!(reason), &missing));
    assert_eq!(server.reasons("connection.needed").await, [recorded]);
    assert_eq!(server.last("connection.needed").await.detail(detail), value);
    assert_eq!(server.app.vault.safe.opened(), 0);
}

/// Which of her accounts is meant she says on her account page; no link can tell.
#[tokio::test]
async fn who_has_not_said_which_account_is_meant_is_asked_to() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    for account in ["1", "2"] {
        connected(&server, &sent, |one| (one.is_default, one.account) = (false, account.to_owned())).await;
    }
    let got = vend(&server, sent.access()).await;
    assert_eq!(link(&got), format!("{}/account", server.issuer));
    assert_eq!(got.body["reason"], "several_accounts");
    assert_eq!(server.reasons("token.refused").await, ["several_accounts"]);
    assert_eq!((server.rows("connect_links").await, server.app.vault.safe.opened()), (0, 0));
}

/// A server that waits asks every few seconds; the link that its person has in hand stays good.
#[rstest]
#[tokio::test]
async fn who_asks_again_is_given_the_same_link(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let sent = adas(&server).await;
    let ask = async || vend(&server, sent.access()).await;
    let first = link(&ask().await);
    server.later(Duration::from_secs(300));
    let again = ask().await;
    assert_eq!((link(&again), &again.body["expires_in"]), (first.clone(), &json!(300)));
    assert_eq!((server.rows("connect_links").await, server.recorded("connection.needed").await), (1, 1));

    let narrower = vend_with(&server, sent.access(), &[("return_to", "https://mcp.acme.example/done")]).await;
    assert_ne!(link(&narrower), first, "another request");
    server.later(Duration::from_millis(1));
    let late = link(&ask().await);
    assert_ne!(late, first, "it would be too late soon");
    server.execute("UPDATE connect_links SET used_at = 1").await;
    assert_ne!(link(&ask().await), late, "she has opened it");
    assert_eq!((server.rows("connect_links").await, server.recorded("connection.needed").await), (4, 4));
}

/// A person's app may call many tools at once. More of them than a client gets links are no reason to refuse any.
#[rstest]
#[tokio::test]
async fn who_ask_at_the_same_moment_are_given_the_same_link(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let sent = adas(&server).await;
    let answers = futures_join((0..30).map(|_| vend(&server, sent.access()))).await;
    assert!(answers.iter().all(|got| link(got) == link(&answers[0])));
    assert_eq!((server.rows("connect_links").await, server.recorded("connection.needed").await), (1, 1));
}

/// Nobody fills the table.
#[tokio::test]
async fn one_client_gets_so_many_links() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    let ask = async |n: u32| {
        let page = format!("https://mcp.acme.example/done/{n}");
        vend_with(&server, sent.access(), &[("return_to", &page)]).await
    };
    for n in 0..10 {
        link(&ask(n).await);
    }
    let got = ask(10).await;
    assert_eq!((got.status, got.error()), (429, "temporarily_unavailable"));
    assert_eq!(got.headers["retry-after"], "600");
    link(&ask(3).await);
    assert_eq!(server.rows("connect_links").await, 10);
}

#[rstest]
#[case::on_the_resources_site("https://mcp.acme.example/done?x=1", true)]
#[case::elsewhere("https://mcp.evil.example/done", false)]
#[case::in_the_clear("http://mcp.acme.example/done", false)]
#[case::another_port("https://mcp.acme.example:8443/done", false)]
#[case::with_a_password("https://a:b@mcp.acme.example/done", false)]
#[case::no_address("/done", false)]
#[case::a_script("javascript:alert(1)", false)]
#[tokio::test]
async fn she_comes_back_where_the_server_may_send_her(#[case] page: &str, #[case] is_allowed: bool) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    let got = vend_with(&server, sent.access(), &[("return_to", page)]).await;
    if is_allowed {
        link(&got);
    } else {
        assert_eq!((got.status, got.error()), (400, "invalid_request"), "{}", got.body);
    }
    assert_eq!(server.rows("connect_links").await, i64::from(is_allowed));
}

/// Neither the log at any level, nor the record, nor an error holds a token, nor the log a link.
#[rstest]
#[tokio::test]
async fn no_token_is_seen_outside_the_answer(#[values(On::Sqlite, On::Postgres)] on: On) {
    let (log, _logged) = Log::listen();
    let Some(server) = serve(on).await else { return };
    let sent = adas(&server).await;
    let url = link(&vend(&server, sent.access()).await);
    let id = connected(&server, &sent, |_| ()).await;
    assert_eq!(vend(&server, sent.access()).await.body["access_token"], ACCESS);
    let mut errors = vec![
        vend_with(&server, sent.access(), &[("scope", "read:org")]).await,
        vend_with(&server, ACCESS, &[]).await,
        vend_with(&server, sent.access(), &[("audience", ACCESS)]).await,
        vend_with(&server, sent.access(), &[("scope", ACCESS)]).await,
    ];
    for state in ["needs_reconnect:revoked", "disabled", "active"] {
        server.execute(format!("UPDATE connections SET state = '{state}'")).await;
        server.hide("connection_uses").await;
        errors.push(vend(&server, sent.access()).await);
        server.unhide("connection_uses").await;
    }
    server.execute(format!("UPDATE connections SET generation = 2 WHERE id = '{id}'")).await;
    errors.push(vend(&server, sent.access()).await);
    for error in &errors {
        assert_ne!(error.status, 200);
        assert!(!error.body.to_string().contains("vendor-"), "{}", error.body);
    }
    let text = log.text();
    assert!(text.contains("TRACE request{") && text.contains("connection github: needs_reconnect:revoked"));
    let (_, secret) = url.split_once("link=").unwrap();
    for hidden in [ACCESS, REFRESH, secret, sent.access(), SECRET] {
        let line = text.lines().find(|line| line.contains(hidden) && !line.contains("scraper"));
        assert_eq!(line, None, "{hidden}");
    }
    let record = server.on_record("connection.vended", "details").await;
    assert!(!record.concat().contains(ACCESS));
    assert!(!server.on_record("token.refused", "details").await.concat().contains(REFRESH));
}
