//! `chancery admin`: what an operator may do to people, clients, providers and connected accounts, on the database of a
//! configuration.

mod connection;
mod text;

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, anyhow};
use clap::Subcommand;
use serde::Serialize;

use self::connection::OfConnection;
use crate::{
    admin::{Act, Operator},
    clock::Clock,
    config::{Config, environment::Environment},
    entropy::Entropy,
    ids::{ClientId, ProviderId},
    store::{Db, switched_off::Switch},
};

/// Arguments of `chancery admin`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// People: shut them out, let them in, see what they have
    #[command(subcommand)]
    User(OfUser),
    /// Clients: switch them off and on
    #[command(subcommand)]
    Client(OfSwitch),
    /// Providers: switch them off and on
    #[command(subcommand)]
    Provider(OfSwitch),
    /// Accounts that people have connected: count them, switch them off and on, end them
    #[command(subcommand)]
    Connection(OfConnection),
}

#[derive(Debug, Subcommand)]
enum OfUser {
    /// Shut a person out until she is let in again: all of her access ends, what she allowed stays remembered
    Disable(Person),
    /// Let a person in again; what had ended does not come back
    Enable(Person),
    /// Shut a person out who leaves, withdraw what she allowed, and print a receipt of what ended
    Offboard(Person),
    /// Show a person's accounts, sessions and grants
    Show(Person),
}

#[derive(Debug, Subcommand)]
enum OfSwitch {
    /// Switch it off; every instance refuses it at once
    Disable(Named),
    /// Switch it on again
    Enable(Named),
}

#[derive(Debug, clap::Args)]
struct Person {
    /// Her id, or the e-mail address for which a provider vouches; with --provider, her subject there
    user: String,
    /// The provider whose subject is meant
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Named {
    /// The provider's name in the configuration, or the `client_id`
    name: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CHANCERY_CONFIG")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A person let in again.
#[derive(Debug, Serialize)]
struct LetIn {
    user: String,
    enabled: bool,
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

/// Does what is asked and prints what became of it.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    tokio::runtime::Runtime::new()?.block_on(act(args, out))?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    const fn common(&self) -> &Common {
        match &self.subject {
            Subject::User(
                OfUser::Disable(person)
                | OfUser::Enable(person)
                | OfUser::Offboard(person)
                | OfUser::Show(person),
            ) => &person.common,
            Subject::Client(OfSwitch::Disable(named) | OfSwitch::Enable(named))
            | Subject::Provider(OfSwitch::Disable(named) | OfSwitch::Enable(named)) => &named.common,
            Subject::Connection(of_connection) => of_connection.common(),
        }
    }
}

async fn act(args: &Args, out: &mut impl Write) -> anyhow::Result<()> {
    let config = Config::load(&args.common().config, &Environment::capture())?;
    let db = Db::open(&config.database.url).await.context("the database cannot be opened")?;
    // A server that runs may be older or newer: its tables are its own to change.
    db.expect_current().await?;
    let (clock, entropy) = (Clock::System, Entropy::System);
    let operator = Operator::new(&config, &db, (&clock, &entropy));
    match &args.subject {
        Subject::User(of_user) => user(&operator, of_user, out).await?,
        Subject::Client(of_switch) => {
            let id = ClientId::try_from(of_switch.named().name.clone()).map_err(|text| anyhow!(text))?;
            switch(&operator, of_switch, Switch::Client(&id), out).await?;
        }
        Subject::Provider(of_switch) => {
            let id = ProviderId::try_from(of_switch.named().name.clone()).map_err(|text| anyhow!(text))?;
            switch(&operator, of_switch, Switch::Provider(&id), out).await?;
        }
        Subject::Connection(of_connection) => connection::run(&operator, of_connection, out).await?,
    }
    db.close().await;
    Ok(())
}

impl OfSwitch {
    const fn named(&self) -> &Named {
        match self {
            Self::Disable(named) | Self::Enable(named) => named,
        }
    }
}

async fn switch(
    operator: &Operator<'_>,
    asked: &OfSwitch,
    switch: Switch<'_>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let switched = match asked {
        OfSwitch::Disable(_) => operator.disable(switch).await?,
        OfSwitch::Enable(_) => operator.enable(switch).await?,
    };
    if asked.named().common.json { json(&switched, out) } else { Ok(text::switched(&switched, out)?) }
}

async fn user(operator: &Operator<'_>, asked: &OfUser, out: &mut impl Write) -> anyhow::Result<()> {
    let (OfUser::Disable(person) | OfUser::Enable(person) | OfUser::Offboard(person) | OfUser::Show(person)) =
        asked;
    let provider = person.provider.clone().map(ProviderId::try_from).transpose();
    let provider = provider.map_err(|text| anyhow!("--provider: {text}"))?;
    let user = operator.find(provider.as_ref(), &person.user).await?;
    let act = match asked {
        OfUser::Disable(_) => Act::Disable,
        OfUser::Offboard(_) => Act::Offboard,
        OfUser::Enable(_) => {
            let changed = operator.let_in(&user).await?;
            let reference = changed.then(|| operator.reference().to_string());
            let let_in = LetIn { user: user.to_string(), enabled: true, changed, reference };
            return if person.common.json { json(&let_in, out) } else { Ok(text::let_in(&let_in, out)?) };
        }
        OfUser::Show(_) => {
            let profile = operator.show(&user).await?;
            return if person.common.json { json(&profile, out) } else { Ok(text::profile(&profile, out)?) };
        }
    };
    let receipt = operator.shut_out(&user, act).await?;
    if person.common.json { json(&receipt, out) } else { Ok(text::receipt(&receipt, out)?) }
}

fn json(value: &impl Serialize, out: &mut impl Write) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    Ok(writeln!(out)?)
}
