//! Where an issuer that signs assertions, and that nobody need sign in by, says that its keys are.

use serde::Deserialize;
use url::Url;

use super::discovery::{DiscoveryError, MAX_DOCUMENT_BYTES};
use crate::net::{NetError, Upstream};

/// What is read of its metadata (RFC 8414 §2, OpenID Connect Discovery §3).
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: Option<Url>,
}

/// Reads the issuer's metadata: as OpenID Connect Discovery has it, or as RFC 8414 does where that is not there.
pub(super) async fn fetch(issuer: &str, upstream: &Upstream) -> Result<Url, DiscoveryError> {
    let [openid, oauth] = addresses(issuer)?;
    let read = async |url: &Url| upstream.get_json::<Document>(url, MAX_DOCUMENT_BYTES).await;
    let document = match read(&openid).await {
        Err(NetError::Status(404)) => read(&oauth).await,
        answer => answer,
    };
    let document = document.map_err(|error| DiscoveryError::Fetch(error.into()))?;
    if document.issuer != issuer {
        return Err(DiscoveryError::Issuer { found: document.issuer, expected: issuer.to_owned() });
    }
    let url = document.jwks_uri.ok_or(DiscoveryError::Missing("jwks_uri"))?;
    match upstream.may_ask(&url) {
        Ok(()) => Ok(url),
        Err(_) => Err(DiscoveryError::Endpoint { name: "jwks_uri", url: url.to_string() }),
    }
}

/// `ISSUER/.well-known/openid-configuration`, and `HOST/.well-known/oauth-authorization-server/PATH`.
fn addresses(issuer: &str) -> Result<[Url; 2], DiscoveryError> {
    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    let parsed = |text: &str| Url::parse(text).map_err(|error| DiscoveryError::Form(error.to_string()));
    let mut oauth = parsed(issuer)?;
    let path = oauth.path().trim_end_matches('/').to_owned();
    oauth.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    Ok([parsed(&format!("{issuer}/.well-known/openid-configuration"))?, oauth])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://acme.okta.com", "https://acme.okta.com/.well-known/oauth-authorization-server")]
    #[case("https://acme.eu.auth0.com/", "https://acme.eu.auth0.com/.well-known/oauth-authorization-server")]
    #[case("https://a.com/realms/x", "https://a.com/.well-known/oauth-authorization-server/realms/x")]
    fn the_metadata_is_looked_for_in_two_places(#[case] issuer: &str, #[case] oauth: &str) {
        let [openid, found] = addresses(issuer).unwrap().map(String::from);
        let slashless = issuer.trim_end_matches('/');
        assert_eq!(openid, format!("{slashless}/.well-known/openid-configuration"));
        assert_eq!(found, oauth);
    }
}
