//! The ID token (OpenID Connect Core §2): who signed in, when and how, for one client. It comes back to us when the
//! client asks for a grant in the person's name, and says then which permission it stands on; or when it has her sign
//! in once more, and says then who must come.

use serde::Serialize;

use super::scopes::{EMAIL, GROUPS, PROFILE};
use crate::{
    app::{App, Idp},
    clock::Timestamp,
    ids::{ClientId, SessionId, UserId},
    jose::signer::SignError,
    oauth::{purpose::Role, scope::ScopeSet},
    token::{issue::Person, standing::Standing},
};

#[derive(Serialize)]
struct IdTokenClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    amr: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    /// Ours, as in access tokens: the permission that ends with it.
    grant_id: &'a str,
    #[serde(flatten)]
    told: Told<'a>,
}

/// What the scopes tell of a person (OpenID Connect Core §5.4).
#[derive(Serialize)]
pub(super) struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<&'a [String]>,
}

impl<'a> Told<'a> {
    pub(super) fn by(scope: &ScopeSet, standing: &'a Standing) -> Self {
        let has = |name: &str| scope.iter().any(|scope| scope.as_str() == name);
        let email = standing.email.as_deref().filter(|_| has(EMAIL));
        Self {
            name: standing.name.as_deref().filter(|_| has(PROFILE)),
            email,
            email_verified: email.map(|_| standing.email_verified),
            groups: has(GROUPS).then_some(standing.subject.groups.as_slice()),
        }
    }
}

/// Signs an ID token for the client of the person's grant.
pub fn sign(
    app: &App,
    idp: Idp<'_>,
    person: &Person,
    (scope, nonce): (&ScopeSet, Option<&str>),
    now: Timestamp,
) -> Result<String, SignError> {
    let Person { grant, standing } = person;
    let claims = IdTokenClaims {
        iss: app.config.issuer(Role::IdentityProvider).as_str(),
        sub: grant.user_id.as_str(),
        aud: grant.client_id.as_str(),
        exp: now.plus(app.config.lifetimes.id_token).as_secs(),
        iat: now.as_secs(),
        nonce,
        auth_time: grant.auth_time.map(Timestamp::as_secs),
        acr: grant.acr.as_deref(),
        amr: &grant.amr,
        sid: grant.session_id.as_ref().map(SessionId::as_str),
        grant_id: grant.id.as_str(),
        told: Told::by(scope, standing),
    };
    idp.keys.signer().sign("JWT", &claims)
}

/// Whom an ID token is about that this issuer gave this client, however long ago (OpenID Connect Core §3.1.2.2).
pub fn person(app: &App, idp: Idp<'_>, client: &ClientId, token: &str) -> Option<UserId> {
    let token = idp.keys.verify_own_id_token(token).ok()?;
    let ours = token.text("iss").ok()? == app.config.issuer(Role::IdentityProvider).as_str();
    let the_clients = token.audiences().ok()? == [client.as_str()];
    UserId::parse(token.text("sub").ok()?).filter(|_| ours && the_clients)
}
