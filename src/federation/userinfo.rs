//! The upstream's userinfo endpoint (OIDC Core §5.3): claims that the ID token lacks.

use oauth2::http::{HeaderValue, Request, header};
use serde_json::Value;
use url::Url;

use crate::{
    config::{
        claims::ClaimPath,
        provider::{Provider, Userinfo},
    },
    jose::json::{Object, parse_object},
    net::{NetError, Upstream},
    secret::Secret,
};

/// Why userinfo said nothing that can be used. The text continues a sentence that begins with the provider's name.
#[derive(Debug, thiserror::Error)]
pub(super) enum UserinfoError {
    /// No answer, a status other than 200, or no JSON object. A signed answer (`application/jwt`) is none: it comes
    /// only to clients that registered for it (OIDC Core §5.3.2).
    #[error(transparent)]
    Net(#[from] NetError),
    /// The token is no header value.
    #[error("issued an access token that cannot be sent")]
    Token,
    /// The answer speaks of another person, or of nobody (OIDC Core §5.3.2).
    #[error("speaks of another person at its userinfo endpoint than in its ID token")]
    Subject,
}

/// Whether the endpoint has to be asked: a fact that this provider knows a place for is not in the token.
pub(super) fn is_wanted(provider: &Provider, id_token: &Object) -> bool {
    let paths = &provider.claims;
    let absent = |path: &ClaimPath| path.lookup(id_token).is_none();
    match provider.userinfo {
        Userinfo::Never => false,
        Userinfo::Always => true,
        Userinfo::WhenMissing => {
            [&paths.email, &paths.name].into_iter().any(absent)
                || [&paths.email_verified, &paths.groups, &paths.tenant].into_iter().flatten().any(absent)
        }
    }
}

/// Asks for the claims of the person whom the access token was issued for, who must be `subject`.
pub(super) async fn ask(
    endpoint: &Url,
    access_token: &Secret,
    subject: &str,
    upstream: &Upstream,
) -> Result<Object, UserinfoError> {
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", access_token.expose()))
        .map_err(|_| UserinfoError::Token)?;
    bearer.set_sensitive(true);
    let request = Request::get(endpoint.as_str())
        .header(header::ACCEPT, "application/json")
        .header(header::AUTHORIZATION, bearer)
        .body(Vec::new())
        .map_err(|_| UserinfoError::Token)?;
    let response = upstream.execute(request).await?;
    if response.status() != 200 {
        return Err(NetError::Status(response.status().as_u16()).into());
    }
    let claims = parse_object(response.body()).map_err(NetError::NotJson)?;
    match claims.get("sub").and_then(Value::as_str) {
        Some(sub) if sub == subject => Ok(claims),
        _ => Err(UserinfoError::Subject),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::provider::fixture::provider;

    #[test]
    fn it_is_asked_only_where_it_can_help() {
        let mut provider = provider();
        let full = json!({ "email": "a@x.y", "email_verified": true, "name": "Ada", "groups": [] });
        let wants = |provider: &Provider, claims: &Value| is_wanted(provider, claims.as_object().unwrap());
        assert!(!wants(&provider, &full));
        assert!(wants(&provider, &json!({})));
        provider.userinfo = Userinfo::Always;
        assert!(wants(&provider, &full));
        provider.userinfo = Userinfo::Never;
        assert!(!wants(&provider, &json!({})));
    }
}
