//! `chancery admin connection`: accounts that people have connected.

use std::io::Write;

use anyhow::anyhow;
use clap::Subcommand;

use super::{Common, json, text};
use crate::{
    admin::Operator,
    ids::{ConnectionName, ProviderId, UserId},
    store::switched_off::Switch,
};

#[derive(Debug, Subcommand)]
pub(super) enum OfConnection {
    /// Count what people have connected, and what is owed to vendors; with --user, show what she has
    List(Chosen),
    /// Switch it off: no token of it is handed out, by any instance; with --user, hers alone
    Disable(Switched),
    /// Switch it on again
    Enable(Switched),
    /// End accounts here and at the vendor: hers, everybody's of one name, or hers of one name
    Disconnect(Chosen),
    /// Forget what the authorization server of a remote MCP server calls us: it registers us anew when the next person
    /// connects
    Unregister(Named),
}

#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// The connection's name in the configuration
    name: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct Chosen {
    /// The connection's name in the configuration
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct Switched {
    /// The connection's name in the configuration
    name: String,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Whose {
    /// Her id, or the e-mail address for which a provider vouches; with --provider, her subject there
    #[arg(long)]
    user: Option<String>,
    /// The provider whose subject is meant
    #[arg(long, value_name = "NAME", requires = "user")]
    provider: Option<String>,
}

impl OfConnection {
    pub(super) const fn common(&self) -> &Common {
        match self {
            Self::List(chosen) | Self::Disconnect(chosen) => &chosen.common,
            Self::Disable(switched) | Self::Enable(switched) => &switched.common,
            Self::Unregister(named) => &named.common,
        }
    }
}

impl Whose {
    async fn find(&self, operator: &Operator<'_>) -> anyhow::Result<Option<UserId>> {
        let Some(user) = &self.user else { return Ok(None) };
        let provider = self.provider.clone().map(ProviderId::try_from).transpose();
        let provider = provider.map_err(|text| anyhow!("--provider: {text}"))?;
        Ok(Some(operator.find(provider.as_ref(), user).await?))
    }
}

fn named(name: &str) -> anyhow::Result<ConnectionName> {
    ConnectionName::try_from(name.to_owned()).map_err(|text| anyhow!(text))
}

pub(super) async fn run(
    operator: &Operator<'_>,
    asked: &OfConnection,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    match asked {
        OfConnection::List(chosen) => list(operator, chosen, out).await,
        OfConnection::Disconnect(chosen) => disconnect(operator, chosen, out).await,
        OfConnection::Disable(switched) => switch(operator, switched, false, out).await,
        OfConnection::Enable(switched) => switch(operator, switched, true, out).await,
        OfConnection::Unregister(asked) => {
            let done = operator.unregister(&named(&asked.name)?).await?;
            if asked.common.json { json(&done, out) } else { Ok(text::unregistered(&done, out)?) }
        }
    }
}

async fn list(operator: &Operator<'_>, chosen: &Chosen, out: &mut impl Write) -> anyhow::Result<()> {
    let name = chosen.name.as_deref().map(named).transpose()?;
    if let Some(user) = chosen.whose.find(operator).await? {
        let hers = operator.connected(&user, name.as_ref()).await?;
        return if chosen.common.json { json(&hers, out) } else { Ok(text::connected(&hers, out)?) };
    }
    let all = operator.overview(name.as_ref()).await?;
    if chosen.common.json { json(&all, out) } else { Ok(text::overview(&all, out)?) }
}

async fn disconnect(operator: &Operator<'_>, chosen: &Chosen, out: &mut impl Write) -> anyhow::Result<()> {
    let name = chosen.name.as_deref().map(named).transpose()?;
    let user = chosen.whose.find(operator).await?;
    let done = match (&user, &name) {
        (Some(user), name) => operator.disconnect_of(user, name.as_ref()).await?,
        (None, Some(name)) => operator.disconnect_all(name).await?,
        (None, None) => {
            return Err(anyhow!("say whose accounts end with --user, or of which connection with --name"));
        }
    };
    if chosen.common.json { json(&done, out) } else { Ok(text::disconnected(&done, out)?) }
}

async fn switch(
    operator: &Operator<'_>,
    switched: &Switched,
    enabled: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let name = named(&switched.name)?;
    if let Some(user) = switched.whose.find(operator).await? {
        let done = operator.switch_of(&user, &name, enabled).await?;
        return if switched.common.json {
            json(&done, out)
        } else {
            Ok(text::switched_accounts(&done, out)?)
        };
    }
    let switch = Switch::Connection(&name);
    let done = if enabled { operator.enable(switch).await? } else { operator.disable(switch).await? };
    if switched.common.json { json(&done, out) } else { Ok(text::switched(&done, out)?) }
}
