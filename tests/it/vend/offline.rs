//! A job that gets the token of a person's account while she is not there.

use super::*;
use crate::support::client::account;

const USER: &str = "urn:chancery:params:oauth:token-type:user";

/// Two jobs, of which one may use GitHub.
pub(super) fn with_jobs() -> String {
    let jobs = "  nightly: { secret: 0123456789-server-secret, name: Nightly report, \
                redirect_uris: [\"https://nightly.acme.example/done\"] }\n  \
                weekly: { secret: 0123456789-server-secret }\n";
    let github = "    vendor: { identity: { tenant: team } }\n";
    let payroll = "    use: { wiki: { \"wiki:read\": [salaries] } }\n";
    sections()
        .replace("  wiki-server:", &format!("{jobs}  wiki-server:"))
        .replace(github, &format!("{github}    offline: {{ clients: [nightly, tickets-server] }}\n"))
        .replace(payroll, &format!("{payroll}    offline: {{ clients: [weekly] }}\n"))
}

async fn serve(on: On) -> Option<Server> {
    Server::start_with(on, &with_jobs()).await
}

/// Who the one is whose token this is.
pub(super) fn sub(whose: &Tokens) -> String {
    whose.claims()["sub"].as_str().unwrap().to_owned()
}

/// The nightly job's request for her token.
pub(super) async fn job(server: &Server, user: &str, changed: &[(&'static str, &str)]) -> Tokens {
    let own = [("client_id", "nightly"), ("subject_token_type", USER)];
    let own: Vec<_> =
        own.into_iter().filter(|(name, _)| !changed.iter().any(|(other, _)| other == name)).collect();
    vend_with(server, user, &[&own[..], changed].concat()).await
}

#[rstest]
#[tokio::test]
async fn a_job_gets_the_token_where_the_operator_allows_it(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let browser = Browser::new();
    let sent = Client::desk().scope("tickets:read").obtain(&server, &browser, "ada").await;
    let id = connected(&server, &sent, |_| ()).await;
    let got = job(&server, &sub(&sent), &[("scope", "repo")]).await;
    assert_eq!((got.status, &got.body["access_token"]), (200, &json!(ACCESS)), "{}", got.body);
    assert_eq!(got.body["account"]["name"], "octocat");

    for (column, value) in [
        ("user_id", sub(&sent).as_str()),
        ("client_id", "nightly"),
        ("COALESCE(resource, 'none')", "none"),
        ("COALESCE(grant_id, 'none')", "none"),
        ("scope", "read:org repo"),
    ] {
        assert_eq!(server.on_record("connection.vended_offline", column).await, [value], "{column}");
    }
    let details = json!({
        "connection": "github", "connection_id": id.as_str(), "account": "583231", "needed": "repo",
    });
    assert_eq!(server.details("connection.vended_offline").await, [details]);
    assert_eq!(server.recorded("connection.vended").await, 0);

    let page = browser.open(&server.url("/connect/github")).await.text();
    let line = "Your administrators also let Nightly report , tickets-server use it while you are away.";
    assert!(page.contains(line), "{page}");
    let page = account(&server, &browser, "ada").await.text();
    for line in [
        "Used by Nightly report while you were away",
        "May also be used while you are away, by Nightly report , tickets-server : your administrators allow it",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
}

/// Neither her consent nor a session of hers is needed: she has ended all of it, and the account is still connected.
#[tokio::test]
async fn it_needs_no_consent_of_hers() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    for table in ["grants", "consents", "sessions"] {
        server.execute(format!("DELETE FROM {table}")).await;
    }
    assert_eq!(job(&server, &sub(&sent), &[]).await.status, 200);
    assert_eq!(job(&server, &sub(&sent), &[("client_id", "tickets-server")]).await.status, 200);
}

#[rstest]
#[case::a_connection_that_is_opened_to_another(&[("audience", "payroll")], "invalid_target")]
#[case::one_that_is_opened_to_nobody(&[("audience", "crm")], "invalid_target")]
#[case::by_another_job(&[("client_id", "weekly")], "invalid_target")]
#[case::by_the_server_of_a_resource(&[("client_id", "wiki-server"), ("audience", "payroll")], "invalid_target")]
#[case::by_a_client_that_may_nothing(
    &[("client_id", "backend"), ("client_secret", "correct-horse-battery-staple-+%-0123456789")],
    "unauthorized_client"
)]
#[case::a_wrong_secret(&[("client_secret", "wrong")], "invalid_client")]
#[case::a_resource(&[("audience", "tickets")], "unauthorized_client")]
#[case::scopes_that_nobody_is_asked_for(&[("scope", "repo delete_repo")], "invalid_scope")]
#[case::a_token_instead_of_a_person(&[("subject_token_type", ACCESS_TOKEN)], "invalid_target")]
#[case::another_type(&[("requested_token_type", USER)], "invalid_request")]
#[tokio::test]
async fn such_a_job_gets_nothing(#[case] changed: &[(&'static str, &str)], #[case] error: &str) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    for name in ["github", "payroll", "crm"] {
        connected_at(&server, &sent, name, |_| ()).await;
    }
    let got = job(&server, &sub(&sent), changed).await;
    assert_eq!(got.error(), error, "{}", got.body);
    assert_eq!(server.reasons("token.refused").await, [error]);
    assert_eq!((server.app.vault.safe.opened(), server.rows("connection_uses").await), (0, 0));
}

#[rstest]
#[case::shut_out("UPDATE users SET disabled_at = 1")]
#[case::her_provider_is_gone("UPDATE identities SET provider = 'gone'")]
#[case::her_provider_is_off("INSERT INTO switched_off (kind, name, at) VALUES ('provider', 'test', 1)")]
#[tokio::test]
async fn it_gets_nothing_of_who_may_not_come_in(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] since: &str,
) {
    let Some(server) = serve(on).await else { return };
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    server.execute(since).await;
    let got = job(&server, &sub(&sent), &[]).await;
    assert_eq!((got.status, got.error()), (400, "invalid_request"), "{}", got.body);
    assert_eq!(server.app.vault.safe.opened(), 0);
    for nobody in ["01890a5d-ac96-774b-bcce-b302099a8057", "ada", sent.access()] {
        assert_eq!(job(&server, nobody, &[]).await.body, got.body, "{nobody}");
    }
}

/// What the operator says of accounts and of his switches holds for a job as for anybody.
#[rstest]
#[case::an_account_that_is_not_allowed_any_more(
    "UPDATE connections SET tenant = 'home'", (400, "interaction_required"), "account"
)]
#[case::an_account_that_is_off("UPDATE connections SET state = 'disabled'", (400, "access_denied"), "")]
#[case::a_connection_that_is_off(
    "INSERT INTO switched_off (kind, name, at) VALUES ('connection', 'github', 1)", (400, "access_denied"), ""
)]
#[case::the_job_is_off(
    "INSERT INTO switched_off (kind, name, at) VALUES ('client', 'nightly', 1)", (400, "unauthorized_client"), ""
)]
#[tokio::test]
async fn it_gets_nothing_that_the_operator_keeps_from_everybody(
    #[case] since: &str,
    #[case] (status, error): (u16, &str),
    #[case] reason: &str,
) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    server.execute(since).await;
    let got = job(&server, &sub(&sent), &[]).await;
    assert_eq!((got.status, got.error()), (status, error), "{}", got.body);
    assert_eq!(got.body["reason"].as_str().unwrap_or_default(), reason);
    assert_eq!(server.app.vault.safe.opened(), 0);
}

#[rstest]
#[tokio::test]
async fn it_is_told_what_she_has_to_do(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let sent = adas(&server).await;
    let ask = async || job(&server, &sub(&sent), &[]).await;
    let got = ask().await;
    assert_eq!((got.status, got.error()), (400, "interaction_required"), "{}", got.body);
    assert_eq!(got.body["cause"], "Nightly report needs your GitHub account. Connect it to go on.");
    let again = ask().await;
    assert_eq!(again.body["interaction_uri"], got.body["interaction_uri"]);
    assert_eq!((server.rows("connect_links").await, server.recorded("connection.needed").await), (1, 1));
    assert_eq!(server.on_record("connection.needed", "COALESCE(resource, 'none')").await, ["none"]);
    for page in ["https://mcp.acme.example/done", "https://evil.example/"] {
        let got = job(&server, &sub(&sent), &[("return_to", page)]).await;
        assert_eq!(got.error(), "invalid_request", "{}", got.body);
    }
    let back = job(&server, &sub(&sent), &[("return_to", "https://nightly.acme.example/done")]).await;
    assert_eq!(back.error(), "interaction_required", "its own redirect URI: {}", back.body);
    let graces = token(&server, "grace", "tickets:read").await;
    let graces = connected(&server, &graces, |_| ()).await;
    let got = job(&server, &sub(&sent), &[("audience", &format!("github/{graces}"))]).await;
    assert_eq!((got.status, got.error()), (404, "invalid_target"), "{}", got.body);

    connected(&server, &sent, |one| one.scope = ScopeSet::default()).await;
    assert_eq!(ask().await.status, 200, "the account alone");
    let got = job(&server, &sub(&sent), &[("scope", "repo")]).await;
    assert_eq!(got.body["missing_scopes"], json!(["repo"]), "{}", got.body);
}

#[tokio::test]
async fn a_job_has_so_much_for_one_person() {
    let github = "    vendor: { identity: { tenant: team } }\n";
    let limited = with_jobs().replace(github, &format!("{github}    limits: {{ vends_per_minute: 2 }}\n"));
    let server = Server::start_with(On::Sqlite, &limited).await.unwrap();
    let sent = adas(&server).await;
    connected(&server, &sent, |_| ()).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(job(&server, &sub(&sent), &[]).await.status);
    }
    assert_eq!(answers, [200, 200, 429]);
    assert_eq!(vend(&server, sent.access()).await.status, 200, "another client");
}
