//! The token endpoint: a code, its PKCE verifier and the client's secret against an ID token and an access token
//! (OpenID Connect Core §3.1.3); and the ID token against the provider's word to somebody else ([`super::id_jag`]).

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawForm, State, rejection::RawFormRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Provider, SignedIn, TOKEN_LIFETIME, TestClient, TestUser, open};
use crate::oauth::{
    error::{ErrorCode, OAuthError},
    params::Params,
    token_exchange,
};

/// The ID token's claims (OpenID Connect Core §2).
#[derive(Serialize)]
struct IdToken<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    at_hash: String,
    #[serde(flatten)]
    user: &'a TestUser,
}

/// `POST /token`.
pub(super) async fn exchange(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    form: Result<RawForm, RawFormRejection>,
) -> Response {
    let answer = form
        .map_err(|_| OAuthError::new(ErrorCode::InvalidRequest, "the body must be a form of moderate size"))
        .and_then(|RawForm(body)| Params::parse(&body))
        .and_then(|params| {
            let client = provider.authenticate(&headers)?;
            match params.require("grant_type")? {
                "authorization_code" => provider.issue(&provider.redeem(client, &params)?),
                token_exchange::GRANT_TYPE => provider.exchange(client, &params),
                _ => {
                    Err(OAuthError::new(ErrorCode::UnsupportedGrantType, "the grant_type is not known here"))
                }
            }
        });
    match answer {
        Ok(tokens) => ([(header::CACHE_CONTROL, "no-store")], Json(tokens)).into_response(),
        Err(error) => refuse(&error),
    }
}

impl Provider {
    /// `client_secret_basic`: both halves are form-encoded before they are joined (RFC 6749 §2.3.1).
    fn authenticate(&self, headers: &HeaderMap) -> Result<&TestClient, OAuthError> {
        headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Basic"))
            .and_then(|(_, credentials)| STANDARD.decode(credentials.trim()).ok())
            .and_then(|pair| String::from_utf8(pair).ok())
            .and_then(|pair| {
                let (id, secret) = pair.split_once(':').unwrap_or((&pair, ""));
                self.client(&form_decoded(id)).filter(|client| client.secret.matches(&form_decoded(secret)))
            })
            .ok_or_else(|| OAuthError::new(ErrorCode::InvalidClient, "the client did not prove itself"))
    }

    /// Verifies everything before the code is consumed; an honest client can repeat what a stranger got wrong.
    fn redeem(&self, client: &TestClient, params: &Params) -> Result<SignedIn, OAuthError> {
        let invalid = |text| OAuthError::new(ErrorCode::InvalidGrant, text);
        let code = params.require("code")?;
        let verifier = params.require("code_verifier")?;
        if params.require("redirect_uri")? != client.redirect_uri.as_str() {
            return Err(invalid("the redirect_uri is not the one of the authentication request"));
        }
        let mut codes = open(&self.codes);
        let signed_in = codes.get(code, self.clock.now()).filter(|signed_in| signed_in.client == client.id);
        let signed_in = signed_in.ok_or(invalid("the code is unknown, used or expired"))?.clone();
        if !signed_in.challenge.is_met_by(verifier) {
            return Err(invalid("the code_verifier does not fit the code_challenge"));
        }
        codes.remove(code);
        Ok(signed_in)
    }

    fn issue(&self, signed_in: &SignedIn) -> Result<Value, OAuthError> {
        let now = self.clock.now();
        let access_token = self.entropy.token();
        let hash = Sha256::digest(&access_token);
        let (left_half, _) = hash.split_at(hash.len() / 2);
        let claims = IdToken {
            iss: &self.issuer,
            aud: &signed_in.client,
            iat: now.as_secs(),
            exp: now.plus(TOKEN_LIFETIME).as_secs(),
            auth_time: signed_in.at.as_secs(),
            nonce: signed_in.nonce.as_deref(),
            at_hash: URL_SAFE_NO_PAD.encode(left_half),
            user: signed_in.user,
        };
        let id_token = self
            .signer
            .sign("JWT", &claims)
            .map_err(|_| OAuthError::new(ErrorCode::ServerError, "the ID token could not be signed"))?;
        open(&self.access_tokens).put(&access_token, signed_in.user, now);
        Ok(json!({
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": TOKEN_LIFETIME.as_secs(),
            "scope": signed_in.scope,
            "id_token": id_token,
        }))
    }
}

fn form_decoded(text: &str) -> String {
    // One pair without a `=` reads as a name with an empty value; `&` and `=` can only occur encoded.
    url::form_urlencoded::parse(text.as_bytes())
        .next()
        .map_or_else(String::new, |(name, _)| name.into_owned())
}

/// RFC 6749 §5.2.
fn refuse(error: &OAuthError) -> Response {
    let body = Json(json!({ "error": error.code.as_str(), "error_description": error.description }));
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    match error.code {
        ErrorCode::InvalidClient => {
            let challenge = [(header::WWW_AUTHENTICATE, "Basic")];
            (StatusCode::UNAUTHORIZED, no_store, challenge, body).into_response()
        }
        ErrorCode::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, no_store, body).into_response(),
        _ => (StatusCode::BAD_REQUEST, no_store, body).into_response(),
    }
}
