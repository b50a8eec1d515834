//! The journey of two agents, step by step: one comes in by the word of the company's provider, the other goes out to
//! another company by Chancery's own. Nobody is asked what either may do; operators have said so beforehand.

use reqwest::StatusCode;
use serde_json::json;

use super::{
    WalkError, agent,
    client::{self, challenge, challenge_parameter},
    story::{ALLOW, NOTE, Walker, describe, expect, knock, tool_text},
};

impl Walker<'_, '_> {
    /// ID-JAG in: the provider approves, and the broker's rules do.
    pub(super) async fn come_in(&mut self) -> Result<(), WalkError> {
        let (journey, entropy) = (self.journey, self.client.entropy.clone());
        let agent = &journey.inward;
        self.wire.step(
            "An agent of the company signs the person in at the company's provider, as it does anyway.",
        )?;
        let signing_in = agent::at_provider(self.wire, agent, entropy.clone()).await?;
        let id_token = signing_in.sign_in((self.wire, &mut self.browser), &journey.user).await?;

        self.wire
            .step("It asks the provider for its word to the broker, an assertion (ID-JAG, by RFC 8693).")?;
        let server = self.client.server.clone();
        let scope = "notes:read";
        let wanted = (server.issuer.as_str(), &agent.server, scope);
        let assertion = signing_in.ask_for_word(self.wire, &id_token, wanted).await?;

        self.wire
            .step("The broker gives a token for it (RFC 7523). Nobody is asked, and none is renewed.")?;
        let trading = agent::at_server(agent, server.clone(), entropy)?;
        let token = trading.trade(self.wire, &assertion, scope).await?;

        self.wire.step("It is the same person: the agent reads what she had another client write down.")?;
        let read = client::call(self.wire, &agent.server, &token, ("read_notes", json!({}))).await?;
        let newest = tool_text(&read.expect(StatusCode::OK)?)?;
        expect("the newest note", NOTE, newest.lines().last().unwrap_or_default())?;

        self.wire.step("An assertion counts once.")?;
        trading.present_in_vain(self.wire, &assertion).await
    }

    /// ID-JAG out: Chancery approves, and another authorization server takes its word.
    pub(super) async fn go_out(&mut self) -> Result<(), WalkError> {
        let (journey, entropy) = (self.journey, self.client.entropy.clone());
        let agent = &journey.outward;
        self.wire.step("Another company has a server that trusts another authorization server.")?;
        let refused = knock(self.wire, &agent.server).await?;
        let (issuer, scope) = describe(self.wire, &agent.server, &refused).await?;
        let server = client::discover(self.wire, &issuer).await?;

        self.wire.step(
            "Here an agent signs the person in at Chancery itself, which is an OpenID provider to it.",
        )?;
        let signing_in = agent::at_provider(self.wire, agent, entropy.clone()).await?;
        let id_token = signing_in.sign_in((self.wire, &mut self.browser), ALLOW).await?;

        self.wire.step("It asks Chancery for its word to the other authorization server.")?;
        let wanted = (issuer.as_str(), &agent.server, scope.as_str());
        let assertion = signing_in.ask_for_word(self.wire, &id_token, wanted).await?;

        self.wire
            .step("What Chancery writes is for others: at its own token endpoint it is worth nothing.")?;
        let own = agent::at_server(&journey.inward, self.client.server.clone(), entropy.clone())?;
        own.present_in_vain(self.wire, &assertion).await?;

        self.wire.step("The other authorization server gives a token for it.")?;
        let trading = agent::at_server(agent, server, entropy)?;
        let token = trading.trade(self.wire, &assertion, &scope).await?;

        self.wire.step("The token opens the other company's server, and not the first.")?;
        let read = |server| (server, ("read_notes", json!({})));
        let (there, call) = read(&agent.server);
        client::call(self.wire, there, &token, call).await?.expect(StatusCode::OK)?;
        let (here, call) = read(&journey.server);
        let refused = client::call(self.wire, here, &token, call).await?.expect(StatusCode::UNAUTHORIZED)?;
        let error = challenge_parameter(&challenge(&refused)?, "error")?;
        Ok(expect("the error", "invalid_token", &error)?)
    }
}
