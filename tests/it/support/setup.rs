//! What a server is started with: engine, configuration, issuer, and the test identity providers.

#[path = "../../house/schema.rs"]
mod schema;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chancery::{
    app::{App, router},
    clock::{Clock, Timestamp},
    config::{Config, environment::Environment},
    dev::provider::{TestClient, TestProvider},
    entropy::Entropy,
    secret::Secret,
    web::serve::serve,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::schema::fresh_schema;
use super::Server;

/// Which engine a story runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum On {
    Sqlite,
    Postgres,
}

/// The configuration of a story, as commands find it.
const CONFIG_FILE: &str = "chancery.yaml";

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
    claims: { groups: groups }
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

/// The URL of a database of a story's own. `None` where the engine is left out on purpose.
pub(crate) async fn empty_database(on: On, folder: &Path) -> Option<String> {
    match on {
        On::Sqlite => Some(format!("sqlite://{}", folder.join("chancery.db").display())),
        On::Postgres => fresh_schema().await,
    }
}

/// A server to be started.
pub(crate) struct Setup {
    on: On,
    sections: String,
    presets: Vec<(&'static str, String)>,
    path: &'static str,
    issuer: Option<&'static str>,
    listener: Option<TcpListener>,
}

impl Setup {
    /// The usual server on this engine.
    pub(crate) fn on(on: On) -> Self {
        Self { on, sections: PLAIN.to_owned(), presets: Vec::new(), path: "", issuer: None, listener: None }
    }

    /// Other sections; `server`, `database` and `encryption` are added, and `${PROVIDER}`, `${PROVIDER_SECRET}` and,
    /// for a second provider of the id `other`, `${OTHER}` stand for the test providers.
    pub(crate) fn sections(mut self, sections: &str) -> Self {
        sections.clone_into(&mut self.sections);
        self
    }

    /// The usual sections, one text in them replaced.
    pub(crate) fn replacing(mut self, old: &str, new: &str) -> Self {
        assert!(self.sections.contains(old), "{old} is not in the configuration");
        self.sections = self.sections.replace(old, new);
        self
    }

    /// A preset in the folder `presets`.
    pub(crate) fn preset(mut self, name: &'static str, text: String) -> Self {
        self.presets.push((name, text));
        self
    }

    /// An issuer with a path.
    pub(crate) fn below(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    /// An issuer that is not where the server listens, as behind a proxy.
    pub(crate) fn known_as(mut self, issuer: &'static str) -> Self {
        self.issuer = Some(issuer);
        self
    }

    /// A place that somebody was told of before it starts.
    pub(crate) fn at(mut self, listener: TcpListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Starts it. `None` where the engine is left out on purpose.
    pub(crate) async fn start(self) -> Option<Server> {
        let folder = tempfile::tempdir().unwrap();
        let database = empty_database(self.on, folder.path()).await?;
        let listener = match self.listener {
            Some(listener) => listener,
            None => TcpListener::bind("127.0.0.1:0").await.unwrap(),
        };
        let base = format!("http://{}{}", listener.local_addr().unwrap(), self.path);
        let issuer = self.issuer.map_or_else(|| base.clone(), str::to_owned);
        let clock = Clock::manual(BEGINNING);
        let entropy = Entropy::System;
        let stop = CancellationToken::new();
        let secret = entropy.token();
        let provide = async |id: &str| {
            let client = TestClient {
                id: "chancery".to_owned(),
                secret: Secret::new(secret.clone()),
                redirect_uri: format!("{issuer}/login/{id}/callback").try_into().unwrap(),
            };
            let provider = TestProvider::bind(0, client, clock.clone(), entropy.clone()).await.unwrap();
            let issuer = provider.issuer().to_owned();
            tokio::spawn(provider.serve(stop.clone()));
            issuer
        };
        let provider = provide("test").await;
        let other = if self.sections.contains("${OTHER}") { provide("other").await } else { String::new() };
        let yaml = format!(
            "server: {{ issuer: \"{issuer}\", contact: help@acme.example }}\n\
             database: {{ url: \"${{DATABASE}}\" }}\n\
             encryption: {{ keys: [{{ id: k1, key: \"${{KEY}}\" }}] }}\n{}",
            self.sections
        );
        let variables = [
            ("DATABASE", database.as_str()),
            ("KEY", &STANDARD.encode(entropy.bytes::<32>())),
            ("PROVIDER", &provider),
            ("PROVIDER_SECRET", &secret),
            ("OTHER", &other),
        ];
        let filled = variables
            .iter()
            .fold(yaml.clone(), |yaml, (name, value)| yaml.replace(&format!("${{{name}}}"), value));
        std::fs::write(folder.path().join(CONFIG_FILE), filled).unwrap();
        let environment =
            Environment::of(variables).with_file("presets/many.yaml", include_str!("many.yaml"));
        let environment = self.presets.into_iter().fold(environment, |environment, (name, text)| {
            environment.with_file(format!("presets/{name}.yaml"), text)
        });
        let config =
            Config::parse(&yaml, "test.yaml", &environment).unwrap_or_else(|problems| panic!("{problems}"));
        let app = App::open(config, clock.clone(), entropy, false).await.unwrap();
        tokio::spawn(serve(listener, router::router(Arc::clone(&app)), stop.clone()));
        Some(Server { app, clock, issuer, base, provider, database, stop, folder })
    }
}

impl Server {
    /// Its configuration as a file, for commands that read it.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join(CONFIG_FILE)
    }

    /// The encryption keys in its configuration file, as they stand there.
    pub(crate) fn keys(&self) -> String {
        let text = std::fs::read_to_string(self.config_file()).unwrap();
        text.split("keys: [").nth(1).unwrap().split("] }\n").next().unwrap().to_owned()
    }

    /// Puts other encryption keys there, and gives what is in the file then.
    pub(crate) fn with_keys(&self, keys: &str) -> Config {
        let text = std::fs::read_to_string(self.config_file()).unwrap();
        let text = text.replace(&format!("keys: [{}]", self.keys()), &format!("keys: [{keys}]"));
        std::fs::write(self.config_file(), &text).unwrap();
        Config::parse(&text, CONFIG_FILE, &Environment::of([]))
            .unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// Another instance on the same database, by the same clock, with a configuration of its own.
    pub(crate) async fn twin_with(&self, config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}{}", listener.local_addr().unwrap(), config.server.issuer.path());
        let app = App::open(config, self.clock.clone(), Entropy::System, false).await.unwrap();
        let stop = self.stop.child_token();
        tokio::spawn(serve(listener, router::router(Arc::clone(&app)), stop.clone()));
        Self {
            app,
            clock: self.clock.clone(),
            issuer: self.issuer.clone(),
            base,
            provider: self.provider.clone(),
            database: self.database.clone(),
            stop,
            folder: tempfile::tempdir().unwrap(),
        }
    }
}
