//! The authorization endpoint and its sign-in page (OpenID Connect Core §3.1.2).
//!
//! The request travels in the page's form and is judged again when the form comes back, so nothing is stored before
//! somebody has signed in.

use std::sync::Arc;

use axum::{
    extract::{Form, RawForm, RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{Provider, SCOPES, SignedIn, TestClient, TestUser, USERS, open};
use crate::{
    oauth::{
        error::{ErrorCode, OAuthError},
        params::Params,
        pkce::CodeChallenge,
        redirect_uri::RedirectUri,
        scope::ScopeSet,
    },
    web::pages::{self, Chrome, DevSignIn},
};

/// No script and no framing. `form-action` is left open on purpose: browsers apply it to every redirect that
/// follows the form, and the last of them is the MCP client's own address.
const PAGE_HEADERS: [(header::HeaderName, &str); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// `GET /authorize`.
pub(super) async fn by_query(State(provider): State<Arc<Provider>>, RawQuery(query): RawQuery) -> Response {
    provider.sign_in_page(&query.unwrap_or_default()).unwrap_or_else(|refusal| provider.refuse(refusal))
}

/// `POST /authorize`: the same request as a form (§3.1.2.1).
pub(super) async fn by_form(State(provider): State<Arc<Provider>>, RawForm(body): RawForm) -> Response {
    let query = String::from_utf8_lossy(&body);
    provider.sign_in_page(&query).unwrap_or_else(|refusal| provider.refuse(refusal))
}

/// What the sign-in page sends.
#[derive(Deserialize)]
pub(super) struct SignIn {
    request: String,
    user: String,
}

/// `POST /sign-in`.
pub(super) async fn sign_in(State(provider): State<Arc<Provider>>, Form(form): Form<SignIn>) -> Response {
    provider.code(&form.request, &form.user).unwrap_or_else(|refusal| provider.refuse(refusal))
}

/// A request that may be answered at the client's `redirect_uri`.
struct AuthenticationRequest<'p> {
    client: &'p TestClient,
    state: Option<String>,
    nonce: Option<String>,
    challenge: CodeChallenge,
    login_hint: Option<String>,
    scope: ScopeSet,
}

enum Refusal {
    /// Client or `redirect_uri` are not the registered ones: nobody may be sent anywhere (RFC 6749 §4.1.2.1).
    Page(&'static str),
    /// The client is told.
    Redirect { to: RedirectUri, state: Option<String>, error: OAuthError },
}

impl<'p> AuthenticationRequest<'p> {
    fn parse(provider: &'p Provider, query: &str) -> Result<Self, Refusal> {
        let params = Params::parse(query.as_bytes())
            .map_err(|_| Refusal::Page("The request has repeated or oversized parameters."))?;
        let id = params.get("client_id").unwrap_or_default();
        let client = provider
            .client(id)
            .ok_or(Refusal::Page("The client_id is none that this provider was started with."))?;
        if params.get("redirect_uri") != Some(client.redirect_uri.as_str()) {
            return Err(Refusal::Page("The redirect_uri is not the one this provider was started with."));
        }
        let state = params.get("state").map(str::to_owned);
        let to = client.redirect_uri.clone();
        Self::parse_answerable(client, &params).map_err(|error| Refusal::Redirect { to, state, error })
    }

    fn parse_answerable(client: &'p TestClient, params: &Params) -> Result<Self, OAuthError> {
        let refuse = |code, text| Err(OAuthError::new(code, text));
        if params.get("request").is_some() {
            return refuse(ErrorCode::RequestNotSupported, "request objects are not supported");
        }
        if params.get("request_uri").is_some() {
            return refuse(ErrorCode::RequestUriNotSupported, "request_uri is not supported");
        }
        if params.require("response_type")? != "code" {
            return refuse(ErrorCode::UnsupportedResponseType, "only response_type=code is known");
        }
        if params.get("response_mode").is_some_and(|mode| mode != "query") {
            return refuse(ErrorCode::InvalidRequest, "only response_mode=query is known");
        }
        let scope = ScopeSet::parse(params.require("scope")?)
            .map_err(|text| OAuthError::new(ErrorCode::InvalidScope, text))?;
        if !scope.iter().any(|scope| scope.as_str() == "openid") {
            return refuse(ErrorCode::InvalidScope, "the scope openid is missing");
        }
        if params.require("code_challenge_method")? != "S256" {
            return refuse(ErrorCode::InvalidRequest, "code_challenge_method must be S256");
        }
        let challenge = CodeChallenge::try_from(params.require("code_challenge")?.to_owned())
            .map_err(|text| OAuthError::new(ErrorCode::InvalidRequest, text))?;
        if params.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|value| value == "none")) {
            return refuse(ErrorCode::LoginRequired, "nobody stays signed in at this provider");
        }
        Ok(Self {
            client,
            state: params.get("state").map(str::to_owned),
            nonce: params.get("nonce").map(str::to_owned),
            login_hint: params.get("login_hint").map(str::to_owned),
            challenge,
            scope: scope.iter().filter(|scope| SCOPES.contains(&scope.as_str())).cloned().collect(),
        })
    }
}

impl Provider {
    fn sign_in_page(&self, query: &str) -> Result<Response, Refusal> {
        let request = AuthenticationRequest::parse(self, query)?;
        let mut users: Vec<_> = USERS.iter().collect();
        users.sort_by_key(|user| request.login_hint.as_deref() != Some(user.email));
        let page = DevSignIn {
            chrome: Chrome::new("Test provider", "/", true),
            action: "/sign-in".into(),
            fields: vec![("request".to_owned(), query.to_owned())],
            users: users.into_iter().map(shown).collect(),
        };
        Ok((PAGE_HEADERS, pages::page(StatusCode::OK, &page)).into_response())
    }

    fn code(&self, query: &str, sub: &str) -> Result<Response, Refusal> {
        let AuthenticationRequest { client, state, nonce, challenge, scope, .. } =
            AuthenticationRequest::parse(self, query)?;
        let user =
            USERS.iter().find(|user| user.sub == sub).ok_or(Refusal::Page("There is no such user."))?;
        let (code, now) = (self.entropy.token(), self.clock.now());
        let signed_in = SignedIn { client: client.id.clone(), user, at: now, nonce, challenge, scope };
        open(&self.codes).put(&code, signed_in, now);
        Ok(self.redirect(&client.redirect_uri, &[("code", &code)], state.as_deref()))
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Page(text) => (StatusCode::BAD_REQUEST, format!("{text}\n")).into_response(),
            Refusal::Redirect { to, state, error } => self.redirect(
                &to,
                &[("error", error.code.as_str()), ("error_description", &error.description)],
                state.as_deref(),
            ),
        }
    }

    /// Back to the client by 303, with `state` as it came and `iss` (RFC 9207).
    fn redirect(&self, to: &RedirectUri, answer: &[(&str, &str)], state: Option<&str>) -> Response {
        let mut parameters = answer.to_vec();
        parameters.extend(state.map(|state| ("state", state)));
        parameters.push(("iss", &self.issuer));
        Redirect::to(&to.with_parameters(&parameters)).into_response()
    }
}

fn shown(user: &TestUser) -> pages::TestUser {
    pages::TestUser {
        value: user.sub.to_owned(),
        name: user.name.into(),
        email: user.email.into(),
        note: Some(format!("in {}", user.groups.join(" and ")).as_str().into()),
    }
}
