//! `chancery explain`: who may have what, and every rule that has a say in it. Reads the database, writes nothing.

mod text;

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use serde::Serialize;
use url::form_urlencoded;

use crate::{
    clock::Clock,
    config::{Config, environment::Environment, places::Places, provider::Provider, resource::Resource},
    explain::{self, Again, Asker, By, Case, Explanation, Found, Pasted, Refused},
    ids::ClientId,
    jose::json::Object,
    net::Upstream,
    oauth::{params::Params, scope::ScopeSet},
    store::Db,
};

/// Arguments of `chancery explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It ends with 0 where something is allowed, 1 where all is refused, and 2 where there is no answer."
)]
pub(super) struct Args {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CHANCERY_CONFIG")]
    config: PathBuf,
    /// The provider through which the user comes
    #[arg(long, value_name = "NAME", requires = "user")]
    provider: Option<String>,
    /// The user: her id, her subject at the provider, ISSUER#SUBJECT, or her e-mail address; none asks what the client
    /// may have for itself
    #[arg(long, requires = "provider")]
    user: Option<String>,
    /// The client that asks: its `client_id`
    #[arg(long, value_name = "ID", required_unless_present_any = ["refusal", "assertion"])]
    client: Option<String>,
    /// The resource, by its name or its URI
    #[arg(long, value_name = "NAME", required_unless_present_any = ["refusal", "assertion"])]
    resource: Option<String>,
    /// The scopes asked for, separated by spaces or each by an option of its own. Default: none, so the resource's
    /// defaults
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A claim that an assertion of the provider would have; JSON, or else text. May be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", requires = "user")]
    claims: Vec<String>,
    /// Only this way to a token. Default: all
    #[arg(long, value_enum, requires = "user")]
    by: Vec<By>,
    /// A refusal by its reference number, as the log, the record and error pages have it
    #[arg(long, value_name = "REFERENCE", conflicts_with_all = ["client", "user", "resource", "scopes"])]
    refusal: Option<String>,
    /// An identity assertion (ID-JAG) in a file, or - for the standard input: what would become of it if the client, or
    /// else the one that it names, presented it with the resource and the scopes that are named here. Its issuer is
    /// asked for its keys; it is not used up
    #[arg(long, value_name = "FILE", conflicts_with_all = ["refusal", "user", "claims", "by"])]
    assertion: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// More than any assertion that is accepted, with room for the line breaks of whoever pasted it.
const LONGEST_FILE: u64 = 32 * 1024;

/// No answer could be given; neither yes nor no.
const NO_ANSWER: u8 = 2;

/// A refusal and what would become of it today.
#[derive(Debug, Serialize)]
struct Recalled {
    refused: Refused,
    #[serde(flatten)]
    again: Again,
}

/// Prints the answer.
pub(super) fn run(args: &Args, out: &mut impl Write) -> ExitCode {
    let answered = tokio::runtime::Runtime::new()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(answer(args, out)));
    match answered {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // The console may be gone; there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "chancery: {}", super::in_one_line(&error));
            ExitCode::from(NO_ANSWER)
        }
    }
}

/// Whether anything is allowed.
async fn answer(args: &Args, out: &mut impl Write) -> anyhow::Result<bool> {
    let environment = Environment::capture();
    let config = Config::load(&args.config, &environment)?;
    let places = Places::read(&args.config, &environment);
    let db = Db::open_read_only(&config.database.url).await.context("the database cannot be read")?;
    db.expect_current().await?;
    let allowed = if let Some(reference) = &args.refusal {
        recall(args, (&config, &places, &db), reference, out).await?
    } else {
        let mut explanation = match &args.assertion {
            Some(file) => judge(args, &config, &db, file).await?,
            None => decide(args, &config, &db).await?,
        };
        explanation.locate(&places);
        if args.json {
            json(&explanation, out)?;
        } else {
            text::explanation(&explanation, out)?;
        }
        explanation.is_allowed()
    };
    db.close().await;
    Ok(allowed)
}

/// What would become of an assertion that is at hand.
async fn judge(args: &Args, config: &Config, db: &Db, file: &Path) -> anyhow::Result<Explanation> {
    let mut read = String::new();
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).with_context(|| file.display().to_string())?)
    };
    source.take(LONGEST_FILE).read_to_string(&mut read).context("the assertion cannot be read")?;
    let mut request = form_urlencoded::Serializer::new(String::new());
    if let Some(name) = &args.resource {
        request.append_pair("resource", resource(config, name)?.uri.as_str());
    }
    if !args.scopes.is_empty() {
        request.append_pair("scope", &args.scopes.join(" "));
    }
    let params = Params::parse(request.finish().as_bytes());
    let pasted = Pasted {
        assertion: read.trim(),
        client: args.client.clone().map(client_of).transpose()?,
        params: params.map_err(|error| anyhow::anyhow!("--scope: {}", error.description))?,
    };
    let upstream = Upstream::new(&config.server.issuer)?;
    Ok(explain::of_assertion_at_hand((config, db), pasted, &upstream, &Clock::System).await?)
}

fn client_of(id: String) -> anyhow::Result<ClientId> {
    ClientId::try_from(id).map_err(|text| anyhow::anyhow!("--client: {text}"))
}

async fn decide(args: &Args, config: &Config, db: &Db) -> anyhow::Result<Explanation> {
    let client = args.client.clone().context("--client is missing")?;
    let client = Asker::find(config, db, &client_of(client)?).await?;
    let resource = resource(config, args.resource.as_deref().unwrap_or_default())?;
    let scope = ScopeSet::parse(&args.scopes.join(" ")).map_err(|text| anyhow::anyhow!("--scope: {text}"))?;
    let (Some(provider), Some(user)) = (&args.provider, &args.user) else {
        return Ok(explain::itself((config, db), &client, resource, &scope).await?);
    };
    let provider = provider_named(config, provider)?;
    let account = match explain::find(db, &provider.id, user).await? {
        Found::One(account) => account,
        Found::Nobody => bail!("nobody who is known as {user} has come through {} yet", provider.id),
        Found::Several(accounts) => {
            let keys = accounts.iter().map(|account| {
                let identity = &account.identity;
                format!("\n  --user '{}#{}'  (user {})", identity.issuer, identity.subject, identity.user_id)
            });
            bail!("several accounts are known as {user}; say which:{}", keys.collect::<String>())
        }
    };
    let claims = args.claims.iter().map(|claim| claim_of(claim)).collect::<anyhow::Result<Object>>()?;
    let case = Case {
        config,
        account: &account,
        provider: Some(provider),
        client: &client,
        resource,
        scope: &scope,
        claims: &claims,
    };
    Ok(case.explain(db, Clock::System.now(), &args.by).await?)
}

async fn recall(
    args: &Args,
    (config, places, db): (&Config, &Places, &Db),
    reference: &str,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let refusals = explain::of_reference(db, reference).await?;
    if refusals.is_empty() {
        bail!("no refusal with the number {reference} is in the record");
    }
    let mut recalled = Vec::new();
    for refused in refusals {
        let mut again = refused.again(config, db, Clock::System.now()).await?;
        if let Again::Today(explanation) = &mut again {
            explanation.locate(places);
        }
        recalled.push(Recalled { refused, again });
    }
    if args.json {
        json(&recalled, out)?;
    } else {
        for Recalled { refused, again } in &recalled {
            text::refused(refused, out)?;
            text::again(again, out)?;
        }
    }
    Ok(recalled.iter().all(|recalled| matches!(&recalled.again, Again::Today(today) if today.is_allowed())))
}

fn provider_named<'c>(config: &'c Config, name: &str) -> anyhow::Result<&'c Provider> {
    let found = config.providers.values().find(|provider| provider.id.as_str() == name);
    found.with_context(|| {
        let there: Vec<_> = config.providers.keys().map(ToString::to_string).collect();
        format!("--provider: {name} is not in the configuration; there are {}", there.join(", "))
    })
}

fn resource<'c>(config: &'c Config, name: &str) -> anyhow::Result<&'c Resource> {
    let named = |resource: &&Resource| resource.id.as_str() == name || resource.uri.as_str() == name;
    config.resources.values().find(named).with_context(|| {
        let there: Vec<_> = config.resources.keys().map(ToString::to_string).collect();
        format!("--resource: {name} is not in the configuration; there are {}", there.join(", "))
    })
}

fn claim_of(text: &str) -> anyhow::Result<(String, serde_json::Value)> {
    let (name, value) = text.split_once('=').context("--claim is written NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}

fn json(value: &impl Serialize, out: &mut impl Write) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    Ok(writeln!(out)?)
}
