//! Codes, refresh tokens and our own credentials become tokens (RFC 6749 §4.1.3, §6, §4.4).

use url::Url;

use super::{
    Vendors, account,
    answer::{Answer, Tokens},
    failure::VendorError,
    id_token,
    reached::Reached,
    request::Call,
};
use crate::{
    config::connection::{
        Connection,
        behaviour::{AnswerPaths, Method, Pkce, Source},
    },
    oauth::scope::ScopeSet,
    secret::Secret,
};

/// A code that came back.
#[derive(Debug, Clone, Copy)]
pub struct Redemption<'a> {
    /// The code.
    pub code: &'a Secret,
    /// What the challenge was made of.
    pub verifier: &'a Secret,
    /// The same, byte for byte, as in the authorization request.
    pub redirect_uri: &'a str,
    /// What was asked for: meant when the answer names no scopes.
    pub scopes: &'a ScopeSet,
}

impl Vendors {
    /// Redeems a code. The vendor has seen it afterwards, whatever the outcome.
    pub async fn exchange(
        &self,
        connection: &Connection,
        redemption: &Redemption<'_>,
    ) -> Result<Tokens, VendorError> {
        let reached = self.reach(connection).await?;
        let behaviour = &reached.behaviour;
        let url = reached.url("token_url")?;
        let mut call = Call::new(Method::Post, url, Some(behaviour.body))
            .with("grant_type", "authorization_code")
            .with("code", redemption.code.expose())
            .with("redirect_uri", redemption.redirect_uri);
        if behaviour.pkce != Pkce::Off {
            call = call.with("code_verifier", redemption.verifier.expose());
        }
        call = call.for_resource(&reached);
        let params = behaviour.token_params.iter();
        call.params.extend(params.map(|(name, value)| (name.clone(), value.clone())));
        self.redeem((connection, &reached), call, &behaviour.answer, redemption.scopes).await
    }

    /// Redeems a refresh token. `held`: the scopes that it has, meant when the answer names none.
    pub async fn refresh(
        &self,
        connection: &Connection,
        refresh_token: &Secret,
        held: &ScopeSet,
    ) -> Result<Tokens, VendorError> {
        let reached = self.reach(connection).await?;
        let behaviour = &reached.behaviour;
        let own: Option<&Url> = reached.urls.refresh.as_ref();
        let url = own.map_or_else(|| reached.url("token_url"), Ok)?;
        let mut call = Call::new(Method::Post, url, Some(behaviour.body))
            .with("grant_type", "refresh_token")
            .with("refresh_token", refresh_token.expose())
            .for_resource(&reached);
        let params = behaviour.refresh_params.iter();
        call.params.extend(params.map(|(name, value)| (name.clone(), value.clone())));
        let paths = behaviour.refresh_answer.as_ref().unwrap_or(&behaviour.answer);
        self.redeem((connection, &reached), call, paths, held).await
    }

    /// Fetches a token of our client's own account there.
    pub async fn fetch(&self, connection: &Connection, scopes: &ScopeSet) -> Result<Tokens, VendorError> {
        let reached = self.reach(connection).await?;
        let behaviour = &reached.behaviour;
        let mut call = Call::new(Method::Post, reached.url("token_url")?, Some(behaviour.body))
            .with("grant_type", "client_credentials");
        if !scopes.is_empty() {
            call = call.with("scope", behaviour.scopes.written(scopes));
        }
        let params = behaviour.token_params.iter();
        call.params.extend(params.map(|(name, value)| (name.clone(), value.clone())));
        self.redeem((connection, &reached), call, &behaviour.answer, scopes).await
    }

    async fn redeem(
        &self,
        (connection, reached): (&Connection, &Reached),
        call: Call<'_>,
        paths: &AnswerPaths,
        asked: &ScopeSet,
    ) -> Result<Tokens, VendorError> {
        let response = self.send_as_client(call, reached).await?;
        let answer = Answer::judge(response, &reached.behaviour, self.clock.now());
        if reached.is_registered && answer.as_ref().is_err_and(VendorError::is_unknown_client) {
            self.forgotten(connection, reached).await;
        }
        self.read(&answer?, reached, paths, asked)
    }

    /// The tokens in an answer that the vendor's token endpoint gave to the same client at a sign-in. `asked`: what was
    /// asked for, meant when the answer names no scopes.
    pub async fn came_with_sign_in(
        &self,
        connection: &Connection,
        answer: &Secret,
        asked: &ScopeSet,
    ) -> Result<Tokens, VendorError> {
        let reached = self.reach(connection).await?;
        let answer = Answer::of_text(answer.expose());
        let answer =
            answer.ok_or_else(|| VendorError::malformed("answered with something that is no JSON object"))?;
        self.read(&answer, &reached, &reached.behaviour.answer, asked)
    }

    fn read(
        &self,
        answer: &Answer,
        reached: &Reached,
        paths: &AnswerPaths,
        asked: &ScopeSet,
    ) -> Result<Tokens, VendorError> {
        let (behaviour, now) = (&reached.behaviour, self.clock.now());
        let mut tokens = answer.tokens(behaviour, paths, asked, now)?;
        let identity = &behaviour.identity;
        tokens.account = match identity.source {
            Source::Url | Source::Nothing => None,
            Source::Answer => account::read(identity, answer.members()),
            Source::IdToken => id_token::claims(answer.members(), reached, now)
                .and_then(|claims| account::read(identity, &claims)),
        };
        Ok(tokens)
    }
}
