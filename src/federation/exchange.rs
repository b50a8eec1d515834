//! The upstream's token endpoint: an authorization code becomes tokens (OIDC Core §3.1.3).

use std::{
    fmt,
    pin::Pin,
    sync::{Mutex, PoisonError},
};

use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, ClientId, ClientSecret, ExtraTokenFields, HttpRequest,
    HttpResponse, PkceCodeVerifier, RedirectUrl, RequestTokenError, StandardRevocableToken,
    StandardTokenResponse, TokenResponse as _, TokenUrl,
    basic::{
        BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
    },
};
use serde::{Deserialize, Serialize};

use super::discovery::Metadata;
use crate::{
    clock::Clock,
    config::provider::{AssertionAudience, Provider, UpstreamClientAuth},
    entropy::Entropy,
    jose::client_assertion::{self, UnusableKey},
    net::{NetError, Upstream},
    secret::Secret,
};

/// `error` values of a token endpoint that say that it does not know us (RFC 6749 §5.2).
const CLIENT_ERRORS: [&str; 2] = ["invalid_client", "unauthorized_client"];

type Client = oauth2::Client<
    BasicErrorResponse,
    StandardTokenResponse<WithIdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

/// The field that OIDC Core §3.1.3.3 adds to a token response, not yet verified.
#[derive(Serialize, Deserialize)]
struct WithIdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for WithIdToken {}

impl fmt::Debug for WithIdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WithIdToken(***)")
    }
}

/// What a code was good for.
#[derive(Debug)]
pub(super) struct Tokens {
    /// For the userinfo endpoint.
    pub(super) access_token: Secret,
    /// Not yet verified.
    pub(super) id_token: Secret,
    /// The whole answer, as it came.
    pub(super) answer: Secret,
}

/// The browser's half and ours of one sign-in, to be exchanged.
#[derive(Debug)]
pub(super) struct Redemption<'a> {
    pub(super) code: &'a str,
    /// Absent where the provider is configured without PKCE.
    pub(super) verifier: Option<&'a str>,
    /// The same, byte for byte, as in the authorization request.
    pub(super) redirect_uri: RedirectUrl,
}

/// Why a code became no tokens. The text continues a sentence that begins with the provider's name.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    /// No answer, or none that is of use to anybody.
    #[error(transparent)]
    Net(NetError),
    /// The provider does not accept us: secret, key or registration are wrong.
    #[error("does not accept us as a client: {0}")]
    Client(String),
    /// The code is spent, too old or not ours.
    #[error("does not accept the code that it had sent: {0}")]
    Code(String),
    /// Any other refusal.
    #[error("refused to exchange the code: {0}")]
    Refused(String),
    /// The answer is no token response.
    #[error("answered the code with something that is no token response ({0})")]
    Form(&'static str),
    /// Our own key is of no use.
    #[error("cannot be asked: {0}")]
    Key(#[from] UnusableKey),
}

/// Exchanges the code. The provider has seen it afterwards, whatever the outcome.
pub(super) async fn redeem(
    provider: &Provider,
    metadata: &Metadata,
    redemption: Redemption<'_>,
    upstream: &Upstream,
    (clock, entropy): (&Clock, &Entropy),
) -> Result<Tokens, ExchangeError> {
    let client_id = ClientId::new(provider.client_id.clone());
    let mut client = Client::new(client_id)
        .set_token_uri(TokenUrl::from_url(metadata.token_endpoint.clone()))
        .set_redirect_uri(redemption.redirect_uri)
        .set_auth_type(AuthType::RequestBody);
    let mut assertion = None;
    match &provider.client_auth {
        UpstreamClientAuth::None => {}
        UpstreamClientAuth::Post(secret) => {
            client = client.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
        }
        UpstreamClientAuth::Basic(secret) => {
            client = client
                .set_client_secret(ClientSecret::new(secret.expose().to_owned()))
                .set_auth_type(AuthType::BasicAuth);
        }
        UpstreamClientAuth::PrivateKeyJwt { key, kid, alg, audience } => {
            let audience = match audience {
                AssertionAudience::TokenEndpoint => metadata.token_endpoint.as_str(),
                AssertionAudience::Issuer => &metadata.issuer,
            };
            let key = (key, kid.as_deref(), *alg);
            assertion = Some(client_assertion::sign(&provider.client_id, audience, key, clock, entropy)?);
        }
    }
    let mut request = client.exchange_code(AuthorizationCode::new(redemption.code.to_owned()));
    if let Some(verifier) = redemption.verifier {
        request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()));
    }
    if let Some(assertion) = assertion {
        request = request
            .add_extra_param("client_assertion_type", client_assertion::ASSERTION_TYPE)
            .add_extra_param("client_assertion", assertion);
    }
    let answering = Answering { upstream, answered: Mutex::default() };
    let answer = request.request_async(&answering).await.map_err(sort)?;
    if *answer.token_type() != BasicTokenType::Bearer {
        return Err(ExchangeError::Form("token_type is not Bearer"));
    }
    let id_token = answer.extra_fields().id_token.clone().ok_or(ExchangeError::Form("no id_token"))?;
    let access_token = Secret::new(answer.access_token().secret().clone());
    let whole = answering.answered.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Tokens { access_token, id_token: Secret::new(id_token), answer: Secret::new(whole) })
}

/// A client for which a server's fault is no answer, even where it has the form of one.
struct Answering<'u> {
    upstream: &'u Upstream,
    /// The last answer. What is no text is no JSON either.
    answered: Mutex<String>,
}

impl<'c> AsyncHttpClient<'c> for Answering<'_> {
    type Error = NetError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, NetError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let response = self.upstream.execute(request).await?;
            let body = String::from_utf8(response.body().clone()).unwrap_or_default();
            *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = body;
            match NetError::Status(response.status().as_u16()) {
                fault if fault.is_transient() => Err(fault),
                _ => Ok(response),
            }
        })
    }
}

/// What the provider wrote is kept to its `error`: descriptions can repeat what was sent, a body can hold tokens.
fn sort(error: RequestTokenError<NetError, BasicErrorResponse>) -> ExchangeError {
    match error {
        RequestTokenError::Request(error) => ExchangeError::Net(error),
        RequestTokenError::ServerResponse(response) => {
            let code: String = response.error().as_ref().chars().take(64).collect();
            if CLIENT_ERRORS.contains(&code.as_str()) {
                ExchangeError::Client(code)
            } else if code == "invalid_grant" {
                ExchangeError::Code(code)
            } else {
                ExchangeError::Refused(code)
            }
        }
        RequestTokenError::Parse(..) => ExchangeError::Form("its JSON has not the form of RFC 6749 §5"),
        RequestTokenError::Other(_) => ExchangeError::Form("no JSON object"),
    }
}
