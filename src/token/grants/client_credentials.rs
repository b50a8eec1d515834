//! `client_credentials` (OAuth 2.1 §4.2, SEP-1046): a client speaks for itself.
//!
//! Only a declared client can hold this grant, and the configuration gives it to none that cannot prove itself or whose
//! id could be taken for a person's: `sub` is the `client_id` (RFC 9068 §2.2). There is no refresh token: a client that
//! proves itself anew needs none.

use std::sync::Arc;

use crate::{
    app::{App, Audience},
    audit::{About, Kind},
    authorize::request::{resource_of, resource_scopes},
    config::resource::Resource,
    ids::TokenId,
    oauth::{error::ErrorCode, scope::ScopeSet},
    policy::{self, Asked},
    token::{TokenRequest, issue::Issuance},
    web::error::ApiError,
};

/// Issues a token to the client itself.
pub async fn exchange<'a>(app: &'a Arc<App>, request: &TokenRequest) -> Result<Issuance<'a>, ApiError> {
    let client = request.client.client();
    let resource = resource_of(&request.params, client, &app.config)?;
    let scope = granted(request, resource)?;
    let now = app.clock.now();
    let token_id = TokenId::new(&app.clock, &app.entropy);
    let event = request
        .event(Kind::TokenIssued)
        .resource(&resource.uri)
        .scope(&scope)
        .detail("jti", &token_id)
        .detail("client_name", &client.name);
    let mut tx = request.begin(app, Audience::Resource(resource)).await?;
    app.record(&mut tx, &event).await?;
    tx.commit().await?;
    tracing::info!(client = %client.id, name = %client.name, resource = %resource.id, %scope, "token for the client itself");
    Ok(Issuance {
        client: client.id.clone(),
        person: None,
        audience: Audience::Resource(resource),
        nonce: None,
        scope,
        bound_to: request.bound_to().cloned(),
        refresh_token: None,
        delegation: None,
        token_id,
        now,
    })
}

/// What of the scopes asked for the policy grants; of the resource's defaults where none are asked for.
fn granted(request: &TokenRequest, resource: &Resource) -> Result<ScopeSet, ApiError> {
    let client = request.client.client();
    let scope = ScopeSet::parse(request.params.get("scope").unwrap_or_default())
        .map_err(|text| ApiError::new(ErrorCode::InvalidScope, text))?;
    let scope = resource_scopes(&scope);
    let decision =
        policy::decide_own(&client.own_scopes, Asked { client: &client.id, resource, scope: &scope });
    if decision.barred.is_none() && !decision.granted.is_empty() {
        return Ok(decision.granted);
    }
    let (code, text) = match decision.barred {
        Some(_) => (ErrorCode::InvalidTarget, "this client may not have tokens for the resource"),
        None => (ErrorCode::InvalidScope, "this client may have none of the scopes"),
    };
    let about = About::default().resource(&resource.uri).asked(&scope).rules(decision.reasons());
    Err(ApiError::new(code, text).with_reason(decision.to_string()).with_about(about))
}
