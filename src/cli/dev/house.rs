//! The servers of `chancery dev`: all on loopback, each on its port unless that is taken.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::configuration::{self, AGENT, AGENT_THERE, Addresses, CONNECTION, SAMPLE};
use crate::{
    app::App,
    cli::serve::run_until_stopped,
    clock::Clock,
    config::{Config, environment::Environment},
    dev::{
        provider::{TestAgent, TestClient, TestProvider},
        sample::{READ, SampleServer},
        walk::{Agent, Connecting, Credentials, Journey, REDIRECT_URI},
    },
    entropy::Entropy,
    oauth::{issuer::Issuer, redirect_uri::RedirectUri, resource::ResourceUri, scope::ScopeSet},
    secret::Secret,
};

/// Where everything listens unless the port is taken.
const BROKER_PORT: u16 = 9000;
const PROVIDER_PORT: u16 = 9010;
const SAMPLE_PORT: u16 = 9020;
const OTHER_BROKER_PORT: u16 = 9030;
const OTHER_SAMPLE_PORT: u16 = 9040;

/// The other company's is another host, so that a browser does not mix up the cookies of the two.
const HOST: &str = "127.0.0.1";
const OTHER_HOST: &str = "localhost";

/// The name of the file that keeps the encryption key of a data folder.
const KEY_FILE: &str = "encryption.key";
/// The folder in it that is the other company's.
const OTHER_FOLDER: &str = "other";

/// Everything, bound and not yet serving.
pub(super) struct House {
    ours: Company,
    others: Company,
    provider: TestProvider,
    /// What every confidential client here proves itself with.
    secret: Secret,
}

/// A broker and the MCP server that trusts it.
struct Company {
    app: Arc<App>,
    broker: TcpListener,
    sample: SampleServer,
}

impl House {
    pub(super) async fn open(folder: &Path) -> anyhow::Result<Self> {
        let (clock, entropy) = (Clock::System, Entropy::System);
        let (broker, issuer) = listen(BROKER_PORT, HOST).await?;
        let (other_broker, other) = listen(OTHER_BROKER_PORT, OTHER_HOST).await?;
        let sample = serve_notes(SAMPLE_PORT, &issuer, &clock).await?;
        let other_sample = serve_notes(OTHER_SAMPLE_PORT, &other, &clock).await?;
        let secret = Secret::new(entropy.token());
        let client = |id: &str, redirect_uri: String| {
            let redirect_uri = RedirectUri::try_from(redirect_uri).map_err(anyhow::Error::msg)?;
            anyhow::Ok(TestClient { id: id.to_owned(), secret: secret.clone(), redirect_uri })
        };
        let broker_there = client("chancery-dev", issuer.url("/login/test/callback"))?;
        let provider =
            match TestProvider::bind(PROVIDER_PORT, broker_there.clone(), clock.clone(), entropy.clone())
                .await
            {
                Ok(provider) => provider,
                Err(_) => TestProvider::bind(0, broker_there, clock.clone(), entropy.clone()).await?,
            };
        let provider = provider.with_agent(TestAgent {
            client: client(AGENT, REDIRECT_URI.to_owned())?,
            audience: issuer.as_str().to_owned(),
            client_there: AGENT.to_owned(),
            resource: ResourceUri::try_from(sample.resource().to_owned()).map_err(anyhow::Error::msg)?,
            scope: ScopeSet::parse(READ).map_err(anyhow::Error::msg)?,
        });
        let provider =
            provider.with_vault(client(CONNECTION, issuer.url(&format!("/connect/{CONNECTION}/callback")))?);
        let addresses = Addresses {
            issuer: issuer.as_str(),
            provider: provider.issuer(),
            sample: sample.resource(),
            elsewhere: &elsewhere(sample.origin()),
            other: other.as_str(),
            other_sample: other_sample.resource(),
        };
        let app = open(&configuration::ours(&addresses), folder, &secret).await?;
        let other_app = open(&configuration::others(&addresses), &folder.join(OTHER_FOLDER), &secret).await?;
        let ours = Company { app, broker, sample };
        let others = Company { app: other_app, broker: other_broker, sample: other_sample };
        Ok(Self { ours, others, provider, secret })
    }

    /// The way that the walk takes through it.
    pub(super) fn journey(&self) -> anyhow::Result<Journey> {
        let named = |id: &str| Credentials { id: id.to_owned(), secret: self.secret.clone() };
        let server: url::Url = self.ours.sample.resource().parse()?;
        Ok(Journey {
            server: server.clone(),
            elsewhere: elsewhere(self.ours.sample.origin()),
            user: "Ada".to_owned(),
            connecting: Connecting {
                server: named(SAMPLE),
                connection: CONNECTION.to_owned(),
                api: format!("{}/userinfo", self.provider.issuer()).parse()?,
            },
            inward: Agent {
                provider: self.provider.issuer().to_owned(),
                at_provider: named(AGENT),
                server,
                at_server: named(AGENT),
            },
            outward: Agent {
                provider: self.ours.app.config.server.idp_issuer.to_string(),
                at_provider: named(AGENT),
                server: self.others.sample.resource().parse()?,
                at_server: named(AGENT_THERE),
            },
        })
    }

    pub(super) fn announce(&self, data: Option<&Path>) -> std::io::Result<()> {
        let kept = data.map_or_else(
            || "gone when you stop".to_owned(),
            |folder| format!("kept in {}", folder.display()),
        );
        let Company { app, sample, .. } = &self.ours;
        writeln!(
            std::io::stdout(),
            "Chancery is running on this machine, for trying out and not for production.\n\n\
             \x20 Paste this URL into an MCP client (MCP Inspector, Claude Code, VS Code, Cursor):\n\n\
             \x20     {}\n\n\
             \x20 broker             {}\n\
             \x20 test provider      {} (sign in as Ada or Grace)\n\
             \x20 your account page  {}\n\
             \x20 another company    {} with the server {}\n\
             \x20 an agent           {AGENT} ({AGENT_THERE} over there), secret {}\n\
             \x20 data               {kept}\n\n\
             Stop with Ctrl-C. `chancery dev --walk` plays the whole journey and shows every message.",
            sample.resource(),
            app.config.server.issuer,
            self.provider.issuer(),
            app.config.server.issuer.url("/account"),
            self.others.app.config.server.issuer,
            self.others.sample.resource(),
            // It is good on this machine for as long as this runs, and meant to be used.
            self.secret.expose(),
        )
    }

    pub(super) async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        let provider = self.provider.serve(stop.clone());
        let (ours, others) = (self.ours.serve(stop.clone()), self.others.serve(stop));
        let (ours, others, provider) = tokio::join!(ours, others, provider);
        ours.and(others).and(provider.map_err(Into::into))
    }
}

impl Company {
    async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        let sample = self.sample.serve(stop.clone());
        let (broker, sample) = tokio::join!(run_until_stopped(self.app, self.broker, None, stop), sample);
        broker.and(sample.map_err(Into::into))
    }
}

async fn open(yaml: &str, folder: &Path, secret: &Secret) -> anyhow::Result<Arc<App>> {
    let key = encryption_key(folder, &Entropy::System)?;
    let database = folder.join("chancery.db");
    let database = database.to_str().context("the folder's path is not valid text")?;
    let environment = Environment::of([
        ("CHANCERY_DEV_DATABASE", format!("sqlite://{database}").as_str()),
        ("CHANCERY_DEV_KEY", key.expose()),
        ("CHANCERY_DEV_SECRET", secret.expose()),
    ]);
    let config = Config::parse(yaml, "the built-in configuration", &environment)?;
    Ok(App::open(config, Clock::System, Entropy::System, true).await?)
}

/// A listener on the port, or a free one where it is taken, and the issuer that is reached there.
async fn listen(port: u16, host: &str) -> anyhow::Result<(TcpListener, Issuer)> {
    let listener = match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?,
    };
    let issuer = format!("http://{host}:{}", listener.local_addr()?.port());
    Ok((listener, Issuer::try_from(issuer).map_err(anyhow::Error::msg)?))
}

async fn serve_notes(port: u16, issuer: &Issuer, clock: &Clock) -> std::io::Result<SampleServer> {
    match SampleServer::bind(port, issuer, clock.clone()).await {
        Ok(sample) => Ok(sample),
        Err(_) => SampleServer::bind(0, issuer, clock.clone()).await,
    }
}

/// The key of the folder: made at the first start, readable by its owner alone.
fn encryption_key(folder: &Path, entropy: &Entropy) -> anyhow::Result<Secret> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(KEY_FILE);
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    if let Ok(mut file) = made {
        let key = STANDARD.encode(entropy.bytes::<32>());
        file.write_all(key.as_bytes()).and_then(|()| file.sync_all())?;
        return Ok(Secret::new(key));
    }
    let key = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Secret::new(key.trim().to_owned()))
}

/// A second resource, which no server stands behind: the walk shows that its tokens are of no use at the first.
fn elsewhere(sample_origin: &str) -> String {
    format!("{sample_origin}/elsewhere")
}
