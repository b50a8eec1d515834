//! Our issuer identifier (RFC 8414 §2): one exact string from which every endpoint's URL is built.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// An issuer: `https` (or `http` on loopback), no query, no fragment, no trailing slash, compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Issuer {
    text: String,
    loopback: bool,
}

impl Issuer {
    /// The identifier's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether we are a development instance on this machine alone: only then may upstreams, metadata documents
    /// and resources be loopback or plain http.
    pub const fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The URL of one of our own paths; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }

    /// The issuer's path, empty for an issuer at the root: what well-known URLs carry behind their suffix
    /// (RFC 8414 §3.1) and what every route of ours begins with.
    pub fn path(&self) -> &str {
        self.text.splitn(4, '/').nth(3).map_or("", |rest| &self.text[self.text.len() - rest.len() - 1..])
    }

    /// The issuer at a path below this one's; `path` begins with a slash and is plain.
    #[must_use]
    pub fn below(&self, path: &'static str) -> Self {
        Self { text: self.url(path), loopback: self.loopback }
    }

    /// Scheme, host and port: the `Origin` of our own pages.
    pub fn origin(&self) -> &str {
        &self.text[..self.text.len() - self.path().len()]
    }
}

impl TryFrom<String> for Issuer {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let url = Url::parse(&text).map_err(|_| "an issuer is a URL such as https://auth.example.com")?;
        let loopback = is_loopback(&url);
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return Err("an issuer must begin with https:// (http:// only on 127.0.0.1, [::1] or localhost)");
        }
        if url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err("an issuer has no query, fragment or user name");
        }
        if text.ends_with('/') {
            return Err("an issuer is written without a trailing slash");
        }
        let canonical = url.as_str();
        if canonical.strip_suffix('/').unwrap_or(canonical) != text {
            return Err(
                "an issuer is written in its canonical form: lower-case host, no default port, no dot segments",
            );
        }
        Ok(Self { text, loopback })
    }
}

impl From<Issuer> for String {
    fn from(issuer: Issuer) -> Self {
        issuer.text
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a URL's host is this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn issuer(text: &str) -> Result<Issuer, &'static str> {
        Issuer::try_from(text.to_owned())
    }

    #[rstest]
    #[case("https://auth.acme.com", "", "https://auth.acme.com")]
    #[case("https://acme.com:8443/t1", "/t1", "https://acme.com:8443")]
    #[case("https://acme.com/a/b", "/a/b", "https://acme.com")]
    #[case("http://127.0.0.1:9000", "", "http://127.0.0.1:9000")]
    fn splits_into_origin_and_path(#[case] text: &str, #[case] path: &str, #[case] origin: &str) {
        let issuer = issuer(text).unwrap();
        assert_eq!((issuer.path(), issuer.origin(), issuer.as_str()), (path, origin, text));
    }

    #[rstest]
    #[case("https://acme.com/")]
    #[case("http://acme.com")]
    #[case("https://ACME.com")]
    #[case("https://acme.com:443")]
    #[case("https://acme.com/a/../b")]
    #[case("https://acme.com?x")]
    #[case("https://acme.com#x")]
    #[case("https://u@acme.com")]
    #[case("ftp://acme.com")]
    #[case("acme.com")]
    fn refuses_what_a_client_could_not_compare(#[case] text: &str) {
        assert!(issuer(text).is_err());
    }
}
