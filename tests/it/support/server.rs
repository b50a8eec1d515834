//! A whole server on a free port: broker, the test identity provider, and a database of its own.

use std::{sync::Arc, time::Duration};

use chancery::{
    app::{App, router},
    clock::{Clock, Timestamp},
    config::{Config, environment::Environment},
    dev::provider::{TestClient, TestProvider},
    entropy::Entropy,
    secret::Secret,
    web::serve::serve,
};
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Which engine a story runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum On {
    Sqlite,
    Postgres,
}

/// A running server. It stops when dropped.
pub(crate) struct Server {
    pub(crate) app: Arc<App>,
    pub(crate) clock: Clock,
    pub(crate) issuer: String,
    pub(crate) provider: String,
    pub(crate) database: String,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// When every story begins.
pub(crate) const BEGINNING: Timestamp = Timestamp::from_secs(1_795_219_200);

/// The configuration of most stories: one provider that lets everybody in, and two resources.
pub(crate) const PLAIN: &str = r#"
providers:
  test:
    preset: oidc
    name: Acme
    issuer: "${PROVIDER}"
    client_id: chancery
    client_secret: "${PROVIDER_SECRET}"
    organization: acme
    sign_in: { anyone: true }
resources:
  tickets:
    uri: https://mcp.acme.example/tickets
    name: Ticket desk
    scopes:
      "tickets:read": { description: Read tickets, default: true }
      "tickets:write": { description: Change tickets }
      "tickets:close": { description: Close tickets, allow: { groups: [support] } }
    allow: { organizations: [acme] }
  wiki:
    uri: https://mcp.acme.example/wiki
    name: Wiki
    scopes:
      "wiki:read": { description: Read the wiki, default: true }
clients:
  desk:
    name: Desk agent
    redirect_uris: ["http://127.0.0.1/callback", "https://desk.acme.example/callback"]
  backend:
    name: Back office
    secret: correct-horse-battery-staple-+%-0123456789
    redirect_uris: ["https://back.acme.example/callback"]
registration: { dynamic: known_clients, documents: { allow_hosts: ["*"] } }
"#;

impl Server {
    /// Starts a server with the usual configuration.
    pub(crate) async fn start(on: On) -> Option<Self> {
        Self::start_with(on, PLAIN).await
    }

    /// Starts a server with these sections; `server`, `database` and `encryption` are added. `None` where the engine is
    /// left out on purpose.
    pub(crate) async fn start_with(on: On, sections: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let database = match on {
            On::Sqlite => format!("sqlite://{}", folder.path().join("chancery.db").display()),
            On::Postgres => fresh_schema().await?,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let clock = Clock::manual(BEGINNING);
        let entropy = Entropy::System;
        let stop = CancellationToken::new();
        let secret = entropy.token();
        let provider = TestProvider::bind(
            0,
            TestClient {
                id: "chancery".to_owned(),
                secret: Secret::new(secret.clone()),
                redirect_uri: format!("{issuer}/login/test/callback").try_into().unwrap(),
            },
            clock.clone(),
            entropy.clone(),
        )
        .await
        .unwrap();
        let provider_issuer = provider.issuer().to_owned();
        tokio::spawn(provider.serve(stop.clone()));
        let yaml = format!(
            "server: {{ issuer: \"{issuer}\", contact: help@acme.example }}\n\
             database: {{ url: \"${{DATABASE}}\" }}\n\
             encryption: {{ keys: [{{ id: k1, key: \"${{KEY}}\" }}] }}\n{sections}"
        );
        let environment = Environment::of([
            ("DATABASE", &database),
            ("KEY", "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="),
            ("PROVIDER", &provider_issuer),
            ("PROVIDER_SECRET", &secret),
        ]);
        let config =
            Config::parse(&yaml, "test.yaml", &environment).unwrap_or_else(|problems| panic!("{problems}"));
        let app = App::open(config, clock.clone(), entropy, false).await.unwrap();
        tokio::spawn(serve(listener, router::router(Arc::clone(&app)), stop.clone()));
        Some(Self { app, clock, issuer, provider: provider_issuer, database, stop, _folder: folder })
    }

    /// A URL of the server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// Lets time pass.
    pub(crate) fn later(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// How often an event of this name is in the record.
    pub(crate) async fn recorded(&self, event: &str) -> i64 {
        let query = "SELECT count(*) FROM audit WHERE event = $1";
        if self.database.starts_with("sqlite") {
            let mut connection = sqlx::SqliteConnection::connect(&self.database).await.unwrap();
            sqlx::query_scalar(query).bind(event).fetch_one(&mut connection).await.unwrap()
        } else {
            let mut connection = sqlx::PgConnection::connect(&self.database).await.unwrap();
            sqlx::query_scalar(query).bind(event).fetch_one(&mut connection).await.unwrap()
        }
    }
}

/// The URL of a schema of its own in the PostgreSQL server for tests; `None` where it is left out on purpose.
async fn fresh_schema() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "where the test server is, only the environment knows")]
    let server = std::env::var("CHANCERY_TEST_POSTGRES")
        .expect("CHANCERY_TEST_POSTGRES is the URL of a PostgreSQL database for tests, or `skip`");
    if server == "skip" {
        return None;
    }
    let schema = format!("t{:032x}", u128::from_be_bytes(Entropy::System.bytes()));
    let mut connection = server.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}")))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let joint = if server.contains('?') { '&' } else { '?' };
    Some(format!("{server}{joint}options[search_path]={schema}"))
}
