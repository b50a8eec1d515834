//! `registration:` clients that the operator did not declare.

use std::fmt;

use super::{client::strong_secret, form::one_of, reader::Section};
use crate::secret::Secret;

/// The `registration:` section.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Who may register by RFC 7591.
    pub dynamic: DynamicRegistration,
    /// Whose metadata documents are believed.
    pub documents: Documents,
}

/// Who may register dynamically.
#[derive(Debug, Clone)]
pub enum DynamicRegistration {
    /// Programs on loopback, and the callback URLs of well-known MCP clients.
    KnownClients,
    /// Everybody.
    Open,
    /// Whoever holds the initial access token (RFC 7591 §3).
    Token(Secret),
    /// Nobody.
    Closed,
}

/// The hosts from which a `client_id` may be a metadata document.
#[derive(Debug, Clone)]
pub struct Documents {
    /// Empty: documents are off.
    pub allow_hosts: Vec<HostPattern>,
}

impl Documents {
    /// Whether a document at `host` is fetched at all.
    pub fn admits(&self, host: &str) -> bool {
        self.allow_hosts.iter().any(|pattern| pattern.matches(host))
    }

    /// Whether the operator named `host`, so that its clients count as known and their consent may be remembered.
    pub fn names(&self, host: &str) -> bool {
        self.allow_hosts.iter().any(|pattern| *pattern != HostPattern::Any && pattern.matches(host))
    }
}

/// A host or a set of hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// `*`
    Any,
    /// `claude.ai`
    Exact(String),
    /// `*.acme.com`: every host below, not the domain itself.
    Below(String),
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Below(domain) => {
                host.len().checked_sub(domain.len()).and_then(|at| host.split_at_checked(at)).is_some_and(
                    |(head, tail)| tail.eq_ignore_ascii_case(domain) && head.len() > 1 && head.ends_with('.'),
                )
            }
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const EXPECTED: &str = "a host here is a name such as claude.ai, *.acme.com, or * for every host";
        if text == "*" {
            return Ok(Self::Any);
        }
        let (below, name) = text.strip_prefix("*.").map_or((false, text.as_str()), |name| (true, name));
        match url::Host::parse(name) {
            Ok(url::Host::Domain(domain)) if !domain.contains('*') && (!below || domain.contains('.')) => {
                Ok(if below { Self::Below(domain) } else { Self::Exact(domain) })
            }
            Ok(address @ (url::Host::Ipv4(_) | url::Host::Ipv6(_))) if !below => {
                Ok(Self::Exact(address.to_string()))
            }
            _ => Err(EXPECTED),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(name) => f.write_str(name),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

impl Registration {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let token = section.optional("token", strong_secret);
        let kind = section.optional(
            "dynamic",
            one_of(&[
                ("known_clients", Kind::KnownClients),
                ("open", Kind::Open),
                ("token", Kind::Token),
                ("closed", Kind::Closed),
            ]),
        );
        let dynamic = match (kind, token) {
            (None | Some(Kind::KnownClients), None) => Some(DynamicRegistration::KnownClients),
            (Some(Kind::Open), None) => Some(DynamicRegistration::Open),
            (Some(Kind::Closed), None) => Some(DynamicRegistration::Closed),
            (Some(Kind::Token), Some(token)) => Some(DynamicRegistration::Token(token)),
            (Some(Kind::Token), None) => {
                if !section.has("token") {
                    section.problem("token", "is missing: what a client must present to register");
                }
                None
            }
            (_, Some(_)) => {
                section.problem("token", "is only asked for with dynamic: token");
                None
            }
        };
        let documents = section.section("documents", |documents| Documents {
            allow_hosts: documents
                .list("allow_hosts", HostPattern::try_from)
                .unwrap_or_else(|| vec![HostPattern::Any]),
        });
        Some(Self { dynamic: dynamic?, documents })
    }
}

#[derive(Clone, Copy)]
enum Kind {
    KnownClients,
    Open,
    Token,
    Closed,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn documents(patterns: &[&str]) -> Documents {
        let allow_hosts = patterns.iter().map(|p| HostPattern::try_from((*p).to_owned()).unwrap()).collect();
        Documents { allow_hosts }
    }

    #[rstest]
    #[case(&["*"], "evil.com", true, false)]
    #[case(&["*", "claude.ai"], "claude.ai", true, true)]
    #[case(&["Claude.AI"], "claude.ai", true, true)]
    #[case(&["claude.ai"], "x.claude.ai", false, false)]
    #[case(&["*.acme.com"], "a.b.acme.com", true, true)]
    #[case(&["*.acme.com"], "acme.com", false, false)]
    #[case(&["*.acme.com"], ".acme.com", false, false)]
    #[case(&["*.acme.com"], "evilacme.com", false, false)]
    #[case(&["*.acme.com"], "acme.com.evil", false, false)]
    #[case(&["*.acme.com"], "éacme.com", false, false)]
    #[case(&["127.0.0.1"], "127.0.0.1", true, true)]
    #[case(&[], "claude.ai", false, false)]
    fn hosts(#[case] patterns: &[&str], #[case] host: &str, #[case] admits: bool, #[case] names: bool) {
        let documents = documents(patterns);
        assert_eq!((documents.admits(host), documents.names(host)), (admits, names));
    }

    #[rstest]
    #[case("")]
    #[case("*.com")]
    #[case("a*.com")]
    #[case("*.*.com")]
    #[case("https://claude.ai")]
    #[case("claude.ai/path")]
    #[case("claude.ai:443")]
    #[case("*.127.0.0.1")]
    fn not_a_pattern(#[case] text: &str) {
        assert!(HostPattern::try_from(text.to_owned()).is_err(), "{text}");
    }
}
