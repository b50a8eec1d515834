//! The way out: a browser is sent to a provider, and what must come back with the person is noted.
//!
//! `state` finds the note, PKCE and `nonce` tie code and ID token to it, and the browser's own secret ties all of them
//! to the browser that began.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use oauth2::{
    AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, basic::BasicClient,
};
use serde::{Deserialize, Serialize};
use url::{ParseError, Url, form_urlencoded};
use zeroize::Zeroizing;

use super::{
    discovery::Metadata,
    failure::SignInError,
    onward::{self, Onward},
};
use crate::{
    app::App,
    config::provider::Provider,
    identity::session::BrowserSession,
    ids::{InteractionId, ProviderId},
    oauth::{authorization::ValidatedRequest, issuer::Issuer, params::Params},
    seal::SealContext,
    secret::TokenHash,
    store::{
        interactions::{self, Interaction},
        logins::{self, Login},
        switched_off::{self, Switch},
    },
    vault::sign_in::KeptAs,
    web::{
        error::PageError,
        page::see_other,
        request::{Origin, PageForm},
    },
};

/// What clients and people write as an address fits.
const MAX_HINT_BYTES: usize = 320;

/// What must come back with the person, sealed in the row of the sign-in.
#[derive(Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) nonce: String,
    /// The PKCE verifier; absent where the provider is configured without.
    pub(super) verifier: Option<String>,
    /// The `max_age` that was sent, in seconds.
    pub(super) max_age: Option<u64>,
}

/// Where a sign-in's sealed part belongs. The `state` itself is part of it, so the row alone opens nothing.
pub(super) fn seal_context<'a>(provider: &'a ProviderId, state: &'a str) -> SealContext<'a> {
    SealContext {
        table: "logins",
        column: "sealed",
        row: state,
        owner: "",
        provider: provider.as_str(),
        version: 1,
    }
}

/// What a sign-in asks of the provider beyond who the person is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// The person must prove herself anew.
    pub(super) anew: bool,
    /// The oldest proof that suffices, in seconds.
    pub(super) max_age: Option<u64>,
    /// The kinds of sign-in that the client wants.
    pub(super) acr_values: Vec<String>,
    /// Who the person probably is.
    pub(super) login_hint: Option<String>,
    /// What else its tokens are for.
    pub(super) kept: KeptAs,
}

impl Asked {
    /// The stricter of what the client and the operator ask. What the person typed herself is the better hint.
    fn of(request: Option<&ValidatedRequest>, begin: &Begin<'_>, provider: &Provider) -> Self {
        let ages =
            [request.and_then(|r| r.max_age).map(u64::from), provider.max_age.map(|age| age.as_secs())];
        // What the operator demands of every sign-in, a client cannot trade for something else.
        let acr_values = request.filter(|_| !provider.authorize_params.contains_key("acr_values"));
        let hint = begin.hint.or_else(|| request?.login_hint.as_deref());
        Self {
            anew: begin.anew || request.is_some_and(|request| request.prompt.login),
            max_age: ages.into_iter().flatten().min(),
            acr_values: acr_values.map(|request| request.acr_values.clone()).unwrap_or_default(),
            login_hint: hint.filter(|hint| hint.len() <= MAX_HINT_BYTES).map(str::to_owned),
            kept: KeptAs::default(),
        }
    }
}

/// A sign-in that has yet to begin, as links of ours name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begin<'a> {
    pub(super) provider: &'a ProviderId,
    /// What goes on afterwards.
    pub(super) interaction: Option<&'a InteractionId>,
    /// The page that goes on, where that is no interaction.
    pub(super) onward: Option<Onward<'a>>,
    /// What the person typed.
    pub(super) hint: Option<&'a str>,
    /// Whether the provider shall ask the person, rather than let her last sign-in stand.
    pub(super) anew: bool,
}

impl<'a> Begin<'a> {
    /// A sign-in at this provider for this interaction.
    pub(super) const fn at(provider: &'a ProviderId, interaction: Option<&'a InteractionId>) -> Self {
        Self { provider, interaction, onward: None, hint: None, anew: false }
    }

    /// The path below the issuer's.
    pub(super) fn path(&self) -> String {
        let parameters = [
            ("interaction", self.interaction.map(InteractionId::as_str)),
            (onward::PARAMETER, self.onward.map(Onward::path)),
            ("login_hint", self.hint),
            ("prompt", self.anew.then_some("login")),
        ];
        with_query(&format!("/login/{}", self.provider), &parameters)
    }
}

/// A path with those of the parameters that have a value.
pub(super) fn with_query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// The provider of a path.
pub(super) fn provider_of<'a>(app: &'a App, id: &str) -> Result<&'a Provider, PageError> {
    let id = ProviderId::try_from(id.to_owned()).map_err(|_| PageError::not_found())?;
    app.config.providers.get(&id).ok_or_else(PageError::not_found)
}

/// The interaction that a sign-in is for. `None` was named; one that this browser did not begin is a stale link.
pub(super) async fn interaction_of(
    app: &App,
    id: Option<&str>,
    session: &BrowserSession,
) -> Result<Option<Interaction>, PageError> {
    let Some(id) = id else { return Ok(None) };
    let id = InteractionId::parse(id).ok_or_else(PageError::stale_link)?;
    let found = interactions::find(&app.db, &id, &session.browser_hash(), app.clock.now()).await?;
    found.map(Some).ok_or_else(PageError::stale_link)
}

/// The page that a sign-in leads to, where one is named.
pub(super) fn onward_of(params: &Params) -> Result<Option<Onward<'_>>, PageError> {
    params.get(onward::PARAMETER).map(Onward::parse).transpose()
}

/// The `redirect_uri` at a provider: one for each, so that an answer of one cannot be taken for another's
/// (RFC 9700 §4.4.2).
pub(super) fn redirect_uri(issuer: &Issuer, provider: &ProviderId) -> Result<RedirectUrl, ParseError> {
    RedirectUrl::new(issuer.url(&format!("/login/{provider}/callback")))
}

/// `GET /login/{provider}`
pub(super) async fn begin(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    session: BrowserSession,
    origin: Origin,
    form: Result<PageForm, PageError>,
) -> Result<Response, PageError> {
    let now = app.clock.now();
    let provider = provider_of(&app, &id)?;
    let PageForm(params) = form?;
    let interaction = interaction_of(&app, params.get("interaction"), &session).await?;
    if !app.limits.begun.admits(&origin.source, now) {
        return Err(PageError::too_many());
    }
    app.limits.begun.count(origin.source, now);
    // Whoever is signed in here mostly is at the provider, too, where the one whom the client means could not come.
    let is_another = |interaction: &Interaction| {
        session.signed_in().is_some_and(|signed_in| interaction.request.means_another(&signed_in.user_id))
    };
    let begin = Begin {
        provider: &provider.id,
        interaction: interaction.as_ref().map(|interaction| &interaction.id),
        onward: onward_of(&params)?,
        hint: params.get("login_hint"),
        anew: params.get("prompt") == Some("login") || interaction.as_ref().is_some_and(is_another),
    };
    if switched_off::is_off(&app.db, Switch::Provider(&provider.id)).await? {
        SignInError::SwitchedOff.record(&app, provider, &origin).await?;
        return Err(SignInError::SwitchedOff.page(provider, begin));
    }
    let asked = Asked::of(interaction.as_ref().map(|found| &*found.request), &begin, provider);
    let asked = Asked { kept: KeptAs::of(&app.config, provider), ..asked };
    let reached = app.federation.reach(provider, &app.upstream, &app.clock).await;
    let reached = reached.map_err(|error| SignInError::from(error).page(provider, begin))?;

    let state = Zeroizing::new(app.entropy.token());
    let pending = Pending {
        nonce: app.entropy.token(),
        verifier: provider.pkce.then(|| app.entropy.token()),
        max_age: asked.max_age,
    };
    let sealed = serde_json::to_vec(&pending).map(Zeroizing::new);
    let sealed = sealed.map_err(|error| PageError::unavailable(format!("pending sign-in: {error}")))?;
    let context = seal_context(&provider.id, &state);
    let onward = match begin.onward {
        Some(onward) => Some(onward.seal(&app, &provider.id, &state).await?),
        None => None,
    };
    let login = Login {
        state_hash: TokenHash::of(&state),
        provider: provider.id.clone(),
        browser_hash: session.browser_hash(),
        interaction_id: begin.interaction.cloned(),
        onward,
        sealed: Some(app.sealer.seal(&app.entropy, &context, &sealed).await?),
        created_at: now,
        expires_at: now.plus(app.config.lifetimes.upstream_state),
        consumed_at: None,
    };
    session.remember().await?;
    let mut tx = app.db.begin().await?;
    logins::insert(&mut tx, &login).await?;
    tx.commit().await?;
    let redirect_uri = redirect_uri(&app.config.server.issuer, &provider.id);
    let redirect_uri =
        redirect_uri.map_err(|error| PageError::unavailable(format!("redirect_uri: {error}")))?;
    let url = authorization_url(provider, &reached.metadata, redirect_uri, (&state, &pending), &asked);
    Ok(see_other(url.as_str()))
}

/// The authorization request (OIDC Core §3.1.2.1). Never a `resource`: whom our tokens are for is between our clients
/// and us, and some providers refuse the parameter.
fn authorization_url(
    provider: &Provider,
    metadata: &Metadata,
    redirect_uri: RedirectUrl,
    (state, pending): (&str, &Pending),
    asked: &Asked,
) -> Url {
    let client = BasicClient::new(ClientId::new(provider.client_id.clone()))
        .set_auth_uri(AuthUrl::from_url(metadata.authorization_endpoint.clone()))
        .set_redirect_uri(redirect_uri);
    let mut request = client
        .authorize_url(|| CsrfToken::new(state.to_owned()))
        .add_scopes(asked.kept.with_scopes(provider).map(|scope| Scope::new(scope.to_owned())))
        .add_extra_param("nonce", &pending.nonce);
    if let Some(verifier) = &pending.verifier {
        let verifier = PkceCodeVerifier::new(verifier.clone());
        request = request.set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
    }
    let ours = [
        ("prompt", asked.anew.then(|| provider.prompt_login.clone())),
        ("max_age", asked.max_age.map(|age| age.to_string())),
        ("acr_values", (!asked.acr_values.is_empty()).then(|| asked.acr_values.join(" "))),
        ("login_hint", asked.login_hint.clone()),
    ];
    let ours: Vec<_> = ours.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let vendors = asked.kept.params.iter().filter(|(name, _)| !provider.authorize_params.contains_key(*name));
    for (name, value) in provider.authorize_params.iter().chain(vendors) {
        if !ours.iter().any(|(mine, _)| mine == name) {
            request = request.add_extra_param(name, value);
        }
    }
    for (name, value) in ours {
        request = request.add_extra_param(name, value);
    }
    request.url().0
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{config::provider::fixture::provider, oauth::scope::ScopeSet};

    fn metadata() -> Metadata {
        let url = |path: &str| Url::parse(&format!("https://idp.acme.com{path}")).unwrap();
        Metadata {
            issuer: "https://idp.acme.com".into(),
            authorization_endpoint: url("/authorize?flow=b2b"),
            token_endpoint: url("/token"),
            userinfo_endpoint: None,
            end_session_endpoint: None,
            jwks_uri: url("/keys"),
            announces_iss: false,
            s256: Some(true),
            id_token_algs: Vec::new(),
            auth_methods: Vec::new(),
        }
    }

    fn request(provider: &Provider, pending: &Pending, asked: &Asked) -> BTreeMap<String, String> {
        let redirect_uri = RedirectUrl::new("https://us.example/login/acme/callback".into()).unwrap();
        let url = authorization_url(provider, &metadata(), redirect_uri, ("s", pending), asked);
        assert!(url.as_str().starts_with("https://idp.acme.com/authorize?flow=b2b&"));
        let count = url.query_pairs().count();
        let parameters: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(parameters.len(), count, "no parameter twice");
        parameters
    }

    fn pending(verifier: Option<&str>) -> Pending {
        Pending { nonce: "n".into(), verifier: verifier.map(str::to_owned), max_age: None }
    }

    #[test]
    fn the_plain_request_and_nothing_else() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"; // RFC 7636 appendix B
        let sent = request(&provider(), &pending(Some(verifier)), &Asked::default());
        let expected = [
            ("client_id", "us"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
            ("flow", "b2b"),
            ("nonce", "n"),
            ("redirect_uri", "https://us.example/login/acme/callback"),
            ("response_type", "code"),
            ("scope", "openid email"),
            ("state", "s"),
        ];
        assert_eq!(sent, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn what_this_request_asks_wins_over_what_the_operator_always_asks() {
        let mut provider = provider();
        for (name, value) in [("prompt", "select_account"), ("hd", "acme.com")] {
            provider.authorize_params.insert(name.into(), value.into());
        }
        let get = |asked: &Asked, name: &str| request(&provider, &pending(None), asked).get(name).cloned();
        assert_eq!(get(&Asked::default(), "prompt").as_deref(), Some("select_account"));
        let acr_values = vec!["phr".into(), "mfa".into()];
        let login_hint = Some("a@acme.com&x=y".into());
        let asked = Asked { anew: true, max_age: Some(60), acr_values, login_hint, kept: KeptAs::default() };
        assert_eq!(get(&asked, "prompt").as_deref(), Some("login"));
        assert_eq!(get(&asked, "max_age").as_deref(), Some("60"));
        assert_eq!(get(&asked, "acr_values").as_deref(), Some("phr mfa"));
        assert_eq!(get(&asked, "login_hint").as_deref(), Some("a@acme.com&x=y"));
        assert_eq!(get(&asked, "hd").as_deref(), Some("acme.com"));
        assert_eq!(get(&asked, "code_challenge"), None);
    }

    /// Nothing twice, and when the person is asked is no matter of the connection's.
    #[test]
    fn what_the_tokens_become_is_asked_for_besides() {
        let mut provider = provider();
        provider.authorize_params.insert("hd".into(), "acme.com".into());
        let params = [("access_type", "offline"), ("hd", "any")];
        let kept = KeptAs {
            scopes: ScopeSet::parse("openid files").unwrap(),
            params: params.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let sent = request(&provider, &pending(None), &Asked { kept, ..Asked::default() });
        let get = |name: &str| sent.get(name).map(String::as_str);
        assert_eq!(get("scope"), Some("openid email files"));
        assert_eq!((get("access_type"), get("hd")), (Some("offline"), Some("acme.com")));
    }

    #[test]
    fn the_stricter_age_holds() {
        let mut provider = provider();
        let id = provider.id.clone();
        let begin = Begin::at(&id, None);
        assert_eq!(Asked::of(None, &begin, &provider), Asked::default());
        provider.max_age = Some(Duration::from_secs(3600));
        assert_eq!(Asked::of(None, &begin, &provider).max_age, Some(3600));
        let endless = "a".repeat(321);
        assert_eq!(Asked::of(None, &Begin { hint: Some(&endless), ..begin }, &provider).login_hint, None);
        assert!(Asked::of(None, &Begin { anew: true, ..begin }, &provider).anew);
    }

    #[test]
    fn paths_carry_only_what_is_known() {
        let provider = provider();
        let interaction = InteractionId::parse("01938f5e-8c00-7000-8000-000000000000");
        assert_eq!(Begin::at(&provider.id, None).path(), "/login/acme");
        let hint = Some("a+b@acme.com");
        assert_eq!(
            Begin { hint, anew: true, ..Begin::at(&provider.id, interaction.as_ref()) }.path(),
            "/login/acme?interaction=01938f5e-8c00-7000-8000-000000000000&login_hint=a%2Bb%40acme.com&prompt=login"
        );
    }
}
