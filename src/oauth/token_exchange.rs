//! The token exchange request (RFC 8693 §2.1): which token is presented, and what is wanted for it. What can be asked
//! for depends on the endpoint; here only the form is settled, and nothing of the tokens is believed.

use std::fmt;

use super::{
    error::{ErrorCode, OAuthError},
    params::Params,
    resource::ResourceUri,
    scope::ScopeSet,
};

/// The `grant_type`.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// What sort of token is presented, wanted or issued (RFC 8693 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// An OAuth access token.
    AccessToken,
    /// An OAuth refresh token.
    RefreshToken,
    /// An OpenID Connect ID token.
    IdToken,
    /// An identity assertion for another authorization server (draft-ietf-oauth-identity-assertion-authz-grant §3).
    IdJag,
    /// A JWT of which nothing else is said.
    Jwt,
    /// No token at all but the id of a person of ours, the `sub` of her tokens. It proves nothing: what may be had for
    /// it is what the operator lets the client have by itself.
    User,
}

impl TokenType {
    const ALL: [Self; 6] =
        [Self::AccessToken, Self::RefreshToken, Self::IdToken, Self::IdJag, Self::Jwt, Self::User];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::RefreshToken => "urn:ietf:params:oauth:token-type:refresh_token",
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Self::IdJag => "urn:ietf:params:oauth:token-type:id-jag",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
            Self::User => "urn:chancery:params:oauth:token-type:user",
        }
    }

    fn parse(params: &Params, name: &'static str) -> Result<Option<Self>, OAuthError> {
        let Some(written) = params.get(name) else { return Ok(None) };
        let known = Self::ALL.into_iter().find(|known| known.as_str() == written);
        known.map(Some).ok_or_else(|| invalid(format!("{name} is no type of token that is known here")))
    }
}

/// A token that is presented, of which nothing is proved.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Presented<'p> {
    /// The token.
    pub token: &'p str,
    /// What it is said to be.
    pub token_type: TokenType,
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("token_type", &self.token_type).finish_non_exhaustive()
    }
}

/// A token exchange request of the right form.
#[derive(Debug, Clone)]
pub struct ExchangeRequest<'p> {
    /// On whose behalf the request is made.
    pub subject: Presented<'p>,
    /// Who acts, where that is not the client itself.
    pub actor: Option<Presented<'p>>,
    /// What is wanted; where nothing is said, the endpoint decides.
    pub requested: Option<TokenType>,
    /// Where the token will be used, by address (RFC 8707 §2): each once.
    pub resources: Vec<ResourceUri>,
    /// Where it will be used, by name: each once.
    pub audiences: Vec<&'p str>,
    /// What it is wanted for; none where nothing is said.
    pub scope: Option<ScopeSet>,
}

impl<'p> ExchangeRequest<'p> {
    /// Reads the parameters. A parameter that would narrow what is issued and is not understood is refused.
    pub fn parse(params: &'p Params) -> Result<Self, OAuthError> {
        if params.get("authorization_details").is_some() {
            return Err(invalid("authorization_details are not supported"));
        }
        let subject = Presented {
            token: params.require("subject_token")?,
            token_type: TokenType::parse(params, "subject_token_type")?
                .ok_or_else(|| invalid("the parameter subject_token_type is missing"))?,
        };
        let actor = match (params.get("actor_token"), TokenType::parse(params, "actor_token_type")?) {
            (None, None) => None,
            (Some(token), Some(token_type)) => Some(Presented { token, token_type }),
            (None, Some(_)) | (Some(_), None) => {
                return Err(invalid("actor_token and actor_token_type are sent together"));
            }
        };
        let mut resources = Vec::new();
        for written in params.all("resource") {
            let resource = ResourceUri::try_from(written.to_owned())
                .map_err(|text| OAuthError::new(ErrorCode::InvalidTarget, text))?;
            if !resources.contains(&resource) {
                resources.push(resource);
            }
        }
        let mut audiences = Vec::new();
        for audience in params.all("audience") {
            if !audiences.contains(&audience) {
                audiences.push(audience);
            }
        }
        let scope = params.get("scope").map(ScopeSet::parse).transpose();
        Ok(Self {
            subject,
            actor,
            requested: TokenType::parse(params, "requested_token_type")?,
            resources,
            audiences,
            scope: scope.map_err(|text| OAuthError::new(ErrorCode::InvalidScope, text))?,
        })
    }
}

fn invalid(text: impl Into<std::borrow::Cow<'static, str>>) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const SUBJECT: &str = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=s&\
                           subject_token_type=urn:ietf:params:oauth:token-type:access_token";

    fn params(more: &str) -> Params {
        Params::parse(format!("{SUBJECT}{more}").as_bytes()).unwrap()
    }

    #[test]
    fn all_that_may_be_said() {
        let params = params(
            "&actor_token=a&actor_token_type=urn:ietf:params:oauth:token-type:jwt\
             &requested_token_type=urn:ietf:params:oauth:token-type:id-jag&scope=b+a\
             &resource=https://h&resource=https://h/&resource=https://i&audience=x&audience=y&audience=x",
        );
        let request = ExchangeRequest::parse(&params).unwrap();
        assert_eq!(request.subject, Presented { token: "s", token_type: TokenType::AccessToken });
        assert_eq!(request.actor, Some(Presented { token: "a", token_type: TokenType::Jwt }));
        assert_eq!(request.requested, Some(TokenType::IdJag));
        let resources: Vec<_> = request.resources.iter().map(ResourceUri::as_str).collect();
        assert_eq!((resources, request.audiences), (vec!["https://h", "https://i"], vec!["x", "y"]));
        assert_eq!(request.scope.unwrap().to_string(), "a b");
    }

    #[test]
    fn little_must_be_said() {
        let params = params("");
        let request = ExchangeRequest::parse(&params).unwrap();
        assert!(request.actor.is_none() && request.requested.is_none() && request.scope.is_none());
        assert!(request.resources.is_empty() && request.audiences.is_empty());
    }

    #[rstest]
    #[case("&actor_token=a", "invalid_request")]
    #[case("&actor_token_type=urn:ietf:params:oauth:token-type:jwt", "invalid_request")]
    #[case("&actor_token=a&actor_token_type=x", "invalid_request")]
    #[case("&requested_token_type=access_token", "invalid_request")]
    #[case("&requested_token_type=urn:ietf:params:oauth:token-type:saml2", "invalid_request")]
    #[case("&authorization_details=[]", "invalid_request")]
    #[case("&resource=tickets", "invalid_target")]
    #[case("&resource=https://h/%23f", "invalid_target")]
    #[case("&resource=https://h&resource=urn:x", "invalid_target")]
    #[case("&scope=%22", "invalid_scope")]
    fn what_is_refused(#[case] more: &str, #[case] code: &str) {
        assert_eq!(ExchangeRequest::parse(&params(more)).unwrap_err().code.as_str(), code);
    }

    #[rstest]
    #[case("subject_token=s")]
    #[case("subject_token_type=urn:ietf:params:oauth:token-type:access_token")]
    #[case("subject_token=s&subject_token_type=")]
    #[case("subject_token=&subject_token_type=urn:ietf:params:oauth:token-type:access_token")]
    #[case("subject_token=s&subject_token_type=URN:ietf:params:oauth:token-type:access_token")]
    fn a_token_comes_with_its_type(#[case] form: &str) {
        let params = Params::parse(form.as_bytes()).unwrap();
        assert_eq!(ExchangeRequest::parse(&params).unwrap_err().code, ErrorCode::InvalidRequest);
    }

    #[test]
    fn a_token_never_prints() {
        let params = params("");
        assert!(!format!("{:?}", ExchangeRequest::parse(&params)).contains("\"s\""));
    }

    proptest! {
        #[test]
        fn any_form_is_answered(form in "((subject_token|subject_token_type|resource|scope|audience)=[ -~]{0,30}&){0,6}") {
            if let Ok(params) = Params::parse(form.as_bytes()) {
                let _ = ExchangeRequest::parse(&params);
            }
        }
    }
}
