//! The command line: one file a command.

mod admin;
mod check;
mod dev;
mod explain;
mod keys;
mod migrate;
mod providers;
mod serve;
mod undumped;

use std::{io::Write as _, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};

/// Between every corporate identity provider and every MCP server.
#[derive(Debug, Parser)]
#[command(name = "chancery", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try it: broker, test identity provider and sample MCP server on this machine, without any configuration
    Dev(dev::Args),
    /// Run the server
    Serve(serve::Args),
    /// Say what is wrong with a configuration file, or what it amounts to
    Check(check::Args),
    /// Say who may have what, and which rules decide it
    Explain(explain::Args),
    /// Switch people, clients and providers off and on, and see what a person has
    Admin(admin::Args),
    /// Show the presets for identity providers, and what each needs
    Providers(providers::Args),
    /// Make keys and list them
    Keys(keys::Args),
    /// Bring the database's tables up to date, then stop
    Migrate(migrate::Args),
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let mut out = std::io::stdout();
    let done = match cli.command {
        Command::Dev(args) => dev::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args, &mut out),
        Command::Explain(args) => Ok(explain::run(&args, &mut out)),
        Command::Admin(args) => admin::run(&args, &mut out),
        Command::Providers(args) => providers::run(&args, &mut out),
        Command::Keys(args) => keys::run(&args, &mut out),
        Command::Migrate(args) => migrate::run(&args, &mut out),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "chancery", &mut out);
            Ok(ExitCode::SUCCESS)
        }
        Command::Version => writeln!(out, "chancery {}", env!("CARGO_PKG_VERSION"))
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
    };
    done.unwrap_or_else(|error| {
        // The console may be gone; there is nobody left to tell.
        let _ = writeln!(std::io::stderr(), "chancery: {}", in_one_line(&error));
        ExitCode::FAILURE
    })
}

/// The error and its causes. Many of our errors say their cause themselves, and nobody wants to read it twice.
fn in_one_line(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |line, cause| {
        if line.ends_with(&cause) { line } else { format!("{line}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::OpenError, seal::KeyProofError};

    #[test]
    fn every_cause_is_said_once() {
        let wrong = OpenError::from(KeyProofError::Wrong("2026-11".into()));
        let text = in_one_line(&wrong.into());
        assert!(text.starts_with("the encryption keys: the encryption key `2026-11` is not"), "{text}");
        assert_eq!(text.matches("2026-11").count(), 1, "{text}");

        let busy = anyhow::Error::from(std::io::Error::from(std::io::ErrorKind::AddrInUse));
        let text = in_one_line(&busy.context("cannot listen on 127.0.0.1:9000"));
        assert_eq!(text, "cannot listen on 127.0.0.1:9000: address in use");
    }
}
