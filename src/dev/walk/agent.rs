//! An agent as the MCP extension Enterprise-Managed Authorization has it: it signs people in at a provider (OpenID
//! Connect), asks that provider for its word to an authorization server elsewhere (ID-JAG), and trades it there.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{
    Agent, Credentials, Deviation, REDIRECT_URI, WalkError,
    browser::{Arrival, Browser},
    client::{self, Client, ServerMetadata},
    story::expect,
    wire::{Answer, Wire},
};
use crate::{
    entropy::Entropy,
    oauth::token_exchange::{self, TokenType},
};

/// The grant by which an assertion is traded (RFC 7523 §2.1).
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How an authorization server's metadata says that it takes them.
const GRANT_PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// The answer to an exchange (RFC 8693 §2.2.1).
#[derive(Deserialize)]
struct Exchanged {
    access_token: String,
    issued_token_type: String,
    token_type: String,
    expires_in: u64,
}

/// A token that is given for an assertion.
#[derive(Deserialize)]
struct Traded {
    access_token: String,
    token_type: String,
    scope: String,
    refresh_token: Option<String>,
}

/// The agent as the provider's client, its metadata at hand.
pub(super) async fn at_provider(
    wire: &mut Wire<'_>,
    agent: &Agent,
    entropy: Entropy,
) -> Result<Client, WalkError> {
    let issuer = &agent.provider;
    let address = client::parse(&format!("{issuer}/.well-known/openid-configuration"))?;
    let server = client::metadata_at(wire, address, issuer).await?;
    let gives = &server.identity_chaining_requested_token_types_supported;
    Deviation::unless(
        gives.iter().any(|named| named == TokenType::IdJag.as_str()),
        || "a provider that gives ID-JAGs".to_owned(),
        || format!("{gives:?}"),
    )?;
    client_of(&agent.at_provider, server, entropy)
}

/// The agent as a client of the authorization server that it wants a token of.
pub(super) fn at_server(
    agent: &Agent,
    server: ServerMetadata,
    entropy: Entropy,
) -> Result<Client, WalkError> {
    let takes = &server.authorization_grant_profiles_supported;
    Deviation::unless(
        takes.iter().any(|named| named == GRANT_PROFILE),
        || "an authorization server that takes ID-JAGs".to_owned(),
        || format!("{takes:?}"),
    )?;
    client_of(&agent.at_server, server, entropy)
}

fn client_of(who: &Credentials, server: ServerMetadata, entropy: Entropy) -> Result<Client, WalkError> {
    let Credentials { id, secret } = who.clone();
    Ok(Client { id, secret: Some(secret), redirect_uri: client::parse(REDIRECT_URI)?, server, entropy })
}

impl Client {
    /// Signs a person in by the page that the provider shows and the button on it; returns her ID token (OpenID Connect
    /// Core §3.1). It came from the provider itself, so its signature need not be checked (§3.1.3.7).
    pub(super) async fn sign_in(
        &self,
        (wire, browser): (&mut Wire<'_>, &mut Browser),
        button: &str,
    ) -> Result<String, WalkError> {
        let nonce = self.entropy.token();
        let pending = self.authorization_request(&[("scope", "openid email"), ("nonce", &nonce)]);
        let callback = match browser.open(wire, pending.url.clone()).await? {
            Arrival::Page(page) => browser.press(wire, &page, button).await?.client()?,
            Arrival::Client(url) => {
                return Err(Deviation::new("a page that asks", &format!("{url}")).into());
            }
        };
        let answer = self.redeem(wire, &callback, &pending).await?.json()?;
        let id_token = client::text(&answer, "id_token")?;
        let claims = claims(&id_token)?;
        wire.document("The ID token says:", &claims)?;
        expect("iss", &self.server.issuer, &client::text(&claims, "iss")?)?;
        expect("aud", &self.id, &client::text(&claims, "aud")?)?;
        expect("nonce", &nonce, &client::text(&claims, "nonce")?)?;
        Ok(id_token)
    }

    /// Asks the provider for its word to `audience` (ID-JAG §4.3).
    pub(super) async fn ask_for_word(
        &self,
        wire: &mut Wire<'_>,
        id_token: &str,
        (audience, resource, scope): (&str, &Url, &str),
    ) -> Result<String, WalkError> {
        let form = [
            ("grant_type", token_exchange::GRANT_TYPE),
            ("requested_token_type", TokenType::IdJag.as_str()),
            ("audience", audience),
            ("resource", resource.as_str()),
            ("scope", scope),
            ("subject_token", id_token),
            ("subject_token_type", TokenType::IdToken.as_str()),
        ];
        let answer = self.token_request(wire, &form).await?.expect(StatusCode::OK)?;
        let given: Exchanged = client::read(answer.json()?)?;
        expect("the issued_token_type", TokenType::IdJag.as_str(), &given.issued_token_type)?;
        expect("the token_type", "N_A", &given.token_type)?;
        Deviation::unless(
            given.expires_in <= 300,
            || "at most five minutes".to_owned(),
            || format!("{} s", given.expires_in),
        )?;
        let claims = claims(&given.access_token)?;
        wire.document("The assertion says:", &claims)?;
        expect("iss", &self.server.issuer, &client::text(&claims, "iss")?)?;
        expect("aud", audience, &client::text(&claims, "aud")?)?;
        expect("resource", resource.as_str(), &client::text(&claims, "resource")?)?;
        Ok(given.access_token)
    }

    /// The answer to an assertion that is presented, whatever it is.
    pub(super) async fn present(&self, wire: &mut Wire<'_>, assertion: &str) -> Result<Answer, WalkError> {
        self.token_request(wire, &[("grant_type", JWT_BEARER), ("assertion", assertion)]).await
    }

    /// Trades an assertion for an access token with this scope. There is no refresh token: the provider is asked anew
    /// (ID-JAG §4.4.3).
    pub(super) async fn trade(
        &self,
        wire: &mut Wire<'_>,
        assertion: &str,
        scope: &str,
    ) -> Result<String, WalkError> {
        let answer = self.present(wire, assertion).await?.expect(StatusCode::OK)?;
        let cache = answer.header(&header::CACHE_CONTROL).unwrap_or_default().to_owned();
        let traded: Traded = client::read(answer.json()?)?;
        Deviation::unless(
            traded.refresh_token.is_none() && traded.token_type == "Bearer" && cache.contains("no-store"),
            || "a Bearer token alone, with Cache-Control: no-store".to_owned(),
            || format!("a {} token, or more, with Cache-Control: {cache}", traded.token_type),
        )?;
        expect("the scope", scope, &traded.scope)?;
        Ok(traded.access_token)
    }

    /// Sees an assertion refused.
    pub(super) async fn present_in_vain(
        &self,
        wire: &mut Wire<'_>,
        assertion: &str,
    ) -> Result<(), WalkError> {
        let refusal = self.present(wire, assertion).await?.expect(StatusCode::BAD_REQUEST)?.json()?;
        Ok(expect("the error", "invalid_grant", &client::text(&refusal, "error")?)?)
    }
}

/// What a JWT says, as whoever has it can read.
fn claims(jwt: &str) -> Result<Value, Deviation> {
    let unreadable = || Deviation::new("a JWT", "something else");
    let payload = jwt.split('.').nth(1).ok_or_else(unreadable)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| unreadable())?;
    serde_json::from_slice(&payload).map_err(|_| unreadable())
}
