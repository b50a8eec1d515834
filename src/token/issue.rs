//! What leaves the token endpoints: the access token (RFC 9068), beside it the ID token where we are an identity
//! provider, and the response around them (RFC 6749 §5.1).

use serde::Serialize;

use crate::{
    app::{App, Audience},
    audit::{Event, Kind},
    clock::Timestamp,
    config::resource::TokenClaim,
    idp,
    ids::{ClientId, TokenId},
    jose::{Thumbprint, signer::SignError},
    oauth::{scope::ScopeSet, token_exchange::TokenType},
    secret::RefreshToken,
    store::grants::Grant,
    token::{TokenRequest, actor::Actor, standing::Standing},
    web::error::ApiError,
};

/// What a grant hands to the pipeline once everything is committed.
#[derive(Debug)]
pub struct Issuance<'a> {
    /// The client that gets it.
    pub client: ClientId,
    /// The person whom it stands for; none where the client stands for itself.
    pub person: Option<Person>,
    /// Who accepts it.
    pub audience: Audience<'a>,
    /// What ties an ID token to the authorization request.
    pub nonce: Option<String>,
    /// What it allows, at most what the grant does.
    pub scope: ScopeSet,
    /// The key that it is bound to (RFC 9449 §6).
    pub bound_to: Option<Thumbprint>,
    /// The refresh token that goes with it.
    pub refresh_token: Option<RefreshToken>,
    /// What another token that it was exchanged for makes of it.
    pub delegation: Option<Delegation>,
    /// The token's id, as recorded.
    pub token_id: TokenId,
    /// When it is issued.
    pub now: Timestamp,
}

/// The person behind a token.
#[derive(Debug)]
pub struct Person {
    /// The grant that the token is issued under.
    pub grant: Grant,
    /// Who she is at this moment.
    pub standing: Standing,
}

/// What becomes of a token that is issued for another one (RFC 8693).
#[derive(Debug)]
pub struct Delegation {
    /// Who acts for the person.
    pub actor: Actor,
    /// When the other one ends: this one does not outlive it.
    pub not_after: Timestamp,
}

/// What is recorded of a token request that concerns a grant.
pub fn event(kind: Kind, request: &TokenRequest, grant: &Grant, audience: Audience<'_>) -> Event {
    request.event(kind).user(&grant.user_id).resource(audience.uri()).grant(&grant.id)
}

/// A successful answer (RFC 6749 §5.1). `scope` is always stated.
#[derive(Serialize)]
pub struct TokenResponse {
    access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

/// The claims of an access token (RFC 9068 §2.2). `grant_id` is ours: the grant that the token stands on, by which we
/// know when it comes back to us whether it was ended.
#[derive(Serialize)]
struct AccessTokenClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
    iat: i64,
    jti: &'a str,
    client_id: &'a str,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    amr: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    org_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<&'a Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation<'a>>,
}

/// The key that a token is bound to (`cnf`, RFC 9449 §6.1).
#[derive(Serialize)]
pub struct Confirmation<'a> {
    /// Its thumbprint.
    pub jkt: &'a Thumbprint,
}

/// Signs the tokens and writes the response.
pub fn respond(app: &App, issuance: Issuance<'_>) -> Result<TokenResponse, ApiError> {
    let Issuance {
        client,
        person,
        audience,
        nonce,
        scope,
        bound_to,
        refresh_token,
        delegation,
        token_id,
        now,
    } = issuance;
    let mut expires_at = now.plus(audience.access_token_lasts(&app.config));
    if let Some(delegation) = &delegation {
        expires_at = expires_at.min(delegation.not_after);
    }
    let grant = person.as_ref().map(|person| &person.grant);
    let standing = person.as_ref().map(|person| &person.standing);
    let asks = |claim| match audience {
        Audience::Resource(resource) => resource.token_claims.contains(&claim),
        Audience::Idp(_) => false,
    };
    let scope_text = scope.to_string();
    let claims = AccessTokenClaims {
        iss: app.config.issuer(audience.role()).as_str(),
        sub: grant.map_or(client.as_str(), |grant| grant.user_id.as_str()),
        aud: audience.uri().as_str(),
        exp: expires_at.as_secs(),
        iat: now.as_secs(),
        jti: token_id.as_str(),
        client_id: client.as_str(),
        scope: &scope_text,
        auth_time: grant.and_then(|grant| grant.auth_time).map(Timestamp::as_secs),
        acr: grant.and_then(|grant| grant.acr.as_deref()),
        amr: grant.map_or(&[], |grant| &grant.amr),
        org_id: standing.and_then(|standing| standing.subject.organization.as_deref()),
        groups: standing
            .filter(|_| asks(TokenClaim::Groups))
            .map(|standing| standing.subject.groups.as_slice()),
        email: standing.filter(|_| asks(TokenClaim::Email)).and_then(|standing| standing.email.as_deref()),
        grant_id: grant.map(|grant| grant.id.as_str()),
        act: delegation.as_ref().map(|delegation| &delegation.actor),
        cnf: bound_to.as_ref().map(|jkt| Confirmation { jkt }),
    };
    let signer = app.keys_for(audience).signer();
    let access_token = signer.sign("at+jwt", &claims).map_err(unsigned)?;
    let id_token = match (audience, &person) {
        (Audience::Idp(idp), Some(person)) => {
            let signed = idp::id_token::sign(app, idp, person, (&scope, nonce.as_deref()), now);
            Some(signed.map_err(unsigned)?)
        }
        (Audience::Idp(_) | Audience::Resource(_), _) => None,
    };
    Ok(TokenResponse {
        access_token,
        issued_token_type: delegation.map(|_| TokenType::AccessToken.as_str()),
        token_type: if bound_to.is_some() { "DPoP" } else { "Bearer" },
        expires_in: u64::try_from(expires_at.as_secs() - now.as_secs()).unwrap_or(0),
        scope: scope_text,
        refresh_token: refresh_token.map(|token| token.expose().to_owned()),
        id_token,
    })
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn unsigned(error: SignError) -> ApiError {
    ApiError::unavailable(format!("signing: {error}"))
}
