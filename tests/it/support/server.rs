//! A whole server on a free port, and what a story may do to it besides talking to it.

use std::{sync::Arc, time::Duration};

use chancery::{app::App, clock::Clock, store::Db};
use reqwest::{Method, RequestBuilder};
use sqlx::Connection as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use super::{Browser, On, Setup, http};

/// What a query answers on a connection of its own to the server's database.
macro_rules! on {
    ($server:expr, |$connection:ident| $query:expr) => {
        if $server.database.starts_with("sqlite") {
            let $connection = &mut sqlx::SqliteConnection::connect(&$server.database).await.unwrap();
            $query.unwrap()
        } else {
            let $connection = &mut sqlx::PgConnection::connect(&$server.database).await.unwrap();
            $query.unwrap()
        }
    };
}

/// A running server. It stops when dropped.
pub(crate) struct Server {
    pub(crate) app: Arc<App>,
    pub(crate) clock: Clock,
    /// Who it says it is.
    pub(crate) issuer: String,
    /// Where it listens, with the issuer's path.
    pub(crate) base: String,
    /// The test provider's issuer.
    pub(crate) provider: String,
    pub(crate) database: String,
    pub(super) stop: CancellationToken,
    pub(super) folder: tempfile::TempDir,
}

/// A line of the record.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Recorded {
    pub(crate) reference: String,
    pub(crate) user_id: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) scope: Option<String>,
    details: Option<String>,
}

impl Recorded {
    /// One of the further particulars.
    pub(crate) fn detail(&self, name: &str) -> String {
        let details: serde_json::Value = serde_json::from_str(self.details.as_deref().unwrap()).unwrap();
        details[name].as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    /// Starts a server with the usual configuration. `None` where the engine is left out on purpose.
    pub(crate) async fn start(on: On) -> Option<Self> {
        Setup::on(on).start().await
    }

    /// Starts a server with these sections in place of the usual ones.
    pub(crate) async fn start_with(on: On, sections: &str) -> Option<Self> {
        Setup::on(on).sections(sections).start().await
    }

    /// Another instance of it, on the same database.
    pub(crate) async fn twin(&self) -> Self {
        self.twin_with(self.app.config.clone()).await
    }

    /// The address of a path under the issuer's.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The address of a path of the host.
    pub(crate) fn root_url(&self, path: &str) -> String {
        let origin = url::Url::parse(&self.base).unwrap().origin().ascii_serialization();
        format!("{origin}{path}")
    }

    /// A path as pages name it.
    pub(crate) fn path(&self, path: &str) -> String {
        self.app.path(path)
    }

    /// A bare request to a path under the issuer's.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        http().request(method, self.url(path))
    }

    /// A bare request to an address, with a browser's cookies, as from a page of ours.
    pub(crate) fn request_as(&self, browser: &Browser, method: Method, url: &str) -> RequestBuilder {
        let cookie = browser.cookie(&self.base);
        http().request(method, url).header("cookie", cookie).header("sec-fetch-site", "same-origin")
    }

    /// A bare connection.
    pub(crate) async fn connect(&self) -> TcpStream {
        let address = self.base.strip_prefix("http://").unwrap().split('/').next().unwrap();
        TcpStream::connect(address).await.unwrap()
    }

    /// What is answered to these bytes, up to the end of the connection or to the first pause.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        let (mut reads, mut writes) = stream.split();
        let mut answer = Vec::new();
        let write = async {
            // Whoever is cut off cannot say everything.
            let _ = writes.write_all(request.as_bytes()).await;
            std::future::pending::<()>().await;
        };
        let read = async {
            let mut part = [0; 4096];
            while let Ok(Ok(read @ 1..)) =
                tokio::time::timeout(Duration::from_secs(2), reads.read(&mut part)).await
            {
                answer.extend_from_slice(&part[..read]);
            }
        };
        tokio::select! { () = write => {}, () = read => {} }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What a path under the issuer's answers to a bare `GET`, as JSON.
    pub(crate) async fn json(&self, path: &str) -> serde_json::Value {
        self.request(Method::GET, path).send().await.unwrap().json().await.unwrap()
    }

    /// Lets time pass.
    pub(crate) fn later(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Runs a statement behind the server's back.
    pub(crate) async fn execute(&self, statement: impl Into<String>) {
        let statement = sqlx::AssertSqlSafe(statement.into());
        on!(self, |connection| sqlx::query(statement).execute(connection).await.map(|_| ()));
    }

    /// The text that a query answers.
    pub(crate) async fn text(&self, query: String) -> String {
        let query = sqlx::AssertSqlSafe(query);
        on!(self, |connection| sqlx::query_scalar(query).fetch_one(connection).await)
    }

    /// Takes a table away.
    pub(crate) async fn hide(&self, table: &str) {
        self.execute(format!("ALTER TABLE {table} RENAME TO hidden_{table}")).await;
    }

    /// Puts a hidden table back.
    pub(crate) async fn unhide(&self, table: &str) {
        self.execute(format!("ALTER TABLE hidden_{table} RENAME TO {table}")).await;
    }

    /// Has PostgreSQL close every connection of the server's.
    pub(crate) async fn cut_connections(&self) {
        let Db::Postgres(pool) = &self.app.db else { panic!("only PostgreSQL has connections to cut") };
        let mut connections = Vec::new();
        while let Some(connection) = pool.try_acquire() {
            connections.push(connection);
        }
        assert!(!connections.is_empty());
        for mut connection in connections {
            let pid: i32 =
                sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *connection).await.unwrap();
            drop(connection);
            self.execute(format!("SELECT pg_terminate_backend({pid})")).await;
        }
    }

    /// How many rows a table has.
    pub(crate) async fn rows(&self, table: &str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        on!(self, |connection| sqlx::query_scalar(query).fetch_one(connection).await)
    }

    /// How many rows there are of what stands behind `FROM`.
    pub(crate) async fn count(&self, from: &str) -> i64 {
        let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {from}"));
        on!(self, |connection| sqlx::query_scalar(query).fetch_one(connection).await)
    }

    /// Whether any column of a table holds this text, in whatever form a database writes bytes.
    pub(crate) async fn holds(&self, table: &str, text: &str) -> bool {
        let hex = text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let rows: Vec<String> = if self.database.starts_with("sqlite") {
            let columns = sqlx::AssertSqlSafe(format!(
                "SELECT group_concat('ifnull(hex(CAST(' || name || ' AS BLOB)), '''')', ' || ') FROM pragma_table_info('{table}')"
            ));
            let columns: String =
                on!(self, |connection| sqlx::query_scalar(columns).fetch_one(connection).await);
            let rows = sqlx::AssertSqlSafe(format!("SELECT lower({columns}) FROM {table}"));
            on!(self, |connection| sqlx::query_scalar(rows).fetch_all(connection).await)
        } else {
            let rows = sqlx::AssertSqlSafe(format!("SELECT lower(t::text) FROM {table} t"));
            on!(self, |connection| sqlx::query_scalar(rows).fetch_all(connection).await)
        };
        rows.iter().any(|row| row.contains(&hex) || row.contains(&text.to_lowercase()))
    }

    /// The reasons in the record of this event, by the alphabet: while the clock stands still, the record has no order.
    pub(crate) async fn reasons(&self, event: &str) -> Vec<String> {
        let mut reasons = self.on_record(event, "reason").await;
        reasons.sort_unstable();
        reasons
    }

    /// What one column holds in the rows of this event, in the order of their milliseconds.
    pub(crate) async fn on_record(&self, event: &str, column: &str) -> Vec<String> {
        let query = format!("SELECT {column} FROM audit WHERE event = $1 ORDER BY id");
        let query = sqlx::AssertSqlSafe(query);
        on!(self, |connection| sqlx::query_scalar(query).bind(event).fetch_all(connection).await)
    }

    /// The particulars in the rows of this event, in the order of their milliseconds.
    pub(crate) async fn details(&self, event: &str) -> Vec<serde_json::Value> {
        let all = self.on_record(event, "details").await;
        all.iter().map(|details| serde_json::from_str(details).unwrap()).collect()
    }

    /// The latest line of the record of this event, if the clock was moved since the one before.
    pub(crate) async fn last(&self, event: &str) -> Recorded {
        let query = "SELECT reference, user_id, client_id, provider, resource, scope, details FROM audit \
                     WHERE event = $1 ORDER BY id DESC LIMIT 1";
        on!(self, |connection| sqlx::query_as(query).bind(event).fetch_one(connection).await)
    }

    /// How often an event of this name is in the record.
    pub(crate) async fn recorded(&self, event: &str) -> i64 {
        let query = "SELECT count(*) FROM audit WHERE event = $1";
        on!(self, |connection| sqlx::query_scalar(query).bind(event).fetch_one(connection).await)
    }
}
