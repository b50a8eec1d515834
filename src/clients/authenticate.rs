//! Client authentication at the token endpoint (OAuth 2.1 §2.4): none, post, and Basic in both encodings.

use std::{net::IpAddr, sync::Arc};

use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq as _;

use crate::{
    app::App,
    clients::{self, Client, ClientError, Credential},
    ids::ClientId,
    oauth::{error::ErrorCode, params::Params},
    secret::{Secret, TokenHash},
    web::error::ApiError,
};

/// A client that proved who it is; for a public client, that it named itself.
#[derive(Debug)]
pub struct Authenticated(Client);

impl Authenticated {
    /// The client.
    pub const fn client(&self) -> &Client {
        &self.0
    }
}

/// What a request says about its client.
#[derive(Debug)]
struct Claim {
    id: ClientId,
    secret: Option<Secret>,
    basic: bool,
}

/// Finds out which client sent the request and has it prove itself.
pub async fn authenticate(
    app: &Arc<App>,
    ip: IpAddr,
    headers: &HeaderMap,
    params: &Params,
) -> Result<Authenticated, ApiError> {
    let mut refused = ApiError::invalid_client(false, "no client_id");
    for claim in claims(headers, params)? {
        let attempt = (claim.id.clone(), ip);
        if !app.limits.client_failures.admits(&attempt, app.clock.now()) {
            return Err(ApiError::too_many_requests());
        }
        match prove(app, claim).await {
            Ok(client) => return Ok(Authenticated(client)),
            Err(error) if error.is_fault() => return Err(error),
            Err(error) => {
                app.limits.client_failures.count(attempt, app.clock.now());
                refused = error;
            }
        }
    }
    Err(refused)
}

async fn prove(app: &Arc<App>, claim: Claim) -> Result<Client, ApiError> {
    let client = clients::find(app, &claim.id).await.map_err(|error| match error {
        ClientError::Store(error) => ApiError::from(error),
        ClientError::Document(error) if error.is_transient() => ApiError::unavailable(error.to_string()),
        ClientError::Unknown | ClientError::Document(_) => {
            ApiError::invalid_client(claim.basic, format!("client {}: {error}", claim.id))
        }
    })?;
    let proven = match (&client.credential, &claim.secret) {
        (Credential::Public, None) => true,
        (Credential::Declared(secret), Some(sent)) => secret.matches(sent.expose()),
        (Credential::Issued(hash), Some(sent)) => hash.ct_eq(&TokenHash::of(sent.expose())).into(),
        (Credential::Public, Some(_)) | (Credential::Declared(_) | Credential::Issued(_), None) => false,
    };
    if proven {
        Ok(client)
    } else {
        Err(ApiError::invalid_client(claim.basic, format!("client {}: wrong or missing secret", claim.id)))
    }
}

/// The client that the request names, in each reading that its encoding allows; none when nothing names one.
fn claims(headers: &HeaderMap, params: &Params) -> Result<Vec<Claim>, ApiError> {
    let invalid = |text: &'static str| ApiError::new(ErrorCode::InvalidRequest, text);
    let posted_id = params.get("client_id");
    let posted_secret = params.get("client_secret");
    if params.get("client_assertion").is_some() || params.get("client_assertion_type").is_some() {
        return Err(ApiError::invalid_client(false, "private_key_jwt is not enabled"));
    }
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        let Some(id) = posted_id else { return Ok(Vec::new()) };
        let id = client_id(id)?;
        return Ok(vec![Claim {
            id,
            secret: posted_secret.map(|s| Secret::new(s.to_owned())),
            basic: false,
        }]);
    };
    if posted_secret.is_some() {
        return Err(invalid("use one method of client authentication, not two"));
    }
    let readings = authorization
        .to_str()
        .ok()
        .and_then(basic_readings)
        .ok_or_else(|| ApiError::invalid_client(true, "the Authorization header is not HTTP Basic"))?;
    let mut claims = Vec::new();
    for (id, secret) in readings {
        if posted_id.is_some_and(|posted| posted != id) {
            continue;
        }
        if let Ok(id) = client_id(&id) {
            claims.push(Claim { id, secret: (!secret.is_empty()).then(|| Secret::new(secret)), basic: true });
        }
    }
    if claims.is_empty() {
        return Err(invalid("client_id in the body is not the client in the Authorization header"));
    }
    Ok(claims)
}

fn client_id(text: &str) -> Result<ClientId, ApiError> {
    ClientId::try_from(text.to_owned()).map_err(|text| ApiError::new(ErrorCode::InvalidRequest, text))
}

/// Id and secret of an HTTP Basic header. RFC 6749 §2.3.1 has both form-encoded before they are joined; half of the
/// clients in the field do not do that, so the header is read both ways where the ways differ.
fn basic_readings(authorization: &str) -> Option<Vec<(String, String)>> {
    let (scheme, credentials) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let raw = (id.to_owned(), secret.to_owned());
    Some(match (form_decoded(id), form_decoded(secret)) {
        (Some(id), Some(secret)) if (&id, &secret) != (&raw.0, &raw.1) => vec![(id, secret), raw],
        _ => vec![raw],
    })
}

fn form_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(id_and_secret: &str) -> Vec<(String, String)> {
        basic_readings(&format!("Basic {}", STANDARD.encode(id_and_secret))).unwrap()
    }

    #[test]
    fn plain_credentials_have_one_reading() {
        assert_eq!(read("app:secret"), [("app".into(), "secret".into())]);
    }

    #[test]
    fn encoded_credentials_are_read_decoded_first_and_raw_second() {
        assert_eq!(
            read("https%3A%2F%2Fapp:a%2Bb"),
            [("https://app".into(), "a+b".into()), ("https%3A%2F%2Fapp".into(), "a%2Bb".into())]
        );
        assert_eq!(read("app:a+b"), [("app".into(), "a b".into()), ("app".into(), "a+b".into())]);
    }

    #[test]
    fn a_secret_may_hold_a_colon() {
        assert_eq!(read("app:se:cret"), [("app".into(), "se:cret".into())]);
    }

    #[test]
    fn other_schemes_and_garbage_are_not_basic() {
        for bad in ["Bearer x", "Basic", "Basic !!!", "Basic YQ=="] {
            assert!(basic_readings(bad).is_none(), "{bad}");
        }
    }
}
