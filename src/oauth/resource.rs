//! Resource indicators (RFC 8707) and the one form in which we compare them.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

/// The URI of an MCP server. It keeps the form in which it was written (the audience of tokens) and is compared
/// by its canonical form: lower-case scheme and host, no default port, an empty path equal to `/`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceUri {
    written: String,
    canonical: Url,
}

impl ResourceUri {
    /// As the operator wrote it: the `aud` of tokens.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// As a URL.
    pub fn url(&self) -> &Url {
        &self.canonical
    }
}

impl PartialEq for ResourceUri {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for ResourceUri {}

impl TryFrom<String> for ResourceUri {
    type Error = &'static str;

    fn try_from(written: String) -> Result<Self, Self::Error> {
        const MAX_BYTES: usize = 1024;
        if written.len() > MAX_BYTES {
            return Err("a resource is at most 1024 characters long");
        }
        if written.contains('#') {
            return Err("a resource has no fragment (RFC 8707 §2)");
        }
        let canonical = Url::parse(&written)
            .map_err(|_| "a resource is an absolute URI such as https://mcp.example.com/mcp")?;
        if !matches!(canonical.scheme(), "https" | "http") || canonical.host().is_none() {
            return Err("a resource is an https:// URI");
        }
        if !canonical.username().is_empty() || canonical.password().is_some() {
            return Err("a resource has no user name or password");
        }
        Ok(Self { written, canonical })
    }
}

impl From<ResourceUri> for String {
    fn from(uri: ResourceUri) -> Self {
        uri.written
    }
}

impl fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn uri(text: &str) -> Result<ResourceUri, &'static str> {
        ResourceUri::try_from(text.to_owned())
    }

    #[rstest]
    #[case("https://h", "https://h/")]
    #[case("HTTPS://H/mcp", "https://h/mcp")]
    #[case("https://h:443/mcp", "https://h/mcp")]
    fn equal(#[case] a: &str, #[case] b: &str) {
        assert_eq!(uri(a).unwrap(), uri(b).unwrap());
    }

    #[rstest]
    #[case("https://h/mcp", "https://h/mcp/")]
    #[case("https://h/mcp", "https://h/MCP")]
    #[case("https://h/mcp", "http://h/mcp")]
    #[case("https://h/mcp", "https://h:8443/mcp")]
    #[case("https://h/mcp", "https://h/mcp?x=1")]
    #[case("https://h/mcp", "https://h.evil/mcp")]
    fn different(#[case] a: &str, #[case] b: &str) {
        assert_ne!(uri(a).unwrap(), uri(b).unwrap());
    }

    #[rstest]
    #[case("https://h/#")]
    #[case("/mcp")]
    #[case("https://u:p@h/")]
    #[case("javascript:alert(1)")]
    #[case("urn:x:y")]
    fn refused(#[case] text: &str) {
        assert!(uri(text).is_err());
    }
}
