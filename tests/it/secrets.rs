//! No secret in the log, at any level, and none in the database that is not sealed: neither of ours nor of a client's,
//! a person's or a provider's, whether a request goes well or badly.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use rstest::rstest;
use serde_json::json;

use crate::support::{Browser, Client, Log, On, Server, Tokens, Upstream, browser::Page, upstream::json_of};

const OURS: &str = "correct-horse-battery-staple-0123456789";
const INVITATION: &str = "initial-access-token-0123456789abcdef";
const UPSTREAM_SECRET: &str = "upstream-client-secret-0123456789";

fn sections(upstream: &Upstream) -> String {
    let entry = upstream.entry(
        "acme",
        &format!(
            "client_secret: {UPSTREAM_SECRET}, client_auth: client_secret_post, sign_in: {{ anyone: true }}"
        ),
    );
    format!(
        "providers:\n{entry}\
         resources:\n  tickets:\n    uri: https://mcp.acme.example/tickets\n    name: Ticket desk\n    \
         scopes: {{ \"tickets:read\": {{ description: Read tickets, default: true }} }}\n\
         clients:\n  backend: {{ name: Back office, secret: {OURS}, redirect_uris: [\"https://back.acme.example/cb\"] }}\n\
         registration: {{ dynamic: token, token: {INVITATION} }}\n"
    )
}

/// Whatever was secret on the way, by what it is.
#[derive(Default)]
struct Secrets(BTreeMap<String, String>);

impl Secrets {
    fn keep(&mut self, what: &str, secret: &str) {
        assert!(secret.len() >= 16, "{what}: {secret}");
        self.0.insert(format!("{what} {}", self.0.len()), secret.to_owned());
    }

    fn keep_cookies(&mut self, browser: &Browser) {
        for value in browser.cookies().values() {
            self.keep("a cookie", value);
        }
    }
}

/// The way through sign-in and consent, with the provider's side of it.
async fn through(
    server: &Server,
    upstream: &Upstream,
    client: &Client,
    browser: &Browser,
    secrets: &mut Secrets,
) -> Page {
    let begun = server.path("/oauth/authorize");
    let url = client.authorize_url(server);
    let path = url.strip_prefix(server.base.as_str()).unwrap();
    assert!(path.starts_with(&begun));
    let away = upstream.receives(server, browser, path).await;
    secrets.keep_cookies(browser);
    for name in ["state", "nonce"] {
        secrets.keep(name, &away.asked(name).unwrap());
    }
    let id_token = upstream.signer.sign("JWT", &upstream.claims(&away)).unwrap();
    let access_token = "upstream-access-token-0123456789";
    secrets.keep("the provider's ID token", &id_token);
    secrets.keep("the provider's access token", access_token);
    secrets.keep("the provider's refresh token", "upstream-refresh-token-0123456789");
    upstream.answers(
        "/token",
        json_of(&json!({
            "access_token": access_token, "refresh_token": "upstream-refresh-token-0123456789",
            "token_type": "Bearer", "expires_in": 300, "id_token": id_token,
        })),
    );
    secrets.keep("the provider's code", "upstream-code-0123456789");
    let page = browser.open(&away.back(&[("code", "upstream-code-0123456789")])).await;
    for request in upstream.requests("/token").await {
        let form = url::form_urlencoded::parse(&request.body).into_owned();
        for (name, value) in form.filter(|(name, _)| name == "code_verifier") {
            secrets.keep(&name, &value);
        }
    }
    secrets.keep_cookies(browser);
    secrets.keep("the form's token", page.form("/interaction/").values("csrf")[0]);
    secrets.keep("our code's verifier", &client.verifier);
    page
}

#[rstest]
#[tokio::test]
async fn neither_the_log_nor_the_database_holds_a_secret(#[values(On::Sqlite, On::Postgres)] on: On) {
    let (log, _logged) = Log::listen();
    let upstream = Upstream::start().await;
    let Some(server) = Server::start_with(on, &sections(&upstream)).await else { return };
    let mut secrets = Secrets::default();
    for (what, secret) in [
        ("our client's secret", OURS),
        ("the invitation", INVITATION),
        ("our secret at the provider", UPSTREAM_SECRET),
    ] {
        secrets.keep(what, secret);
    }

    // Well: sign-in, consent, exchange, refresh.
    let (client, browser) = (Client::known_as("backend", "https://back.acme.example/cb"), Browser::new());
    let page = through(&server, &upstream, &client, &browser, &mut secrets).await;
    let form = page.form("/interaction/").set("decision", "allow");
    let back = browser.submit_until(&form, &client.redirect_uri).await;
    let code = client.code(&server, &back);
    let basic = format!("Basic {}", STANDARD.encode(format!("backend:{OURS}")));
    secrets.keep("the code", &code);
    secrets.keep("the header", basic.strip_prefix("Basic ").unwrap());
    let token = async |authorization: &str, form: &[(&str, String)]| {
        let request = server.request(Method::POST, "/oauth/token").header("authorization", authorization);
        Tokens::of(request.form(form).send().await.unwrap()).await
    };
    let tokens = token(&basic, &client.exchange_parameters(&code)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    let refresh = |tokens: &Tokens| {
        [("grant_type", "refresh_token".to_owned()), ("refresh_token", tokens.refresh().to_owned())]
    };
    let second = token(&basic, &refresh(&tokens)).await;
    let third = token(&basic, &refresh(&second)).await;
    for tokens in [&tokens, &second, &third] {
        secrets.keep("an access token", tokens.access());
        secrets.keep("a refresh token", tokens.refresh());
    }

    // Well: registration by invitation.
    let body = json!({
        "client_name": "A", "redirect_uris": ["http://localhost/cb"], "token_endpoint_auth_method": "client_secret_post",
    });
    let bearer = format!("Bearer {INVITATION}");
    let register =
        server.request(Method::POST, "/oauth/register").header("authorization", &bearer).json(&body);
    let registered = Tokens::of(register.send().await.unwrap()).await;
    secrets.keep("a secret that we gave", registered.body["client_secret"].as_str().unwrap());

    // Badly: used twice, in the wrong place, by the wrong client, malformed, and without a database.
    token(&basic, &client.exchange_parameters(&code)).await;
    token(&basic, &refresh(&tokens)).await;
    token(&bearer, &refresh(&third)).await;
    let everything: Vec<(&str, String)> = secrets.0.values().map(|secret| ("x", secret.clone())).collect();
    for secret in secrets.0.values() {
        for name in
            ["code", "refresh_token", "client_secret", "code_verifier", "client_id", "grant_type", "resource"]
        {
            let mut form = client.exchange_parameters("x");
            form.retain(|(known, _)| *known != name);
            form.push((name, secret.clone()));
            token(&basic, &form).await;
        }
    }
    token(&basic, &everything).await;
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&everything[..20]).finish();
    for path in
        ["/oauth/authorize", "/login/acme", "/login/acme/callback", "/account", "/nothing", "/oauth/token"]
    {
        browser.open_until(&server.url(&format!("{path}?{query}")), &upstream.issuer()).await;
    }
    for (name, value) in &everything {
        let url = client.clone().with(name, value).with("client_id", value).authorize_url(&server);
        browser.open_until(&url, &upstream.issuer()).await;
        let body = json!({ "redirect_uris": [value], "client_name": value, "software_statement": value });
        server
            .request(Method::POST, "/oauth/register")
            .header("authorization", value)
            .json(&body)
            .send()
            .await
            .unwrap();
    }
    let other = Client { verifier: "v".repeat(43), ..client.clone() }.with("prompt", "consent");
    let page = through(&server, &upstream, &other, &Browser::new(), &mut secrets).await;
    Browser::new().submit(&page.form("/interaction/").set("decision", "allow")).await;
    server.app.db.close().await;
    token(&basic, &refresh(&third)).await;
    browser.open(&server.url("/account")).await;

    let log = log.text();
    for expected in ["refused", "reference=", "TRACE request{", "the database is unavailable"] {
        assert!(log.contains(expected), "{expected} is not in the log: was it listened to?");
    }
    // The story reads its pages with a parser that tells what it reads.
    for line in
        log.lines().filter(|line| !["html5ever::", "selectors::"].iter().any(|parser| line.contains(parser)))
    {
        for (what, secret) in &secrets.0 {
            assert!(!line.contains(secret.as_str()), "{what} is in the log: {line}");
        }
    }
    if let Some(path) = server.database.strip_prefix("sqlite://") {
        let mut stored = Vec::new();
        for file in [path.to_owned(), format!("{path}-wal")] {
            stored.extend(std::fs::read(file).unwrap_or_default());
        }
        let holds = |text: &str| stored.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(holds("Ada Lovelace"), "this is the database");
        for (what, secret) in &secrets.0 {
            assert!(!holds(secret), "{what} is in the database");
        }
    }
}
