//! `chancery dev`: broker, test identity provider and sample MCP server on this machine, with nothing to configure.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    cli::serve::{run_until_stopped, stop_signal},
    clock::Clock,
    config::{Config, environment::Environment},
    dev::{
        provider::{TestClient, TestProvider},
        sample::SampleServer,
        walk::Journey,
    },
    entropy::Entropy,
    oauth::{issuer::Issuer, redirect_uri::RedirectUri},
    secret::Secret,
};

/// Where the three listen unless the port is taken.
const BROKER_PORT: u16 = 9000;
const PROVIDER_PORT: u16 = 9010;
const SAMPLE_PORT: u16 = 9020;

/// The name of the file that keeps the encryption key of a data folder.
const KEY_FILE: &str = "encryption.key";

/// Arguments of `chancery dev`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Play the whole journey, print each request and answer, and exit
    #[arg(long)]
    walk: bool,
    /// Keep database and keys in this folder; without it they are gone at the end
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Print the log too
    #[arg(long, short)]
    verbose: bool,
}

/// Runs until Ctrl-C, or until the walk is over.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let level = if args.verbose { "info" } else { "error" };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    tokio::runtime::Runtime::new()?.block_on(start(args))
}

async fn start(args: &Args) -> anyhow::Result<ExitCode> {
    let temporary = tempfile::Builder::new().prefix("chancery-dev-").tempdir()?;
    let folder = args.data.as_deref().unwrap_or(temporary.path());
    let stop = stop_signal()?;
    let house = House::open(folder).await?;
    let journey = Journey {
        server: house.sample.resource().parse()?,
        elsewhere: elsewhere(house.sample.origin()),
        user: "Ada".to_owned(),
    };
    if !args.walk {
        house.announce(args.data.as_deref())?;
    }
    let serving = house.serve(stop.clone());
    if !args.walk {
        serving.await?;
        return Ok(ExitCode::SUCCESS);
    }
    let serving = tokio::spawn(serving);
    let walked = journey.walk(Entropy::System, &mut std::io::stdout()).await;
    stop.cancel();
    serving.await??;
    walked.context("the walk broke off")?;
    Ok(ExitCode::SUCCESS)
}

/// The three servers, bound and not yet serving.
struct House {
    app: Arc<App>,
    broker: TcpListener,
    provider: TestProvider,
    sample: SampleServer,
}

impl House {
    async fn open(folder: &Path) -> anyhow::Result<Self> {
        let (clock, entropy) = (Clock::System, Entropy::System);
        let broker = listen(BROKER_PORT).await?;
        let issuer =
            Issuer::try_from(format!("http://{}", broker.local_addr()?)).map_err(anyhow::Error::msg)?;
        let sample = match SampleServer::bind(SAMPLE_PORT, &issuer, clock.clone()).await {
            Ok(sample) => sample,
            Err(_) => SampleServer::bind(0, &issuer, clock.clone()).await?,
        };
        let secret = entropy.token();
        let callback =
            RedirectUri::try_from(issuer.url("/login/test/callback")).map_err(anyhow::Error::msg)?;
        let client = || TestClient {
            id: "chancery-dev".to_owned(),
            secret: Secret::new(secret.clone()),
            redirect_uri: callback.clone(),
        };
        let provider = match TestProvider::bind(PROVIDER_PORT, client(), clock.clone(), entropy.clone()).await
        {
            Ok(provider) => provider,
            Err(_) => TestProvider::bind(0, client(), clock.clone(), entropy.clone()).await?,
        };
        let key = encryption_key(folder, &entropy)?;
        let database = folder.join("chancery.db");
        let database = database.to_str().context("the folder's path is not valid text")?;
        let yaml = configuration(&issuer, provider.issuer(), &sample);
        let environment = Environment::of([
            ("CHANCERY_DEV_DATABASE", &format!("sqlite://{database}")),
            ("CHANCERY_DEV_KEY", key.expose()),
            ("CHANCERY_DEV_SECRET", &secret),
        ]);
        let config = Config::parse(&yaml, "the built-in configuration", &environment)?;
        let app = App::open(config, clock, entropy, true).await?;
        Ok(Self { app, broker, provider, sample })
    }

    fn announce(&self, data: Option<&Path>) -> std::io::Result<()> {
        let kept = data.map_or_else(
            || "gone when you stop".to_owned(),
            |folder| format!("kept in {}", folder.display()),
        );
        writeln!(
            std::io::stdout(),
            "Chancery is running on this machine, for trying out and not for production.\n\n\
             \x20 Paste this URL into an MCP client (MCP Inspector, Claude Code, VS Code, Cursor):\n\n\
             \x20     {}\n\n\
             \x20 broker             {}\n\
             \x20 test provider      {} (sign in as Ada or Grace)\n\
             \x20 your account page  {}\n\
             \x20 data               {kept}\n\n\
             Stop with Ctrl-C. `chancery dev --walk` plays the whole journey and shows every message.",
            self.sample.resource(),
            self.app.config.server.issuer,
            self.provider.issuer(),
            self.app.config.server.issuer.url("/account"),
        )
    }

    async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        let provider = self.provider.serve(stop.clone());
        let sample = self.sample.serve(stop.clone());
        let broker = run_until_stopped(self.app, self.broker, None, stop.clone());
        let (broker, provider, sample) = tokio::join!(broker, provider, sample);
        broker.and(provider.map_err(Into::into)).and(sample.map_err(Into::into))
    }
}

/// The port, or a free one where it is taken.
async fn listen(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await,
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

/// What an operator would write. Secrets and paths come through the environment, as an operator's should.
fn configuration(issuer: &Issuer, provider: &str, sample: &SampleServer) -> String {
    let (resource, elsewhere) = (sample.resource(), elsewhere(sample.origin()));
    format!(
        "server: {{ issuer: \"{issuer}\", name: Chancery, contact: the person who started it, default_resource: notes }}
database: {{ url: \"${{CHANCERY_DEV_DATABASE}}\" }}
encryption: {{ keys: [{{ id: dev, key: \"${{CHANCERY_DEV_KEY}}\" }}] }}
providers:
  test:
    preset: oidc
    name: Test provider
    issuer: \"{provider}\"
    client_id: chancery-dev
    client_secret: \"${{CHANCERY_DEV_SECRET}}\"
    sign_in: {{ anyone: true }}
resources:
  notes:
    uri: \"{resource}\"
    name: Sample notes
    scopes:
      \"notes:read\": {{ description: Read your notes, default: true }}
      \"notes:write\": {{ description: Add and change notes }}
  elsewhere:
    uri: \"{elsewhere}\"
    name: Another service
    scopes:
      \"elsewhere:read\": {{ description: Read elsewhere, default: true }}
registration: {{ dynamic: known_clients, documents: {{ allow_hosts: [\"*\"] }} }}
"
    )
}
