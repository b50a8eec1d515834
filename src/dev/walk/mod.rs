//! `chancery dev --walk`: plays an MCP client and a person's browser through the whole journey, prints each request
//! and answer, and stops at the first deviation from what the standards promise.
//!
//! It knows one URL, as a client does, and finds everything else: endpoints in metadata, forms in pages. So it walks
//! whatever is there, and what it prints is what happens.

mod browser;
mod client;
mod page;
mod wire;

use std::io::Write;

use reqwest::{
    StatusCode,
    header::{self},
};
use serde_json::{Value, json};
use url::Url;

use self::{
    browser::{Arrival, Browser},
    client::{Client, Tokens},
    wire::{Answer, Wire, get},
};
use crate::entropy::Entropy;

/// What the walk needs to be told.
#[derive(Debug, Clone)]
pub struct Journey {
    /// The MCP endpoint: all that a person pastes into her client.
    pub server: Url,
    /// Another resource of the same broker, whose tokens the server must refuse.
    pub elsewhere: String,
    /// The user to sign in as: words on the button at the provider.
    pub user: String,
}

/// Where the client would listen. Nobody does: the browser stops there.
const REDIRECT_URI: &str = "http://127.0.0.1:49152/callback";
/// The button on the consent page.
const ALLOW: &str = "Allow";

/// Something other than promised.
#[derive(Debug, thiserror::Error)]
#[error("expected {expected}, got {got}")]
pub struct Deviation {
    expected: String,
    got: String,
}

impl Deviation {
    fn new(expected: &str, got: &str) -> Self {
        Self { expected: expected.to_owned(), got: got.to_owned() }
    }

    fn unless(
        holds: bool,
        expected: impl FnOnce() -> String,
        got: impl FnOnce() -> String,
    ) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { expected: expected(), got: got() }) }
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// An answer that deviates.
    #[error(transparent)]
    Deviation(#[from] Deviation),
    /// No answer at all.
    #[error("no answer")]
    Http(#[from] reqwest::Error),
    /// The printout could not be written.
    #[error("the output cannot be written")]
    Output(#[from] std::io::Error),
}

/// The step at which the walk ended early.
#[derive(Debug, thiserror::Error)]
#[error("step {number} of the walk failed ({title})")]
pub struct Stopped {
    number: usize,
    title: &'static str,
    #[source]
    cause: WalkError,
}

impl Journey {
    /// Walks from the first refused call to the end of a stolen refresh token, printing to `out`.
    ///
    /// # Errors
    /// The first deviation, with its step.
    pub async fn walk(&self, entropy: Entropy, out: &mut (dyn Write + Send)) -> Result<(), Stopped> {
        let mut wire = Wire::new(out).map_err(|cause| Stopped {
            number: 0,
            title: "before the first",
            cause: cause.into(),
        })?;
        match self.story(&mut wire, entropy).await {
            Ok(()) => Ok(()),
            Err(cause) => {
                let (number, title) = wire.step;
                Err(Stopped { number, title, cause })
            }
        }
    }

    async fn story(&self, wire: &mut Wire<'_>, entropy: Entropy) -> Result<(), WalkError> {
        let (client, browser) = (self.meet(wire, entropy).await?, Browser::new(client::parse(REDIRECT_URI)?));
        let mut walker = Walker { wire, journey: self, client, browser };
        let reading = walker.sign_in_and_read().await?;
        let writing = walker.step_up_and_write(&reading).await?;
        walker.go_elsewhere().await?;
        walker.refresh_and_reuse(writing).await
    }

    /// From nothing but the server's URL to a registered client.
    async fn meet(&self, wire: &mut Wire<'_>, entropy: Entropy) -> Result<Client, WalkError> {
        wire.step("A client knows the server's URL and nothing else. It knocks without a token.")?;
        let refused = client::ask(wire, &self.server, None, "initialize", client::introduction()).await?;
        let challenge = challenge(&refused.expect(StatusCode::UNAUTHORIZED)?)?;
        let metadata = challenge_parameter(&challenge, "resource_metadata")?;

        wire.step("The challenge says where the server describes itself (RFC 9728).")?;
        let resource = wire.send(get(client::parse(&metadata)?)).await?.expect(StatusCode::OK)?.json()?;
        let named = client::text(&resource, "resource")?;
        expect("the resource", self.server.as_str(), &named)?;
        let issuer = resource.pointer("/authorization_servers/0").and_then(Value::as_str);
        let issuer =
            issuer.ok_or_else(|| Deviation::new("an authorization server", &resource.to_string()))?;

        wire.step(
            "The server trusts one authorization server. Its metadata names the endpoints (RFC 8414).",
        )?;
        let server = client::discover(wire, issuer).await?;

        wire.step("The client is unknown there, so it registers (RFC 7591).")?;
        client::register(wire, server, client::parse(REDIRECT_URI)?, entropy).await
    }
}

/// The client and the browser on their way.
struct Walker<'w, 'o> {
    wire: &'w mut Wire<'o>,
    journey: &'w Journey,
    client: Client,
    browser: Browser,
}

impl Walker<'_, '_> {
    async fn sign_in_and_read(&mut self) -> Result<Tokens, WalkError> {
        let resource = self.journey.server.as_str();
        self.wire.step("The client opens the browser, which is sent on to the identity provider.")?;
        let pending = self.client.authorization_request(resource, Some("notes:read"));
        let sign_in = self.browser.open(self.wire, pending.url.clone()).await?.page()?;

        self.wire.step("The person signs in at the provider. Back at the broker, consent is asked.")?;
        let consent = self.browser.press(self.wire, &sign_in, &self.journey.user).await?.page()?;
        expect(
            "the consent page's origin",
            &self.client.server.authorization_endpoint.origin().ascii_serialization(),
            &consent.url.origin().ascii_serialization(),
        )?;

        self.wire.step("The person allows it, and the browser brings a code to the client.")?;
        let callback = self.browser.press(self.wire, &consent, ALLOW).await?.client()?;
        let tokens = self.client.redeem(self.wire, &callback, &pending).await?;
        expect("the scope", "notes:read", &tokens.scope)?;

        self.wire.step("With the token, the client introduces itself and calls a tool.")?;
        let introduction = client::introduction();
        let token = Some(tokens.access_token.as_str());
        client::ask(self.wire, &self.journey.server, token, "initialize", introduction)
            .await?
            .expect(StatusCode::OK)?;
        self.call(&tokens, "read_notes", json!({})).await?.expect(StatusCode::OK)?;
        Ok(tokens)
    }

    async fn step_up_and_write(&mut self, reading: &Tokens) -> Result<Tokens, WalkError> {
        self.wire.step("The other tool needs another scope. The answer names all that a new token needs.")?;
        let note = json!({ "text": "Walked the whole way." });
        let refused = self.call(reading, "write_note", note.clone()).await?.expect(StatusCode::FORBIDDEN)?;
        let challenge = challenge(&refused)?;
        expect("the error", "insufficient_scope", &challenge_parameter(&challenge, "error")?)?;
        let scope = challenge_parameter(&challenge, "scope")?;
        expect("the scope", "notes:read notes:write", &scope)?;

        self.wire
            .step("So the client asks for those. The person is still signed in; consent is asked again.")?;
        let tokens = self.authorize(self.journey.server.as_str(), Some(&scope)).await?;
        expect("the scope", &scope, &tokens.scope)?;

        self.wire.step("The new token opens the tool.")?;
        let written = self.call(&tokens, "write_note", note).await?.expect(StatusCode::OK)?;
        expect_tool("Noted.", &written)?;
        let read = self.call(&tokens, "read_notes", json!({})).await?.expect(StatusCode::OK)?;
        expect_tool("Walked the whole way.", &read)?;
        Ok(tokens)
    }

    async fn go_elsewhere(&mut self) -> Result<(), WalkError> {
        self.wire.step(
            "A token for another server, by the same broker for the same person, is worth nothing here.",
        )?;
        let elsewhere = self.journey.elsewhere.clone();
        let tokens = self.authorize(&elsewhere, None).await?;
        let refused = self.call(&tokens, "read_notes", json!({})).await?.expect(StatusCode::UNAUTHORIZED)?;
        expect("the error", "invalid_token", &challenge_parameter(&challenge(&refused)?, "error")?)?;
        Ok(())
    }

    async fn refresh_and_reuse(&mut self, first: Tokens) -> Result<(), WalkError> {
        self.wire.step("The token is renewed. The refresh token changes with every use.")?;
        let second = self.refresh(&first).await?;
        expect("the scope", &first.scope, &second.scope)?;
        self.call(&second, "read_notes", json!({})).await?.expect(StatusCode::OK)?;

        self.wire.step("If that answer had been lost, the client would ask again, and is answered.")?;
        let retried = self.refresh(&first).await?;

        self.wire.step("The newest refresh token is used, which settles the matter.")?;
        let last = self.refresh(&retried).await?;

        self.wire.step("Now the first refresh token comes once more: somebody stole it. It is refused.")?;
        self.refused_refresh(&first).await?;

        self.wire.step("Nobody can tell the thief from the client, so the newest token has died with it.")?;
        self.refused_refresh(&last).await?;
        self.wire.note("The journey ends here, as promised at every step.")
    }

    /// A whole authorization of a person who is signed in already.
    async fn authorize(&mut self, resource: &str, scope: Option<&str>) -> Result<Tokens, WalkError> {
        let pending = self.client.authorization_request(resource, scope);
        let consent = match self.browser.open(self.wire, pending.url.clone()).await? {
            Arrival::Page(page) => page,
            Arrival::Client(_) => return Err(Deviation::new("a consent page", "an answer unasked").into()),
        };
        let callback = self.browser.press(self.wire, &consent, ALLOW).await?.client()?;
        self.client.redeem(self.wire, &callback, &pending).await
    }

    async fn refresh(&mut self, tokens: &Tokens) -> Result<Tokens, WalkError> {
        let resource = self.journey.server.as_str();
        let answer = self.client.refresh(self.wire, &tokens.refresh_token, resource).await?;
        let renewed = client::tokens(&answer.expect(StatusCode::OK)?)?;
        Deviation::unless(
            renewed.refresh_token != tokens.refresh_token,
            || "another refresh token".to_owned(),
            || "the same one".to_owned(),
        )?;
        Ok(renewed)
    }

    async fn refused_refresh(&mut self, tokens: &Tokens) -> Result<(), WalkError> {
        let resource = self.journey.server.as_str();
        let answer = self.client.refresh(self.wire, &tokens.refresh_token, resource).await?;
        let refusal = answer.expect(StatusCode::BAD_REQUEST)?.json()?;
        Ok(expect("the error", "invalid_grant", &client::text(&refusal, "error")?)?)
    }

    async fn call(&mut self, tokens: &Tokens, tool: &str, arguments: Value) -> Result<Answer, WalkError> {
        let params = json!({ "name": tool, "arguments": arguments });
        let token = Some(tokens.access_token.as_str());
        client::ask(self.wire, &self.journey.server, token, "tools/call", params).await
    }
}

fn expect(what: &str, expected: &str, got: &str) -> Result<(), Deviation> {
    Deviation::unless(
        expected == got,
        || format!("{what} to be {expected}"),
        || if got.is_empty() { "nothing".to_owned() } else { got.to_owned() },
    )
}

/// What the tool answered, as text.
fn expect_tool(expected: &str, answer: &Answer) -> Result<(), Deviation> {
    let answer = answer.json()?;
    let text = answer.pointer("/result/content/0/text").and_then(Value::as_str).unwrap_or_default();
    expect("the tool's answer", expected, text)
}

fn challenge(answer: &Answer) -> Result<String, Deviation> {
    let challenge = answer.header(&header::WWW_AUTHENTICATE);
    challenge.map(str::to_owned).ok_or_else(|| Deviation::new("a WWW-Authenticate header", "none"))
}

/// The value of a quoted parameter of a `Bearer` challenge (RFC 6750 §3). Its values hold no quotes.
fn challenge_parameter(challenge: &str, name: &str) -> Result<String, Deviation> {
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
