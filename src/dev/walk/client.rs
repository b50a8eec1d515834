//! The MCP client: finds its authorization server, registers, asks for tokens and calls tools, as the MCP
//! authorization specification tells clients to.

use reqwest::{
    Request, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{
    Deviation, WalkError,
    wire::{Answer, Wire, get},
};
use crate::{entropy::Entropy, oauth::pkce::CodeChallenge};

/// The protocol version that the client speaks: the newest that most clients of today have.
const PROTOCOL_VERSION: &str = "2025-11-25";

/// What the client reads of RFC 8414 metadata.
#[derive(Debug, Deserialize)]
pub(super) struct ServerMetadata {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) registration_endpoint: Url,
    pub(super) code_challenge_methods_supported: Vec<String>,
    pub(super) authorization_response_iss_parameter_supported: bool,
}

/// A client that is registered.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) redirect_uri: Url,
    pub(super) server: ServerMetadata,
    pub(super) entropy: Entropy,
}

/// What the client remembers while the browser is away.
pub(super) struct Pending {
    pub(super) url: Url,
    state: String,
    verifier: String,
    resource: String,
}

/// A token response (RFC 6749 §5.1).
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) access_token: String,
    pub(super) refresh_token: String,
    token_type: String,
    pub(super) scope: String,
}

/// The metadata of an issuer, by the first address that the MCP specification names.
pub(super) async fn discover(wire: &mut Wire<'_>, issuer: &str) -> Result<ServerMetadata, WalkError> {
    let url = Url::parse(issuer).map_err(|_| Deviation::new("an issuer URL", issuer))?;
    let path = url.path().trim_end_matches('/');
    let origin = url.origin().ascii_serialization();
    let address = parse(&format!("{origin}/.well-known/oauth-authorization-server{path}"))?;
    let document = wire.send(get(address)).await?.expect(StatusCode::OK)?.json()?;
    let server: ServerMetadata = read(document)?;
    Deviation::unless(server.issuer == issuer, || format!("the issuer {issuer}"), || server.issuer.clone())?;
    let s256 = server.code_challenge_methods_supported.iter().any(|method| method == "S256");
    Deviation::unless(
        s256 && server.authorization_response_iss_parameter_supported,
        || "PKCE with S256 and iss in the answer".to_owned(),
        || format!("{server:?}"),
    )?;
    Ok(server)
}

/// Registers dynamically (RFC 7591), as a public client on this machine.
pub(super) async fn register(
    wire: &mut Wire<'_>,
    server: ServerMetadata,
    redirect_uri: Url,
    entropy: Entropy,
) -> Result<Client, WalkError> {
    let metadata = json!({
        "client_name": "Chancery walk",
        "redirect_uris": [redirect_uri],
        "application_type": "native",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    let request = post_json(&server.registration_endpoint, &metadata);
    let answer = wire.send(request).await?.expect(StatusCode::CREATED)?.json()?;
    let id = text(&answer, "client_id")?;
    Ok(Client { id, redirect_uri, server, entropy })
}

impl Client {
    /// An authorization request with PKCE, `state` and `resource`; without `scope`, the server's default is asked.
    pub(super) fn authorization_request(&self, resource: &str, scope: Option<&str>) -> Pending {
        let (state, verifier) = (self.entropy.token(), self.entropy.token());
        let mut url = self.server.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.id)
            .append_pair("redirect_uri", self.redirect_uri.as_str())
            .append_pair("state", &state)
            .append_pair("code_challenge", CodeChallenge::of(&verifier).as_str())
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", resource);
        if let Some(scope) = scope {
            url.query_pairs_mut().append_pair("scope", scope);
        }
        Pending { url, state, verifier, resource: resource.to_owned() }
    }

    /// The tokens for what the browser brought back: `state` and `iss` must be ours and the issuer's (RFC 9207).
    pub(super) async fn redeem(
        &self,
        wire: &mut Wire<'_>,
        callback: &Url,
        pending: &Pending,
    ) -> Result<Tokens, WalkError> {
        let answer = |name: &str| {
            let value = callback.query_pairs().find(|(known, _)| known == name);
            value.map(|(_, value)| value.into_owned())
        };
        for (name, expected) in [("state", &pending.state), ("iss", &self.server.issuer)] {
            let got = answer(name);
            Deviation::unless(
                got.as_ref() == Some(expected),
                || format!("{name} to be {expected}"),
                || format!("{got:?}"),
            )?;
        }
        let code =
            answer("code").ok_or_else(|| Deviation::new("a code", &format!("{:?}", answer("error"))))?;
        wire.note(
            "The answer has our state and the issuer's name; the code goes back with the PKCE verifier.",
        )?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("code_verifier", &pending.verifier),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("resource", &pending.resource),
        ];
        tokens(&self.token_request(wire, &form).await?.expect(StatusCode::OK)?)
    }

    /// The answer to a refresh, whatever it is.
    pub(super) async fn refresh(
        &self,
        wire: &mut Wire<'_>,
        refresh_token: &str,
        resource: &str,
    ) -> Result<Answer, WalkError> {
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", refresh_token), ("resource", resource)];
        self.token_request(wire, &form).await
    }

    async fn token_request(&self, wire: &mut Wire<'_>, form: &[(&str, &str)]) -> Result<Answer, WalkError> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .append_pair("client_id", &self.id)
            .finish();
        let mut request = Request::new(reqwest::Method::POST, self.server.token_endpoint.clone());
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, form_type);
        *request.body_mut() = Some(body.into());
        wire.send(request).await
    }
}

/// A successful token response: a bearer token that no cache may keep (RFC 6749 §5.1).
pub(super) fn tokens(answer: &Answer) -> Result<Tokens, WalkError> {
    let tokens: Tokens = read(answer.json()?)?;
    let cache = answer.header(&header::CACHE_CONTROL).unwrap_or_default();
    Deviation::unless(
        tokens.token_type.eq_ignore_ascii_case("Bearer") && cache.contains("no-store"),
        || "a Bearer token with Cache-Control: no-store".to_owned(),
        || format!("a {} token with Cache-Control: {cache}", tokens.token_type),
    )?;
    Ok(tokens)
}

/// Sends a JSON-RPC request to the MCP server; one without a `token` is how every client begins.
pub(super) async fn ask(
    wire: &mut Wire<'_>,
    server: &Url,
    token: Option<&str>,
    method: &str,
    params: Value,
) -> Result<Answer, WalkError> {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let mut request = post_json(server, &message);
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    if method != "initialize" {
        let version = HeaderValue::from_static(PROTOCOL_VERSION);
        headers.insert(HeaderName::from_static("mcp-protocol-version"), version);
    }
    if let Some(token) = token {
        let bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Deviation::new("a token that fits into a header", "one with control characters"))?;
        headers.insert(header::AUTHORIZATION, bearer);
    }
    wire.send(request).await
}

/// The parameters of `initialize`.
pub(super) fn introduction() -> Value {
    json!({
        "protocolVersion": PROTOCOL_VERSION,
        "capabilities": {},
        "clientInfo": { "name": "chancery-walk", "version": env!("CARGO_PKG_VERSION") },
    })
}

/// A member of a JSON object that must be text.
pub(super) fn text(object: &Value, name: &str) -> Result<String, Deviation> {
    let value = object.get(name).and_then(Value::as_str);
    value.map(str::to_owned).ok_or_else(|| Deviation::new(&format!("{name} as text"), &object.to_string()))
}

pub(super) fn parse(url: &str) -> Result<Url, Deviation> {
    Url::parse(url).map_err(|_| Deviation::new("a URL", url))
}

fn read<T: serde::de::DeserializeOwned>(document: Value) -> Result<T, Deviation> {
    // The names alone: values may be tokens.
    let names: Vec<_> = document.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let got = format!("one with {}", names.join(", "));
    serde_json::from_value(document).map_err(|error| Deviation::new(&format!("a document ({error})"), &got))
}

fn post_json(url: &Url, body: &Value) -> Request {
    let mut request = Request::new(reqwest::Method::POST, url.clone());
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *request.body_mut() = Some(body.to_string().into());
    request
}

pub(super) fn challenge(answer: &Answer) -> Result<String, Deviation> {
    let challenge = answer.header(&header::WWW_AUTHENTICATE);
    challenge.map(str::to_owned).ok_or_else(|| Deviation::new("a WWW-Authenticate header", "none"))
}

/// The value of a quoted parameter of a `Bearer` challenge (RFC 6750 §3). Its values hold no quotes.
pub(super) fn challenge_parameter(challenge: &str, name: &str) -> Result<String, Deviation> {
    let mut rest = challenge.strip_prefix("Bearer ").unwrap_or_default();
    while let Some((parameter, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else { break };
        if parameter.trim_start_matches([',', ' ']) == name {
            return Ok(value.to_owned());
        }
        rest = after;
    }
    Err(Deviation::new(&format!("{name} in the challenge"), challenge))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_parameter_by_parameter() {
        let challenge =
            r#"Bearer error="insufficient_scope", resource_metadata="http://h/x?scope=1", scope="a b""#;
        assert_eq!(challenge_parameter(challenge, "scope").unwrap(), "a b");
        assert_eq!(challenge_parameter(challenge, "error").unwrap(), "insufficient_scope");
        assert!(challenge_parameter(challenge, "realm").is_err());
        assert!(challenge_parameter(r#"Basic scope="a""#, "scope").is_err());
    }
}
