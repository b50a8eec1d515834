//! Token exchange (RFC 8693): the server of a resource was sent a person's access token, needs something of another
//! server to do what she wants, and trades the token for one that is good there.
//!
//! Two things must hold. The operator declared what the token's scopes are worth at the target (`exchange` of the
//! client); nothing else is, so scopes never widen. And the token that is presented is good in every respect at this
//! moment: [`subject`]. What is issued stands on the same grant, ends no later, names who acts, and has no refresh
//! token: whoever ends the grant ends everything that came of it.

mod resource;
mod subject;

use std::sync::Arc;

use crate::{
    app::App,
    config::{Config, resource::Resource},
    oauth::{
        error::{ErrorCode, OAuthError},
        resource::ResourceUri,
        token_exchange::ExchangeRequest,
    },
    token::{TokenRequest, issue::Issuance},
    web::error::ApiError,
};

/// Exchanges a token for one at the target that the request names.
pub async fn exchange<'a>(app: &'a Arc<App>, request: &TokenRequest) -> Result<Issuance<'a>, ApiError> {
    let asked = ExchangeRequest::parse(&request.params)?;
    let target = target_of(&asked, &app.config)?;
    resource::exchange(app, request, &asked, target).await
}

/// The one resource that the token is to be for, however often it is named: by its URI (RFC 8707 §2), or as an audience
/// by its URI or its name in the configuration.
fn target_of<'a>(asked: &ExchangeRequest<'_>, config: &'a Config) -> Result<&'a Resource, OAuthError> {
    let refuse = |text: &'static str| OAuthError::new(ErrorCode::InvalidTarget, text);
    let at = |uri: &ResourceUri| config.resources.values().find(|resource| resource.uri == *uri);
    let called = |name: &&str| {
        let by_name = config.resources.values().find(|resource| resource.id.as_str() == *name);
        by_name.or_else(|| at(&ResourceUri::try_from((*name).to_owned()).ok()?))
    };
    let mut named = asked.resources.iter().map(at).chain(asked.audiences.iter().map(called));
    let unknown = || refuse("this server does not protect the resource asked for");
    let first = named.next().ok_or_else(|| refuse("name the resource that the token is for"))?;
    let first = first.ok_or_else(unknown)?;
    for other in named {
        if other.ok_or_else(unknown)?.id != first.id {
            return Err(refuse("a token is for one resource: ask for each separately"));
        }
    }
    Ok(first)
}
