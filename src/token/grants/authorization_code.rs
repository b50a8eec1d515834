//! `authorization_code` (OAuth 2.1 §4.1.3).

use std::sync::Arc;

use sqlx::types::Json;

use crate::{
    app::{App, Audience},
    audit::{About, Kind},
    ids::{GrantId, TokenId},
    oauth::{error::ErrorCode, grant_type::GrantType, pkce, resource::ResourceUri},
    secret::{AuthorizationCode, RefreshToken},
    store::{
        codes::{self, Code},
        grants::{self, Grant, GrantOrigin},
        refresh_tokens,
    },
    token::{
        TokenRequest,
        issue::{self, Issuance, Person},
        lose, recheck, standing,
    },
    web::error::ApiError,
};

/// Exchanges a code for a grant and its first tokens.
pub async fn exchange<'a>(app: &'a Arc<App>, request: &TokenRequest) -> Result<Issuance<'a>, ApiError> {
    let (code, audience) = verify(app, request).await?;
    let now = app.clock.now();
    if code.consumed_at.is_some() {
        return Err(replayed(app, request, &code).await);
    }
    if code.expires_at <= now {
        return Err(dead("the code has expired"));
    }
    let permission = &code.permission;
    let user = (&code.user_id, &permission.identity_id);
    let (standing, scope) =
        standing::confirm(app, user, &code.client_id, audience, &permission.scope).await?;
    let account = (&standing.subject.provider, &permission.identity_id);
    recheck::confirm(app, account, code.session_id.as_ref(), &request.origin)
        .await
        .map_err(|error| error.with_about(About::default().user(&code.user_id).provider(account.0)))?;

    let client = request.client.client();
    let expires_at = now.plus(app.config.lifetimes.refresh_absolute);
    let grant = Grant {
        id: GrantId::new(&app.clock, &app.entropy),
        user_id: code.user_id.clone(),
        identity_id: permission.identity_id.clone(),
        origin: GrantOrigin::Consent,
        session_id: code.session_id.clone(),
        client_id: code.client_id.clone(),
        purpose: permission.purpose.clone(),
        audience: audience.uri().as_str().to_owned(),
        scope: permission.scope.clone(),
        auth_time: Some(permission.auth_time),
        acr: permission.acr.clone(),
        amr: Json(permission.amr.clone()),
        jkt: request.bound_to().filter(|_| client.is_public()).cloned(),
        created_at: now,
        last_used_at: now,
        expires_at,
        revoked_at: None,
    };
    let refresh_token = client.may_use(GrantType::RefreshToken).then(|| RefreshToken::new(&app.entropy));
    let token_id = TokenId::new(&app.clock, &app.entropy);

    let mut tx = request.begin(app, audience).await?;
    if !codes::consume(&mut tx, &code.hash, &grant.id, now).await? {
        lose(app, tx).await?;
        return Err(replayed(app, request, &code).await);
    }
    grants::insert(&mut tx, &grant).await?;
    if let Some(token) = &refresh_token {
        let idle = now.plus(app.config.lifetimes.refresh_idle).min(expires_at);
        refresh_tokens::insert(&mut tx, &token.hash(), &grant.id, now, idle).await?;
    }
    crate::store::clients::touch(&mut tx, &grant.client_id, now).await?;
    app.record(
        &mut tx,
        &issue::event(Kind::TokenIssued, request, &grant, audience).scope(&scope).detail("jti", &token_id),
    )
    .await?;
    tx.commit().await?;
    let nonce = code.permission.0.nonce;
    let person = Some(Person { grant, standing });
    Ok(Issuance {
        client: code.client_id,
        person,
        audience,
        nonce,
        scope,
        bound_to: request.bound_to().cloned(),
        refresh_token,
        delegation: None,
        token_id,
        now,
    })
}

/// Everything that can be checked without changing anything: the code exists, is this client's, and was asked for with
/// this verifier, redirect URI and resource.
async fn verify<'a>(app: &'a App, request: &TokenRequest) -> Result<(Code, Audience<'a>), ApiError> {
    let params = &request.params;
    let sent = params.require("code")?;
    let verifier = params.require("code_verifier")?;
    if !pkce::is_verifier(verifier) {
        return Err(ApiError::new(
            ErrorCode::InvalidRequest,
            "code_verifier is 43 to 128 unreserved characters",
        ));
    }
    let code = AuthorizationCode::parse(sent).ok_or_else(|| dead("not a code of ours"))?;
    let code = codes::find(&app.db, &code.hash()).await?.ok_or_else(|| dead("no such code"))?;
    let permission = &code.permission;
    // Names of clients mean something to one of our issuers alone, so this one goes first.
    if permission.purpose.role() != request.role {
        return Err(dead("the code is the other issuer's"));
    }
    if code.client_id != request.client.client().id {
        return Err(dead("the code was issued to another client"));
    }
    if params.get("redirect_uri").is_some_and(|uri| uri != permission.redirect_uri.as_str()) {
        return Err(dead("redirect_uri is not the one of the authorization request"));
    }
    if !permission.challenge.is_met_by(verifier) {
        return Err(dead("code_verifier does not match"));
    }
    if permission.jkt.as_ref().is_some_and(|key| !request.proves(key)) {
        return Err(dead("the code is bound to a key that the request does not prove"));
    }
    let audience = app
        .audience(&permission.purpose)
        .ok_or_else(|| dead("what the code is for is no longer configured"))?;
    check_resource(request, audience)?;
    Ok((code, audience))
}

/// A `resource` at the token endpoint may only repeat the one of the grant (RFC 8707 §2.2).
pub(super) fn check_resource(request: &TokenRequest, granted: Audience<'_>) -> Result<(), ApiError> {
    let matches = |text: &str| ResourceUri::try_from(text.to_owned()).is_ok_and(|uri| uri == *granted.uri());
    if request.params.all("resource").all(matches) {
        Ok(())
    } else {
        Err(ApiError::new(ErrorCode::InvalidTarget, "the grant is for another resource"))
    }
}

/// A second use that is otherwise right means that the code leaked: what the first use got is ended
/// (OAuth 2.1 §7.5.2).
async fn replayed(app: &App, request: &TokenRequest, code: &Code) -> ApiError {
    match end_what_came_of(app, request, code).await {
        Ok(()) => dead("the code was used before"),
        Err(fault) => fault,
    }
}

async fn end_what_came_of(app: &App, request: &TokenRequest, code: &Code) -> Result<(), ApiError> {
    let Some(Code { grant_id: Some(grant), .. }) = codes::find(&app.db, &code.hash).await? else {
        return Ok(());
    };
    let mut tx = request.spend(app).await?;
    if grants::revoke(&mut tx, &grant, app.clock.now()).await? {
        let event = request.event(Kind::CodeReused).user(&code.user_id).grant(&grant);
        app.record(&mut tx, &event).await?;
    }
    tx.commit().await?;
    Ok(())
}

fn dead(reason: &'static str) -> ApiError {
    ApiError::new(ErrorCode::InvalidGrant, "the code is invalid, expired or was used before")
        .with_reason(reason)
}
