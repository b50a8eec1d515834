//! Client authentication at the token endpoint (OAuth 2.1 §2.4): none, post, Basic in both encodings, and by a signed
//! assertion.

use std::{net::IpAddr, sync::Arc};

use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq as _;

use crate::{
    app::App,
    clients::{
        self, Client, ClientError, Credential,
        assertion::{self, Presented},
    },
    ids::ClientId,
    oauth::{error::ErrorCode, params::Params, purpose::Role},
    secret::{Secret, TokenHash},
    store::replays::OneTime,
    web::error::ApiError,
};

/// A client that proved who it is; for a public client, that it named itself.
#[derive(Debug)]
pub struct Authenticated {
    client: Client,
    one_time: Option<OneTime>,
}

impl Authenticated {
    /// The client.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// What it proved itself with, where that counts once and is still to be spent.
    pub const fn one_time(&self) -> Option<&OneTime> {
        self.one_time.as_ref()
    }
}

/// What a request says about its client.
#[derive(Debug)]
struct Claim<'p> {
    id: ClientId,
    proof: Proof<'p>,
    basic: bool,
}

#[derive(Debug)]
enum Proof<'p> {
    None,
    Secret(Secret),
    Assertion(Presented<'p>),
}

/// Finds out which of a role's clients sent the request and has it prove itself.
pub async fn authenticate(
    app: &Arc<App>,
    role: Role,
    ip: IpAddr,
    headers: &HeaderMap,
    params: &Params,
) -> Result<Authenticated, ApiError> {
    let mut refused = ApiError::invalid_client(false, "no client_id");
    let mut failed = Vec::new();
    for claim in claims(headers, params)? {
        let attempt = (claim.id.clone(), ip);
        if !app.limits.client_failures.admits(&attempt, app.clock.now()) {
            return Err(ApiError::too_many_requests());
        }
        match prove(app, role, claim).await {
            Ok(proven) => return Ok(proven),
            Err(error) if error.is_fault() => return Err(error),
            Err(error) => {
                failed.push(attempt);
                refused = error;
            }
        }
    }
    // Only now: a reading that fails beside one that holds is no guess.
    for attempt in failed {
        app.limits.client_failures.count(attempt, app.clock.now());
    }
    Err(refused)
}

async fn prove(app: &Arc<App>, role: Role, claim: Claim<'_>) -> Result<Authenticated, ApiError> {
    let client = clients::find(app, role, &claim.id).await.map_err(|error| match error {
        ClientError::Store(error) => ApiError::from(error),
        ClientError::Document(error) if error.is_transient() => ApiError::unavailable(error.to_string()),
        ClientError::Unknown(_) => ApiError::invalid_client(claim.basic, error.to_string()),
        ClientError::Document(_) => {
            ApiError::invalid_client(claim.basic, format!("client {}: {error}", claim.id))
        }
    })?;
    let proven = match (&client.credential, claim.proof) {
        (Credential::Keys(keys), Proof::Assertion(presented)) => {
            let one_time = assertion::prove(app, role, (&client.id, keys), presented).await?;
            return Ok(Authenticated { client, one_time: Some(one_time) });
        }
        (Credential::Public, Proof::None) => true,
        (Credential::Declared(secret), Proof::Secret(sent)) => secret.matches(sent.expose()),
        (Credential::Issued(hash), Proof::Secret(sent)) => hash.ct_eq(&TokenHash::of(sent.expose())).into(),
        (
            Credential::Public | Credential::Declared(_) | Credential::Issued(_) | Credential::Keys(_),
            Proof::None | Proof::Secret(_) | Proof::Assertion(_),
        ) => false,
    };
    if proven {
        Ok(Authenticated { client, one_time: None })
    } else {
        let reason = format!("client {}: wrong or missing secret, or another method than its own", claim.id);
        Err(ApiError::invalid_client(claim.basic, reason))
    }
}

/// The client that the request names, in each reading that its encoding allows; none when nothing names one.
fn claims<'p>(headers: &HeaderMap, params: &'p Params) -> Result<Vec<Claim<'p>>, ApiError> {
    let invalid = |text: &'static str| ApiError::new(ErrorCode::InvalidRequest, text);
    let posted_id = params.get("client_id");
    let posted_secret = params.get("client_secret");
    let authorization = headers.get(header::AUTHORIZATION);
    let presented = assertion::presented(params)?;
    let methods = [presented.is_some(), posted_secret.is_some(), authorization.is_some()];
    if methods.into_iter().filter(|used| *used).count() > 1 {
        return Err(invalid("use one method of client authentication, not two"));
    }
    if let Some((id, presented)) = presented {
        return Ok(vec![Claim { id, proof: Proof::Assertion(presented), basic: false }]);
    }
    let Some(authorization) = authorization else {
        let Some(id) = posted_id else { return Ok(Vec::new()) };
        let id = client_id(id)?;
        let proof = posted_secret.map_or(Proof::None, |secret| Proof::Secret(Secret::new(secret.to_owned())));
        return Ok(vec![Claim { id, proof, basic: false }]);
    };
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
            let proof = if secret.is_empty() { Proof::None } else { Proof::Secret(Secret::new(secret)) };
            claims.push(Claim { id, proof, basic: true });
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
