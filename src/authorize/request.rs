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
        issuer::Issuer,
        params::Params,
        pkce::CodeChallenge,
        purpose::{Purpose, Role},
        redirect_uri::RedirectUri,
        resource::ResourceUri,
        scope::ScopeSet,
    },
    web::error::PageError,
};

/// The longest `state` that we carry; clients send up to a few hundred bytes.
const MAX_STATE_BYTES: usize = 4096;

/// The longest `nonce`; clients send a random text of some dozens, and it stands in every ID token.
const MAX_NONCE_BYTES: usize = 512;

/// The longest list of `acr_values`; a URN has some fifty.
const MAX_ACR_BYTES: usize = 1024;

/// Scopes that speak of the protocol and not of a resource. Clients send them by habit; whether a refresh token is
/// given follows from the client's grant types, and ID tokens are given at the other issuer.
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
pub fn reply_of(params: &Params, client: &Client, issuer: &Issuer) -> Result<Reply, PageError> {
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
    Ok(Reply { redirect_uri, state, issuer: issuer.clone() })
}

/// Checks everything else of a request that was made of us in this role.
pub fn validate(
    params: &Params,
    client: &Client,
    reply: Reply,
    cross_site: bool,
    (config, role): (&Config, Role),
) -> Result<ValidatedRequest, Refused> {
    let asked = check_form(params, client).and_then(|challenge| {
        let (purpose, scope) = match role {
            Role::AuthorizationServer => for_resource(params, client, config)?,
            Role::IdentityProvider => for_sign_in(params, client, config)?,
        };
        let (prompt, acr_values) = (prompt_of(params)?, acr_values_of(params)?);
        Ok((challenge, purpose, scope, prompt, acr_values, dpop_jkt_of(params)?))
    });
    match asked {
        Err(error) => Err(Refused { reply, error }),
        Ok((challenge, purpose, scope, prompt, acr_values, dpop_jkt)) => Ok(ValidatedRequest {
            client: client.id.clone(),
            reply,
            challenge,
            purpose,
            scope,
            prompt,
            max_age: params.get("max_age").and_then(|seconds| seconds.parse().ok()),
            acr_values,
            nonce: params.get("nonce").map(str::to_owned),
            login_hint: params.get("login_hint").map(|hint| hint.chars().take(320).collect()),
            person: None,
            cross_site,
            dpop_jkt,
        }),
    }
}

/// What must be right whatever is asked for.
fn check_form(params: &Params, client: &Client) -> Result<CodeChallenge, OAuthError> {
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
    if params.get("nonce").is_some_and(|nonce| nonce.len() > MAX_NONCE_BYTES) {
        return refuse(ErrorCode::InvalidRequest, "nonce is too long");
    }
    CodeChallenge::try_from(params.require("code_challenge")?.to_owned())
        .map_err(|text| OAuthError::new(ErrorCode::InvalidRequest, text))
}

fn scope_of(params: &Params) -> Result<ScopeSet, OAuthError> {
    ScopeSet::parse(params.get("scope").unwrap_or_default())
        .map_err(|text| OAuthError::new(ErrorCode::InvalidScope, text))
}

fn for_resource(
    params: &Params,
    client: &Client,
    config: &Config,
) -> Result<(Purpose, ScopeSet), OAuthError> {
    let resource = resource_of(params, client, config)?;
    let scope = resource_scopes(&scope_of(params)?);
    if !scope.is_empty() && !scope.iter().any(|scope| resource.scopes.contains_key(scope)) {
        let text = "the resource has none of the scopes asked for";
        return Err(OAuthError::new(ErrorCode::InvalidScope, text));
    }
    Ok((Purpose::Resource(resource.id.clone()), scope))
}

/// Sign-in (OpenID Connect Core §3.1.2.1): what the client may not learn, and what we do not know, is passed over.
fn for_sign_in(params: &Params, client: &Client, config: &Config) -> Result<(Purpose, ScopeSet), OAuthError> {
    if params.all("resource").next().is_some() {
        let text = "this issuer signs people in; a token for a resource is asked for elsewhere";
        return Err(OAuthError::new(ErrorCode::InvalidTarget, text));
    }
    let known = config.idp.as_ref().map(|idp| idp.scopes_of(&client.id)).unwrap_or_default();
    let scope = scope_of(params)?.intersection(&known);
    if !scope.iter().any(|scope| scope.as_str() == "openid") {
        return Err(OAuthError::new(ErrorCode::InvalidScope, "scope must contain openid"));
    }
    Ok((Purpose::SignIn, scope))
}

fn dpop_jkt_of(params: &Params) -> Result<Option<Thumbprint>, OAuthError> {
    let dpop_jkt = params.get("dpop_jkt").map(|text| Thumbprint::try_from(text.to_owned())).transpose();
    dpop_jkt.map_err(|_| {
        OAuthError::new(ErrorCode::InvalidRequest, "dpop_jkt must be the SHA-256 thumbprint of a key")
    })
}

fn acr_values_of(params: &Params) -> Result<Vec<String>, OAuthError> {
    let values = params.get("acr_values").unwrap_or_default();
    if values.len() > MAX_ACR_BYTES {
        return Err(OAuthError::new(ErrorCode::InvalidRequest, "acr_values is too long"));
    }
    Ok(values.split_whitespace().map(str::to_owned).collect())
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
