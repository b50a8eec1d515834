//! The subject token: an access token of ours that a client sent to a resource, presented by that resource's own
//! server.
//!
//! It is checked as strictly as the server had to, and then against what only we know: whether the grant that it stands
//! on is in force, and what of its scopes the person still may have and allows. Its server is taken at its word that it
//! was sent the token: where the token is bound to a key (RFC 9449), the server saw the proof, and cannot repeat it.

use std::time::Duration;

use crate::{
    app::App,
    audit::About,
    clock::Timestamp,
    config::resource::Resource,
    ids::{ClientId, GrantId, UserId},
    jose::{Verified, VerifyError},
    oauth::{
        error::ErrorCode,
        purpose::Role,
        scope::ScopeSet,
        token_exchange::{Presented, TokenType},
    },
    policy::{self, Asked},
    store::grants::{self, Grant},
    token::{
        actor::{self, Actor},
        standing::{self, Standing},
    },
    web::error::ApiError,
};

/// How far the clock of another instance of ours may be ahead.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// A person's access token that is good at this moment.
#[derive(Debug)]
pub struct SubjectToken {
    /// Its id (`jti`).
    pub id: String,
    /// Whom it was issued to.
    pub client: ClientId,
    /// What it stands on.
    pub grant: Grant,
    /// Who the person is at this moment.
    pub standing: Standing,
    /// What of its scopes she may have and allows today.
    pub held: ScopeSet,
    /// Who acted for her to get it.
    pub actor: Option<Actor>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Why a token cannot be exchanged.
#[derive(Debug, thiserror::Error)]
enum SubjectError {
    #[error(transparent)]
    Jwt(#[from] VerifyError),
    #[error("iss is not our issuer")]
    Issuer,
    #[error("aud is not the resource that this client serves, alone")]
    Audience,
    #[error("it stands on no grant: no person is behind it")]
    NoGrant,
    #[error("its claim {0} cannot be understood")]
    Claim(&'static str),
    #[error("may_act does not admit this client")]
    MayAct,
    #[error("its grant is unknown")]
    UnknownGrant,
    #[error("its grant was ended")]
    Ended,
    #[error("its grant is another person's")]
    Subject,
    #[error("the resource of its grant is no longer configured")]
    Resource,
    #[error("it is not the id of a person")]
    NoId,
}

/// What the token itself says.
struct Claims {
    id: String,
    client: ClientId,
    user: String,
    grant: GrantId,
    scope: ScopeSet,
    actor: Option<Actor>,
    expires_at: Timestamp,
}

/// Verifies a token that the server of `own` presents.
pub(super) async fn verify(
    app: &App,
    presented: Presented<'_>,
    server: &ClientId,
    own: &Resource,
) -> Result<SubjectToken, ApiError> {
    if presented.token_type != TokenType::AccessToken {
        let text = "subject_token_type must be that of an access token";
        return Err(ApiError::new(ErrorCode::InvalidRequest, text));
    }
    let claims = app
        .keys
        .verify_own(presented.token)
        .map_err(SubjectError::from)
        .and_then(|verified| read(app, &verified, server, own))
        .map_err(unusable)?;
    let grant = grants::find(&app.db, &claims.grant).await?;
    let grant = in_force(grant, &claims, app.clock.now()).map_err(|error| {
        unusable(error).with_about(About::default().grant(&claims.grant).asked(&claims.scope))
    })?;
    let (standing, held) = confirm(app, &grant, &claims, own).await.map_err(|error| {
        let about = error.about().cloned().unwrap_or_default();
        let about = about.user(&grant.user_id).client(server).grant(&grant.id);
        if error.is_fault() { error } else { unusable(error.reason()).with_about(about) }
    })?;
    let Claims { id, client, actor, expires_at, .. } = claims;
    Ok(SubjectToken { id, client, grant, standing, held, actor, expires_at })
}

/// The person whom a job names, if she would be let in today.
pub(super) async fn named(
    app: &App,
    presented: Presented<'_>,
    client: &ClientId,
) -> Result<UserId, ApiError> {
    let user = UserId::parse(presented.token).ok_or_else(|| unusable(SubjectError::NoId))?;
    standing::confirm_absent(app, &user, client).await.map_err(|error| {
        let about = error.about().cloned().unwrap_or_default();
        if error.is_fault() { error } else { unusable(error.reason()).with_about(about) }
    })?;
    Ok(user)
}

/// The claims of a token whose signature holds.
fn read(app: &App, verified: &Verified, server: &ClientId, own: &Resource) -> Result<Claims, SubjectError> {
    let issuer = &app.config.server.issuer;
    let now = app.clock.now();
    if verified.text("iss")? != issuer.as_str() {
        return Err(SubjectError::Issuer);
    }
    if verified.audiences()? != [own.uri.as_str()] {
        return Err(SubjectError::Audience);
    }
    let expires_at = verified.check_times(now, CLOCK_SKEW, None)?.expires_at;
    if expires_at <= now {
        // What is issued for it ends with it.
        return Err(VerifyError::Expired.into());
    }
    let claims = verified.claims();
    if claims.get("may_act").is_some_and(|may_act| !actor::admits(may_act, server, issuer)) {
        return Err(SubjectError::MayAct);
    }
    if !claims.contains_key("grant_id") {
        return Err(SubjectError::NoGrant);
    }
    let actor = claims.get("act").map(|act| serde_json::from_value(act.clone())).transpose();
    Ok(Claims {
        id: verified.text("jti")?.to_owned(),
        client: ClientId::try_from(verified.text("client_id")?.to_owned())
            .map_err(|_| SubjectError::Claim("client_id"))?,
        user: verified.text("sub")?.to_owned(),
        grant: GrantId::parse(verified.text("grant_id")?).ok_or(SubjectError::Claim("grant_id"))?,
        scope: ScopeSet::parse(verified.text("scope")?).map_err(|_| SubjectError::Claim("scope"))?,
        actor: actor.map_err(|_| SubjectError::Claim("act"))?,
        expires_at,
    })
}

fn in_force(grant: Option<Grant>, claims: &Claims, now: Timestamp) -> Result<Grant, SubjectError> {
    let grant = grant.ok_or(SubjectError::UnknownGrant)?;
    if grant.revoked_at.is_some() || grant.expires_at <= now {
        return Err(SubjectError::Ended);
    }
    if grant.user_id.as_str() != claims.user {
        return Err(SubjectError::Subject);
    }
    Ok(grant)
}

/// Who the person is today, and what of the token's scopes she may have and allows. A token that was itself exchanged
/// needs both: its grant, which is for another resource, and what the rules say to its server here.
async fn confirm(
    app: &App,
    grant: &Grant,
    claims: &Claims,
    own: &Resource,
) -> Result<(Standing, ScopeSet), ApiError> {
    let granted = app
        .audience(&grant.purpose)
        .filter(|granted| granted.role() == Role::AuthorizationServer)
        .filter(|granted| granted.uri().as_str() == grant.audience)
        .ok_or_else(|| unusable(SubjectError::Resource))?;
    let exchanged = claims.actor.is_some();
    let scope = if exchanged { &grant.scope } else { &claims.scope };
    let (standing, held) = standing::confirm_grant(app, grant, granted, scope).await?;
    if !exchanged {
        return Ok((standing, held));
    }
    let asked = Asked { client: &claims.client, resource: own, scope: &claims.scope };
    // Of no scope the policy grants the resource's defaults, which must not slip in.
    let held = policy::decide(&standing.subject, asked).granted.intersection(&claims.scope);
    Ok((standing, held))
}

/// RFC 8693 §2.2.2 has one code for whatever is wrong with a subject token.
pub fn unusable(why: impl std::fmt::Display) -> ApiError {
    let text = "the subject token is invalid, expired, ended, or not for this client to exchange";
    ApiError::new(ErrorCode::InvalidRequest, text).with_reason(format!("subject token: {why}"))
}
