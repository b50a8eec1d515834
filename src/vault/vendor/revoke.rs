//! Tokens are ended at the vendor (RFC 7009, and what vendors have instead).

use oauth2::HttpResponse;

use super::{Vendors, answer::Answer, failure::VendorError, reached::Reached, request::Call};
use crate::{
    config::{
        connection::{
            Connection,
            behaviour::{Method, RevocationAuth, RevokedToken},
        },
        provider::UpstreamClientAuth,
    },
    secret::Secret,
};

/// What became of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The tokens are worth nothing any more; or the refresh token is, where the vendor cannot end access tokens.
    Done,
    /// The vendor has no way to end such a token: it lives until it expires, or until the person removes us there.
    NotOffered,
}

impl Vendors {
    /// Ends the tokens of one connection. It may be tried again: what is ended already is no error.
    pub async fn revoke(
        &self,
        connection: &Connection,
        access_token: &Secret,
        refresh_token: Option<&Secret>,
    ) -> Result<Revoked, VendorError> {
        let reached = self.reach(connection).await?;
        if reached.urls.revoke.is_none() {
            return Ok(Revoked::NotOffered);
        }
        let access = (access_token, "access_token");
        let refresh = refresh_token.map(|token| (token, "refresh_token"));
        let named = match reached.behaviour.revocation.token {
            RevokedToken::Access => vec![access],
            RevokedToken::Refresh => vec![refresh.unwrap_or(access)],
            // The refresh token first: while it lives, it makes new access tokens.
            RevokedToken::Both => refresh.into_iter().chain([access]).collect(),
        };
        let mut revoked = Revoked::NotOffered;
        for (token, kind) in named {
            if self.end(token, kind, access_token, &reached).await? == Revoked::Done {
                revoked = Revoked::Done;
            }
        }
        Ok(revoked)
    }

    async fn end(
        &self,
        token: &Secret,
        kind: &str,
        access_token: &Secret,
        reached: &Reached,
    ) -> Result<Revoked, VendorError> {
        let manner = &reached.behaviour.revocation;
        let mut call = Call::new(manner.method, reached.url("revoke_url")?, manner.body);
        if manner.body.is_some() {
            call = call.with(&manner.parameter, token.expose());
        }
        let response = match (manner.auth, &reached.client_auth) {
            (RevocationAuth::Client, _) => {
                self.send_as_client(call.with("token_type_hint", kind), reached).await?
            }
            (RevocationAuth::Basic, UpstreamClientAuth::Basic(secret) | UpstreamClientAuth::Post(secret)) => {
                self.send(call.basic(&reached.client_id, secret), reached).await?
            }
            (RevocationAuth::Basic, _) => {
                return Err(VendorError::malformed("ends tokens only for clients with a secret"));
            }
            (RevocationAuth::Bearer, _) => {
                self.send(call.bearer(access_token, &reached.behaviour.inject), reached).await?
            }
            (RevocationAuth::None, _) => self.send(call, reached).await?,
        };
        self.judge_end(response, reached)
    }

    fn judge_end(&self, response: HttpResponse, reached: &Reached) -> Result<Revoked, VendorError> {
        let status = response.status();
        let manner = &reached.behaviour.revocation;
        if let Some(error) = VendorError::of_status(status.as_u16(), response.headers(), self.clock.now()) {
            return Err(error);
        }
        let gone = match status.as_u16() {
            401 => manner.auth == RevocationAuth::Bearer,
            404 | 422 => manner.method == Method::Delete,
            _ => false,
        };
        if gone {
            return Ok(Revoked::Done);
        }
        if status.is_success() && reached.behaviour.answer.success.is_none() {
            return Ok(Revoked::Done);
        }
        match Answer::judge(response, &reached.behaviour, self.clock.now()) {
            Ok(_) | Err(VendorError::Reconnect { .. }) => Ok(Revoked::Done),
            Err(VendorError::Refused { code }) if GONE.contains(&code.as_str()) => Ok(Revoked::Done),
            Err(VendorError::Refused { code }) if code == UNSUPPORTED => Ok(Revoked::NotOffered),
            Err(error) => Err(error),
        }
    }
}

/// The code that says that tokens of this kind cannot be ended, such as access tokens that are JWTs (RFC 7009 §2.2.1).
const UNSUPPORTED: &str = "unsupported_token_type";

/// Codes that say that there is no such token.
const GONE: [&str; 5] = ["invalid_auth", "invalid_token", "not_authed", "token_expired", "token_revoked"];
