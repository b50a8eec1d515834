//! What the person is told before a server gets the token of her account, and that nothing counts that she was not
//! told.

use super::*;

const WIKI: &str = "https://mcp.acme.example/wiki";

/// A client whose consent is remembered.
fn backend(scope: &str) -> Client {
    Client::known_as("backend", "https://back.acme.example/callback").scope(scope)
}

#[tokio::test]
async fn the_page_says_which_accounts_a_scope_lets_the_resource_use() {
    let server = serve(On::Sqlite).await.unwrap();
    let all = Client::desk().scope("tickets:read tickets:write tickets:close");
    let text = all.begin(&server, &Browser::new(), "ada").await.text();
    for told in [
        "Read tickets Ticket desk may use your GitHub account Change",
        "Change tickets Ticket desk may use your OAuth 2.0 account to: contacts \
         Ticket desk may use your GitHub account to: repo",
        "Close tickets Ticket desk may use your GitHub account to: admin:org , repo Read",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains("salaries"), "{text}");
}

/// An operator writes more under `use` than stood there when she allowed the scope.
#[rstest]
#[case::another_connection("{}", false)]
#[case::of_another_scope(r#"{"tickets:read": {"github": "repo"}}"#, false)]
#[case::the_account_alone(r#"{"tickets:write": {"github": "", "crm": "contacts"}}"#, false)]
#[case::less_at_another(r#"{"tickets:write": {"github": "repo"}}"#, false)]
#[case::as_much(r#"{"tickets:write": {"github": "repo", "crm": "contacts"}}"#, true)]
#[case::more(r#"{"tickets:write": {"github": "repo user", "crm": "contacts", "old": ""}}"#, true)]
#[tokio::test]
async fn who_was_told_less_is_asked_again(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] told: &str,
    #[case] is_enough: bool,
) {
    let Some(server) = serve(on).await else { return };
    let (client, browser) = (backend("tickets:write"), Browser::new());
    client.authorize(&server, &browser, "ada").await;
    assert!(client.begin(&server, &browser, "ada").await.parameter("code").is_some(), "it is remembered");

    server.execute(format!("UPDATE consents SET uses = '{told}'")).await;
    let page = client.begin(&server, &browser, "ada").await;
    assert_eq!(page.parameter("code").is_some(), is_enough, "{}", page.url);
    if is_enough {
        return;
    }
    let form = page.form("/interaction/").set("decision", "allow");
    browser.submit_until(&form, &client.redirect_uri).await;
    assert!(client.begin(&server, &browser, "ada").await.parameter("code").is_some(), "now it is");
}

/// The page is old: it was shown before an operator wrote more under `use`.
#[rstest]
#[case::less(r#"{"tickets:write":{"github":"repo"}}"#)]
#[case::nothing("{}")]
#[case::no_word("")]
#[tokio::test]
async fn an_answer_to_a_page_that_said_less_counts_for_nothing(#[case] told: &str) {
    let server = serve(On::Sqlite).await.unwrap();
    let (client, browser) = (backend("tickets:write"), Browser::new());
    let page = client.begin(&server, &browser, "ada").await;
    let form = page.form("/interaction/").set("decision", "allow").set("told", told);
    let again = browser.submit(&form).await;
    assert!(again.text().contains("Please read it again"), "{}", again.text());
    assert_eq!((server.rows("consents").await, server.rows("grants").await), (0, 0));
    let form = again.form("/interaction/").set("decision", "allow");
    browser.submit_until(&form, &client.redirect_uri).await;
    assert_eq!(server.rows("consents").await, 1);
}

#[rstest]
#[case::nothing("{}")]
#[case::the_account_alone(r#"{"tickets:write": {"github": ""}}"#)]
#[case::another_connection(r#"{"tickets:write": {"crm": "repo"}}"#)]
#[case::of_another_scope(r#"{"tickets:read": {"github": "repo"}}"#)]
#[tokio::test]
async fn what_she_was_not_told_counts_for_nothing(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] told: &str,
) {
    let Some(server) = serve(on).await else { return };
    let sent = token(&server, "ada", "tickets:write").await;
    connected(&server, &sent, |_| ()).await;
    server.execute(format!("UPDATE consents SET uses = '{told}'")).await;
    let got = vend(&server, sent.access()).await;
    assert_eq!((got.status, got.error()), (400, "invalid_scope"), "{}", got.body);
    assert_eq!((server.app.vault.safe.opened(), server.rows("connect_links").await), (0, 0));

    let again = token(&server, "ada", "tickets:write").await;
    assert_eq!(vend(&server, again.access()).await.status, 200);
    assert_eq!(vend(&server, sent.access()).await.status, 200, "the latest word counts");
}

/// She allows one scope today and another tomorrow; what she was told of the first stays.
#[tokio::test]
async fn what_she_was_told_of_other_scopes_stays() {
    let server = serve(On::Sqlite).await.unwrap();
    let sent = token(&server, "ada", "tickets:write").await;
    connected(&server, &sent, |_| ()).await;
    let reads = token(&server, "ada", "tickets:read").await;
    for good in [&sent, &reads] {
        assert_eq!(vend(&server, good.access()).await.status, 200);
    }
}

/// She allowed the ticket desk, which goes on to the wiki for her; of the wiki's accounts nobody told her.
#[tokio::test]
async fn a_server_behind_another_gets_nothing() {
    let exchange = "    serves: tickets\n    exchange: { wiki: { \"tickets:read\": [\"wiki:read\"] } }\n";
    let sections = sections().replace("    serves: tickets\n", exchange);
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let sent = adas(&server).await;
    connected_at(&server, &sent, "payroll", |connection| {
        connection.scope = ScopeSet::parse("salaries").unwrap();
    })
    .await;
    let at_wiki = vend_with(&server, sent.access(), &[("audience", ""), ("resource", WIKI)]).await;
    let payroll = [("client_id", "wiki-server"), ("audience", "payroll")];
    let got = vend_with(&server, at_wiki.access(), &payroll).await;
    assert_eq!((got.status, got.error()), (400, "invalid_scope"), "{}", got.body);
    assert_eq!(server.app.vault.safe.opened(), 0);

    let wiki = Client { resource: Some(WIKI.to_owned()), ..Client::desk() }.scope("wiki:read");
    let hers = wiki.obtain(&server, &Browser::new(), "ada").await;
    assert_eq!(vend_with(&server, hers.access(), &payroll).await.status, 200);
}

/// Her provider allowed it, so nobody asked her.
#[tokio::test]
async fn what_her_provider_allowed_needs_no_consent() {
    let organization = "    organization: acme\n";
    let rules = "    id_jag: { allow: { tickets: { clients: [desk], scopes: [\"tickets:write\"] } } }\n";
    let desk = "    name: Desk agent\n";
    let grants = "    grant_types: [authorization_code, refresh_token, \"urn:ietf:params:oauth:grant-type:jwt-bearer\"]\n";
    let sections = sections()
        .replace(organization, &format!("{organization}{rules}"))
        .replace(desk, &format!("{desk}{grants}"));
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    let sent = token(&server, "ada", "tickets:write").await;
    connected(&server, &sent, |_| ()).await;
    server.execute("UPDATE grants SET origin = 'id_jag', session_id = NULL").await;
    server.execute("DELETE FROM consents").await;
    assert_eq!(vend(&server, sent.access()).await.status, 200);
}
