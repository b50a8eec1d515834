//! `chancery providers`: the presets, and what each needs at the vendor's and in the configuration.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::bail;

use crate::{
    config::{
        environment::Environment,
        preset::{Preset, Presets},
    },
    ids::ProviderId,
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
        /// What the provider shall be called in the configuration and in its redirect URI; the preset's name if not given
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
            let name = ProviderId::try_from(name).map_err(anyhow::Error::msg)?;
            show(preset, &name, &issuer, out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(presets: &Presets, out: &mut impl Write) -> std::io::Result<()> {
    let width = presets.names().iter().map(|name| name.len()).max().unwrap_or_default();
    for preset in presets.iter() {
        writeln!(out, "{:width$}  {}", preset.name, preset.summary)?;
    }
    Ok(())
}

fn show(preset: &Preset, name: &ProviderId, issuer: &Issuer, out: &mut impl Write) -> std::io::Result<()> {
    let redirect_uri = issuer.url(&format!("/login/{name}/callback"));
    writeln!(out, "{} ({})\n{}\n", preset.title, preset.name, preset.summary)?;
    writeln!(out, "At the vendor's:")?;
    for (number, step) in (1..).zip(&preset.register) {
        writeln!(out, "  {number}. {}", step.replace("{redirect_uri}", &redirect_uri))?;
    }
    let logout = issuer.url(&format!("/login/{name}/backchannel-logout"));
    writeln!(out, "\nWhere the vendor has a place for it:\n  back-channel logout URL: {logout}")?;
    writeln!(out, "\nIn the configuration:\n\n{}", snippet(preset, name))?;
    for note in &preset.notes {
        writeln!(out, "- {note}")?;
    }
    let verified = preset.verified.as_deref().map_or("not yet", |day| day);
    writeln!(out, "\nVendor's documentation: {}\nRun against a real account: {verified}", preset.docs)
}

/// An entry for `providers:` that only lacks the values from the vendor's.
fn snippet(preset: &Preset, name: &ProviderId) -> String {
    let variable = name.as_str().to_ascii_uppercase().replace('-', "_");
    let mut lines =
        vec!["providers:".to_owned(), format!("  {name}:"), format!("    preset: {}", preset.name)];
    for (key, parameter) in &preset.parameters {
        let example =
            if parameter.list { format!("[{}]", parameter.example) } else { parameter.example.clone() };
        let (optional, sign) = if parameter.required { ("", "") } else { ("optional: ", "# ") };
        lines.push(format!("    # {optional}{}", parameter.description));
        lines.extend(parameter.place.iter().map(|place| format!("    # found at {place}")));
        lines.push(format!("    {sign}{key}: {example}"));
    }
    lines.push("    client_id: the-client-id".to_owned());
    lines.push(format!("    client_secret: ${{{variable}_CLIENT_SECRET}}"));
    lines.push("    # who may come in; the reference names all rules".to_owned());
    lines.push(format!("    sign_in: {}", preset.sign_in));
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
        assert_eq!(names, ["auth0", "entra", "google", "keycloak", "oidc", "okta"]);
    }

    #[test]
    fn what_is_shown_is_a_configuration_with_the_redirect_uri_beside_it() {
        for name in printed(Command::List).lines().filter_map(|line| line.split_whitespace().next()) {
            let shown = shown(name);
            assert!(shown.contains("https://auth.example.com/login/staff-login/callback"), "{shown}");
            assert!(!shown.contains("{redirect_uri}"), "{shown}");
            let logout = "https://auth.example.com/login/staff-login/backchannel-logout";
            assert!(shown.contains(logout), "{shown}");
            let yaml: String = shown
                .lines()
                .skip_while(|line| *line != "providers:")
                .take_while(|line| !line.is_empty())
                .flat_map(|line| [line, "\n"])
                .collect();
            let text = format!(
                "server: {{ issuer: https://auth.example.com }}\ndatabase: {{ url: sqlite://c.db }}\nencryption: {{ \
                 keys: [{{ id: a, key: ODCrv1JxhHPlV+XOM9QZT2VyFdYnTpcMs5iSfKZ0L7c= }}] }}\n{yaml}"
            );
            let environment = Environment::of([("STAFF_LOGIN_CLIENT_SECRET", "s")]);
            let config = Config::parse(&text, name, &environment);
            let config = config.unwrap_or_else(|problems| panic!("{problems}\n{yaml}"));
            assert_eq!(config.providers.len(), 1);
        }
    }

    #[test]
    fn an_unknown_preset_is_told_with_those_there_are() {
        let command = Command::Show { preset: "octa".into(), issuer: "https://a.com".into(), name: None };
        let error = run(&Args { presets: None, command }, &mut Vec::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no preset octa; there is auth0, entra, google, keycloak, oidc, okta"
        );
    }
}
