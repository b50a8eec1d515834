//! The journey, step by step.

use reqwest::StatusCode;
use serde_json::{Value, json};
use url::Url;

use super::{
    Deviation, Journey, REDIRECT_URI, WalkError,
    browser::{Arrival, Browser},
    client::{self, Client, Tokens, challenge, challenge_parameter},
    wire::{Answer, Wire, get},
};
use crate::entropy::Entropy;

/// The button on the consent page.
pub(super) const ALLOW: &str = "Allow";
/// What the client writes down.
pub(super) const NOTE: &str = "Walked the whole way.";

/// Walks it, telling each step to `wire`.
pub(super) async fn tell(journey: &Journey, wire: &mut Wire<'_>, entropy: Entropy) -> Result<(), WalkError> {
    wire.step("A client knows the server's URL and nothing else. It knocks without a token.")?;
    let refused = knock(wire, &journey.server).await?;
    wire.step("The challenge says where the server describes itself (RFC 9728).")?;
    let (issuer, scope) = describe(wire, &journey.server, &refused).await?;
    wire.step("The server trusts one authorization server. Its metadata names the endpoints (RFC 8414).")?;
    let server = client::discover(wire, &issuer).await?;
    wire.step("The client is unknown there, so it registers (RFC 7591).")?;
    let client = client::register(wire, server, client::parse(REDIRECT_URI)?, entropy).await?;
    let browser = Browser::new(client::parse(REDIRECT_URI)?);
    let mut walker = Walker { wire, journey, client, browser };
    let reading = walker.sign_in_and_read(&scope).await?;
    let writing = walker.step_up_and_write(&reading).await?;
    walker.go_elsewhere().await?;
    walker.refresh_and_reuse(writing).await?;
    walker.come_in().await?;
    walker.go_out().await?;
    walker.connect_and_disconnect(&scope).await?;
    walker.wire.note("The journey ends here, as promised at every step.")
}

/// The challenge with which a server answers a call without a token.
pub(super) async fn knock(wire: &mut Wire<'_>, url: &Url) -> Result<String, WalkError> {
    let refused = client::ask(wire, url, None, "initialize", client::introduction()).await?;
    Ok(challenge(&refused.expect(StatusCode::UNAUTHORIZED)?)?)
}

/// The authorization server that a server trusts, and the scope to begin with.
pub(super) async fn describe(
    wire: &mut Wire<'_>,
    url: &Url,
    challenge: &str,
) -> Result<(String, String), WalkError> {
    let metadata = challenge_parameter(challenge, "resource_metadata")?;
    let scope = challenge_parameter(challenge, "scope")?;
    let resource = wire.send(get(client::parse(&metadata)?)).await?.expect(StatusCode::OK)?.json()?;
    expect("the resource", url.as_str(), &client::text(&resource, "resource")?)?;
    let issuer = resource.pointer("/authorization_servers/0").and_then(Value::as_str);
    let issuer = issuer.ok_or_else(|| Deviation::new("an authorization server", &resource.to_string()))?;
    Ok((issuer.to_owned(), scope))
}

/// The client and the browser on their way.
pub(super) struct Walker<'w, 'o> {
    pub(super) wire: &'w mut Wire<'o>,
    pub(super) journey: &'w Journey,
    pub(super) client: Client,
    pub(super) browser: Browser,
}

impl Walker<'_, '_> {
    async fn sign_in_and_read(&mut self, scope: &str) -> Result<Tokens, WalkError> {
        let resource = self.journey.server.as_str();
        self.wire.step("The client opens the browser, which is sent on to the identity provider.")?;
        let pending = self.client.authorization_request(&[("resource", resource), ("scope", scope)]);
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
        let tokens = client::tokens(&self.client.redeem(self.wire, &callback, &pending).await?)?;
        expect("the scope", scope, &tokens.scope)?;

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
        let note = json!({ "text": NOTE });
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
        expect("the tool's answer", "Noted.", &tool_text(&written)?)?;
        let read = self.call(&tokens, "read_notes", json!({})).await?.expect(StatusCode::OK)?;
        let newest = tool_text(&read)?;
        expect("the newest note", NOTE, newest.lines().last().unwrap_or_default())?;
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
        self.refused_refresh(&last).await
    }

    /// A whole authorization of a person who is signed in already.
    pub(super) async fn authorize(
        &mut self,
        resource: &str,
        scope: Option<&str>,
    ) -> Result<Tokens, WalkError> {
        let mut asked = vec![("resource", resource)];
        asked.extend(scope.map(|scope| ("scope", scope)));
        let pending = self.client.authorization_request(&asked);
        let consent = match self.browser.open(self.wire, pending.url.clone()).await? {
            Arrival::Page(page) => page,
            Arrival::Client(_) => return Err(Deviation::new("a consent page", "an answer unasked").into()),
        };
        let callback = self.browser.press(self.wire, &consent, ALLOW).await?.client()?;
        client::tokens(&self.client.redeem(self.wire, &callback, &pending).await?)
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
        client::call(self.wire, &self.journey.server, &tokens.access_token, (tool, arguments)).await
    }
}

pub(super) fn expect(what: &str, expected: &str, got: &str) -> Result<(), Deviation> {
    Deviation::unless(
        expected == got,
        || format!("{what} to be {expected}"),
        || if got.is_empty() { "nothing".to_owned() } else { got.to_owned() },
    )
}

/// What the tool answered.
pub(super) fn tool_text(answer: &Answer) -> Result<String, Deviation> {
    let answer = answer.json()?;
    let text = answer.pointer("/result/content/0/text").and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| Deviation::new("a text from the tool", &answer.to_string()))
}
