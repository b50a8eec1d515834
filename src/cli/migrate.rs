//! `chancery migrate`: brings the database's tables up to date before the servers of a new version start.

use std::{io::Write, path::PathBuf, process::ExitCode};

use crate::{
    config::{Config, environment::Environment},
    store::Db,
};

/// Arguments of `chancery migrate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CHANCERY_CONFIG")]
    config: PathBuf,
}

/// Migrates and says so.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.config, &Environment::capture())?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let db = Db::open(&config.database.url).await?;
        db.migrate().await?;
        db.close().await;
        writeln!(out, "the database is up to date")?;
        Ok(ExitCode::SUCCESS)
    })
}
