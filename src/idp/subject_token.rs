//! What a client presents when it asks for a grant in a person's name: an ID token or a refresh token of this issuer,
//! and either stands on the permission that she gave the client when she signed in.

use std::sync::Arc;

use crate::{
    app::{App, Audience, Idp},
    audit::About,
    ids::GrantId,
    jose::{Verified, VerifyError},
    oauth::{
        error::ErrorCode,
        purpose::{Purpose, Role},
        token_exchange::{Presented, TokenType},
    },
    store::grants::{self, Grant},
    token::{
        TokenRequest,
        grants::refresh_token,
        recheck,
        standing::{self, Standing},
    },
    web::error::ApiError,
};

/// A person who signed in for the client, who she is at this moment, and the permission that says so.
pub(super) struct SignedIn {
    pub(super) grant: Grant,
    pub(super) standing: Standing,
}

impl SignedIn {
    /// What the record says of her.
    pub(super) fn about(&self) -> About {
        let Self { grant, standing } = self;
        About::default().user(&grant.user_id).provider(&standing.subject.provider).grant(&grant.id)
    }
}

/// Why an ID token says nothing.
#[derive(Debug, thiserror::Error)]
enum SubjectError {
    #[error(transparent)]
    Jwt(#[from] VerifyError),
    #[error("iss is not this issuer")]
    Issuer,
    #[error("aud is not the client alone")]
    Audience,
    #[error("it names no permission")]
    NoGrant,
    #[error("the permission behind it has ended")]
    Ended,
    #[error("the permission behind it is not hers, this client's, or for sign-in")]
    Foreign,
}

/// Verifies what is presented, and asks whether the person still stands as she did.
pub(super) async fn verify(
    app: &Arc<App>,
    idp: Idp<'_>,
    request: &TokenRequest,
    presented: Presented<'_>,
) -> Result<SignedIn, ApiError> {
    let grant = match presented.token_type {
        TokenType::IdToken => of_id_token(app, idp, request, presented.token).await?,
        TokenType::RefreshToken => {
            let verified = refresh_token::verify(app, request, presented.token).await?;
            // It is left as it is, and counts as it would in a refresh: one that was used and replaced does not.
            refresh_token::retried(app, request, &verified).await?;
            verified.grant
        }
        TokenType::AccessToken | TokenType::IdJag | TokenType::Jwt | TokenType::User => {
            let text = "subject_token_type must be that of an ID token or a refresh token";
            return Err(ApiError::new(ErrorCode::InvalidRequest, text));
        }
    };
    let user = (&grant.user_id, &grant.identity_id);
    let (standing, _) =
        standing::confirm(app, user, &grant.client_id, Audience::Idp(idp), &grant.scope).await?;
    let account = (&standing.subject.provider, &grant.identity_id);
    recheck::confirm(app, account, grant.session_id.as_ref(), &request.origin).await?;
    Ok(SignedIn { grant, standing })
}

async fn of_id_token(
    app: &App,
    idp: Idp<'_>,
    request: &TokenRequest,
    token: &str,
) -> Result<Grant, ApiError> {
    let verified = idp.keys.verify_own_id_token(token).map_err(SubjectError::from);
    let verified =
        verified.and_then(|verified| check(app, request, verified)).map_err(|why| unusable(&why))?;
    let id = verified.text("grant_id").ok().and_then(GrantId::parse);
    let id = id.ok_or_else(|| unusable(&SubjectError::NoGrant))?;
    let grant = grants::find(&app.db, &id).await?.ok_or_else(|| unusable(&SubjectError::Ended))?;
    in_force(app, request, &verified, grant).map_err(|why| unusable(&why))
}

/// What an ID token whose signature holds must say (draft-ietf-oauth-identity-assertion-authz-grant §4.3.3): it is of
/// this issuer, for the client that presents it and nobody else, and not over. It is our own, so no clock can differ.
fn check(app: &App, request: &TokenRequest, verified: Verified) -> Result<Verified, SubjectError> {
    if verified.text("iss")? != app.config.issuer(Role::IdentityProvider).as_str() {
        return Err(SubjectError::Issuer);
    }
    if verified.audiences()? != [request.client.client().id.as_str()] {
        return Err(SubjectError::Audience);
    }
    if verified.date("exp")?.is_none_or(|expires_at| expires_at <= app.clock.now()) {
        return Err(VerifyError::Expired.into());
    }
    Ok(verified)
}

fn in_force(
    app: &App,
    request: &TokenRequest,
    verified: &Verified,
    grant: Grant,
) -> Result<Grant, SubjectError> {
    if grant.revoked_at.is_some() || grant.expires_at <= app.clock.now() {
        return Err(SubjectError::Ended);
    }
    let hers = verified.text("sub")? == grant.user_id.as_str();
    let the_clients = grant.client_id == request.client.client().id;
    if !hers || !the_clients || grant.purpose != Purpose::SignIn {
        return Err(SubjectError::Foreign);
    }
    Ok(grant)
}

fn unusable(why: &SubjectError) -> ApiError {
    ApiError::new(ErrorCode::InvalidGrant, "the subject token is invalid, expired or was revoked")
        .with_reason(format!("subject token: {why}"))
}
