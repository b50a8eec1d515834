//! `encryption.keys[].transit:` a key in the Transit engine of an OpenBao or HashiCorp Vault.

use std::path::PathBuf;

use reqwest::Certificate;
use url::Url;

use crate::{
    config::{problem::Wrong, reader::Section},
    oauth::issuer::is_loopback,
    secret::Secret,
};

/// Where the key is, and how we prove there who we are.
#[derive(Debug, Clone)]
pub struct Transit {
    /// The server: `https`, or `http` to an agent on this machine.
    pub address: Url,
    /// Where the engine is mounted, without slashes around it.
    pub mount: String,
    /// The key's name there.
    pub key: String,
    /// The namespace, where the server has them.
    pub namespace: Option<String>,
    /// The authorities that its certificate may be of; empty: those of the machine.
    pub ca: Vec<Certificate>,
    /// How we prove who we are.
    pub auth: TransitAuth,
}

/// How we prove to the server who we are.
#[derive(Debug, Clone)]
pub enum TransitAuth {
    /// By a token that somebody else keeps alive.
    Token(Secret),
    /// By a token that an agent writes into a file, and renews there.
    TokenFile(PathBuf),
    /// By the `AppRole` method, from which we get tokens ourselves.
    AppRole {
        /// Where the method is mounted, without slashes around it.
        mount: String,
        /// Which role.
        role_id: Secret,
        /// Its secret.
        secret_id: Secret,
    },
}

/// The keys that say how we prove ourselves, of which one must be there.
const AUTH: [&str; 3] = ["token", "token_file", "approle"];

impl Transit {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let address = section.required(
            "address",
            "the URL of the OpenBao or Vault server, such as https://vault.acme.com:8200",
            address,
        );
        let mount = section.optional("mount", mount).unwrap_or_else(|| "transit".into());
        let key = section.required("key", "the name of the key in the Transit engine", segment);
        let namespace = section.optional("namespace", mount_or_root);
        let ca = section.optional("ca", authorities).unwrap_or_default();
        let auth = TransitAuth::read(section);
        Some(Self { address: address?, mount, key: key?, namespace, ca, auth: auth? })
    }
}

impl TransitAuth {
    fn read(section: &Section<'_>) -> Option<Self> {
        let token = section.optional("token", secret).map(Self::Token);
        let token_file =
            section.optional("token_file", |path| Ok::<_, Wrong>(Self::TokenFile(PathBuf::from(path))));
        let approle = section.section("approle", |approle| {
            if !section.has("approle") {
                return None;
            }
            let mount = approle.optional("mount", mount).unwrap_or_else(|| "approle".into());
            let role_id = approle.required("role_id", "the role's id", secret);
            let secret_id = approle.required("secret_id", "the role's secret id", secret);
            Some(Self::AppRole { mount, role_id: role_id?, secret_id: secret_id? })
        });
        let said: Vec<_> = AUTH.into_iter().filter(|key| section.has(key)).collect();
        match said.as_slice() {
            [] => section.problem_here("lacks a way to log in: token, token_file or approle"),
            [_] => {}
            [first, second, ..] => {
                section.problem(second, format!("there is one way to log in, and here is {first} too"));
            }
        }
        token.or(token_file).or(approle)
    }
}

/// The data keys go there unsealed, so whoever listens on the way would have them.
#[expect(clippy::needless_pass_by_value, reason = "it takes the text over, as TryFrom<String> does")]
fn address(written: String) -> Result<Url, Wrong> {
    let url = Url::parse(&written).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    let url = url.filter(Url::has_host).ok_or("must be a URL such as https://vault.acme.com:8200")?;
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err("must begin with https://; plain http is for an agent on this machine".into());
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().or(url.fragment()).is_some() {
        return Err("must have no user name, password, query or fragment".into());
    }
    Ok(url)
}

fn segment(written: String) -> Result<String, Wrong> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if written.chars().all(allowed) && written != "." && written != ".." {
        Ok(written)
    } else {
        Err("must be of a-z, A-Z, 0-9, -, _ and .".into())
    }
}

/// Segments with slashes between them; those around them are let go.
#[expect(clippy::needless_pass_by_value, reason = "it takes the text over, as TryFrom<String> does")]
fn mount(written: String) -> Result<String, Wrong> {
    let trimmed = written.trim_matches('/').to_owned();
    let proper = |part: &str| !part.is_empty() && segment(part.to_owned()).is_ok();
    if trimmed.split('/').all(proper) {
        Ok(trimmed)
    } else {
        Err("must be a path such as transit or teams/auth/transit".into())
    }
}

fn mount_or_root(written: String) -> Result<String, Wrong> {
    mount(written).map_err(|_| "must be a path such as acme or acme/auth".into())
}

/// A token that cannot stand in a header is none.
fn secret(written: String) -> Result<Secret, Wrong> {
    if written.chars().all(|c| c.is_ascii_graphic()) {
        Ok(Secret::new(written))
    } else {
        Err("must be in plain characters, without spaces".into())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it takes the text over, as TryFrom<String> does")]
fn authorities(written: String) -> Result<Vec<Certificate>, Wrong> {
    let found = Certificate::from_pem_bundle(written.as_bytes()).unwrap_or_default();
    if found.is_empty() {
        return Err("must be certificates in PEM, such as ${file:vault-ca.pem}".into());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://vault.acme.com:8200", true)]
    #[case("https://10.0.0.7/base", true)]
    #[case("http://127.0.0.1:8200", true)]
    #[case("http://localhost:8200", true)]
    #[case("http://vault.acme.com:8200", false)]
    #[case("http://10.0.0.7:8200", false)]
    #[case("unix:///run/vault", false)]
    #[case("https://u:p@vault.acme.com", false)]
    #[case("https://vault.acme.com?x", false)]
    fn where_data_keys_may_go(#[case] written: &str, #[case] accepted: bool) {
        assert_eq!(address(written.into()).is_ok(), accepted);
    }

    #[rstest]
    #[case("/transit/", Some("transit"))]
    #[case("teams/auth/transit", Some("teams/auth/transit"))]
    #[case("a//b", None)]
    #[case("../sys", None)]
    #[case("a?b", None)]
    fn mounts(#[case] written: &str, #[case] path: Option<&str>) {
        assert_eq!(mount(written.into()).ok().as_deref(), path);
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(authorities("vault.pem".into()).is_err());
    }
}
