//! A vendor of accounts whose refresh tokens are good once, and connections to it.

#[path = "../../house/kept.rs"]
pub(crate) mod kept;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chancery::{
    app::router,
    ids::ConnectionId,
    store::connections::{self, Connection},
    vault::refresh::{self, Fresh, NotFresh},
    web::serve::serve,
};
use reqwest::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use self::kept::keep;
use super::{PLAIN, Server, http, upstream::json_of};

/// The name of the connection under `connections:`.
pub(crate) const CODE: &str = "code";
/// How long its access tokens live.
pub(crate) const LIFETIME: Duration = Duration::from_secs(3600);

/// An OAuth server that replaces the refresh token each time, and ends everything when one comes twice.
pub(crate) struct Vendor {
    server: MockServer,
    desk: Arc<Mutex<Desk>>,
}

#[derive(Default)]
struct Desk {
    /// How often it has given tokens: the live pair is `at-N` and `rt-N`.
    serial: u64,
    is_dead: bool,
    reused: u64,
    /// What it says instead, one after the other, and whether it gives tokens all the same, which nobody then gets.
    troubles: VecDeque<(ResponseTemplate, bool)>,
    delay: Duration,
    /// Members that its answers have besides; `null` takes one away.
    also: Value,
}

impl Desk {
    fn token(&mut self, request: &Request) -> ResponseTemplate {
        let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
        let sent = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if let Some((trouble, gives)) = self.troubles.pop_front() {
            self.serial += u64::from(gives);
            return trouble;
        }
        if sent("grant_type") == Some("refresh_token") {
            let is_live = sent("refresh_token") == Some(&format!("rt-{}", self.serial));
            if !is_live || self.is_dead {
                self.is_dead = true;
                self.reused += 1;
                return refused(400, "invalid_grant").set_delay(self.delay);
            }
        } else {
            self.is_dead = false;
        }
        self.serial += 1;
        let mut answer = json!({
            "access_token": format!("at-{}", self.serial), "refresh_token": format!("rt-{}", self.serial),
            "token_type": "bearer", "expires_in": LIFETIME.as_secs(), "scope": "repo",
        });
        for (name, value) in self.also.as_object().into_iter().flatten() {
            answer[name] = value.clone();
        }
        json_of(&answer).set_delay(self.delay)
    }
}

/// A refusal by the token endpoint.
pub(crate) fn refused(status: u16, error: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({ "error": error }))
}

impl Vendor {
    /// A vendor that has given `at-0` and `rt-0`.
    pub(crate) async fn start() -> Self {
        let desk: Arc<Mutex<Desk>> = Arc::default();
        let server = MockServer::start().await;
        let known = Arc::clone(&desk);
        let answer = move |request: &Request| match request.url.path() {
            "/token" => known.lock().unwrap().token(request),
            "/me" => json_of(&json!({ "id": 583_231, "login": "octocat" })),
            "/revoke" => ResponseTemplate::new(200),
            _ => ResponseTemplate::new(404),
        };
        Mock::given(any()).respond_with(answer).mount(&server).await;
        Self { server, desk }
    }

    /// The usual configuration with a connection to it; `keys` are further keys of the connection.
    pub(crate) fn sections(&self, keys: &str) -> String {
        let at = self.server.uri();
        format!(
            r#"{PLAIN}
connections:
  {CODE}:
    preset: oauth2
    name: Code host
    authorize_url: "{at}/authorize"
    token_url: "{at}/token"
    revoke_url: "{at}/revoke"
    identity_url: "{at}/me"
    client_id: us
    client_secret: what-proves-us-at-the-vendor
    scopes: [repo]
    use: {{ tickets: {{ "tickets:write": [repo] }} }}
{keys}
"#
        )
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }

    /// Its next answer at the token endpoint, in front of which it does nothing.
    pub(crate) fn says(&self, answer: ResponseTemplate) {
        self.desk().troubles.push_back((answer, false));
    }

    /// The same, but it has given new tokens, of which nobody hears.
    pub(crate) fn gives_and_says(&self, answer: ResponseTemplate) {
        self.desk().troubles.push_back((answer, true));
    }

    /// How long it thinks about each good answer from now on.
    pub(crate) fn takes(&self, delay: Duration) {
        self.desk().delay = delay;
    }

    /// Members that its answers have besides.
    pub(crate) fn says_also(&self, members: Value) {
        self.desk().also = members;
    }

    /// How often it was asked at the token endpoint.
    pub(crate) async fn asked(&self) -> usize {
        let all = self.server.received_requests().await.unwrap();
        all.iter().filter(|request| request.url.path() == "/token").count()
    }

    /// How often it has given tokens, and how often a token came to it that was not the live one.
    pub(crate) fn given_and_reused(&self) -> (u64, u64) {
        let desk = self.desk();
        (desk.serial, desk.reused)
    }
}

impl Server {
    /// A connection with the tokens `at-0` and `rt-0`, of which the first lives for another `left`.
    pub(crate) async fn connected(&self, left: Duration) -> ConnectionId {
        self.connected_with(left, Some("rt-0")).await
    }

    /// The same with another refresh token, or none.
    pub(crate) async fn connected_with(&self, left: Duration, refresh: Option<&str>) -> ConnectionId {
        let expires_at = self.clock.now().plus(left);
        keep(&self.app, CODE, ("at-0", refresh), |row| {
            row.expires_at = Some(expires_at);
            row.refreshed_at = expires_at.minus(LIFETIME);
        })
        .await
    }

    /// A connection as it is stored.
    pub(crate) async fn connection(&self, id: &ConnectionId) -> Connection {
        connections::find(&self.app.db, id).await.unwrap().unwrap()
    }

    /// The figures, as the admin port answers them.
    pub(crate) async fn figures(&self) -> Response {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, router::admin(Arc::clone(&self.app)), self.stop.child_token()));
        http().get(url).send().await.unwrap()
    }

    /// Asks for its access token, as whoever hands it out does.
    pub(crate) async fn fresh(&self, id: &ConnectionId) -> Result<Fresh, NotFresh> {
        let connection = self.connection(id).await;
        let configured = self.app.config.connections.get(&connection.name).unwrap();
        refresh::fresh(&self.app, configured, connection).await
    }
}
