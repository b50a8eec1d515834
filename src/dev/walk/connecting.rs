//! The journey to the person's account elsewhere, step by step: the server needs it, the person connects it once, the
//! server is handed its token, and once she disconnects it nobody is.

use reqwest::{
    StatusCode,
    header::{self, HeaderValue},
};

use super::{
    Deviation, WalkError,
    client::{self, Client},
    story::{Walker, expect},
    wire::{Answer, get},
};
use crate::oauth::token_exchange::{self, TokenType};

/// The beginning of the button that leads to the vendor.
const GO_ON: &str = "Continue to";
const DISCONNECT: &str = "Disconnect";

impl Walker<'_, '_> {
    /// Connect, vend, disconnect.
    pub(super) async fn connect_and_disconnect(&mut self, scope: &str) -> Result<(), WalkError> {
        let journey = self.journey;
        self.wire.step(
            "The server calls another vendor for the person. First its client gets a token as before.",
        )?;
        let tokens = self.authorize(journey.server.as_str(), Some(scope)).await?;

        self.wire.step(
            "The server trades the token that it was sent for one of her account there (RFC 8693). She has connected none.",
        )?;
        let server = self.server();
        let link = self.in_need(&server, &tokens.access_token).await?;

        self.wire.step("She follows the link. The page says who asks, and for what; it begins nothing.")?;
        let page = self.browser.open(self.wire, client::parse(&link)?).await?.page()?;
        let vendor = self.browser.press(self.wire, &page, GO_ON).await?.page()?;

        self.wire
            .step("She allows it at the vendor. Its tokens come to the broker, and stay there sealed.")?;
        let done = self.browser.press(self.wire, &vendor, &journey.user).await?.page()?;
        expect(
            "the page's origin",
            &page.url.origin().ascii_serialization(),
            &done.url.origin().ascii_serialization(),
        )?;

        self.wire.step("Now the server is handed a token of her account, and calls the vendor with it.")?;
        let answer = self.trade(&server, &tokens.access_token).await?.expect(StatusCode::OK)?.json()?;
        expect("the connection", &journey.connecting.connection, &client::text(&answer, "connection")?)?;
        let told =
            self.ask_vendor(&client::text(&answer, "access_token")?).await?.expect(StatusCode::OK)?.json()?;
        let name = client::text(&told, "name")?;
        Deviation::unless(name.contains(&journey.user), || journey.user.clone(), || name.clone())?;

        self.wire.step("On her account page she sees it, and disconnects it.")?;
        let account = self.account().await?;
        self.browser.press(self.wire, &account, DISCONNECT).await?.page()?;

        self.wire
            .step("From then on the server is handed nothing, though its own token is as good as before.")?;
        self.in_need(&server, &tokens.access_token).await.map(drop)
    }

    /// The server, as a client of the broker.
    fn server(&self) -> Client {
        let who = self.journey.connecting.server.clone();
        Client {
            id: who.id,
            secret: Some(who.secret),
            redirect_uri: self.client.redirect_uri.clone(),
            server: self.client.server.clone(),
            entropy: self.client.entropy.clone(),
        }
    }

    async fn trade(&mut self, server: &Client, token: &str) -> Result<Answer, WalkError> {
        let form = [
            ("grant_type", token_exchange::GRANT_TYPE),
            ("audience", &self.journey.connecting.connection),
            ("subject_token", token),
            ("subject_token_type", TokenType::AccessToken.as_str()),
        ];
        server.token_request(self.wire, &form).await
    }

    /// Where the person is asked to go, who has to connect her account first.
    async fn in_need(&mut self, server: &Client, token: &str) -> Result<String, WalkError> {
        let refusal = self.trade(server, token).await?.expect(StatusCode::BAD_REQUEST)?.json()?;
        expect("the error", "interaction_required", &client::text(&refusal, "error")?)?;
        Ok(client::text(&refusal, "interaction_uri")?)
    }

    async fn ask_vendor(&mut self, token: &str) -> Result<Answer, WalkError> {
        let mut request = get(self.journey.connecting.api.clone());
        let bearer = HeaderValue::try_from(format!("Bearer {token}"));
        let bearer = bearer.map_err(|_| Deviation::new("a token that fits into a header", "another"))?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        self.wire.send(request).await
    }

    /// Her account page at the broker.
    async fn account(&mut self) -> Result<super::page::Page, WalkError> {
        let issuer = self.client.server.issuer.trim_end_matches('/');
        let url = client::parse(&format!("{issuer}/account"))?;
        Ok(self.browser.open(self.wire, url).await?.page()?)
    }
}
