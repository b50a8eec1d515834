//! Token exchange (RFC 8693): the server of a resource was sent a person's access token, needs something elsewhere to
//! do what she wants, and trades the token for one that is good there: at another resource, or at a vendor where she
//! has connected an account.
//!
//! Two things must hold. The operator declared what the token's scopes are worth at the target (`exchange` of the
//! client, `use` of a connection); nothing else is, so scopes never widen. And the token that is presented is good in
//! every respect at this moment: [`subject`]. For a job that has no person's token, and names her instead, the operator
//! opened the connection to its client (`offline` of a connection). What is issued stands on the same grant, ends no
//! later, names who acts, and has no refresh token: whoever ends the grant ends everything that came of it.

mod resource;
mod subject;

use std::sync::Arc;

pub use self::subject::{SubjectToken, unusable};
use crate::{
    app::App,
    config::{Config, connection::Connection, resource::Resource},
    oauth::{
        error::{ErrorCode, OAuthError},
        resource::ResourceUri,
        token_exchange::{ExchangeRequest, TokenType},
    },
    token::{TokenRequest, issue::Issuance},
    vault::vend,
    web::error::ApiError,
};

/// What comes of an exchange.
#[derive(Debug)]
pub enum Exchanged<'a> {
    /// A token of ours, to be signed.
    Issued(Box<Issuance<'a>>),
    /// What the vault has to say: a vendor's token, or where its person has to go first.
    Vended(vend::Answer),
}

/// What a token is wanted for.
#[derive(Debug, Clone, Copy)]
enum Target<'c, 'p> {
    /// Another resource.
    Resource(&'c Resource),
    /// A connection, and which of the person's accounts if not the one that she prefers.
    Connection(&'c Connection, Option<&'p str>),
}

/// Exchanges a token for one at the target that the request names.
pub async fn exchange<'a>(app: &'a Arc<App>, request: &TokenRequest) -> Result<Exchanged<'a>, ApiError> {
    let asked = ExchangeRequest::parse(&request.params)?;
    let refuse = |text: &'static str| Err(ApiError::new(ErrorCode::InvalidRequest, text));
    if asked.requested.is_some_and(|wanted| wanted != TokenType::AccessToken) {
        return refuse("requested_token_type must be that of an access token");
    }
    if asked.actor.is_some() {
        return refuse("actor_token is not supported: the client itself is who acts");
    }
    let client = request.client.client();
    let own = client.serves.as_ref().and_then(|own| app.config.resources.get(own));
    let is_job = asked.subject.token_type == TokenType::User;
    let may_use = |connection: &Connection| match own {
        _ if is_job => connection.offline.clients.contains(&client.id),
        Some(own) => connection.uses.of(&own.id).is_some(),
        None => false,
    };
    let (connection, account) = match target_of(&asked, &app.config, may_use)? {
        Target::Connection(connection, account) => (connection, account),
        Target::Resource(target) => {
            let issuance = resource::exchange(app, request, &asked, target).await?;
            return Ok(Exchanged::Issued(Box::new(issuance)));
        }
    };
    let scope = asked.scope.as_ref();
    let vend =
        async |whom| vend::vend(app, request, &vend::Wanted { connection, account, scope, whom }).await;
    let answer = match own {
        _ if is_job => {
            let user = subject::named(app, asked.subject, &client.id).await?;
            vend(vend::Whom::Absent(&user)).await?
        }
        Some(own) => {
            let subject = subject::verify(app, asked.subject, &client.id, own).await?;
            vend(vend::Whom::Present { own, subject: &subject }).await?
        }
        None => return Err(unknown().into()),
    };
    Ok(Exchanged::Vended(answer))
}

/// The one thing that the token is to be for, however often it is named: a resource by its URI (RFC 8707 §2), or as an
/// audience by its URI or its name in the configuration; a connection by a URL of its API, or as an audience by its
/// name, behind which a slash and an account may follow. Connections that the client may not use are unknown to it.
fn target_of<'c, 'p>(
    asked: &ExchangeRequest<'p>,
    config: &'c Config,
    may_use: impl Fn(&Connection) -> bool,
) -> Result<Target<'c, 'p>, OAuthError> {
    let refuse = |text: &'static str| OAuthError::new(ErrorCode::InvalidTarget, text);
    let uses = |found: &&Connection| may_use(found);
    let at = |uri: &ResourceUri| {
        let resource = config.resources.values().find(|resource| resource.uri == *uri);
        let connection = || config.connections.by_resource(uri).filter(uses);
        resource.map(Target::Resource).or_else(|| Some(Target::Connection(connection()?, None)))
    };
    let called = |name: &'p str| {
        if let Some(resource) = config.resources.values().find(|resource| resource.id.as_str() == name) {
            return Some(Target::Resource(resource));
        }
        let (name_alone, account) = match name.split_once('/') {
            Some((before, account)) => (before, Some(account)),
            None => (name, None),
        };
        if let Some(connection) = config.connections.by_audience(name_alone).filter(uses) {
            return Some(Target::Connection(connection, account));
        }
        at(&ResourceUri::try_from(name.to_owned()).ok()?)
    };
    let mut named = asked.resources.iter().map(at).chain(asked.audiences.iter().map(|name| called(name)));
    let first = named.next().ok_or_else(|| refuse("name the resource that the token is for"))?;
    let first = first.ok_or_else(unknown)?;
    for other in named {
        if !first.is(&other.ok_or_else(unknown)?) {
            return Err(refuse("a token is for one resource: ask for each separately"));
        }
    }
    Ok(first)
}

impl Target<'_, '_> {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Resource(one), Self::Resource(two)) => one.id == two.id,
            (Self::Connection(one, whose), Self::Connection(two, others)) => {
                one.name == two.name && whose == others
            }
            _ => false,
        }
    }
}

/// One answer for what does not exist and for what is not this client's to name.
fn unknown() -> OAuthError {
    OAuthError::new(ErrorCode::InvalidTarget, "this server does not protect the resource asked for")
}
