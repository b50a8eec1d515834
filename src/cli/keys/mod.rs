//! `chancery keys`: makes encryption keys, lists keys, and rotates what this server seals and signs with.

mod encryption;
mod list;

use std::{io::Write, num::NonZeroU32, path::PathBuf, process::ExitCode, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{
    clock::Clock,
    config::{Config, environment::Environment},
    entropy::Entropy,
    jose::keys::KeyRing,
    oauth::purpose::Role,
    seal::{self, Sealer},
    store::Db,
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
    /// List the encryption keys with what is sealed by each, and the signing keys that are published
    List(Database),
    /// Make the next signing key of each issuer, which is published at once and signs from a quarter of an hour on; or
    /// move what is sealed to the first encryption key
    Rotate(Rotate),
}

#[derive(Debug, clap::Args)]
struct Database {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CHANCERY_CONFIG")]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Rotate {
    #[command(flatten)]
    database: Database,
    /// Move every sealed value to the first of `encryption.keys`, so that the others can be left out. May be
    /// interrupted and run again
    #[arg(long)]
    encryption: bool,
    /// How many sealed values are moved in a second, at most
    #[arg(long, value_name = "VALUES", default_value = "2000", requires = "encryption")]
    rate: NonZeroU32,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Generate => {
            let key = Zeroizing::new(Entropy::System.bytes::<32>());
            writeln!(out, "{}", Zeroizing::new(STANDARD.encode(key.as_slice())).as_str())?;
        }
        Command::List(database) => tokio::runtime::Runtime::new()?.block_on(list::list(database, out))?,
        Command::Rotate(Rotate { database, encryption: true, rate }) => {
            return tokio::runtime::Runtime::new()?.block_on(encryption::rotate(database, *rate, out));
        }
        Command::Rotate(Rotate { database, .. }) => {
            tokio::runtime::Runtime::new()?.block_on(rotate(database, out))?;
        }
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
