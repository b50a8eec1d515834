//! `chancery providers`: the presets, and what each needs at the vendor's and in the configuration.

mod connection;

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::bail;

use crate::{
    config::{
        environment::Environment,
        preset::{Parameter, Preset, Presets, SignInPart},
    },
    ids::Slug,
    oauth::issuer::Issuer,
};

/// Arguments of `chancery providers`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A folder of presets that are added to those built in, as `presets` in the configuration
    #[arg(long, value_name = "FOLDER", global = true)]
    presets: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Name the presets
    List,
    /// Show what a preset needs, with the redirect URI to register
    Show {
        /// The preset
        preset: String,
        /// The issuer of your Chancery
        #[arg(long, value_name = "URL", default_value = "https://auth.acme.com")]
        issuer: String,
        /// What the provider shall be called in the configuration and in its redirect URI; the preset's name if not
        /// given
        #[arg(long)]
        name: Option<String>,
    },
}

/// Prints the list or one preset.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let presets = Presets::load(args.presets.as_deref(), &Environment::capture())?;
    match &args.command {
        Command::List => list(&presets, out)?,
        Command::Show { preset, issuer, name } => {
            let Some(preset) = presets.get(preset) else {
                bail!("there is no preset {preset}; there is {}", presets.names().join(", "));
            };
            let issuer = Issuer::try_from(issuer.clone()).map_err(anyhow::Error::msg)?;
            let name = name.clone().unwrap_or_else(|| preset.name.clone());
            let name = Slug::try_from(name).map_err(anyhow::Error::msg)?;
            show(preset, &name, &issuer, out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(presets: &Presets, out: &mut impl Write) -> std::io::Result<()> {
    let width = presets.names().iter().map(|name| name.len()).max().unwrap_or_default();
    for preset in presets.iter() {
        let uses = match (&preset.sign_in, &preset.connection) {
            (Some(_), Some(_)) => "sign-in, connections",
            (Some(_), None) => "sign-in",
            (None, _) => "connections",
        };
        writeln!(out, "{:width$}  {uses:20}  {}", preset.name, preset.summary)?;
    }
    Ok(())
}

fn show(preset: &Preset, name: &Slug, issuer: &Issuer, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "{} ({})\n{}", preset.title, preset.name, preset.summary)?;
    if let Some(part) = &preset.sign_in {
        show_sign_in(preset, part, name, issuer, out)?;
    }
    match &preset.connection {
        Some(part) => connection::show(preset, part, name, issuer, out),
        None => Ok(()),
    }
}

fn show_sign_in(
    preset: &Preset,
    part: &SignInPart,
    name: &Slug,
    issuer: &Issuer,
    out: &mut impl Write,
) -> std::io::Result<()> {
    writeln!(out, "\nTO SIGN PEOPLE IN\n")?;
    steps(&part.register, &issuer.url(&format!("/login/{name}/callback")), out)?;
    let logout = issuer.url(&format!("/login/{name}/backchannel-logout"));
    let back = issuer.url(&format!("/login/{name}/signed-out"));
    writeln!(out, "\nWhere the vendor has a place for it:\n  back-channel logout URL: {logout}")?;
    writeln!(out, "  post-logout redirect URI, for sign_in.logout: provider: {back}")?;
    writeln!(out, "\nIn the configuration:\n\n{}", snippet(preset, part, name))?;
    for note in &part.notes {
        writeln!(out, "- {note}")?;
    }
    let verified = preset.verified.as_deref().map_or("not yet", |day| day);
    writeln!(out, "\nVendor's documentation: {}\nRun against a real account: {verified}", preset.docs)
}

/// What the operator does at the vendor's.
fn steps(steps: &[String], redirect_uri: &str, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "At the vendor's:")?;
    for (number, step) in (1..).zip(steps) {
        writeln!(out, "  {number}. {}", step.replace("{redirect_uri}", redirect_uri))?;
    }
    Ok(())
}

/// The lines for one parameter of a preset.
fn parameter_lines(key: &str, parameter: &Parameter) -> Vec<String> {
    let example = if parameter.list { format!("[{}]", parameter.example) } else { parameter.example.clone() };
    let (optional, sign) = if parameter.required { ("", "") } else { ("optional: ", "# ") };
    let mut lines = vec![format!("    # {optional}{}", parameter.description)];
    lines.extend(parameter.place.iter().map(|place| format!("    # found at {place}")));
    lines.push(format!("    {sign}{key}: {example}"));
    lines
}

/// `${STAFF_LOGIN_CLIENT_SECRET}`
fn secret_variable(name: &Slug) -> String {
    format!("${{{}_CLIENT_SECRET}}", name.as_str().to_ascii_uppercase().replace('-', "_"))
}

/// An entry for `providers:` that only lacks the values from the vendor's.
fn snippet(preset: &Preset, part: &SignInPart, name: &Slug) -> String {
    let mut lines =
        vec!["providers:".to_owned(), format!("  {name}:"), format!("    preset: {}", preset.name)];
    lines.extend(preset.parameters.iter().flat_map(|(key, parameter)| parameter_lines(key, parameter)));
    lines.push("    client_id: the-client-id".to_owned());
    lines.push(format!("    client_secret: {}", secret_variable(name)));
    lines.push("    # who may come in; the reference names all rules".to_owned());
    lines.push(format!("    sign_in: {}", part.example));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn printed(command: Command) -> String {
        let mut out = Vec::new();
        run(&Args { presets: None, command }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn shown(preset: &str) -> String {
        let (issuer, name) = ("https://auth.example.com".into(), Some("staff-login".into()));
        printed(Command::Show { preset: preset.into(), issuer, name })
    }

    #[test]
    fn the_list_names_every_preset() {
        let list = printed(Command::List);
        let names: Vec<_> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(
            names,
            [
                "airtable",
                "api-key",
                "asana",
                "atlassian",
                "auth0",
                "basic",
                "box",
                "client-credentials",
                "discord",
                "dropbox",
                "entra",
                "figma",
                "github",
                "github-app",
                "gitlab",
                "google",
                "hubspot",
                "keycloak",
                "linear",
                "mcp",
                "notion",
                "oauth2",
                "oidc",
                "okta",
                "salesforce",
                "slack",
                "zendesk",
                "zoom",
            ]
        );
    }

    /// The entries that are shown for `section`.
    fn entries(shown: &str, section: &str) -> String {
        let lines = shown.lines().skip_while(|line| *line != section).take_while(|line| !line.is_empty());
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    #[test]
    fn what_is_shown_is_a_configuration_with_the_redirect_uri_beside_it() {
        const ELSEWHERE: &str = "providers: { corp: { preset: oidc, issuer: https://i.acme.com, client_id: c, \
                                 client_secret: s, sign_in: { anyone: true } } }\n";
        for name in printed(Command::List).lines().filter_map(|line| line.split_whitespace().next()) {
            let shown = shown(name);
            assert!(!shown.contains("{redirect_uri}"), "{shown}");
            let (sign_in, connection) = (entries(&shown, "providers:"), entries(&shown, "connections:"));
            assert!(!sign_in.is_empty() || !connection.is_empty(), "{shown}");
            let leads_away = !["api-key", "basic", "client-credentials"].contains(&name);
            for (yaml, path) in [(&sign_in, "login"), (&connection, "connect")] {
                let redirect_uri = format!("https://auth.example.com/{path}/staff-login/callback");
                assert_eq!(shown.contains(&redirect_uri), !yaml.is_empty() && leads_away, "{shown}");
            }
            let logout = "https://auth.example.com/login/staff-login/backchannel-logout";
            let back = "https://auth.example.com/login/staff-login/signed-out";
            assert_eq!(shown.contains(logout), !sign_in.is_empty(), "{shown}");
            assert_eq!(shown.contains(back), !sign_in.is_empty(), "{shown}");
            let text = format!(
                "server: {{ issuer: https://auth.example.com }}\ndatabase: {{ url: sqlite://c.db }}\nencryption: {{ \
                 keys: [{{ id: a, key: ODCrv1JxhHPlV+XOM9QZT2VyFdYnTpcMs5iSfKZ0L7c= }}] }}\n{}{connection}",
                if sign_in.is_empty() { ELSEWHERE } else { &sign_in }
            );
            let environment = Environment::of([("STAFF_LOGIN_CLIENT_SECRET", "s")]);
            let config = Config::parse(&text, name, &environment);
            let config = config.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
            assert_eq!(config.providers.len(), 1);
            assert_eq!(config.connections.is_empty(), connection.is_empty());
        }
    }

    #[test]
    fn an_unknown_preset_is_told_with_those_there_are() {
        let command = Command::Show { preset: "octa".into(), issuer: "https://a.com".into(), name: None };
        let error = run(&Args { presets: None, command }, &mut Vec::new()).unwrap_err();
        let told = error.to_string();
        assert!(
            told.starts_with("there is no preset octa; there is airtable, api-key, asana, atlassian, "),
            "{told}"
        );
    }

    #[test]
    fn what_the_vendor_does_not_confirm_is_shown() {
        let presets = Presets::load(None, &Environment::of([])).unwrap();
        let parts = presets.iter().filter_map(|preset| Some((&preset.name, preset.connection.as_ref()?)));
        let mut marked = Vec::new();
        for (name, part) in parts {
            let shown = shown(name);
            let (_, told) =
                shown.split_once("CONNECT ACCOUNTS").or_else(|| shown.split_once("OF YOUR OWN")).unwrap();
            let marks = told
                .lines()
                .find_map(|line| line.strip_prefix("Not confirmed by the vendor's documentation: "));
            let expected = (!part.unverified.is_empty()).then(|| part.unverified.join(", "));
            assert_eq!(marks, expected.as_deref(), "{name}");
            let run = part.verified.as_deref().unwrap_or("not yet");
            assert!(told.contains(&format!("\nRun against a real account: {run}\n")), "{told}");
            marked.extend(marks.map(|_| name.as_str()));
        }
        assert!(
            marked.contains(&"slack") && marked.contains(&"figma") && !marked.contains(&"github"),
            "{marked:?}"
        );
    }

    #[test]
    fn a_mark_is_on_something_that_the_preset_says() {
        let preset = |unverified: &str| {
            format!(
                "title: A\nsummary: s\ndocs: https://a.com/\nconnection:\n  docs: https://a.com/\n  unverified: [{unverified}]\n  \
                 authorize_url: https://a.com/a\n  token_url: https://a.com/t\n  client_auth: [none]\n  revoke: {{ auth: none }}\n  \
                 identity: {{ source: answer }}\n"
            )
        };
        let load = |unverified: &str| {
            let environment = Environment::of([]).with_file("p/a.yaml", preset(unverified));
            Presets::load(Some(std::path::Path::new("p")), &environment)
        };
        let presets = load("token_url, revoke.auth").unwrap();
        let part = presets.get("a").unwrap().connection.as_ref().unwrap();
        assert_eq!(part.unverified, ["token_url", "revoke.auth"]);
        for unknown in ["rotation", "revoke.method", "revoke_url"] {
            let problems = load(unknown).unwrap_err().to_string();
            assert!(problems.contains("is no key that this preset has"), "{unknown}: {problems}");
        }
    }
}
