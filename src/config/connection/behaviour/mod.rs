//! What tells one vendor's OAuth from another's: what a preset says of it and an operator may say differently.

mod read;

use std::time::Duration;

use indexmap::IndexMap;

use crate::{
    config::claims::ClaimPath,
    oauth::scope::{Scope, ScopeSet},
};

/// How a vendor behaves. The default is what RFC 6749 leads one to expect.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Whether PKCE S256 is sent (RFC 7636).
    pub pkce: Pkce,
    /// The form of the body that its token endpoint takes.
    pub body: Body,
    /// How scopes are asked for.
    pub scopes: ScopeManner,
    /// Further parameters of the authorization request.
    pub authorize_params: IndexMap<String, String>,
    /// Further parameters of the request that redeems a code, or fetches a token of our own.
    pub token_params: IndexMap<String, String>,
    /// Further parameters of the request that redeems a refresh token.
    pub refresh_params: IndexMap<String, String>,
    /// Further headers of every request to it.
    pub headers: IndexMap<String, String>,
    /// Where its answers hold what we need.
    pub answer: AnswerPaths,
    /// The same for the answer to a refresh, where that has another form.
    pub refresh_answer: Option<AnswerPaths>,
    /// How long an access token lives when the answer does not say. `None`: until it is refused.
    pub lifetime: Option<Duration>,
    /// What becomes of refresh tokens.
    pub refreshing: Refreshing,
    /// The errors of its token endpoint that mean that the person must connect again.
    pub reauth_errors: Vec<ReauthError>,
    /// How tokens are ended.
    pub revocation: Revocation,
    /// Where the account says who it is.
    pub identity: Identity,
    /// What is in the list of the account's organizations.
    pub organizations: Listing,
    /// What is in the list of the sites that an account may choose from.
    pub sites: Listing,
    /// How the token is sent to its API.
    pub inject: Inject,
    /// The address that its API has for this account; `{name}` stands for a detail of the answer.
    pub api_base: Option<String>,
}

/// Whether PKCE S256 is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pkce {
    /// Yes.
    S256,
    /// Yes, and the vendor refuses those who do not.
    Required,
    /// No, since the vendor takes it amiss.
    Off,
}

/// The form of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// `application/x-www-form-urlencoded` (RFC 6749 appendix B).
    Form,
    /// A JSON object.
    Json,
}

/// How scopes are asked for and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeManner {
    /// The parameter of the authorization request.
    pub parameter: String,
    /// What stands between them there.
    pub separator: Separator,
    /// What stands between them in the answer.
    pub answer_separator: Separator,
    /// What is asked for when more is needed.
    pub incremental: Incremental,
    /// Scopes that the answer calls otherwise than the request did: its name for each, and ours.
    pub aliases: IndexMap<Scope, Scope>,
}

impl ScopeManner {
    /// Scopes as a request holds them.
    pub fn written(&self, scopes: &ScopeSet) -> String {
        let scopes: Vec<_> = scopes.iter().map(Scope::as_str).collect();
        scopes.join(&self.separator.char().to_string())
    }
}

/// What stands between scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separator {
    /// A space (RFC 6749 §3.3).
    Space,
    /// A comma.
    Comma,
}

impl Separator {
    /// The character.
    pub const fn char(self) -> char {
        match self {
            Self::Space => ' ',
            Self::Comma => ',',
        }
    }
}

/// What is asked for when an account that is connected shall allow more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incremental {
    /// Everything: what it has and what is new, since the vendor would forget the rest.
    Union,
    /// What is new: the vendor adds it to what was granted.
    Added,
}

/// Where an answer of the token endpoint holds what we need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerPaths {
    /// What is `true` in an answer that is no error, whatever its status. `None`: the status tells.
    pub success: Option<ClaimPath>,
    /// The code of an error: the first of these that is there.
    pub error: Vec<ClaimPath>,
    /// How an error is described.
    pub description: ClaimPath,
    /// The access token.
    pub access_token: ClaimPath,
    /// The refresh token.
    pub refresh_token: ClaimPath,
    /// The type of the access token.
    pub token_type: ClaimPath,
    /// The types that a token may have, in lower case; each is sent as the preset's `inject` says.
    pub token_types: Vec<String>,
    /// What was granted; absent means as asked for (RFC 6749 §5.1).
    pub scope: ClaimPath,
    /// The seconds until the access token expires.
    pub expires_in: ClaimPath,
    /// The seconds until the refresh token expires.
    pub refresh_expires_in: ClaimPath,
    /// Further facts that an MCP server needs to use the token, by the name that it gets them under.
    pub details: IndexMap<String, ClaimPath>,
}

/// An error that means that the person must connect again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReauthError {
    /// Its code.
    pub code: String,
    /// What its description holds, where the code alone can also mean that our app is set up wrongly there.
    pub words: Option<String>,
}

impl ReauthError {
    /// Whether an answer is this error.
    pub fn is(&self, code: &str, description: Option<&str>) -> bool {
        let said = |words: &String| description.is_some_and(|text| text.contains(words.as_str()));
        self.code == code && self.words.as_ref().is_none_or(said)
    }
}

/// What becomes of refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refreshing {
    /// What a refresh does to the token that was used for it.
    pub rotation: Rotation,
    /// How long the vendor takes the same refresh token again after it was used.
    pub reuse_window: Duration,
    /// After how long without use the refresh token dies.
    pub idle_expiry: Option<Duration>,
    /// How long after the connect it dies, used or not.
    pub absolute_expiry: Option<Duration>,
    /// How long before its end an access token is renewed.
    pub margin: Duration,
}

/// What a refresh does to the refresh token that was used for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Nothing: it stays.
    None,
    /// There is a new one, and the old one still works.
    Replace,
    /// There is a new one, and using the old one again is an error or the end of the connection.
    SingleUse,
}

/// How tokens are ended at `revoke_url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The method.
    pub method: Method,
    /// How the request proves itself.
    pub auth: RevocationAuth,
    /// Which token is named.
    pub token: RevokedToken,
    /// The parameter that it is named by.
    pub parameter: String,
    /// The form of the body. `None`: there is none, since the bearer says everything.
    pub body: Option<Body>,
}

/// A method of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `DELETE`.
    Delete,
}

/// How a revocation proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationAuth {
    /// As at the token endpoint (RFC 7009 §2.1).
    Client,
    /// By the client's id and secret in the header, whatever the token endpoint takes.
    Basic,
    /// By the access token itself.
    Bearer,
    /// Not at all: who has the token may end it.
    None,
}

/// Which token a revocation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokedToken {
    /// The access token, with which the vendor ends the refresh token as well.
    Access,
    /// The refresh token where there is one, with which the vendor ends the access tokens as well; else the access
    /// token.
    Refresh,
    /// One after the other.
    Both,
}

/// Where the account says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What is read.
    pub source: Source,
    /// The method by which `identity_url` is asked.
    pub method: Method,
    /// A GraphQL query that is sent there.
    pub query: Option<String>,
    /// What never changes about it; several are joined, each part is required.
    pub id: Vec<ClaimPath>,
    /// What people know it by.
    pub label: Option<ClaimPath>,
    /// The tenant, workspace or site that it belongs to.
    pub tenant: Option<ClaimPath>,
    /// Its e-mail address.
    pub email: Option<ClaimPath>,
    /// Whether the vendor vouches for the address.
    pub email_verified: Option<EmailVerified>,
}

/// What an account is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `identity_url`, asked with the access token.
    Url,
    /// The answer of the token endpoint itself.
    Answer,
    /// The ID token in that answer (OIDC Core §3.1.3.7).
    IdToken,
    /// Nothing: the vendor does not tell, and an account is told from no other.
    Nothing,
}

/// Whether a vendor vouches for an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmailVerified {
    /// For each that it shows.
    Always,
    /// Where this is `true`.
    By(ClaimPath),
}

/// What is in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Where the list is. `None`: it is the whole answer.
    pub items: Option<ClaimPath>,
    /// What names an item to the vendor.
    pub id: ClaimPath,
    /// What people call it.
    pub name: Option<ClaimPath>,
    /// Its address.
    pub url: Option<ClaimPath>,
}

/// How a token is sent to an API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inject {
    /// The header.
    pub header: String,
    /// Its value; `{token}` stands for the token.
    pub format: String,
}
