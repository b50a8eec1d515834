//! The exchange for a token at another resource.

use std::sync::Arc;

use super::subject::{self, SubjectToken};
use crate::{
    app::{App, Audience},
    audit::{About, Kind},
    authorize::request::resource_scopes,
    clients::Client,
    config::resource::Resource,
    ids::{ClientId, TokenId},
    oauth::{error::ErrorCode, scope::ScopeSet, token_exchange::ExchangeRequest},
    policy::{self, Asked},
    store::grants,
    token::{
        TokenRequest,
        actor::Actor,
        issue::{self, Delegation, Issuance, Person},
    },
    web::error::ApiError,
};

/// Issues a token at `target` to the server of the resource that the subject token is for.
pub(super) async fn exchange<'a>(
    app: &Arc<App>,
    request: &TokenRequest,
    asked: &ExchangeRequest<'_>,
    target: &'a Resource,
) -> Result<Issuance<'a>, ApiError> {
    let refuse = |code, text: &'static str| Err(ApiError::new(code, text));
    let client = request.client.client();
    let served = client.exchange.as_ref().and_then(|exchange| app.config.resources.get(&exchange.own));
    let Some(own) = served else {
        return refuse(
            ErrorCode::UnauthorizedClient,
            "this client serves no resource whose tokens it may exchange",
        );
    };
    let subject = subject::verify(app, asked.subject, &client.id, own).await?;
    let scope = granted(client, &subject, asked.scope.as_ref(), target)?;
    let Some(actor) = Actor::after(&client.id, subject.actor) else {
        return refuse(
            ErrorCode::InvalidRequest,
            "too many servers have passed this subject token on already",
        );
    };

    let now = app.clock.now();
    let token_id = TokenId::new(&app.clock, &app.entropy);
    let chain: Vec<_> = actor.chain().map(ClientId::as_str).collect();
    let event = issue::event(Kind::TokenExchanged, request, &subject.grant, Audience::Resource(target))
        .scope(&scope)
        .detail("jti", &token_id)
        .detail("actors", chain.join(" "))
        .detail("subject_jti", &subject.id)
        .detail("subject_client", &subject.client)
        .detail("subject_resource", &own.uri)
        .detail("subject_scope", &subject.held);
    let mut tx = request.begin(app, Audience::Resource(target)).await?;
    if !grants::touch(&mut tx, &subject.grant.id, now).await? {
        return Err(subject::unusable("its grant ended meanwhile"));
    }
    app.record(&mut tx, &event).await?;
    tx.commit().await?;
    Ok(Issuance {
        client: client.id.clone(),
        person: Some(Person { grant: subject.grant, standing: subject.standing }),
        audience: Audience::Resource(target),
        nonce: None,
        scope,
        bound_to: request.bound_to().cloned(),
        refresh_token: None,
        delegation: Some(Delegation { actor, not_after: subject.expires_at }),
        token_id,
        now,
    })
}

/// What the subject token is worth at the target, of that what is asked for, and of that what the rules of the target
/// allow its user by this client.
fn granted(
    client: &Client,
    subject: &SubjectToken,
    asked: Option<&ScopeSet>,
    target: &Resource,
) -> Result<ScopeSet, ApiError> {
    let asked = asked.map(resource_scopes).unwrap_or_default();
    let about = About::default()
        .user(&subject.grant.user_id)
        .provider(&subject.standing.subject.provider)
        .grant(&subject.grant.id)
        .resource(&target.uri);
    let worth = client.exchange.as_ref().and_then(|exchange| exchange.worth(&subject.held, &target.id));
    let worth = worth.ok_or_else(|| {
        ApiError::new(ErrorCode::InvalidTarget, "this client may not exchange tokens for the resource")
            .with_about(about.clone().asked(&asked))
    })?;
    let scope = if asked.is_empty() { worth } else { worth.intersection(&asked) };
    let none = || {
        let text = "the subject token is worth none of the scopes at the resource";
        ApiError::new(ErrorCode::InvalidScope, text)
    };
    if scope.is_empty() {
        let reason = format!("worth nothing there, or nothing that was asked for: {}", subject.held);
        return Err(none().with_reason(reason).with_about(about.asked(&asked)));
    }
    let asked = Asked { client: &client.id, resource: target, scope: &scope };
    let decision = policy::decide(&subject.standing.subject, asked);
    if decision.barred.is_none() && !decision.granted.is_empty() {
        return Ok(decision.granted);
    }
    let error = if decision.barred.is_some() {
        let text = "this client may not have tokens for the resource for this user";
        ApiError::new(ErrorCode::InvalidTarget, text)
    } else {
        none()
    };
    let about = about.asked(&scope).rules(decision.reasons());
    Err(error.with_reason(decision.to_string()).with_about(about))
}
