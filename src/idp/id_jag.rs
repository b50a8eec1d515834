//! The identity assertion authorization grant (draft-ietf-oauth-identity-assertion-authz-grant §3): our word to another
//! authorization server for who the person is, and what a client of its own may have in her name.

use std::time::Duration;

use serde::Serialize;

use crate::{
    app::{App, Idp},
    clock::Timestamp,
    config::{
        idp::{Target, TargetResource},
        resource::TokenClaim,
    },
    ids::{ClientId, TokenId},
    jose::{Thumbprint, signer::SignError},
    oauth::{purpose::Role, scope::ScopeSet},
    store::grants::Grant,
    token::{issue::Confirmation, standing::Standing},
};

/// How long a grant is good: it is traded for a token at once, and a client that needs another asks again.
pub(super) const LIFETIME: Duration = Duration::from_secs(300);

/// Everything that a grant says.
pub(super) struct IdJag<'a> {
    pub(super) target: &'a Target,
    pub(super) resource: &'a TargetResource,
    /// The client, by its name at the target.
    pub(super) client: &'a ClientId,
    /// The person, as the target knows her.
    pub(super) subject: &'a str,
    pub(super) scope: &'a ScopeSet,
    /// How and when she signed in.
    pub(super) grant: &'a Grant,
    pub(super) standing: &'a Standing,
    /// The key that the client proved: only its holder can use the grant (§9.8.1).
    pub(super) bound_to: Option<&'a Thumbprint>,
    pub(super) id: &'a TokenId,
    pub(super) now: Timestamp,
}

/// §3.1.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    client_id: &'a str,
    jti: &'a str,
    exp: i64,
    iat: i64,
    resource: &'a str,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    amr: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation<'a>>,
}

impl IdJag<'_> {
    /// Signs it.
    pub(super) fn sign(&self, app: &App, idp: Idp<'_>) -> Result<String, SignError> {
        let Self { target, resource, grant, standing, .. } = self;
        let asks = |claim| target.token_claims.contains(&claim);
        // An address that nobody vouches for must not make the target take her for somebody else.
        let email = standing.email.as_deref();
        let email = email.filter(|_| standing.email_verified && asks(TokenClaim::Email));
        let claims = Claims {
            iss: app.config.issuer(Role::IdentityProvider).as_str(),
            sub: self.subject,
            aud: &target.audience,
            client_id: self.client.as_str(),
            jti: self.id.as_str(),
            exp: self.now.plus(LIFETIME).as_secs(),
            iat: self.now.as_secs(),
            resource: resource.uri.as_str(),
            scope: &self.scope.to_string(),
            auth_time: grant.auth_time.map(Timestamp::as_secs),
            acr: grant.acr.as_deref(),
            amr: &grant.amr,
            email,
            email_verified: email.map(|_| true),
            groups: asks(TokenClaim::Groups).then_some(standing.subject.groups.as_slice()),
            cnf: self.bound_to.map(|jkt| Confirmation { jkt }),
        };
        idp.keys.signer().sign("oauth-id-jag+jwt", &claims)
    }
}
