//! The callback URLs of well-known MCP clients: data in `known_clients.yaml`, compiled in.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::oauth::redirect_uri::{Reach, RedirectUri};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownClient {
    #[expect(dead_code, reason = "says in the file whose URLs these are")]
    name: String,
    redirect_uris: Vec<String>,
}

#[expect(clippy::expect_used, reason = "the file is compiled in and a test reads it")]
static KNOWN: LazyLock<Vec<KnownClient>> = LazyLock::new(|| {
    serde_yaml::from_str(include_str!("known_clients.yaml")).expect("the data file is valid")
});

/// Whether a stranger may register this address: any program on the user's own machine, or a listed callback URL.
pub(super) fn admits(uri: &RedirectUri) -> bool {
    uri.reach() == Reach::Loopback
        || KNOWN.iter().flat_map(|client| &client.redirect_uris).any(|pattern| matches(pattern, uri.as_str()))
}

/// Whether `uri` is `pattern`, in which a last segment `*` stands for one that is not empty.
fn matches(pattern: &str, uri: &str) -> bool {
    match pattern.strip_suffix('*') {
        None => pattern == uri,
        Some(stem) => uri.strip_prefix(stem).is_some_and(|id| {
            !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        }),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn every_listed_address_may_be_registered() {
        for pattern in KNOWN.iter().flat_map(|client| &client.redirect_uris) {
            let uri = RedirectUri::try_from(pattern.replace('*', "abc-1")).unwrap();
            assert!(admits(&uri), "{pattern}");
        }
    }

    #[rstest]
    #[case("http://localhost:8787/callback", true)]
    #[case("https://claude.ai/api/mcp/auth_callback", true)]
    #[case("https://claude.ai/api/mcp/auth_callback?x=1", false)]
    #[case("https://claude.ai.evil.com/api/mcp/auth_callback", false)]
    #[case("https://chatgpt.com/connector/oauth/", false)]
    #[case("https://chatgpt.com/connector/oauth/a/b", false)]
    #[case("https://chatgpt.com/connector/oauth/a?b", false)]
    #[case("evil://callback", false)]
    fn others_may_not(#[case] uri: &str, #[case] admitted: bool) {
        assert_eq!(admits(&RedirectUri::try_from(uri.to_owned()).unwrap()), admitted);
    }
}
