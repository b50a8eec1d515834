//! An authorization request whose every part was checked (OAuth 2.1 §4.1.1), and the answer to it. `authorize` makes it
//! from parameters; the database keeps it while a person decides.

use serde::{Deserialize, Serialize};

use super::{
    error::OAuthError, issuer::Issuer, pkce::CodeChallenge, purpose::Purpose, redirect_uri::RedirectUri,
    scope::ScopeSet,
};
use crate::{
    ids::{ClientId, UserId},
    jose::Thumbprint,
};

/// An authorization request that may be put before a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatedRequest {
    /// Who asks.
    pub client: ClientId,
    /// How the answer is sent back.
    pub reply: Reply,
    /// The PKCE challenge.
    pub challenge: CodeChallenge,
    /// What is asked for.
    pub purpose: Purpose,
    /// The scopes that were asked for; empty stands for a resource's defaults.
    pub scope: ScopeSet,
    /// How the person may be involved.
    pub prompt: Prompt,
    /// The oldest sign-in that suffices, in seconds (OpenID Connect Core §3.1.2.1).
    pub max_age: Option<u32>,
    /// The kinds of sign-in that the client wants, any of them (`acr_values`, OpenID Connect Core §3.1.2.1).
    pub acr_values: Vec<String>,
    /// What ties an ID token to this request (OpenID Connect Core §3.1.2.1).
    pub nonce: Option<String>,
    /// Who the client thinks the person is.
    pub login_hint: Option<String>,
    /// The person who must be the one that signs in, as an ID token of ours says (`id_token_hint`, OpenID Connect Core
    /// §3.1.2.1).
    #[serde(default)]
    pub person: Option<UserId>,
    /// Whether another site's page sent the browser here, so that a person may not have meant to come.
    pub cross_site: bool,
    /// The key that the code will be of use to alone (RFC 9449 §10).
    #[serde(default)]
    pub dpop_jkt: Option<Thumbprint>,
}

/// `prompt` (OpenID Connect Core §3.1.2.1), reduced to what it changes here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Show nothing: answer at once or fail.
    pub none: bool,
    /// Sign in anew.
    pub login: bool,
    /// Ask for consent even where it is remembered.
    pub consent: bool,
}

/// Where the answer goes, with which `state`, and in whose name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The checked redirect URI.
    pub redirect_uri: RedirectUri,
    /// The client's `state`, returned byte for byte.
    pub state: Option<String>,
    /// Who answers (`iss`, RFC 9207 §2): the issuer that was asked.
    pub issuer: Issuer,
}

impl ValidatedRequest {
    /// Whether the client named a person, and this is another one.
    pub fn means_another(&self, user: &UserId) -> bool {
        self.person.as_ref().is_some_and(|person| person != user)
    }
}

impl Reply {
    /// The redirect that hands over a code, with `iss` (RFC 9207 §2).
    pub fn with_code(&self, code: &str) -> String {
        self.with(&[("code", code)])
    }

    /// The redirect that reports an error, with `iss` (RFC 9207 §2).
    pub fn with_error(&self, error: &OAuthError) -> String {
        self.with(&[("error", error.code.as_str()), ("error_description", &error.description)])
    }

    fn with(&self, answer: &[(&str, &str)]) -> String {
        let mut parameters = answer.to_vec();
        parameters.extend(self.state.as_deref().map(|state| ("state", state)));
        parameters.push(("iss", self.issuer.as_str()));
        self.redirect_uri.with_parameters(&parameters)
    }
}
