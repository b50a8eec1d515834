//! `chancery explain --assertion`: what would become of an ID-JAG that an operator has at hand, check by check.

use std::{fs, process::Stdio};

use chancery::clock::Clock;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::{
    explain::{Told, against, explain},
    support::{
        Agent, Browser, On,
        agent::{ID_JAG, TICKETS},
        upstream::signer,
    },
};

/// Claims that are good by the clock on the wall, by which the command goes.
fn claims(agent: &Agent) -> Value {
    let now = Clock::System.now().as_secs();
    let mut claims = agent.claims();
    for (claim, at) in [("iat", now), ("exp", now + 300), ("auth_time", now - 600)] {
        claims[claim] = json!(at);
    }
    claims
}

/// Asks about an assertion in a file.
fn ask(agent: &Agent, assertion: &str, further: &[&str]) -> Told {
    let file = agent.server.config_file().with_file_name("assertion");
    fs::write(&file, format!("{assertion}\n")).unwrap();
    explain(&agent.server, &[&["--assertion", file.to_str().unwrap()], further].concat())
}

/// What the one way of the answer in JSON is, and how the command ended.
fn asked(agent: &Agent, assertion: &str, further: &[&str]) -> (i32, Value) {
    let told = ask(agent, assertion, &[&["--json"], further].concat());
    let answer: Value =
        serde_json::from_str(&told.out).unwrap_or_else(|_| panic!("{}{}", told.out, told.err));
    (told.code, answer)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_check_is_told_and_the_assertion_is_not_used_up(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    agent.upstream.sign_in(&agent.server, &Browser::new(), |_| ()).await;
    let rows = (agent.server.rows("audit").await, agent.server.rows("replays").await);
    let told = ask(&agent, &agent.sign(&claims(&agent)), &["--scope", "tickets:read"]);
    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    let issuer = agent.upstream.issuer();
    for line in [
        "account   ada-1 at ",
        "client    agent (Build agent, declared)\n",
        "resource  tickets (https://mcp.acme.example/tickets)\nscope     tickets:read\n",
        "\nby assertion: allowed, tickets:read\n  yes  clients.agent.grant_types: urn:ietf",
        &format!("  yes  assertion.iss: {issuer}\n  yes  assertion.signature: by a key of {issuer}\n"),
        "  yes  assertion.exp: good now, and for 300 s at most\n",
        &format!("  yes  assertion.aud: {}\n", agent.server.issuer),
        "  yes  assertion.client_id: agent\n",
        "  yes  assertion: not presented before\n",
        "  yes  user: not disabled\n",
        "  yes  providers.acme.id_jag.allow.tickets.clients: agent",
        "  tickets:read\n",
    ] {
        assert!(told.out.contains(line), "{line}: {}", told.out);
    }
    assert_eq!((agent.server.rows("audit").await, agent.server.rows("replays").await), rows);
}

#[rstest]
#[case::expired(&[("exp", json!(1))], "", &["assertion.exp"])]
#[case::for_another_server(&[("aud", json!("https://other.example"))], "", &["assertion.aud"])]
#[case::two_things(&[("aud", json!([])), ("jti", json!(""))], "", &["assertion.aud", "assertion.jti"])]
#[case::restricted(&[("authorization_details", json!([]))], "", &["assertion.cnf"])]
#[case::bound_to_a_certificate(&[("cnf", json!({ "x5t#S256": "x" }))], "", &["assertion.cnf"])]
#[case::signed_in_tomorrow(&[("auth_time", json!(99_999_999_999_i64))], "", &["assertion.sub"])]
#[case::another_resource(&[("resource", json!("https://mcp.other.example"))], "", &["assertion.resource"])]
#[case::scopes_of_nothing(&[("scope", json!("a b"))], "", &["assertion.scope"])]
#[case::an_issuer_of_nobody(&[("iss", json!("https://idp.evil.example"))], "", &["assertion.iss"])]
#[case::nobody(&[("sub", json!(null))], "", &["assertion.sub"])]
#[case::a_client_without_the_grant(&[("client_id", json!("desk"))], "", &["clients.desk.grant_types", "providers.acme.id_jag.public_clients", "providers.acme.id_jag.allow.tickets.clients"])]
#[case::spent(&[("jti", json!("j1"))], "INSERT INTO replays (kind, issuer, jti, expires_at) VALUES ('id_jag', 'ISSUER', 'j1', 9999999999999)", &["assertion"])]
#[case::spent_elsewhere(&[("jti", json!("j1"))], "INSERT INTO replays (kind, issuer, jti, expires_at) VALUES ('id_jag', 'https://other', 'j1', 9999999999999)", &[])]
#[case::switched_off(&[], "INSERT INTO switched_off (kind, name, at) VALUES ('provider', 'acme', 1)", &["providers.acme"])]
#[case::a_client_that_is_off(&[], "INSERT INTO switched_off (kind, name, at) VALUES ('client', 'agent', 1)", &["clients.agent"])]
#[case::she_is_disabled(&[], "UPDATE users SET disabled_at = 1", &["user"])]
#[case::all_is_well(&[], "", &[])]
#[case::bound_to_a_key(&[("cnf", json!({ "jkt": "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s" }))], "", &[])]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_and_the_rest_is_heard_too(
    #[case] change: &[(&str, Value)],
    #[case] meddle: &'static str,
    #[case] why: &[&str],
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(agent) = Agent::start(on).await else { return };
    agent.upstream.sign_in(&agent.server, &Browser::new(), |_| ()).await;
    if !meddle.is_empty() {
        agent.server.execute(meddle.replace("ISSUER", &agent.upstream.issuer())).await;
    }
    let mut claims = claims(&agent);
    for (claim, value) in change {
        claims[*claim] = value.clone();
    }
    let (code, answer) = asked(&agent, &agent.sign(&claims), &[]);
    let way = &answer["ways"][0];
    assert_eq!(against(way), why, "{answer:#}");
    assert_eq!((code, &way["allowed"]), (i32::from(!why.is_empty()), &json!(why.is_empty())));
}

/// Nothing is believed, or said, of what its issuer has not signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_one_is_not_read_on() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    agent.upstream.sign_in(&agent.server, &Browser::new(), |_| ()).await;
    let forged = signer().sign(ID_JAG, &claims(&agent)).unwrap();
    let (code, answer) = asked(&agent, &forged, &[]);
    assert_eq!((code, against(&answer["ways"][0])), (1, vec!["assertion.signature"]));
    let rules = answer["ways"][0]["findings"].as_array().unwrap().len();
    assert_eq!((rules, answer.get("user"), answer.get("resource")), (3, None, None), "{answer:#}");
}

/// The operator says what the request would say; what is asked for can only narrow.
#[rstest]
#[case(&["--resource", "tickets"], 0, &[])]
#[case(&["--resource", TICKETS, "--scope", "tickets:write"], 0, &[])]
#[case(&["--resource", "wiki"], 1, &["assertion.resource"])]
#[case(&["--client", "other"], 1, &["assertion.client_id"])]
#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_about_as_it_would_be_presented(
    #[case] further: &[&str],
    #[case] code: i32,
    #[case] why: &[&str],
) {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let (ended, answer) = asked(&agent, &agent.sign(&claims(&agent)), further);
    assert_eq!((ended, against(&answer["ways"][0])), (code, why.to_vec()), "{answer:#}");
    assert_eq!(answer.get("user"), None, "she never came, and a question makes nobody");
    assert_eq!(agent.server.rows("users").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_may_come_by_the_standard_input() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_chancery"));
    command.args(["explain", "--assertion", "-", "--config"]).arg(agent.server.config_file());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, agent.sign(&claims(&agent)).as_bytes()).unwrap();
    drop(input);
    let told = child.wait_with_output().unwrap();
    assert!(told.status.success());
    assert!(
        String::from_utf8(told.stdout).unwrap().contains("by assertion: allowed, tickets:read tickets:write")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_assertion_gets_no_answer() {
    let agent = Agent::start(On::Sqlite).await.unwrap();
    let workload = agent.upstream.signer.sign("JWT", &claims(&agent)).unwrap();
    let mut unnamed = claims(&agent);
    unnamed["client_id"] = json!(7);
    for (assertion, words) in [
        ("a.b.c", "the assertion cannot be read"),
        (&workload, "is a workload's own and no ID-JAG"),
        (&agent.sign(&unnamed), "say who presents it with --client"),
    ] {
        let told = ask(&agent, assertion, &[]);
        assert_eq!((told.code, told.out.as_str()), (2, ""), "{}", told.err);
        assert!(told.err.contains(words), "{}", told.err);
        assert!(!told.err.contains(assertion), "it is not repeated");
    }
    agent.upstream.answers("/keys", ResponseTemplate::new(503));
    let told = ask(&agent, &agent.sign(&claims(&agent)), &[]);
    assert_eq!((told.code, told.out.as_str()), (2, ""), "{}", told.err);
    assert!(told.err.contains("whether its signature holds is not known"), "{}", told.err);
}

/// An assertion that the rules refused is found by its number, and asked about again by today's rules.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_assertion_is_asked_for_again(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(agent) = Agent::start(on).await else { return };
    assert_eq!(agent.trade(&agent.claims()).await.status, 200);
    let refused = agent
        .present(&agent.sign(&agent.claims_with("scope", json!(null))), &[("scope", "tickets:close")])
        .await;
    assert_eq!(refused.error(), "invalid_scope", "{}", refused.body);
    let number = agent.server.last("token.refused").await.reference;
    let told = explain(&agent.server, &["--refusal", &number]);
    assert_eq!(told.code, 1, "{}{}", told.out, told.err);
    for line in [
        "  grant_type  urn:ietf:params:oauth:grant-type:jwt-bearer\n",
        "  scope       tickets:close\n",
        "\nby assertion: refused\n",
        "  NO   providers.acme.id_jag.allow.tickets.scopes: ",
    ] {
        assert!(told.out.contains(line), "{line}: {}", told.out);
    }
}

/// Whoever presented it has the number from the answer, and the operator the reason by the number.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_assertion_is_explained_by_the_number_that_its_client_was_told(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(agent) = Agent::start(on).await else { return };
    agent.upstream.sign_in(&agent.server, &Browser::new(), |_| ()).await;
    let of_nobody = agent.trade(&agent.claims_with("aud", json!("https://other.example"))).await;
    let of_rules = agent
        .present(
            &agent.sign(&agent.claims_with("scope", json!("tickets:close"))),
            &[("scope", "tickets:close")],
        )
        .await;
    let [of_nobody, of_rules] = [of_nobody, of_rules].map(|refused| {
        assert_eq!(refused.status, 400, "{}", refused.body);
        explain(&agent.server, &["--refusal", &refused.reference.unwrap()])
    });
    for (told, lines) in [
        (
            of_nobody,
            [
                "token.refused  ",
                "  reason      assertion_audience\n",
                "  client      agent\n",
                "  provider    acme\n",
                "  subject     ada-1\n",
                "  why         aud does not name us alone\n",
                "\ntoday: the assertion itself was not accepted; with it at hand, --assertion says what of it\n",
            ],
        ),
        (
            of_rules,
            [
                "token.refused  ",
                "  reason      policy\n",
                "  scope       tickets:close\n",
                "  rules       providers.acme.id_jag.allow.tickets.scopes (scope)",
                "\ntoday\nuser      ",
                "\nby assertion: refused\n",
                "  NO   providers.acme.id_jag.allow.tickets.scopes: tickets:read, tickets:write  (",
            ],
        ),
    ] {
        assert_eq!(told.code, 1, "{}{}", told.out, told.err);
        for line in lines {
            assert!(told.out.contains(line), "{line}: {}", told.out);
        }
    }
}
