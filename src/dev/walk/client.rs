//! The MCP client: finds its authorization server, registers, asks for tokens and calls tools, as the MCP
//! authorization specification tells clients to.

use base64::{Engine as _, engine::general_purpose::STANDARD};
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
use crate::{entropy::Entropy, oauth::pkce::CodeChallenge, secret::Secret};

/// The protocol version that the client speaks: the newest that most clients of today have.
const PROTOCOL_VERSION: &str = "2025-11-25";

/// What the client reads of RFC 8414 metadata, or of OpenID Connect Discovery's, which has the same members.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ServerMetadata {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    registration_endpoint: Option<Url>,
    code_challenge_methods_supported: Vec<String>,
    authorization_response_iss_parameter_supported: bool,
    /// Which kinds of assertions are grants here.
    #[serde(default)]
    pub(super) authorization_grant_profiles_supported: Vec<String>,
    /// What can be had here for elsewhere.
    #[serde(default)]
    pub(super) identity_chaining_requested_token_types_supported: Vec<String>,
}

/// A client that is registered.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: String,
    /// What it proves itself with; none: it cannot.
    pub(super) secret: Option<Secret>,
    pub(super) redirect_uri: Url,
    pub(super) server: ServerMetadata,
    pub(super) entropy: Entropy,
}

/// What the client remembers while the browser is away.
pub(super) struct Pending {
    pub(super) url: Url,
    state: String,
    verifier: String,
    resource: Option<String>,
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
    metadata_at(wire, address, issuer).await
}

/// The metadata of an issuer at this address.
pub(super) async fn metadata_at(
    wire: &mut Wire<'_>,
    address: Url,
    issuer: &str,
) -> Result<ServerMetadata, WalkError> {
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
    let endpoint = server.registration_endpoint.as_ref();
    let endpoint = endpoint.ok_or_else(|| Deviation::new("a registration_endpoint", "none"))?;
    let answer = wire.send(post_json(endpoint, &metadata)).await?.expect(StatusCode::CREATED)?.json()?;
    let id = text(&answer, "client_id")?;
    Ok(Client { id, secret: None, redirect_uri, server, entropy })
}

impl Client {
    /// An authorization request with PKCE, `state` and what else is asked: `resource`, `scope`, `nonce`.
    pub(super) fn authorization_request(&self, asked: &[(&str, &str)]) -> Pending {
        let (state, verifier) = (self.entropy.token(), self.entropy.token());
        let mut url = self.server.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.id)
            .append_pair("redirect_uri", self.redirect_uri.as_str())
            .append_pair("state", &state)
            .append_pair("code_challenge", CodeChallenge::of(&verifier).as_str())
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(asked);
        let resource = asked.iter().find(|(name, _)| *name == "resource");
        let resource = resource.map(|(_, resource)| (*resource).to_owned());
        Pending { url, state, verifier, resource }
    }

    /// What is given for what the browser brought back: `state` and `iss` must be ours and the issuer's (RFC 9207).
    pub(super) async fn redeem(
        &self,
        wire: &mut Wire<'_>,
        callback: &Url,
        pending: &Pending,
    ) -> Result<Answer, WalkError> {
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
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("code_verifier", &pending.verifier),
            ("redirect_uri", self.redirect_uri.as_str()),
        ];
        form.extend(pending.resource.as_deref().map(|resource| ("resource", resource)));
        Ok(self.token_request(wire, &form).await?.expect(StatusCode::OK)?)
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

    /// Asks the token endpoint, and proves itself there if it can.
    pub(super) async fn token_request(
        &self,
        wire: &mut Wire<'_>,
        form: &[(&str, &str)],
    ) -> Result<Answer, WalkError> {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        let mut request = Request::new(reqwest::Method::POST, self.server.token_endpoint.clone());
        if let Some(secret) = &self.secret {
            request.headers_mut().insert(header::AUTHORIZATION, basic(&self.id, secret)?);
        } else {
            body.append_pair("client_id", &self.id);
        }
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, form_type);
        *request.body_mut() = Some(body.finish().into());
        wire.send(request).await
    }
}

/// `client_secret_basic`: both halves form-encoded, then joined (RFC 6749 §2.3.1).
fn basic(id: &str, secret: &Secret) -> Result<HeaderValue, Deviation> {
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret.expose())));
    HeaderValue::try_from(format!("Basic {pair}"))
        .map_err(|_| Deviation::new("a secret that fits into a header", "another"))
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

/// Calls a tool, named with its arguments.
pub(super) async fn call(
    wire: &mut Wire<'_>,
    server: &Url,
    token: &str,
    (tool, arguments): (&str, Value),
) -> Result<Answer, WalkError> {
    let params = json!({ "name": tool, "arguments": arguments });
    ask(wire, server, Some(token), "tools/call", params).await
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

pub(super) fn read<T: serde::de::DeserializeOwned>(document: Value) -> Result<T, Deviation> {
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
