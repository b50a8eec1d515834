//! Redirect URIs: which may be registered, and when the one in a request is the registered one
//! (OAuth 2.1 §2.3.1, §8.4; RFC 8252 §7).

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Where the browser is sent back to: `https`, a loopback address (`http` on `127.0.0.1`, `[::1]`, `localhost`) or a
/// private-use scheme of a native application. Kept and compared as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri {
    written: String,
    url: Url,
    reach: Reach,
}

/// Who can be at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A web server of a known host.
    Web,
    /// Any program on the user's machine.
    Loopback,
    /// Any program on the user's machine that claimed the scheme.
    PrivateScheme,
}

/// Schemes that a browser or the system gives a meaning of its own; a redirect there would run or leak something.
const DANGEROUS_SCHEMES: [&str; 22] = [
    "about",
    "blob",
    "chrome",
    "chrome-extension",
    "content",
    "data",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "jar",
    "javascript",
    "mailto",
    "moz-extension",
    "ms-settings",
    "resource",
    "sms",
    "tel",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

impl RedirectUri {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Who can be at the other end.
    pub const fn reach(&self) -> Reach {
        self.reach
    }

    /// What a person is shown: the host, or the scheme where there is none.
    pub fn host(&self) -> String {
        self.url
            .host_str()
            .filter(|host| !host.is_empty())
            .map_or_else(|| format!("{}:", self.url.scheme()), str::to_owned)
    }

    /// What the consent page's `form-action` must allow so that the browser follows the redirect.
    pub fn form_action_source(&self) -> String {
        match self.reach {
            Reach::PrivateScheme => format!("{}:", self.url.scheme()),
            Reach::Web | Reach::Loopback => self.url.origin().ascii_serialization(),
        }
    }

    /// Whether `requested` may be used where this one is registered: equal as written, or the same loopback URI on
    /// another port, since native applications cannot know theirs beforehand (RFC 8252 §7.3).
    pub fn admits(&self, requested: &Self) -> bool {
        self.written == requested.written
            || (self.reach == Reach::Loopback
                && requested.reach == Reach::Loopback
                && self.without_port() == requested.without_port())
    }

    fn without_port(&self) -> Option<(&str, &str)> {
        let after_scheme = self.written.strip_prefix("http://")?;
        let host_end = after_scheme.find(['/', '?']).unwrap_or(after_scheme.len());
        let (authority, rest) = after_scheme.split_at(host_end);
        let host = match authority.rfind(':') {
            Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
            _ => authority,
        };
        Some((host, rest))
    }

    /// The redirect with response parameters added to its query (RFC 6749 §4.1.2).
    pub fn with_parameters(&self, parameters: &[(&str, &str)]) -> String {
        let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let separator = match self.written.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        format!("{}{separator}{encoded}", self.written)
    }
}

impl TryFrom<String> for RedirectUri {
    type Error = &'static str;

    fn try_from(written: String) -> Result<Self, Self::Error> {
        const MAX_BYTES: usize = 2048;
        if written.len() > MAX_BYTES || !written.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
            return Err("a redirect_uri is at most 2048 printable ASCII characters");
        }
        if written.contains('#') || written.contains('\\') {
            return Err("a redirect_uri has no fragment and no backslash");
        }
        let url = Url::parse(&written).map_err(|_| "a redirect_uri is an absolute URI")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a redirect_uri has no user name or password");
        }
        let reach = reach_of(&url)?;
        // The parser forgives `http:host`, `http:/host` and `HTTP://host`; what compares the written text would not see
        // the host in them, and a browser takes the first two for paths of ours.
        if reach != Reach::PrivateScheme && !written.starts_with(&format!("{}://", url.scheme())) {
            return Err("a redirect_uri begins with https:// or http:// in lower case");
        }
        Ok(Self { written, url, reach })
    }
}

fn reach_of(url: &Url) -> Result<Reach, &'static str> {
    match url.scheme() {
        "https" => Ok(Reach::Web),
        "http" => match url.host() {
            Some(Host::Domain("localhost")) => Ok(Reach::Loopback),
            Some(Host::Ipv4(address)) if address.octets() == [127, 0, 0, 1] => Ok(Reach::Loopback),
            Some(Host::Ipv6(address)) if address.is_loopback() => Ok(Reach::Loopback),
            _ => Err("an http:// redirect_uri is only for 127.0.0.1, [::1] and localhost"),
        },
        scheme if DANGEROUS_SCHEMES.contains(&scheme) => {
            Err("a redirect_uri of this scheme is never allowed")
        }
        scheme if scheme.len() < 3 => Err("a private-use scheme has at least three characters"),
        _ => Ok(Reach::PrivateScheme),
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.written
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn uri(text: &str) -> RedirectUri {
        RedirectUri::try_from(text.to_owned()).unwrap()
    }

    #[rstest]
    #[case("https://app.example/cb", "https://app.example/cb")]
    #[case("http://localhost/callback", "http://localhost:49152/callback")]
    #[case("http://127.0.0.1:3000/cb", "http://127.0.0.1:8/cb")]
    #[case("http://[::1]/cb", "http://[::1]:4000/cb")]
    #[case("cursor://anysphere.cursor-mcp/oauth/callback", "cursor://anysphere.cursor-mcp/oauth/callback")]
    fn admitted(#[case] registered: &str, #[case] requested: &str) {
        assert!(uri(registered).admits(&uri(requested)));
    }

    #[rstest]
    #[case("https://app.example/cb", "https://app.example/cb/")]
    #[case("https://app.example/cb", "https://app.example/cb?x=1")]
    #[case("https://app.example/cb", "https://app.example/CB")]
    #[case("https://app.example/cb", "https://app.example:443/cb")]
    #[case("https://app.example/cb", "https://app.example/x/../cb")]
    #[case("https://app.example/cb", "https://app.example.evil.com/cb")]
    #[case("https://app.example:1/cb", "https://app.example:2/cb")]
    #[case("http://localhost/cb", "http://127.0.0.1/cb")]
    #[case("http://localhost/cb", "http://localhost:1/cb/..")]
    #[case("http://localhost/cb", "http://localhost:1/cb?next=1")]
    #[case("http://127.0.0.1/cb", "https://127.0.0.1/cb")]
    #[case("cursor://a/cb", "cursor://a:1/cb")]
    fn not_admitted(#[case] registered: &str, #[case] requested: &str) {
        assert!(!uri(registered).admits(&uri(requested)));
    }

    #[rstest]
    #[case("javascript:alert(1)")]
    #[case("JavaScript:alert(1)")]
    #[case("data:text/html,x")]
    #[case("vbscript:x")]
    #[case("file:///etc/passwd")]
    #[case("http://app.example/cb")]
    #[case("http://127.0.0.2/cb")]
    #[case("http://localhost.evil.com/cb")]
    #[case("http://2130706433.evil.com/cb")]
    #[case("https://u@h/cb")]
    #[case("https://h/cb#x")]
    #[case("https://h\\@evil/cb")]
    #[case("https://h/c b")]
    #[case("//h/cb")]
    #[case("x:y")]
    #[case("http:localhost/cb")]
    #[case("http:/127.0.0.1/cb")]
    #[case("HTTP://127.0.0.1/cb")]
    #[case("https:evil.example/cb")]
    fn refused(#[case] text: &str) {
        assert!(RedirectUri::try_from(text.to_owned()).is_err(), "{text}");
    }

    #[test]
    fn parameters_join_an_existing_query() {
        let pairs = [("code", "a b"), ("state", "x&y")];
        assert_eq!(uri("https://h/cb").with_parameters(&pairs), "https://h/cb?code=a+b&state=x%26y");
        assert_eq!(uri("https://h/cb?k=1").with_parameters(&pairs), "https://h/cb?k=1&code=a+b&state=x%26y");
        assert_eq!(uri("https://h/cb?").with_parameters(&pairs), "https://h/cb?code=a+b&state=x%26y");
    }

    proptest! {
        #[test]
        fn only_loopback_differs_in_anything(a in "https://[a-z]{1,5}(:[0-9]{1,4})?/[a-z/?.]{0,6}", b in "https://[a-z]{1,5}(:[0-9]{1,4})?/[a-z/?.]{0,6}") {
            if let (Ok(a), Ok(b)) = (RedirectUri::try_from(a), RedirectUri::try_from(b)) {
                prop_assert_eq!(a.admits(&b), a.as_str() == b.as_str());
            }
        }
    }
}
