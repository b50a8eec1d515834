//! Token exchange (RFC 8693): the agent's ID token against the provider's word to another authorization server, an
//! identity assertion (draft-ietf-oauth-identity-assertion-authz-grant §4.3), for what the company decided and no more.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Provider, TestAgent, TestClient, TestUser, USERS};
use crate::{
    jose::{KeySet, Unverified, Verified, VerifyError, verifier::Kind},
    oauth::{
        error::{ErrorCode, OAuthError},
        params::Params,
        scope::ScopeSet,
        token_exchange::{ExchangeRequest, TokenType},
    },
};

/// What the draft shows (§6.1).
const LIFETIME: Duration = Duration::from_secs(300);

/// §3.1.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    client_id: &'a str,
    jti: String,
    iat: i64,
    exp: i64,
    resource: &'a str,
    scope: &'a ScopeSet,
    auth_time: i64,
    #[serde(flatten)]
    user: &'a TestUser,
}

impl Provider {
    /// Writes an assertion, or says why not.
    pub(super) fn exchange(&self, client: &TestClient, params: &Params) -> Result<Value, OAuthError> {
        let refuse = |code, text: &'static str| OAuthError::new(code, text);
        let agent = self.agent.as_ref().filter(|agent| agent.client.id == client.id);
        let agent = agent.ok_or(refuse(
            ErrorCode::UnauthorizedClient,
            "the company has approved nothing for this client",
        ))?;
        let asked = ExchangeRequest::parse(params)?;
        if asked.requested != Some(TokenType::IdJag) || asked.subject.token_type != TokenType::IdToken {
            return Err(refuse(ErrorCode::InvalidRequest, "only an ID token is exchanged, for an ID-JAG"));
        }
        let (user, auth_time) = self
            .subject(client, asked.subject.token)
            .ok_or(refuse(ErrorCode::InvalidGrant, "the subject_token is no good ID token of this client"))?;
        if asked.audiences != [agent.audience.as_str()] || asked.resources != [agent.resource.clone()] {
            return Err(refuse(
                ErrorCode::InvalidTarget,
                "the company has not approved this audience and resource for this client",
            ));
        }
        let scope = asked.scope.map_or_else(|| agent.scope.clone(), |scope| scope.intersection(&agent.scope));
        if scope.is_empty() {
            return Err(refuse(ErrorCode::InvalidScope, "the company has approved none of these scopes"));
        }
        self.assert(agent, user, auth_time, &scope)
    }

    fn assert(
        &self,
        agent: &TestAgent,
        user: &TestUser,
        auth_time: i64,
        scope: &ScopeSet,
    ) -> Result<Value, OAuthError> {
        let now = self.clock.now();
        let claims = Claims {
            iss: &self.issuer,
            aud: &agent.audience,
            client_id: &agent.client_there,
            jti: self.entropy.token(),
            iat: now.as_secs(),
            exp: now.plus(LIFETIME).as_secs(),
            resource: agent.resource.as_str(),
            scope,
            auth_time,
            user,
        };
        let assertion = self.signer.sign("oauth-id-jag+jwt", &claims);
        Ok(json!({
            "issued_token_type": TokenType::IdJag.as_str(),
            "access_token": assertion.map_err(|_| {
                OAuthError::new(ErrorCode::ServerError, "the assertion could not be signed")
            })?,
            "token_type": "N_A",
            "expires_in": LIFETIME.as_secs(),
            "scope": scope,
        }))
    }

    /// Whose ID token it is and when she signed in, if it is one of ours, for this client alone, and not over (§4.3.3).
    fn subject(&self, client: &TestClient, id_token: &str) -> Option<(&'static TestUser, i64)> {
        let verified = self.verify_own(id_token).ok()?;
        let ours =
            verified.text("iss").ok()? == self.issuer && verified.audiences().ok()? == [client.id.as_str()];
        verified.check_times(self.clock.now(), Duration::ZERO, None).ok().filter(|_| ours)?;
        let sub = verified.text("sub").ok()?;
        let user = USERS.iter().find(|user| user.sub == sub)?;
        Some((user, verified.date("auth_time").ok()??.as_secs()))
    }

    fn verify_own(&self, id_token: &str) -> Result<Verified, VerifyError> {
        let token = Unverified::parse(id_token, Kind::IdToken, &[Algorithm::ES256])?;
        let own = json!({ "keys": [self.signer.public_jwk()] }).to_string();
        let key = KeySet::parse(own.as_bytes()).unwrap_or_default().find(token.kid(), token.algorithm())?;
        token.verify(&key)
    }
}
