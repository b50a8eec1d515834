//! `chancery explain`: an operator asks why, and is told every rule that has a say, by the rules of today.

use std::{process::Command, time::Duration};

use chancery::{
    config::{
        Config,
        provider::{EntryRules, Requirements},
    },
    identity::entry,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    Browser, Client, On, Server, Setup, Tokens,
    client::{account, post},
};

/// What a command said.
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Rules of every kind that a sign-in can meet, and what assertions give.
const RULES: &str = "sign_in: { email_domains: [example.test], require: { groups: [staff], claims: { name: [Ada Lovelace, Grace Hopper] } } }
    id_jag:
      allow:
        tickets: { clients: [desk, backend], scopes: [\"tickets:read\", \"tickets:close\"], groups: [staff], claims: { acr: [mfa] } }";

/// What an agent may ask the token endpoint for.
const AGENT: &str = r#"[authorization_code, refresh_token, "urn:ietf:params:oauth:grant-type:jwt-bearer"]"#;

async fn start(on: On) -> Option<Server> {
    let nightly = "clients:\n  nightly: { secret: 0123456789-nightly-secret, grant_types: [client_credentials], resources: { tickets: [\"tickets:read\"] } }\n";
    let agent = format!("    name: Desk agent\n    grant_types: {AGENT}\n");
    let backend = format!("    name: Back office\n    grant_types: {AGENT}\n");
    Setup::on(on)
        .replacing("sign_in: { anyone: true }", RULES)
        .replacing("clients:\n", nightly)
        .replacing("    name: Desk agent\n", &agent)
        .replacing("    name: Back office\n", &backend)
        .start()
        .await
}

/// Runs the command by the server's own configuration, changed like this.
fn explain_by(server: &Server, change: impl FnOnce(String) -> String, arguments: &[&str]) -> Told {
    let file = server.config_file();
    let changed = file.with_file_name("changed.yaml");
    let text = change(std::fs::read_to_string(&file).unwrap());
    std::fs::write(&changed, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(["explain", "--config"])
        .arg(&changed)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Told { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) fn explain(server: &Server, arguments: &[&str]) -> Told {
    explain_by(server, |text| text, arguments)
}

/// A question about Ada and the desk agent at the ticket desk.
fn ada<'a>(further: &[&'a str]) -> Vec<&'a str> {
    let usual =
        ["--provider", "test", "--user", "ada@example.test", "--client", "desk", "--resource", "tickets"];
    usual.into_iter().chain(further.iter().copied()).collect()
}

/// The same in JSON, of the one way that was asked for.
fn way(server: &Server, by: &str, further: &[&str]) -> (i32, Value) {
    let told = explain(server, &ada(&[&["--json", "--by", by], further].concat()));
    let answer: Value =
        serde_json::from_str(&told.out).unwrap_or_else(|_| panic!("{}{}", told.out, told.err));
    (told.code, answer["ways"][0].clone())
}

/// The rules that were against it.
pub(crate) fn against(way: &Value) -> Vec<&str> {
    let findings = way["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["admits"] == false)
        .map(|finding| finding["rule"].as_str().unwrap())
        .collect()
}

async fn obtain(server: &Server, scope: &str) -> (Client, Tokens) {
    let client = Client::desk().scope(scope);
    let tokens = client.obtain(server, &Browser::new(), "ada").await;
    // The command goes by the clock on the wall, which no story moves.
    server.execute("UPDATE grants SET expires_at = 9999999999999").await;
    (client, tokens)
}

#[rstest]
#[tokio::test]
async fn every_rule_is_told_and_where_it_stands(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = start(on).await else { return };
    let (_, tokens) = obtain(&server, "tickets:read").await;
    let rows = server.rows("audit").await;
    let told = explain(&server, &ada(&["--scope", "tickets:read tickets:purge", "--by", "consent"]));
    let file = server.config_file().with_file_name("changed.yaml").display().to_string();
    let seen = told.out.split("last seen ").nth(1).unwrap_or_default().lines().next().unwrap_or_default();
    let expected = format!(
        "user      {user} (Ada Lovelace, ada@example.test)
account   test-user-ada at {issuer}, last seen {seen}
facts     provider test, organization acme, groups staff, support
client    desk (Desk agent, declared)
resource  tickets (https://mcp.acme.example/tickets)
scope     tickets:purge tickets:read

by consent: allowed, tickets:read
  yes  clients.desk.grant_types: authorization_code  ({file}:36:5)
  yes  providers.test: configured  ({file}:6:3)
  yes  user: not disabled
  yes  providers.test.sign_in.email_domains: example.test  ({file}:14:16)
  yes  providers.test.sign_in.require.groups: staff  ({file}:14:58)
  yes  providers.test.sign_in.require.claims.name: \"Ada Lovelace\", \"Grace Hopper\"  ({file}:14:85)
  yes  resources.tickets.allow.organizations: acme  ({file}:26:14)
  tickets:purge
  NO   resources.tickets.scopes.tickets:purge
  tickets:read
  yes  resources.tickets.scopes.tickets:read  ({file}:23:7)
",
        user = tokens.claims()["sub"].as_str().unwrap(),
        issuer = server.provider,
    );
    assert_eq!(told.out, expected, "{}", told.err);
    assert_eq!(told.code, 0);
    assert_eq!(server.rows("audit").await, rows, "a question leaves no trace");
}

#[tokio::test]
async fn a_user_is_found_by_what_she_is_called() {
    let server = start(On::Sqlite).await.unwrap();
    let (_, tokens) = obtain(&server, "tickets:read").await;
    let key = format!("{}#test-user-ada", server.provider);
    let id = tokens.claims()["sub"].as_str().unwrap().to_owned();
    for user in ["ada@example.test", "ADA@example.test", "test-user-ada", &key, &id] {
        let told = explain(
            &server,
            &["--provider", "test", "--user", user, "--client", "desk", "--resource", "tickets"],
        );
        assert_eq!(told.code, 0, "{user}: {}{}", told.out, told.err);
        assert!(told.out.starts_with(&format!("user      {id}")), "{}", told.out);
    }
    server.execute("UPDATE identities SET email = 'ada@example.test'").await;
    Client::desk().obtain(&server, &Browser::new(), "grace").await;
    server.execute("UPDATE identities SET email = 'ada@example.test'").await;
    let told = explain(&server, &ada(&[]));
    assert_eq!((told.code, told.out.as_str()), (2, ""));
    for subject in ["test-user-ada", "test-user-grace"] {
        assert!(told.err.contains(&format!("--user '{}#{subject}'", server.provider)), "{}", told.err);
    }
}

#[rstest]
#[case::nobody(&["--user", "eve@example.test"], "nobody who is known as eve@example.test has come through test yet")]
#[case::provider(&["--provider", "okta"], "--provider: okta is not in the configuration; there are test")]
#[case::resource(&["--resource", "ticket"], "--resource: ticket is not in the configuration; there are tickets, wiki")]
#[case::scope(&["--scope", "a\"b"], "--scope: a scope is 1 to 128")]
#[case::claim(&["--claim", "acr"], "--claim is written NAME=VALUE")]
#[case::refusal(&["--refusal", "AAAA-AAAA"], "cannot be used with")]
#[tokio::test]
async fn what_is_no_question_gets_no_answer(#[case] further: &[&str], #[case] text: &str) {
    let server = start(On::Sqlite).await.unwrap();
    obtain(&server, "tickets:read").await;
    let mut arguments = ada(&[]);
    if let Some(at) = arguments.iter().position(|argument| *argument == further[0]) {
        arguments.drain(at..at + 2);
    }
    arguments.extend(further);
    let told = explain(&server, &arguments);
    assert_eq!((told.code, told.out.as_str()), (2, ""), "{}", told.err);
    assert!(told.err.contains(text), "{}", told.err);
}

#[tokio::test]
async fn without_a_database_there_is_no_answer_and_no_database_is_made() {
    let server = start(On::Sqlite).await.unwrap();
    let elsewhere = |text: String| text.replace("chancery.db", "elsewhere.db");
    let told = explain_by(&server, elsewhere, &ada(&[]));
    assert_eq!((told.code, told.out.as_str()), (2, ""), "{}", told.err);
    assert!(told.err.contains("the database cannot be read"), "{}", told.err);
    assert!(!server.config_file().with_file_name("elsewhere.db").exists());
    let told = explain(&server, &["--refusal", "AAAA-AAAA"]);
    assert_eq!((told.code, told.out.as_str()), (2, ""), "{}", told.err);
    assert!(told.err.contains("no refusal with the number AAAA-AAAA is in the record"), "{}", told.err);
}

/// A switch speaks while it is off, and bars every way.
#[rstest]
#[case("('client', 'desk', 1)", "clients.desk")]
#[case("('provider', 'test', 1)", "providers.test")]
#[tokio::test]
async fn what_is_switched_off_is_told(#[case] off: &'static str, #[case] why: &str) {
    let server = start(On::Sqlite).await.unwrap();
    let (client, tokens) = obtain(&server, "tickets:read").await;
    server.execute(format!("INSERT INTO switched_off (kind, name, at) VALUES {off}")).await;
    for by in ["consent", "refresh"] {
        let (code, told) = way(&server, by, &[]);
        assert_eq!((code, against(&told), &told["granted"]), (1, vec![why], &json!("")), "{told}");
    }
    assert_eq!(client.refresh(&server, tokens.refresh()).await.status, 400);
}

/// What the command says of a refresh is what a refresh gets.
#[rstest]
#[case::as_it_was("", "tickets:read tickets:write", &[])]
#[case::the_consent_is_gone("DELETE FROM consents", "", &["consent"])]
#[case::the_consent_is_smaller("UPDATE consents SET scope = 'tickets:read'", "tickets:read", &["consent"])]
#[case::the_grant_is_over("UPDATE grants SET revoked_at = 1", "", &["grant"])]
#[case::she_is_disabled("UPDATE users SET disabled_at = 1", "", &["user"])]
#[case::she_left_the_group(
    "UPDATE identities SET groups = '[]'", "", &["providers.test.sign_in.require.groups"]
)]
#[case::her_name_is_not_known("UPDATE identities SET claims = '{}'", "", &["providers.test.sign_in.require.claims.name"])]
#[case::she_changed_the_company(
    "UPDATE identities SET organization = 'other'", "", &["resources.tickets.allow.organizations"]
)]
#[tokio::test]
async fn a_refresh_gets_what_is_told(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] change: &'static str,
    #[case] granted: &str,
    #[case] why: &[&str],
) {
    let Some(server) = start(on).await else { return };
    let (client, tokens) = obtain(&server, "tickets:read tickets:write").await;
    if !change.is_empty() {
        server.execute(change).await;
    }
    let (code, told) = way(&server, "refresh", &[]);
    assert_eq!(told["granted"], granted, "{told}");
    assert_eq!(against(&told), why, "{told}");
    assert_eq!(code, i32::from(granted.is_empty()));
    let refreshed = client.refresh(&server, tokens.refresh()).await;
    assert_eq!(refreshed.body["scope"].as_str().unwrap_or_default(), granted, "{}", refreshed.body);
}

#[tokio::test]
async fn before_anything_is_allowed_there_is_nothing_to_refresh() {
    let server = start(On::Sqlite).await.unwrap();
    account(&server, &Browser::new(), "ada").await;
    let (code, told) = way(&server, "refresh", &[]);
    assert_eq!((code, against(&told)), (1, vec!["grant", "consent"]));
    assert_eq!(way(&server, "consent", &[]).0, 0);
}

#[rstest]
#[case::all_is_well(&["--claim", "acr=mfa"], "tickets:read", &[])]
#[case::the_claim_is_missing(&[], "", &["providers.test.id_jag.allow.tickets.claims.acr"])]
#[case::the_claim_is_another(&["--claim", "acr=pwd"], "", &["providers.test.id_jag.allow.tickets.claims.acr"])]
#[case::groups_of_the_assertion(
    &["--claim", "acr=mfa", "--claim", "groups=[\"guests\"]"],
    "",
    &["providers.test.sign_in.require.groups", "providers.test.id_jag.allow.tickets.groups"]
)]
#[case::a_scope_that_is_not_listed(
    &["--claim", "acr=mfa", "--scope", "tickets:write"], "", &["providers.test.id_jag.allow.tickets.scopes"]
)]
#[case::two_scopes(
    &["--claim", "acr=mfa", "--scope", "tickets:write tickets:close"],
    "tickets:close",
    &["providers.test.id_jag.allow.tickets.scopes"]
)]
#[case::a_resource_that_is_not_listed(&["--resource", "wiki"], "", &["providers.test.id_jag.allow"])]
#[tokio::test]
async fn an_assertion_is_judged_before_it_exists(
    #[case] further: &[&str],
    #[case] granted: &str,
    #[case] why: &[&str],
) {
    let server = start(On::Sqlite).await.unwrap();
    account(&server, &Browser::new(), "ada").await;
    // A confidential client: one that cannot prove itself may not present any here.
    let mut arguments = ada(&["--json", "--by", "assertion"]);
    for (name, value) in
        [("--client", "backend")].into_iter().chain(further.chunks(2).map(|two| (two[0], two[1])))
    {
        match arguments.iter().position(|argument| *argument == name && name != "--claim") {
            Some(at) => arguments[at + 1] = value,
            None => arguments.extend([name, value]),
        }
    }
    let told = explain(&server, &arguments);
    let answer: Value = serde_json::from_str(&told.out).unwrap();
    let way = &answer["ways"][0];
    assert_eq!((way["granted"].as_str().unwrap(), against(way)), (granted, why.to_vec()), "{}", told.out);
    assert_eq!(told.code, i32::from(granted.is_empty()));
}

#[tokio::test]
async fn a_client_that_cannot_prove_itself_may_present_none() {
    let server = start(On::Sqlite).await.unwrap();
    account(&server, &Browser::new(), "ada").await;
    let (code, told) = way(&server, "assertion", &["--claim", "acr=mfa"]);
    assert_eq!((code, against(&told)), (1, vec!["providers.test.id_jag.public_clients"]));
}

#[rstest]
#[case("nightly", "", 0, &[])]
#[case("nightly", "tickets:read tickets:write", 0, &["clients.nightly.resources.tickets"])]
#[case("nightly", "tickets:write", 1, &["clients.nightly.resources.tickets"])]
#[case("desk", "", 1, &["clients.desk.grant_types", "clients.desk.resources.tickets", "clients.desk.resources.tickets"])]
#[case("nobody", "", 1, &["clients", "clients.nobody.resources.tickets", "clients.nobody.resources.tickets"])]
#[tokio::test]
async fn a_client_may_be_asked_about_for_itself(
    #[case] client: &str,
    #[case] scope: &str,
    #[case] code: i32,
    #[case] why: &[&str],
) {
    let server = start(On::Sqlite).await.unwrap();
    let told = explain(&server, &["--client", client, "--resource", "tickets", "--scope", scope, "--json"]);
    let answer: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((told.code, against(&answer["ways"][0])), (code, why.to_vec()), "{}", told.out);
    assert_eq!(answer.get("user"), None);
}

/// The number in the log leads to what was refused and by which rule, and to what would become of it now.
#[rstest]
#[tokio::test]
async fn a_refused_token_is_asked_for_again(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = start(on).await else { return };
    let (client, tokens) = obtain(&server, "tickets:read").await;
    let mut config: Config = server.app.config.clone();
    let admins = Requirements { groups: vec!["admins".into()], ..Requirements::default() };
    config.providers[0].sign_in = EntryRules::Require(admins);
    assert_eq!(entry::rules(&config.providers[0]).count(), 1);
    let strict = server.twin_with(config).await;
    assert_eq!(client.refresh(&strict, tokens.refresh()).await.error(), "invalid_grant");
    let number = strict.last("token.refused").await.reference;

    let tightened =
        |text: String| text.replace("groups: [staff], claims: { name", "groups: [admins], claims: { name");
    let told = explain_by(&server, tightened, &["--refusal", &number]);
    assert_eq!(told.code, 1, "{}{}", told.out, told.err);
    for line in [
        "token.refused  ",
        "  reason      invalid_grant\n",
        "  client      desk\n",
        "  provider    test\n",
        "  resource    https://mcp.acme.example/tickets\n",
        "  scope       tickets:read\n",
        "  grant_type  refresh_token\n",
        "  rules       providers.test.sign_in.require.groups (entry)\n",
        "\ntoday\nuser      ",
        "\nby refresh: refused\n",
        "  NO   providers.test.sign_in.require.groups: admins  (",
    ] {
        assert!(told.out.contains(line), "{line}: {}", told.out);
    }
    for secret in [tokens.refresh(), tokens.access()] {
        assert!(!told.out.contains(secret));
    }

    let told = explain(&server, &["--refusal", &number.to_lowercase()]);
    assert_eq!(told.code, 0, "the rule is gone again: {}", told.out);
    let told = explain(&server, &["--refusal", &number, "--json"]);
    let answer: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(answer[0]["refused"]["details"]["rules"], "providers.test.sign_in.require.groups (entry)");
    assert_eq!(answer[0]["today"]["ways"][0]["granted"], "tickets:read");
}

#[tokio::test]
async fn so_is_what_a_page_and_a_program_were_refused() {
    let server = start(On::Sqlite).await.unwrap();
    let page = Client::desk().scope("tickets:close").begin(&server, &Browser::new(), "grace").await;
    assert_eq!(page.status, 403, "{}", page.text());
    let number = server.last("authorization.refused").await.reference;
    assert!(page.text().contains(&number), "the person can quote it");
    let told = explain(&server, &["--refusal", &number]);
    assert_eq!(told.code, 1, "{}", told.out);
    assert!(
        told.out.contains("NO   resources.tickets.scopes.tickets:close.allow.groups: support"),
        "{}",
        told.out
    );

    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "nightly"),
        ("client_secret", "0123456789-nightly-secret"),
        ("resource", "https://mcp.acme.example/tickets"),
        ("scope", "tickets:write"),
    ];
    let form = form.map(|(name, value)| (name, value.to_owned()));
    assert_eq!(post(&server, &form).await.error(), "invalid_scope");
    let number = server.last("token.refused").await.reference;
    let told = explain(&server, &["--refusal", &number, "--json"]);
    let answer: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((told.code, &answer[0]["today"]["ways"][0]["by"]), (1, &json!("itself")));

    server.later(Duration::from_millis(1));
    let wrong = post(&server, &[("grant_type", "refresh_token".to_owned())]).await;
    assert_eq!(wrong.error(), "invalid_client", "{}", wrong.body);
    let number = server.last("token.refused").await.reference;
    let told = explain(&server, &["--refusal", &number]);
    assert_eq!(told.code, 1);
    assert!(told.out.contains("today: the record does not say which client asked"), "{}", told.out);
}
