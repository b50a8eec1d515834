//! From the parameters of an authorization request to one in which every part is checked (OAuth 2.1 §4.1.1).
//!
//! Until client and redirect URI are known to belong together, an error is a page of ours; after that it is sent
//! back to the client.

use crate::{
    clients::Client,
    config::{Config, resource::Resource},
    jose::Thumbprint,
    oauth::{
        authorization::{Prompt, Reply, ValidatedRequest},
        error::{ErrorCode, OAuthError},
        grant_type::GrantType,
        params::Params,
        pkce::CodeChallenge,
        redirect_uri::RedirectUri,
        resource::ResourceUri,
        scope::ScopeSet,
    },
    web::error::PageError,
};

/// The longest `state` that we carry; clients send up to a few hundred bytes.
const MAX_STATE_BYTES: usize = 4096;

/// Scopes that speak of the protocol and not of a resource. Clients send them by habit; whether a refresh token is
/// given follows from the client's grant types, and we issue no ID tokens to clients.
const PROTOCOL_SCOPES: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];

/// A request that is refused after its redirect URI proved right.
#[derive(Debug)]
pub struct Refused {
    /// Where the refusal goes.
    pub reply: Reply,
    /// The refusal.
    pub error: OAuthError,
}

/// Checks where an answer to this request may be sent (OAuth 2.1 §2.3.1). Any failure here is a page: nothing is
/// sent to an address that is not the client's.
pub fn reply_of(params: &Params, client: &Client) -> Result<Reply, PageError> {
    let redirect_uri = match (params.get("redirect_uri"), client.redirect_uris.as_slice()) {
        (None, [only]) => only.clone(),
        (None, _) => return Err(PageError::bad_application("It did not say where to send you back to.")),
        (Some(sent), registered) => RedirectUri::try_from(sent.to_owned())
            .ok()
            .filter(|sent| registered.iter().any(|known| known.admits(sent)))
            .ok_or_else(|| {
                PageError::bad_application(
                    "It wants to send you back to an address that is not registered for it.",
                )
                .with_reason(format!("redirect_uri not registered for {}", client.id))
            })?,
    };
    let state = params.get("state").map(str::to_owned);
    if state.as_ref().is_some_and(|state| state.len() > MAX_STATE_BYTES) {
        return Err(PageError::bad_application("Its request is too long."));
    }
    Ok(Reply { redirect_uri, state })
}

/// Checks everything else.
pub fn validate(
    params: &Params,
    client: &Client,
    reply: Reply,
    cross_site: bool,
    config: &Config,
) -> Result<ValidatedRequest, Refused> {
    match parts(params, client, config) {
        Err(error) => Err(Refused { reply, error }),
        Ok((challenge, resource, scope, prompt, dpop_jkt)) => Ok(ValidatedRequest {
            client: client.id.clone(),
            reply,
            challenge,
            resource: resource.id.clone(),
            scope,
            prompt,
            max_age: params.get("max_age").and_then(|seconds| seconds.parse().ok()),
            login_hint: params.get("login_hint").map(|hint| hint.chars().take(320).collect()),
            cross_site,
            dpop_jkt,
        }),
    }
}

fn parts<'a>(
    params: &Params,
    client: &Client,
    config: &'a Config,
) -> Result<(CodeChallenge, &'a Resource, ScopeSet, Prompt, Option<Thumbprint>), OAuthError> {
    let refuse = |code, text: &'static str| Err(OAuthError::new(code, text));
    if params.get("request").is_some() {
        return refuse(ErrorCode::RequestNotSupported, "request objects are not supported");
    }
    if params.get("request_uri").is_some() {
        return refuse(ErrorCode::RequestUriNotSupported, "request_uri is not supported");
    }
    if params.require("response_type")? != "code" {
        return refuse(ErrorCode::UnsupportedResponseType, "response_type must be code");
    }
    if params.get("response_mode").is_some_and(|mode| mode != "query") {
        return refuse(ErrorCode::InvalidRequest, "response_mode must be query");
    }
    if !client.may_use(GrantType::AuthorizationCode) {
        return refuse(ErrorCode::UnauthorizedClient, "this client may not use the authorization code grant");
    }
    if params.get("code_challenge_method").is_some_and(|method| method != "S256")
        || (params.get("code_challenge").is_some() && params.get("code_challenge_method").is_none())
    {
        return refuse(ErrorCode::InvalidRequest, "code_challenge_method must be S256");
    }
    let challenge = CodeChallenge::try_from(params.require("code_challenge")?.to_owned())
        .map_err(|text| OAuthError::new(ErrorCode::InvalidRequest, text))?;
    let resource = resource_of(params, client, config)?;
    let scope = match params.get("scope") {
        None => ScopeSet::default(),
        Some(text) => resource_scopes(
            &ScopeSet::parse(text).map_err(|text| OAuthError::new(ErrorCode::InvalidScope, text))?,
        ),
    };
    if !scope.is_empty() && !scope.iter().any(|scope| resource.scopes.contains_key(scope)) {
        return refuse(ErrorCode::InvalidScope, "the resource has none of the scopes asked for");
    }
    let dpop_jkt = params.get("dpop_jkt").map(|text| Thumbprint::try_from(text.to_owned())).transpose();
    let dpop_jkt = dpop_jkt.map_err(|_| {
        OAuthError::new(ErrorCode::InvalidRequest, "dpop_jkt must be the SHA-256 thumbprint of a key")
    })?;
    Ok((challenge, resource, scope, prompt_of(params)?, dpop_jkt))
}

/// Without the scopes that speak of the protocol and not of a resource.
pub fn resource_scopes(asked: &ScopeSet) -> ScopeSet {
    asked.iter().filter(|scope| !PROTOCOL_SCOPES.contains(&scope.as_str())).cloned().collect()
}

/// The one resource that a request is about (RFC 8707 §2): named, or the client's or the server's default, or the
/// only one there is. Several are refused, since a token has one audience.
pub fn resource_of<'a>(
    params: &Params,
    client: &Client,
    config: &'a Config,
) -> Result<&'a Resource, OAuthError> {
    let target = |text: &'static str| OAuthError::new(ErrorCode::InvalidTarget, text);
    let mut named = params.all("resource").map(|text| ResourceUri::try_from(text.to_owned()));
    let Some(first) = named.next() else {
        return default_resource(client, config).ok_or_else(|| {
            target("the parameter resource is missing: name the MCP server that the token is for")
        });
    };
    let first = first.map_err(target)?;
    for other in named {
        if other.map_err(target)? != first {
            return Err(target("a token is for one resource: ask for each separately"));
        }
    }
    config
        .resources
        .values()
        .find(|resource| resource.uri == first)
        .ok_or_else(|| target("this server does not protect the resource asked for"))
}

fn default_resource<'a>(client: &Client, config: &'a Config) -> Option<&'a Resource> {
    let declared = client.default_resource.as_ref().or(config.server.default_resource.as_ref());
    match declared {
        Some(id) => config.resources.get(id),
        None if config.resources.len() == 1 => config.resources.values().next(),
        None => None,
    }
}

fn prompt_of(params: &Params) -> Result<Prompt, OAuthError> {
    let mut prompt = Prompt::default();
    for word in params.get("prompt").unwrap_or_default().split(' ') {
        match word {
            "none" => prompt.none = true,
            "login" | "select_account" => prompt.login = true,
            "consent" => prompt.consent = true,
            _ => {}
        }
    }
    if prompt.none && (prompt.login || prompt.consent) {
        return Err(OAuthError::new(ErrorCode::InvalidRequest, "prompt=none stands alone"));
    }
    Ok(prompt)
}
