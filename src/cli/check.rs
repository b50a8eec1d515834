//! `chancery check`: says what is wrong with a configuration file, or what it amounts to.

use std::{io::Write, path::PathBuf, process::ExitCode};

use crate::{
    clock::Clock,
    config::{
        Config,
        client::ClientProof,
        database::DatabaseUrl,
        environment::Environment,
        provider::{EntryRules, IssuerRule, Provider, Requirements},
        registration::DynamicRegistration,
    },
    entropy::Entropy,
    federation::{Finding, Verdict, inspect},
    ids::ClientId,
    net::Upstream,
    oauth::scope::Scope,
};

/// Arguments of `chancery check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "CHANCERY_CONFIG")]
    config: PathBuf,
    /// Ask every provider as well: issuer, endpoints, keys, and whether it accepts us
    #[arg(long)]
    online: bool,
}

/// Prints a summary, or every problem; problems are a failure.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let file = args.config.display();
    match Config::load(&args.config, &Environment::capture()) {
        Ok(config) => {
            writeln!(out, "{file} is valid.\n")?;
            summary(&config, out)?;
            if args.online { ask_providers(&config, out) } else { Ok(ExitCode::SUCCESS) }
        }
        Err(problems) => {
            let count = problems.iter().count();
            writeln!(out, "{problems}\n\n{count} problem{}.", if count == 1 { "" } else { "s" })?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Prints what each provider answers; one through which nobody could sign in is a failure.
fn ask_providers(config: &Config, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let upstream = Upstream::new(&config.server.issuer)?;
    let chance = (&Clock::System, &Entropy::System);
    let mut code = ExitCode::SUCCESS;
    writeln!(out, "\nonline")?;
    tokio::runtime::Runtime::new()?.block_on(async {
        for provider in config.providers.values() {
            writeln!(out, "  {}", provider.id)?;
            for Finding { verdict, text } in inspect(provider, &config.server.issuer, &upstream, chance).await
            {
                writeln!(out, "    {verdict:<6}{text}")?;
                if verdict == Verdict::Wrong {
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    })
}

fn summary(config: &Config, out: &mut impl Write) -> std::io::Result<()> {
    let server = &config.server;
    writeln!(out, "issuer        {}", server.issuer)?;
    writeln!(out, "listens       {} (public), {} (admin)", server.listen, server.admin_listen)?;
    match &config.database.url {
        DatabaseUrl::Sqlite(path) => writeln!(out, "database      SQLite, {}", path.display())?,
        DatabaseUrl::Postgres(_) => writeln!(out, "database      PostgreSQL")?,
    }
    let keys: Vec<_> = config.encryption.keys.iter().map(|key| key.id.as_str()).collect();
    writeln!(out, "encryption    {} seals, {} in all", keys.first().unwrap_or(&"nothing"), keys.len())?;

    writeln!(out, "\nproviders")?;
    for provider in config.providers.values() {
        let callback = server.issuer.url(&format!("/login/{}/callback", provider.id));
        writeln!(out, "  {} ({}, {})", provider.id, provider.name, provider.preset)?;
        writeln!(out, "    issuer        {}", issuer(provider))?;
        writeln!(out, "    redirect URI  {callback}")?;
        writeln!(out, "    lets in       {}", rules(&provider.sign_in))?;
    }
    if !config.resources.is_empty() {
        writeln!(out, "\nresources")?;
    }
    for resource in config.resources.values() {
        let scopes: Vec<_> = resource
            .scopes
            .iter()
            .map(|(scope, rule)| if rule.default { format!("{scope} (default)") } else { scope.to_string() })
            .collect();
        writeln!(out, "  {} ({})", resource.id, resource.name)?;
        writeln!(out, "    audience      {}", resource.uri)?;
        writeln!(out, "    scopes        {}", scopes.join(", "))?;
    }
    if !config.clients.is_empty() {
        writeln!(out, "\nclients")?;
    }
    for client in config.clients.values() {
        let kind = match &client.proof {
            ClientProof::None => "public",
            ClientProof::Secret(_) => "confidential, by secret",
            ClientProof::Keys(_) => "confidential, by key",
        };
        let serves =
            client.serves.as_ref().map(|resource| format!(", serves {resource}")).unwrap_or_default();
        writeln!(out, "  {} ({kind}{serves})", client.id)?;
        for (resource, scopes) in &client.resources {
            writeln!(out, "    for itself    {scopes} at {resource}")?;
        }
    }
    if let Some(idp) = &config.idp {
        writeln!(out, "\nidentity provider")?;
        writeln!(out, "    issuer        {}", server.idp_issuer)?;
        let clients: Vec<_> = idp.clients.keys().map(ClientId::as_str).collect();
        writeln!(out, "    clients       {}", clients.join(", "))?;
        for target in idp.targets.values() {
            writeln!(out, "  {} ({})", target.id, target.name)?;
            writeln!(out, "    audience      {}", target.audience)?;
            for (client, there) in &target.client_ids {
                writeln!(out, "    client        {client}, there {there}")?;
            }
            for resource in target.resources.values() {
                let scopes: Vec<_> = resource.scopes.keys().map(Scope::as_str).collect();
                writeln!(out, "    gives         {} at {}", scopes.join(" "), resource.uri)?;
            }
        }
    }
    let dynamic = match &config.registration.dynamic {
        DynamicRegistration::KnownClients => "known clients and programs on loopback",
        DynamicRegistration::Open => "everybody",
        DynamicRegistration::Token(_) => "holders of the token",
        DynamicRegistration::Closed => "nobody",
    };
    let hosts: Vec<_> = config.registration.documents.allow_hosts.iter().map(ToString::to_string).collect();
    let hosts = if hosts.is_empty() { "nowhere".to_owned() } else { hosts.join(", ") };
    writeln!(out, "\nregistration  {dynamic}; metadata documents from {hosts}")
}

fn issuer(provider: &Provider) -> String {
    match &provider.issuer {
        IssuerRule::Exact(issuer) => issuer.clone(),
        IssuerRule::Template { template, tenants } => {
            format!("{template} of {}", tenants.iter().collect::<Vec<_>>().join(", "))
        }
    }
}

fn rules(rules: &EntryRules) -> String {
    let EntryRules::Require(Requirements { email_domains, hosted_domains, tenants, groups, claims }) = rules
    else {
        return "whomever it lets in".to_owned();
    };
    let kinds = [
        ("verified address at", email_domains),
        ("hosted domain", hosted_domains),
        ("tenant", tenants),
        ("group", groups),
    ];
    let kinds = kinds.iter().filter(|(_, values)| !values.is_empty());
    let kinds = kinds.map(|(kind, values)| format!("{kind} {}", values.join(" or ")));
    let claims = claims.iter().map(|(path, values)| {
        let values: Vec<_> = values.iter().map(ToString::to_string).collect();
        format!("{path} {}", values.join(" or "))
    });
    kinds.chain(claims).collect::<Vec<_>>().join(", and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (ExitCode, String) {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("c.yaml");
        std::fs::write(&config, text).unwrap();
        let mut out = Vec::new();
        let code = run(&Args { config, online: false }, &mut out).unwrap();
        let folder = format!("{}/", folder.path().display());
        (code, String::from_utf8(out).unwrap().replace(&folder, ""))
    }

    #[test]
    fn a_valid_file_is_summed_up_without_its_secrets() {
        let (code, out) = checked(
            "server: { issuer: https://auth.acme.com }
database: { url: postgres://chancery:hunter2@db/chancery }
encryption: { keys: [{ id: '2026', key: ODCrv1JxhHPlV+XOM9QZT2VyFdYnTpcMs5iSfKZ0L7c= }] }
providers:
  staff:
    preset: oidc
    issuer: https://idp.acme.com
    client_id: chancery
    client_secret: hunter2
    claims: { groups: groups }
    sign_in: { email_domains: [acme.com, acme.de], require: { groups: [mcp], claims: { level: [2, gold] } } }
resources:
  tickets:
    uri: https://mcp.acme.com/tickets
    name: Ticket desk
    scopes: { read: { description: Read, default: true }, write: { description: Write } }
clients:
  server: { secret: hunter2-hunter2-hunter2, serves: tickets }
  nightly:
    jwks_uri: https://reports.acme.com/jwks.json
    grant_types: [client_credentials]
    resources: { tickets: [read, write] }
idp:
  clients: { desk: { secret: hunter2-hunter2-hunter2, redirect_uris: [https://desk.acme.com/cb] } }
  targets:
    wiki:
      audience: https://auth.wiki.example
      client_ids: { desk: acme-desk }
      resources: { pages: { uri: https://mcp.wiki.example, scopes: { read: {}, write: {} } } }
registration: { dynamic: token, token: hunter2-hunter2-hunter2, documents: { allow_hosts: [] } }
",
        );
        let expected = "c.yaml is valid.

issuer        https://auth.acme.com
listens       0.0.0.0:9000 (public), 127.0.0.1:9001 (admin)
database      PostgreSQL
encryption    2026 seals, 1 in all

providers
  staff (OpenID Connect, oidc)
    issuer        https://idp.acme.com
    redirect URI  https://auth.acme.com/login/staff/callback
    lets in       verified address at acme.com or acme.de, and group mcp, and level 2 or \"gold\"

resources
  tickets (Ticket desk)
    audience      https://mcp.acme.com/tickets
    scopes        read (default), write

clients
  server (confidential, by secret, serves tickets)
  nightly (confidential, by key)
    for itself    read write at tickets

identity provider
    issuer        https://auth.acme.com/idp
    clients       desk
  wiki (auth.wiki.example)
    audience      https://auth.wiki.example
    client        desk, there acme-desk
    gives         read write at https://mcp.wiki.example

registration  holders of the token; metadata documents from nowhere
";
        assert_eq!((format!("{code:?}"), out.as_str()), (format!("{:?}", ExitCode::SUCCESS), expected));
    }

    #[test]
    fn problems_are_all_told_and_a_failure() {
        let (code, out) = checked("server: { isuer: x }\ndatabase: { url: sqlite://c.db }\n");
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
        assert!(out.contains("c.yaml:1:11: server.isuer: unknown key; did you mean issuer?\n"), "{out}");
        assert!(out.ends_with("\n\n4 problems.\n"), "{out}");
    }
}
