//! `chancery dev`: broker, test identity provider and sample MCP server on this machine, with nothing to configure; and
//! the broker and server of another company, for grants from one to the other.

mod configuration;
mod house;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;

use self::house::House;
use crate::{
    cli::{serve::stop_signal, undumped},
    entropy::Entropy,
};

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
    undumped::begin();
    tokio::runtime::Runtime::new()?.block_on(start(args))
}

async fn start(args: &Args) -> anyhow::Result<ExitCode> {
    let temporary = tempfile::Builder::new().prefix("chancery-dev-").tempdir()?;
    let folder = args.data.as_deref().unwrap_or(temporary.path());
    let stop = stop_signal()?;
    let house = House::open(folder).await?;
    let journey = house.journey()?;
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
