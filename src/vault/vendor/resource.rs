//! A remote MCP server says itself who issues the tokens for it (RFC 9728), and that server how it is spoken to
//! (RFC 8414), as the authorization part of the Model Context Protocol asks of clients.

use std::sync::LazyLock;

use oauth2::http::{Request, header};
use regex::Regex;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use url::Url;

use super::{
    failure::VendorError,
    lines::Line,
    reached::{Document, MAX_DOCUMENT_BYTES, usable},
};
use crate::{config::connection::App, net::NetError, oauth::resource::ResourceUri};

/// What we use of a resource's document (RFC 9728 §2).
#[derive(Deserialize)]
struct About {
    resource: ResourceUri,
    #[serde(default)]
    authorization_servers: Vec<String>,
}

/// The document of the server that issues tokens for `resource`. What is said about another resource is worth nothing
/// (RFC 9728 §3.3), and neither is what another issuer says of this one (RFC 8414 §3.3).
pub(super) async fn fetch(
    app: &App,
    resource: &ResourceUri,
    line: Line<'_>,
) -> Result<Document, VendorError> {
    const PROTECTED: &str = "oauth-protected-resource";
    let well_known = [below(resource.url(), PROTECTED), root(resource.url(), PROTECTED)];
    let about: About = first(challenge(resource, line).await.into_iter().chain(well_known), line)
        .await?
        .ok_or_else(|| VendorError::malformed("does not say who issues its tokens"))?;
    if about.resource != *resource {
        return Err(VendorError::malformed(
            "speaks of another resource in its metadata than is configured: url must be what stands there as resource",
        ));
    }
    let issuer = match &app.issuer {
        Some(pinned) => about.authorization_servers.into_iter().find(|named| is_issuer(named, pinned)),
        None => about.authorization_servers.into_iter().next(),
    };
    let issuer = issuer
        .ok_or_else(|| VendorError::malformed("names no authorization server, or not the configured one"))?;
    let url = Url::parse(&issuer);
    let url = url.map_err(|_| VendorError::malformed("names an authorization server that is no URL"))?;
    let appended = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')).parse().ok();
    let candidates = [below(&url, "oauth-authorization-server"), below(&url, "openid-configuration")];
    let mut document: Document = first(candidates.into_iter().chain(appended), line)
        .await?
        .ok_or_else(|| VendorError::malformed("has an authorization server without metadata"))?;
    if !is_issuer(&issuer, &document.issuer) {
        return Err(VendorError::malformed("has an authorization server that calls itself something else"));
    }
    usable(&document, line)?;
    if !document.code_challenge_methods_supported.iter().any(|method| method == "S256") {
        return Err(VendorError::malformed("has an authorization server that does not announce PKCE S256"));
    }
    document.resource = Some(about.resource.as_str().to_owned());
    Ok(document)
}

/// Where a server says that its document is, when it refuses a call without a token (RFC 9728 §5.1). One that does not
/// say so has it where all others have it.
async fn challenge(resource: &ResourceUri, line: Line<'_>) -> Option<Url> {
    #[expect(clippy::expect_used, reason = "a constant")]
    static METADATA: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?i)(?:^|[\s,])resource_metadata\s*=\s*"([^"\\]+)""#).expect("a regular expression")
    });
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let request = Request::builder()
        .method("POST")
        .uri(resource.url().as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .body(ping.to_string().into_bytes())
        .ok()?;
    let answer = line.to(resource.url()).execute(request).await.ok()?;
    let challenges = answer.headers().get_all(header::WWW_AUTHENTICATE).iter();
    let mut said = challenges.filter_map(|challenge| METADATA.captures(challenge.to_str().ok()?)?.get(1));
    said.find_map(|url| Url::parse(url.as_str()).ok())
}

/// Whether a resource means this issuer. Many write an address that has no path with a slash at its end, as the official
/// SDK for Python did in its first generation: it is the same address (RFC 3986 §6.2.3).
fn is_issuer(named: &str, issuer: &str) -> bool {
    let bare = |address: &str| {
        let has_no_path = Url::parse(address).is_ok_and(|url| url.path() == "/" && url.query().is_none());
        if has_no_path { address.trim_end_matches('/').to_owned() } else { address.to_owned() }
    };
    bare(named) == bare(issuer)
}

/// The first document that is there. What is not there is asked for at the next place; any other failure is one.
async fn first<T: DeserializeOwned>(
    candidates: impl IntoIterator<Item = Url>,
    line: Line<'_>,
) -> Result<Option<T>, VendorError> {
    for url in candidates {
        match line.to(&url).get_json(&url, MAX_DOCUMENT_BYTES).await {
            Ok(document) => return Ok(Some(document)),
            Err(error @ NetError::Status(_)) if !error.is_transient() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// The well-known document with the path behind its name (RFC 9728 §3.1, RFC 8414 §3.1).
fn below(url: &Url, name: &str) -> Url {
    let path = url.path().trim_end_matches('/');
    let mut found = url.clone();
    found.set_path(&format!("/.well-known/{name}{path}"));
    found
}

/// The one of the whole host.
fn root(url: &Url, name: &str) -> Url {
    let mut found = url.clone();
    found.set_path(&format!("/.well-known/{name}"));
    found.set_query(None);
    found
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://a.example", "https://a.example", true)]
    #[case("https://a.example/", "https://a.example", true)]
    #[case("https://a.example", "https://a.example/", true)]
    #[case("https://a.example/x/", "https://a.example/x", false)]
    #[case("https://a.example/?x", "https://a.example/", false)]
    #[case("https://a.example:8443/", "https://a.example", false)]
    #[case("somebody/", "somebody", false)]
    fn an_issuer_is_meant(#[case] named: &str, #[case] issuer: &str, #[case] expected: bool) {
        assert_eq!(is_issuer(named, issuer), expected);
    }
}
