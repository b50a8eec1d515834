//! `chancery keys`: makes encryption keys, and lists and rotates what this server signs with.

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{
    clock::Clock,
    config::{Config, environment::Environment},
    entropy::Entropy,
    jose::keys::KeyRing,
    oauth::purpose::Role,
    seal::{self, Sealer},
    store::{Db, key_proofs, signing_keys},
};

/// Arguments of `chancery keys`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print a new encryption key for `encryption.keys`; keep it outside of the database's backups
    Generate,
    /// List the encryption keys that the database knows and the signing keys that are published
    List(Database),
    /// Make the next signing key of each issuer; it is published at once and signs from a quarter of an hour on
    Rotate(Database),
}

#[derive(Debug, clap::Args)]
struct Database {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CHANCERY_CONFIG")]
    config: PathBuf,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Generate => {
            let key = Zeroizing::new(Entropy::System.bytes::<32>());
            writeln!(out, "{}", Zeroizing::new(STANDARD.encode(key.as_slice())).as_str())?;
        }
        Command::List(database) => tokio::runtime::Runtime::new()?.block_on(list(database, out))?,
        Command::Rotate(database) => tokio::runtime::Runtime::new()?.block_on(rotate(database, out))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The database of a configuration, whose encryption keys have been proved.
async fn open(database: &Database) -> anyhow::Result<(Config, Db, Sealer)> {
    let config = Config::load(&database.config, &Environment::capture())?;
    let db = Db::open(&config.database.url).await?;
    db.migrate().await?;
    let sealer = Sealer::new(&config.encryption.keys, &Clock::System)?;
    seal::prove_keys(&db, &sealer, &Clock::System, &Entropy::System).await?;
    Ok((config, db, sealer))
}

const fn heading(role: Role) -> &'static str {
    match role {
        Role::AuthorizationServer => "signing keys",
        Role::IdentityProvider => "signing keys of the identity provider (idp)",
    }
}

async fn list(database: &Database, out: &mut impl Write) -> anyhow::Result<()> {
    let (config, db, _) = open(database).await?;
    let now = Clock::System.now();
    let seals = config.encryption.keys.first().map(|key| key.id.as_str());
    writeln!(out, "encryption keys")?;
    for id in key_proofs::key_ids(&db).await? {
        writeln!(out, "  {id}{}", if Some(id.as_str()) == seals { "  seals" } else { "  opens" })?;
    }
    for role in Role::ALL {
        let keys = signing_keys::published(&db, role, now).await?;
        if role == Role::IdentityProvider && keys.is_empty() {
            continue;
        }
        writeln!(out, "{}", heading(role))?;
        for key in keys {
            let until = key.retired_at.map_or_else(String::new, |at| format!(", published until {at}"));
            writeln!(out, "  {}  {}, signs from {}{until}", key.id, key.algorithm.as_str(), key.active_at)?;
        }
    }
    db.close().await;
    Ok(())
}

async fn rotate(database: &Database, out: &mut impl Write) -> anyhow::Result<()> {
    let (config, db, sealer) = open(database).await?;
    let (clock, entropy) = (Clock::System, Entropy::System);
    for role in Role::ALL {
        let longest = match role {
            Role::AuthorizationServer => {
                let lifetimes = config.resources.values().filter_map(|resource| resource.access_token);
                lifetimes.fold(config.lifetimes.access_token, Duration::max)
            }
            Role::IdentityProvider if config.idp.is_none() => continue,
            Role::IdentityProvider => config.lifetimes.access_token.max(config.lifetimes.id_token),
        };
        let ring = KeyRing::load_or_create(role, &db, &sealer, &clock, &entropy).await?;
        let (kid, at) = ring.rotate(&db, &sealer, &entropy, longest).await?;
        writeln!(out, "{}", heading(role))?;
        writeln!(out, "  {kid} is published and signs from {at} on")?;
    }
    writeln!(out, "running servers take them up within a minute")?;
    db.close().await;
    Ok(())
}
