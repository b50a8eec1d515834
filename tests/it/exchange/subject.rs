//! What is wrong with a subject token, and that the wire does not tell what.

use chancery::jose::{Signer, signer::SigningAlgorithm};
use rstest::rstest;
use serde_json::json;
use sqlx::Connection as _;

use super::*;
use crate::support::{Agent, Upstream, agent};

/// Refused with the one text that there is, and nothing issued.
async fn is_unusable(server: &Server, client: &str, subject: &str, target: &str) {
    let issued = server.recorded("token.exchanged").await;
    let got = exchange(server, client, subject, target).await;
    assert_eq!((got.status, got.error()), (400, "invalid_request"), "{}", got.body);
    assert_eq!(got.body["error_description"], UNUSABLE);
    assert_eq!(server.recorded("token.exchanged").await, issued);
}

/// Each claim that is wrong, in a token with our own signature.
#[rstest]
#[case::another_issuer("iss", json!("https://auth.other.example"))]
#[case::the_issuer_with_a_slash("iss", json!("{issuer}/"))]
#[case::no_issuer("iss", json!(null))]
#[case::for_another_resource("aud", json!(WIKI))]
#[case::for_two_resources("aud", json!([TICKETS, WIKI]))]
#[case::for_a_resource_like_it("aud", json!("https://mcp.acme.example/tickets/"))]
#[case::for_nobody("aud", json!(null))]
#[case::expired("exp", json!(1_795_219_200))]
#[case::without_end("exp", json!(null))]
#[case::with_a_text_for_an_end("exp", json!("1795219800"))]
#[case::from_the_future("iat", json!(1_795_219_261))]
#[case::not_yet("nbf", json!(1_795_219_261))]
#[case::of_another_person("sub", json!("01890a5d-ac96-774b-bcce-b302099a8057"))]
#[case::of_nobody("sub", json!(null))]
#[case::on_no_grant("grant_id", json!(null))]
#[case::on_an_unknown_grant("grant_id", json!("01890a5d-ac96-774b-bcce-b302099a8057"))]
#[case::on_what_is_no_grant("grant_id", json!("x"))]
#[case::of_no_client("client_id", json!(null))]
#[case::without_scope("scope", json!(null))]
#[case::with_a_list_of_scopes("scope", json!(["tickets:read"]))]
#[case::without_id("jti", json!(null))]
#[case::with_a_text_for_an_actor("act", json!("wiki-server"))]
#[case::with_an_actor_of_no_name("act", json!({ "act": { "sub": "wiki-server" } }))]
#[case::that_admits_another_actor("may_act", json!({ "sub": "wiki-server" }))]
#[case::that_admits_an_actor_of_another_house("may_act", json!({ "sub": "tickets-server", "iss": "https://auth.other.example" }))]
#[case::that_admits_in_a_way_unknown("may_act", json!({ "sub": "tickets-server", "until": "noon" }))]
#[tokio::test]
async fn a_token_with_one_wrong_claim_is_worth_nothing(#[case] claim: &str, #[case] value: Value) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, "tickets:read").await;
    let value: Value = serde_json::from_str(&value.to_string().replace("{issuer}", &server.issuer)).unwrap();
    let wrong = altered(&server, sent.access(), |claims| claims[claim] = value);
    is_unusable(&server, "tickets-server", &wrong, WIKI).await;
    assert_eq!(server.reasons("token.refused").await, ["invalid_request"]);

    let same = altered(&server, sent.access(), |_| ());
    assert_eq!(exchange(&server, "tickets-server", &same, WIKI).await.status, 200, "nothing else was wrong");
}

#[rstest]
#[case::admits_this_server("may_act", json!({ "sub": "tickets-server" }))]
#[case::bound_to_the_clients_key("cnf", json!({ "jkt": "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s" }))]
#[case::a_clock_of_another_instance("iat", json!(1_795_219_260))]
#[tokio::test]
async fn a_token_may_say_this(#[case] claim: &str, #[case] value: Value) {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, "tickets:read").await;
    let good = altered(&server, sent.access(), |claims| claims[claim] = value);
    let got = exchange(&server, "tickets-server", &good, WIKI).await;
    assert_eq!((got.status, &got.body["token_type"]), (200, &json!("Bearer")), "{}", got.body);
    assert_eq!(got.claims().get("cnf"), None, "the server cannot prove the client's key");
}

#[rstest]
#[tokio::test]
async fn what_is_no_access_token_of_ours_is_worth_nothing(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let sent = token(&server, "tickets:read").await;
    let claims = sent.claims();
    let algorithm = SigningAlgorithm::Es256;
    let stranger = Signer::from_pkcs8(algorithm, &algorithm.generate().unwrap()).unwrap();
    let forged = stranger.sign("at+jwt", &claims).unwrap();
    let ours = server.app.keys.signer();
    let (signed, _) = sent.access().rsplit_once('.').unwrap();
    let (_, signature) = forged.rsplit_once('.').unwrap();
    let grafted = format!("{signed}.{signature}");
    let tampered = sent.access().replacen('.', ".A", 1);
    let id_token = ours.sign("JWT", &claims).unwrap();
    let logout_token = ours.sign("logout+jwt", &claims).unwrap();
    let id_jag = ours.sign("oauth-id-jag+jwt", &claims).unwrap();
    for bad in [&forged, &grafted, &tampered, &id_token, &logout_token, &id_jag, sent.refresh(), "x"] {
        is_unusable(&server, "tickets-server", bad, WIKI).await;
    }
    assert_eq!(exchange(&server, "tickets-server", sent.access(), WIKI).await.status, 200);
}

#[rstest]
#[tokio::test]
async fn a_token_is_exchanged_by_the_server_that_it_is_for_alone(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = serve(on).await else { return };
    let at_tickets = token(&server, "tickets:read").await;
    let wiki = Client { resource: Some(WIKI.to_owned()), ..Client::desk() }.scope("wiki:read");
    let at_wiki = wiki.obtain(&server, &Browser::new(), "ada").await;
    is_unusable(&server, "wiki-server", at_tickets.access(), SEARCH).await;
    is_unusable(&server, "tickets-server", at_wiki.access(), WIKI).await;
    assert_eq!(exchange(&server, "wiki-server", at_wiki.access(), SEARCH).await.status, 200);
}

#[tokio::test]
async fn a_programs_own_token_stands_for_nobody() {
    let program = "clients:\n  nightly:\n    secret: 0123456789-server-secret\n    \
                   grant_types: [client_credentials]\n    resources: { tickets: [\"tickets:read\"] }\n";
    let sections = sections().replace("clients:\n", program);
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "nightly"),
        ("client_secret", SECRET),
        ("resource", TICKETS),
    ];
    let own = post(&server, &form.map(|(name, value)| (name, value.to_owned()))).await;
    is_unusable(&server, "tickets-server", own.access(), WIKI).await;
}

#[tokio::test]
async fn an_expired_token_is_worth_nothing() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, "tickets:read").await;
    server.later(Duration::from_secs(599));
    let got = exchange(&server, "tickets-server", sent.access(), WIKI).await;
    assert_eq!(got.body["expires_in"], 1, "{}", got.body);
    server.later(Duration::from_secs(1));
    is_unusable(&server, "tickets-server", sent.access(), WIKI).await;
}

/// What was true when the token was issued and is no longer.
#[rstest]
#[case::the_grant_was_ended("UPDATE grants SET revoked_at = 1")]
#[case::the_grant_has_expired("UPDATE grants SET expires_at = 1795219200000")]
#[case::the_resource_moved("UPDATE grants SET audience = 'https://mcp.acme.example/old'")]
#[case::the_resource_is_gone("UPDATE grants SET resource = 'old'")]
#[case::the_user_was_disabled("UPDATE users SET disabled_at = 1")]
#[case::the_provider_is_gone("UPDATE identities SET provider = 'gone'")]
#[case::the_consent_was_withdrawn("DELETE FROM consents")]
#[case::the_consent_covers_it_no_more("UPDATE consents SET scope = 'tickets:write'")]
#[case::a_rule_refuses_her("UPDATE identities SET organization = 'other'")]
#[tokio::test]
async fn a_token_is_worth_what_it_is_worth_today(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] since: &str,
) {
    let Some(server) = serve(on).await else { return };
    let sent = token(&server, "tickets:read").await;
    let at_wiki = exchange(&server, "tickets-server", sent.access(), WIKI).await;
    server.execute(since).await;
    is_unusable(&server, "tickets-server", sent.access(), WIKI).await;
    let grant = sent.claims()["grant_id"].as_str().unwrap().to_owned();
    assert_eq!(server.on_record("token.refused", "grant_id").await, [grant]);
    assert_eq!(server.on_record("token.refused", "client_id").await, ["tickets-server"]);
    is_unusable(&server, "wiki-server", at_wiki.access(), SEARCH).await;
}

#[tokio::test]
async fn a_scope_that_was_lost_since_is_worth_nothing() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, "tickets:read tickets:write").await;
    let at_wiki = exchange(&server, "tickets-server", sent.access(), WIKI).await;
    assert_eq!(at_wiki.body["scope"], "wiki:edit wiki:read");
    let search = async || exchange(&server, "wiki-server", at_wiki.access(), SEARCH).await;
    assert_eq!(search().await.body["scope"], "search:index search:query");

    // She leaves the group that edits the wiki, and takes back that her tickets are written.
    server.execute("UPDATE identities SET groups = '[]'").await;
    assert_eq!(search().await.body["scope"], "search:query");
    server.execute("UPDATE consents SET scope = 'tickets:read'").await;
    server.later(Duration::from_millis(1));
    let got = exchange(&server, "tickets-server", sent.access(), WIKI).await;
    assert_eq!(got.body["scope"], "wiki:read");
    let rows = server.details("token.exchanged").await;
    assert_eq!(rows.last().unwrap()["subject_scope"], "tickets:read");
}

/// Of no scope the rules grant the defaults of a resource; a token of no scope has none.
#[tokio::test]
async fn a_token_without_scopes_is_worth_nothing() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, "tickets:read").await;
    let at_wiki = exchange(&server, "tickets-server", sent.access(), WIKI).await;
    for (client, held, target) in [("tickets-server", &sent, WIKI), ("wiki-server", &at_wiki, SEARCH)] {
        let bare = altered(&server, held.access(), |claims| claims["scope"] = json!(""));
        assert_eq!(exchange(&server, client, &bare, target).await.error(), "invalid_scope", "{client}");
    }
}

/// An agent came by its enterprise's assertion, with no browser and no consent; the server that it calls goes on.
#[rstest]
#[tokio::test]
async fn a_server_goes_on_for_the_user_of_an_agent(#[values(On::Sqlite, On::Postgres)] on: On) {
    let upstream = Upstream::start().await;
    let servers = "clients:\n  tickets-server:\n    secret: 0123456789-server-secret\n    serves: tickets\n    \
                   exchange: { wiki: { \"tickets:read\": [\"wiki:read\"] } }\n";
    let sections = agent::sections(&upstream, "").replace("clients:\n", servers);
    let Some(server) = Server::start_with(on, &sections).await else { return };
    let agent = Agent { server, upstream };
    let sent = agent.trade(&agent.claims()).await;
    let got = exchange(&agent.server, "tickets-server", sent.access(), WIKI).await;
    assert_eq!(got.status, 200, "{}", got.body);
    let (claims, before) = (got.claims(), sent.claims());
    assert_eq!((&claims["scope"], &claims["act"]["sub"]), (&json!("wiki:read"), &json!("tickets-server")));
    for same in ["sub", "grant_id", "auth_time", "acr", "amr", "org_id", "exp"] {
        assert_eq!(claims[same], before[same], "{same}");
    }
}

/// No consent stands behind what an identity provider asserted, but the rules for its assertions.
#[rstest]
#[tokio::test]
async fn what_an_assertion_gave_is_exchanged_while_assertions_give_it(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[values(
        ("", None),
        ("id_jag: { allow: { wiki: { clients: [desk], scopes: [\"wiki:read\"] } } }", None),
        ("id_jag: { allow: { tickets: { clients: [backend], scopes: [\"tickets:read\"] } } }", None),
        ("id_jag: { allow: { tickets: { clients: [desk], scopes: [\"tickets:close\"] } } }", None),
        ("id_jag: { allow: { tickets: { clients: [desk], scopes: [\"tickets:read\"] } } }", Some("wiki:read")),
        (
            "id_jag: { allow: { tickets: { clients: [desk], scopes: [\"tickets:read\", \"tickets:write\"] } } }",
            Some("wiki:edit wiki:read")
        )
    )]
    (rules, worth): (&str, Option<&str>),
) {
    let organization = "    organization: acme\n";
    let mut sections = sections().replace(organization, &format!("{organization}    {rules}\n"));
    for name in ["    name: Desk agent\n", "    name: Back office\n"] {
        let grants = format!("[authorization_code, refresh_token, \"{}\"]", agent::JWT_BEARER);
        assert!(sections.contains(name), "{sections}");
        sections = sections.replace(name, &format!("{name}    grant_types: {grants}\n"));
    }
    let Some(server) = Server::start_with(on, &sections).await else { return };
    let sent = token(&server, "tickets:read tickets:write").await;
    server.execute("UPDATE grants SET origin = 'id_jag', session_id = NULL").await;
    server.execute("DELETE FROM consents").await;
    match worth {
        None => is_unusable(&server, "tickets-server", sent.access(), WIKI).await,
        Some(scope) => {
            let got = exchange(&server, "tickets-server", sent.access(), WIKI).await;
            assert_eq!(got.body["scope"], scope, "{}", got.body);
            assert_eq!(exchange(&server, "wiki-server", got.access(), SEARCH).await.status, 200);
        }
    }
}

/// The grant is ended between our look and our write.
#[tokio::test]
async fn a_grant_that_ends_meanwhile_gives_nothing() {
    let Some(server) = serve(On::Postgres).await else { return };
    let sent = token(&server, "tickets:read").await;
    let mut other = sqlx::PgConnection::connect(&server.database).await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut other).await.unwrap();
    let mut watch = sqlx::PgConnection::connect(&server.database).await.unwrap();
    sqlx::query("BEGIN").execute(&mut other).await.unwrap();
    sqlx::query("UPDATE grants SET revoked_at = 1").execute(&mut other).await.unwrap();
    let end = async {
        let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))";
        while !sqlx::query_scalar::<_, bool>(waits).bind(pid).fetch_one(&mut watch).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    };
    tokio::join!(is_unusable(&server, "tickets-server", sent.access(), WIKI), end);
}
