//! `chancery keys`: makes encryption keys.

use std::{io::Write, process::ExitCode};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::entropy::Entropy;

/// Arguments of `chancery keys`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print a new encryption key for `encryption.keys`; keep it outside of the database's backups
    Generate,
}

/// Runs the subcommand.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Generate => {
            let key = Zeroizing::new(Entropy::System.bytes::<32>());
            writeln!(out, "{}", Zeroizing::new(STANDARD.encode(key.as_slice())).as_str())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
