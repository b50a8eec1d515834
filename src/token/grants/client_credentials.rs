//! `client_credentials` (OAuth 2.1 §4.2, SEP-1046): a client speaks for itself.
//!
//! Only a declared client can hold this grant, and the configuration gives it to none that cannot prove itself or whose
//! id could be taken for a person's: `sub` is the `client_id` (RFC 9068 §2.2). There is no refresh token: a client that
//! proves itself anew needs none.

use std::sync::Arc;

use crate::{
    app::{App, Audience},
    audit::{About, Event, Kind},
    authorize::request::{resource_of, resource_scopes},
    config::resource::Resource,
    ids::TokenId,
    oauth::{error::ErrorCode, scope::ScopeSet},
    policy::{self, Asked},
    store::Tx,
    token::{TokenRequest, issue::Issuance},
    web::error::ApiError,
};

/// Issues a token to the client itself.
pub async fn exchange<'a>(app: &'a Arc<App>, request: &TokenRequest) -> Result<Issuance<'a>, ApiError> {
    let own = Own::of(app, request)?;
    let tx = request.begin(app, own.audience()).await?;
    own.issue(app, request, tx, |event| event).await
}

/// What a client may have for itself at the resource that it asks for.
pub(super) struct Own<'a> {
    resource: &'a Resource,
    scope: ScopeSet,
}

impl<'a> Own<'a> {
    /// Asks the policy.
    pub(super) fn of(app: &'a App, request: &TokenRequest) -> Result<Self, ApiError> {
        let resource = resource_of(&request.params, request.client.client(), &app.config)?;
        Ok(Self { resource, scope: granted(request, resource)? })
    }

    /// Who will accept the token.
    pub(super) const fn audience(&self) -> Audience<'a> {
        Audience::Resource(self.resource)
    }

    /// Records it, with what `told` adds, and commits.
    pub(super) async fn issue(
        self,
        app: &App,
        request: &TokenRequest,
        mut tx: Tx,
        told: impl FnOnce(Event) -> Event,
    ) -> Result<Issuance<'a>, ApiError> {
        let (audience, Self { resource, scope }) = (self.audience(), self);
        let client = request.client.client();
        let now = app.clock.now();
        let token_id = TokenId::new(&app.clock, &app.entropy);
        let event = request
            .event(Kind::TokenIssued)
            .resource(&resource.uri)
            .scope(&scope)
            .detail("jti", &token_id)
            .detail("client_name", &client.name);
        app.record(&mut tx, &told(event)).await?;
        tx.commit().await?;
        tracing::info!(client = %client.id, name = %client.name, resource = %resource.id, %scope, "token for the client itself");
        Ok(Issuance {
            client: client.id.clone(),
            person: None,
            audience,
            nonce: None,
            scope,
            bound_to: request.bound_to().cloned(),
            refresh_token: None,
            delegation: None,
            token_id,
            now,
        })
    }
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
