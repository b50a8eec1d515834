//! What is bound to a proved key, and that no way leads back to a token that is not (RFC 9449 §5, §6 and §10).

use std::time::Duration;

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{
    Browser, Client, DpopKey, On, PLAIN, Server, Setup, Tokens, client::post, dpop::post_with,
};

const MINUTE: Duration = Duration::from_secs(60);
const BACKEND_SECRET: &str = "correct-horse-battery-staple-+%-0123456789";

fn is_bound(tokens: &Tokens, key: &DpopKey) {
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(tokens.body["token_type"], "DPoP");
    assert_eq!(tokens.claims()["cnf"], json!({ "jkt": key.thumbprint() }));
}

fn is_bearer(tokens: &Tokens) {
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(tokens.body["token_type"], "Bearer");
    assert_eq!(tokens.claims().get("cnf"), None);
}

/// The confidential client, and its secret among the parameters.
fn backend() -> Client {
    Client::known_as("backend", "https://back.acme.example/callback")
}

fn with_secret<'p>(parameters: impl IntoIterator<Item = (&'p str, String)>) -> Vec<(&'p str, String)> {
    parameters.into_iter().chain([("client_secret", BACKEND_SECRET.to_owned())]).collect()
}

/// A program that speaks for itself, with this key of its configuration.
fn with_nightly(key: &str) -> String {
    let nightly = format!(
        "clients:\n  nightly:\n    secret: {BACKEND_SECRET}\n    grant_types: [client_credentials]\n    \
         resources: {{ tickets: [\"tickets:read\"] }}\n{key}"
    );
    PLAIN.replace("clients:\n", &nightly)
}

fn nightly() -> [(&'static str, String); 4] {
    [
        ("grant_type", "client_credentials"),
        ("client_id", "nightly"),
        ("client_secret", BACKEND_SECRET),
        ("resource", "https://mcp.acme.example/tickets"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
}

#[rstest]
#[tokio::test]
async fn every_grant_binds_to_the_key_proved_and_the_record_names_it(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(server) = Server::start_with(on, &with_nightly("")).await else { return };
    let (client, key) = (Client::desk(), DpopKey::new());
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let first = key.exchange(&server, &client, &code).await;
    is_bound(&first, &key);
    is_bound(&key.refresh(&server, &client, first.refresh()).await, &key);
    is_bound(&post_with(&server, &nightly(), &[&key.proof(&server)]).await, &key);
    is_bearer(&post(&server, &nightly()).await);
    let issued = [server.details("token.issued").await, server.details("token.refreshed").await].concat();
    let named: Vec<_> = issued.iter().filter_map(|row| row.get("jkt")?.as_str()).collect();
    assert_eq!((issued.len(), named), (4, vec![key.thumbprint().as_str(); 3]));
}

/// RFC 9449 §5: a public client's refresh token is of use to the key alone.
#[rstest]
#[tokio::test]
async fn a_public_clients_refresh_token_is_bound(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, key, thief) = (Client::desk(), DpopKey::new(), DpopKey::new());
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let first = key.exchange(&server, &client, &code).await;
    assert_eq!(
        client.refresh(&server, first.refresh()).await.error(),
        "invalid_grant",
        "no way back to Bearer"
    );
    assert_eq!(thief.refresh(&server, &client, first.refresh()).await.error(), "invalid_grant");
    let recorded = server.details("token.refused").await;
    assert!(recorded.iter().all(|refused| refused["why"].as_str().unwrap().contains("bound to a key")));
    server.later(2 * MINUTE);
    let second = key.refresh(&server, &client, first.refresh()).await;
    is_bound(&second, &key);
    assert_eq!(thief.refresh(&server, &client, second.refresh()).await.error(), "invalid_grant");
    is_bound(&key.refresh(&server, &client, second.refresh()).await, &key);
}

#[rstest]
#[tokio::test]
async fn without_the_key_a_used_token_ends_nothing(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, key) = (Client::desk(), DpopKey::new());
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let first = key.exchange(&server, &client, &code).await;
    let second = key.refresh(&server, &client, first.refresh()).await;
    server.later(2 * MINUTE);
    assert_eq!(client.refresh(&server, first.refresh()).await.error(), "invalid_grant");
    assert_eq!(DpopKey::new().refresh(&server, &client, first.refresh()).await.error(), "invalid_grant");
    assert_eq!(server.recorded("refresh.reused").await, 0);
    let third = key.refresh(&server, &client, second.refresh()).await;
    is_bound(&third, &key);
    assert_eq!(
        key.refresh(&server, &client, first.refresh()).await.error(),
        "invalid_grant",
        "now it is reuse"
    );
    assert_eq!(key.refresh(&server, &client, third.refresh()).await.error(), "invalid_grant");
    assert_eq!(server.recorded("refresh.reused").await, 1);
}

#[rstest]
#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_a_fresh_proof(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, key) = (Client::desk(), DpopKey::new());
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let first = key.exchange(&server, &client, &code).await;
    let parameters = client.refresh_parameters(first.refresh());
    let proof = key.proof(&server);
    let second = post_with(&server, &parameters, &[&proof]).await;
    is_bound(&second, &key);
    let same = post_with(&server, &parameters, &[&proof]).await;
    assert_eq!(same.error(), "invalid_dpop_proof", "a proof counts once, inside the window too");
    let again = key.refresh(&server, &client, first.refresh()).await;
    is_bound(&again, &key);
    assert_eq!(again.refresh(), second.refresh());
    is_bound(&key.refresh(&server, &client, second.refresh()).await, &key);
}

/// Whoever repeats a whole request, a proxy or an eavesdropper, has no key: nothing ends by it.
#[rstest]
#[tokio::test]
async fn a_request_that_is_repeated_as_it_was_ends_nothing(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, key) = (Client::desk(), DpopKey::new());
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let (exchange, proof) = (client.exchange_parameters(&code), key.proof(&server));
    let first = post_with(&server, &exchange, &[&proof]).await;
    let (refresh, used) = (client.refresh_parameters(first.refresh()), key.proof(&server));
    let second = post_with(&server, &refresh, &[&used]).await;
    assert_eq!(post_with(&server, &exchange, &[&proof]).await.error(), "invalid_dpop_proof");
    server.later(MINUTE + Duration::from_secs(1));
    assert_eq!(post_with(&server, &refresh, &[&used]).await.error(), "invalid_dpop_proof");
    let third = key.refresh(&server, &client, second.refresh()).await;
    is_bound(&third, &key);
    let stolen = post_with(&server, &exchange, &[&key.proof(&server)]).await;
    assert_eq!(stolen.error(), "invalid_grant", "with a new proof it is a second use");
    assert_eq!(server.recorded("code.reused").await, 1);
    assert_eq!(key.refresh(&server, &client, third.refresh()).await.error(), "invalid_grant");
}

/// RFC 9449 §5: a refresh token that is given to a public client with a proof is bound, whatever the last one was.
#[rstest]
#[tokio::test]
async fn a_refresh_token_is_bound_by_the_first_proof(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, key, other) = (Client::desk(), DpopKey::new(), DpopKey::new());
    let first = client.obtain(&server, &Browser::new(), "ada").await;
    is_bearer(&first);
    let second = key.refresh(&server, &client, first.refresh()).await;
    is_bound(&second, &key);
    for token in [first.refresh(), second.refresh()] {
        assert_eq!(client.refresh(&server, token).await.error(), "invalid_grant");
        assert_eq!(other.refresh(&server, &client, token).await.error(), "invalid_grant");
    }
    is_bound(&key.refresh(&server, &client, second.refresh()).await, &key);
}

/// RFC 9449 §5: a confidential client's refresh token is bound to the client already, and each access token to the key
/// proved with its own request.
#[rstest]
#[tokio::test]
async fn a_confidential_client_may_change_its_key(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let (client, one, other) = (backend(), DpopKey::new(), DpopKey::new());
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let exchange = with_secret(client.exchange_parameters(&code));
    let first = post_with(&server, &exchange, &[&one.proof(&server)]).await;
    is_bound(&first, &one);
    let refresh = |token: &str| with_secret(client.refresh_parameters(token));
    let second = post_with(&server, &refresh(first.refresh()), &[&other.proof(&server)]).await;
    is_bound(&second, &other);
    is_bearer(&post(&server, &refresh(second.refresh())).await);
}

/// What a server gets for a person's token is bound to the server's own key; the person's client's it cannot prove.
#[rstest]
#[tokio::test]
async fn an_exchanged_token_is_bound_to_the_servers_key(
    #[values("", "dpop: required")] wiki: &str,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let server = "clients:\n  tickets-server:\n    secret: correct-horse-battery-staple-+%-0123456789\n    \
                  serves: tickets\n    exchange: { wiki: { \"tickets:read\": [\"wiki:read\"] } }\n";
    let setup = Setup::on(on).replacing("clients:\n", server);
    let setup = setup.replacing("    name: Wiki\n", &format!("    name: Wiki\n    {wiki}\n"));
    let Some(server) = setup.start().await else { return };
    let (client, clients, servers) = (Client::desk(), DpopKey::new(), DpopKey::new());
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let subject = clients.exchange(&server, &client, &code).await;
    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("client_id", "tickets-server"),
        ("client_secret", BACKEND_SECRET),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token", subject.access()),
        ("resource", "https://mcp.acme.example/wiki"),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    let plain = post(&server, &exchange).await;
    if wiki.is_empty() {
        is_bearer(&plain);
    } else {
        assert_eq!(plain.error(), "invalid_dpop_proof", "{}", plain.body);
    }
    is_bound(&post_with(&server, &exchange, &[&servers.proof(&server)]).await, &servers);
    let recorded = server.details("token.exchanged").await;
    assert!(recorded.iter().any(|row| row["jkt"] == servers.thumbprint()), "{recorded:?}");
}

/// RFC 9449 §10.
#[rstest]
#[case::public(Client::desk(), "")]
#[case::confidential(backend(), BACKEND_SECRET)]
#[tokio::test]
async fn a_code_may_be_bound_from_the_beginning(
    #[case] client: Client,
    #[case] secret: &str,
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(server) = Server::start(on).await else { return };
    let (key, thief) = (DpopKey::new(), DpopKey::new());
    let client = client.with("dpop_jkt", &key.thumbprint());
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let mut exchange = client.exchange_parameters(&code);
    exchange.push(("client_secret", secret.to_owned()));
    let thiefs = thief.proof(&server);
    assert_eq!(post(&server, &exchange).await.error(), "invalid_grant");
    assert_eq!(post_with(&server, &exchange, &[&thiefs]).await.error(), "invalid_grant");
    let tokens = post_with(&server, &exchange, &[&key.proof(&server)]).await;
    is_bound(&tokens, &key);
    assert_eq!(post(&server, &exchange).await.error(), "invalid_grant");
    assert_eq!(post_with(&server, &exchange, &[&thiefs]).await.error(), "invalid_grant");
    assert_eq!(server.recorded("code.reused").await, 0, "a wrong guess ends nothing");
}

#[rstest]
#[case("short")]
#[case("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")]
#[tokio::test]
async fn a_thumbprint_that_is_none_is_told_to_the_client(#[case] jkt: &str) {
    let server = Server::start(On::Sqlite).await.unwrap();
    let client = Client::known_as("desk", "https://desk.acme.example/callback").with("dpop_jkt", jkt);
    let back = Browser::new().open_until(&client.authorize_url(&server), &client.redirect_uri).await;
    assert_eq!(back.parameter("error").as_deref(), Some("invalid_request"), "{}", back.url);
}

/// RFC 9449 §5.2, said by the operator.
#[tokio::test]
async fn a_declared_client_may_have_bound_tokens_alone() {
    let bound = "    dpop_bound_access_tokens: true\n";
    let sections =
        with_nightly(bound).replace("    name: Desk agent\n", &format!("    name: Desk agent\n{bound}"));
    let server = Server::start_with(On::Sqlite, &sections).await.unwrap();
    needs_a_proof(&server, &Client::desk(), "invalid_dpop_proof").await;
    assert_eq!(post(&server, &nightly()).await.error(), "invalid_dpop_proof");
    let key = DpopKey::new();
    is_bound(&post_with(&server, &nightly(), &[&key.proof(&server)]).await, &key);
}

/// The same, said by the client's own document.
#[tokio::test]
async fn a_document_may_ask_for_bound_tokens_alone() {
    let (server, host) = (Server::start(On::Sqlite).await.unwrap(), MockServer::start().await);
    let id = format!("{}/client.json", host.uri());
    let document = json!({
        "client_id": id, "redirect_uris": ["http://127.0.0.1/callback"], "dpop_bound_access_tokens": true,
        "grant_types": ["authorization_code", "refresh_token"],
    });
    let answer = ResponseTemplate::new(200).set_body_json(document);
    Mock::given(any()).respond_with(answer).mount(&host).await;
    needs_a_proof(&server, &Client::known_as(&id, "http://127.0.0.1:50123/callback"), "invalid_dpop_proof")
        .await;
}

/// The same, registered.
#[rstest]
#[tokio::test]
async fn a_registration_may_ask_for_bound_tokens_alone(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(server) = Server::start(on).await else { return };
    let register = async |more: Value| {
        let mut metadata = json!({ "client_name": "A", "redirect_uris": ["http://127.0.0.1/callback"] });
        metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let request = server.request(Method::POST, "/oauth/register").json(&metadata);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let bound = register(json!({ "dpop_bound_access_tokens": true })).await;
    assert_eq!(bound["dpop_bound_access_tokens"], true, "{bound}");
    let id = bound["client_id"].as_str().unwrap();
    needs_a_proof(&server, &Client::known_as(id, "http://127.0.0.1:50123/callback"), "invalid_dpop_proof")
        .await;
    let [plain, denied] =
        [register(json!({})).await, register(json!({ "dpop_bound_access_tokens": false })).await];
    assert_ne!(plain["client_id"], bound["client_id"], "another client");
    assert_eq!(plain["client_id"], denied["client_id"], "what is the default need not be said");
    let wrong = register(json!({ "dpop_bound_access_tokens": "true" })).await;
    assert_eq!(wrong["error"], "invalid_client_metadata");
}

/// Without a proof there is no token, by code or by refresh, and nothing is consumed.
async fn needs_a_proof(server: &Server, client: &Client, at_refresh: &str) {
    let key = DpopKey::new();
    let code = client.authorize(server, &Browser::new(), "ada").await;
    let refused = client.exchange(server, &code).await;
    assert_eq!(refused.error(), "invalid_dpop_proof", "{}", refused.body);
    assert!(refused.headers.contains_key("dpop-nonce"));
    let first = key.exchange(server, client, &code).await;
    is_bound(&first, &key);
    assert_eq!(client.refresh(server, first.refresh()).await.error(), at_refresh);
    is_bound(&key.refresh(server, client, first.refresh()).await, &key);
}

/// A resource whose tokens are bound: on every grant, for every client, and said to whoever reads its metadata.
#[rstest]
#[tokio::test]
async fn a_resource_may_take_bound_tokens_alone(#[values(On::Sqlite, On::Postgres)] on: On) {
    let sections = with_nightly("").replace(
        "    name: Ticket desk\n",
        "    name: Ticket desk\n    dpop: required\n    host_metadata: true\n",
    );
    let Some(server) = Setup::on(on).sections(&sections).start().await else { return };
    needs_a_proof(&server, &Client::desk(), "invalid_grant").await;
    assert_eq!(post(&server, &nightly()).await.error(), "invalid_dpop_proof");
    let key = DpopKey::new();
    is_bound(&post_with(&server, &nightly(), &[&key.proof(&server)]).await, &key);
    let client = backend();
    let code = client.authorize(&server, &Browser::new(), "ada").await;
    let exchange = with_secret(client.exchange_parameters(&code));
    let first = post_with(&server, &exchange, &[&key.proof(&server)]).await;
    is_bound(&first, &key);
    let refresh = with_secret(client.refresh_parameters(first.refresh()));
    assert_eq!(post(&server, &refresh).await.error(), "invalid_dpop_proof", "no way back for her either");
    is_bound(&post_with(&server, &refresh, &[&key.proof(&server)]).await, &key);
    let metadata = server.json("/.well-known/oauth-protected-resource/tickets").await;
    assert_eq!(metadata["dpop_bound_access_tokens_required"], true);
}
