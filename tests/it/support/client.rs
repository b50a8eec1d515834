//! An OAuth client, by hand: each parameter can be changed to what an attacker would send.

use chancery::{
    entropy::Entropy,
    oauth::{pkce::CodeChallenge, purpose::Role},
};
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::{
    browser::{Browser, Page},
    server::Server,
};

/// A client with its parameters for one authorization.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Which of our issuers it asks.
    pub(crate) role: Role,
    pub(crate) id: String,
    pub(crate) redirect_uri: String,
    pub(crate) resource: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) state: String,
    pub(crate) verifier: String,
    pub(crate) extra: Vec<(String, String)>,
}

/// What the token endpoint answered.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    /// What was answered, but for the number.
    pub(crate) body: Value,
    /// The number of a refusal, which no two share.
    pub(crate) reference: Option<String>,
}

impl Client {
    /// The declared public client on a loopback port of its own choosing.
    pub(crate) fn desk() -> Self {
        Self {
            role: Role::AuthorizationServer,
            id: "desk".to_owned(),
            redirect_uri: "http://127.0.0.1:50123/callback".to_owned(),
            resource: Some("https://mcp.acme.example/tickets".to_owned()),
            scope: None,
            state: Entropy::System.token(),
            verifier: Entropy::System.token(),
            extra: Vec::new(),
        }
    }

    /// A public client of this id.
    pub(crate) fn known_as(id: &str, redirect_uri: &str) -> Self {
        Self { id: id.to_owned(), redirect_uri: redirect_uri.to_owned(), ..Self::desk() }
    }

    pub(crate) fn scope(mut self, scope: &str) -> Self {
        self.scope = Some(scope.to_owned());
        self
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.extra.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The parameters of the authorization request.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let challenge = CodeChallenge::of(&self.verifier).as_str().to_owned();
        let mut parameters: Vec<(String, String)> = [
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", &self.redirect_uri),
            ("state", &self.state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        parameters.extend(self.resource.iter().map(|resource| ("resource".to_owned(), resource.clone())));
        parameters.extend(self.scope.iter().map(|scope| ("scope".to_owned(), scope.clone())));
        for (name, value) in &self.extra {
            parameters.retain(|(known, _)| known != name);
            parameters.push((name.clone(), value.clone()));
        }
        parameters.retain(|(_, value)| value != "(absent)");
        parameters
    }

    /// The address that the client opens in the browser.
    pub(crate) fn authorize_url(&self, server: &Server) -> String {
        let mut url = Url::parse(&server.url(self.role.authorization_endpoint())).unwrap();
        url.query_pairs_mut().extend_pairs(self.parameters());
        url.into()
    }

    /// Opens the authorization request and signs in as `user` where asked, up to whatever comes next: the consent page,
    /// an error page, or the redirect back.
    pub(crate) async fn begin(&self, server: &Server, browser: &Browser, user: &str) -> Page {
        let page = browser.open_until(&self.authorize_url(server), &self.redirect_uri).await;
        sign_in(server, browser, page, user, &self.redirect_uri).await
    }

    /// The whole way to a code: sign in, allow everything that is ticked.
    pub(crate) async fn authorize(&self, server: &Server, browser: &Browser, user: &str) -> String {
        let page = self.begin(server, browser, user).await;
        let back = browser
            .submit_until(
                &page.form(&server.path("/interaction/")).set("decision", "allow"),
                &self.redirect_uri,
            )
            .await;
        self.code(server, &back)
    }

    /// The code in a redirect back, with `state` and `iss` checked.
    pub(crate) fn code(&self, server: &Server, back: &Page) -> String {
        assert!(
            back.url.as_str().starts_with(&self.redirect_uri),
            "not back at the client: {} {}",
            back.url,
            back.text()
        );
        assert_eq!(back.parameter("state").as_deref(), Some(self.state.as_str()));
        assert_eq!(back.parameter("iss").as_deref(), Some(server.app.config.issuer(self.role).as_str()));
        back.parameter("code").unwrap_or_else(|| panic!("no code: {}", back.url))
    }

    /// The parameters of the code's exchange.
    pub(crate) fn exchange_parameters(&self, code: &str) -> Vec<(&str, String)> {
        let mut parameters = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("client_id", self.id.clone()),
            ("code", code.to_owned()),
            ("redirect_uri", self.redirect_uri.clone()),
            ("code_verifier", self.verifier.clone()),
        ];
        parameters.extend(self.resource.iter().map(|resource| ("resource", resource.clone())));
        parameters
    }

    /// Exchanges a code.
    pub(crate) async fn exchange(&self, server: &Server, code: &str) -> Tokens {
        post_to(server, self.role, &self.exchange_parameters(code)).await
    }

    /// Refreshes.
    pub(crate) async fn refresh(&self, server: &Server, refresh_token: &str) -> Tokens {
        post_to(server, self.role, &self.refresh_parameters(refresh_token)).await
    }

    /// The parameters of a refresh.
    pub(crate) fn refresh_parameters(&self, refresh_token: &str) -> [(&'static str, String); 3] {
        [("grant_type", "refresh_token"), ("client_id", &self.id), ("refresh_token", refresh_token)]
            .map(|(name, value)| (name, value.to_owned()))
    }

    /// Everything up to the first tokens.
    pub(crate) async fn obtain(&self, server: &Server, browser: &Browser, user: &str) -> Tokens {
        let code = self.authorize(server, browser, user).await;
        let tokens = self.exchange(server, &code).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        tokens
    }
}

/// Posts to the token endpoint.
pub(crate) async fn post(server: &Server, parameters: &[(&str, String)]) -> Tokens {
    post_to(server, Role::AuthorizationServer, parameters).await
}

/// What a server of this id and secret gets for the access token that it was sent; `wanted`: a parameter and its value.
pub(crate) async fn trade(
    server: &Server,
    (client_id, secret): (&str, &str),
    subject: &str,
    wanted: (&str, &str),
) -> Tokens {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("client_id", client_id),
        ("client_secret", secret),
        ("subject_token", subject),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        wanted,
    ];
    post(server, &form.map(|(name, value)| (name, value.to_owned()))).await
}

/// Posts to the token endpoint of a role.
pub(crate) async fn post_to(server: &Server, role: Role, parameters: &[(&str, String)]) -> Tokens {
    let request = server.request(Method::POST, role.token_endpoint()).form(parameters);
    Tokens::of(request.send().await.unwrap()).await
}

/// The account page, after a sign-in where one is asked for.
pub(crate) async fn account(server: &Server, browser: &Browser, user: &str) -> Page {
    let page = browser.open(&server.url("/account")).await;
    let page = sign_in(server, browser, page, user, "nowhere:").await;
    assert_eq!(page.status, 200, "{}", page.text());
    page
}

/// Signs in at the test provider, if the page is its own.
pub(crate) async fn sign_in(server: &Server, browser: &Browser, page: Page, user: &str, stop: &str) -> Page {
    if !page.url.as_str().starts_with(&server.provider) {
        return page;
    }
    let form = page.form("/").set("user", &format!("test-user-{user}"));
    browser.submit_until(&form, stop).await
}

impl Tokens {
    /// What an answer in JSON says.
    pub(crate) async fn of(answer: reqwest::Response) -> Self {
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let mut body: Value = answer.json().await.unwrap();
        let reference = body.as_object_mut().and_then(|body| body.remove("reference"));
        Self { status, headers, body, reference: reference.map(|number| number.as_str().unwrap().to_owned()) }
    }

    pub(crate) fn access(&self) -> &str {
        self.body["access_token"].as_str().expect("an access token")
    }

    pub(crate) fn refresh(&self) -> &str {
        self.body["refresh_token"].as_str().expect("a refresh token")
    }

    pub(crate) fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }

    pub(crate) fn id_token(&self) -> &str {
        self.body["id_token"].as_str().expect("an ID token")
    }

    /// The claims of the access token, as any reader can see them.
    pub(crate) fn claims(&self) -> Value {
        claims_of(self.access())
    }
}

/// The claims of a token, as any reader can see them.
pub(crate) fn claims_of(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap())
        .unwrap()
}
