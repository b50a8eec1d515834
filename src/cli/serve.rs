//! `chancery serve`: the production server.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{
        App,
        removed::{self, Configured},
        router,
    },
    audit,
    cli::undumped,
    clock::Clock,
    config::{Config, environment::Environment},
    entropy::Entropy,
    store::sweep,
    vault::{refresh::upkeep, revoke},
    web,
};

/// How long refreshes under way may take when everything else has stopped: a vendor's answer, and storing it.
const LAST_REFRESHES: Duration = Duration::from_secs(15);

/// Arguments of `chancery serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CHANCERY_CONFIG")]
    config: PathBuf,
}

/// Runs the server until it is told to stop.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    log_to_stderr();
    undumped::begin();
    let config = Config::load(&args.config, &Environment::capture())?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let public = bind(config.server.listen).await?;
        let admin = bind(config.server.admin_listen).await?;
        let app = App::open(config, Clock::System, Entropy::System, false).await?;
        let stop = stop_signal()?;
        tracing::info!(issuer = %app.config.server.issuer, listen = %public.local_addr()?, "serving");
        run_until_stopped(app, public, Some(admin), stop).await?;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

/// Structured logs: JSON lines on standard error, filtered by `RUST_LOG`.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

async fn bind(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Serves both ports and does the background work until `stop`; then drains and closes the database.
pub(super) async fn run_until_stopped(
    app: Arc<App>,
    public: TcpListener,
    admin: Option<TcpListener>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let sweeping = tokio::spawn(sweep::run(app.db.clone(), app.clock.clone()));
    let sealing = tokio::spawn(audit::run(
        app.db.clone(),
        app.sealer.clone(),
        app.clock.clone(),
        app.entropy.clone(),
        Some(app.config.lifetimes.audit),
    ));
    let looking_after = tokio::spawn(removed::run(
        app.db.clone(),
        Configured::of(&app.config),
        app.clock.clone(),
        app.entropy.clone(),
    ));
    let revoking = tokio::spawn(revoke::run(Arc::clone(&app)));
    let keeping_up = tokio::spawn(upkeep::run(Arc::clone(&app)));
    let reloading = tokio::spawn(reload_keys(Arc::clone(&app)));
    let admin = async {
        match admin {
            Some(listener) => {
                web::serve::serve(listener, router::admin(Arc::clone(&app)), stop.clone()).await
            }
            None => Ok(()),
        }
    };
    let public = web::serve::serve(public, router::router(Arc::clone(&app)), stop.clone());
    let (public, admin) = tokio::join!(public, admin);
    stop.cancel();
    reloading.abort();
    revoking.abort();
    keeping_up.abort();
    looking_after.abort();
    sweeping.abort();
    sealing.abort();
    app.vault.flights.settle(LAST_REFRESHES).await;
    app.db.close().await;
    public.and(admin).map_err(Into::into)
}

/// Keeps up with signing keys that another instance, or `chancery keys rotate`, has made.
async fn reload_keys(app: Arc<App>) {
    const EVERY: Duration = Duration::from_secs(60);
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = app.reload_keys().await {
            tracing::warn!(%error, "the signing keys could not be read again");
        }
    }
}

/// A token that is cancelled by the first SIGTERM or Ctrl-C; a second one ends the process at once.
pub(super) fn stop_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            if last {
                std::process::exit(130);
            }
            told.cancel();
        }
    });
    Ok(stop)
}
