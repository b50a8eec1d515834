//! The way back: `GET /login/{provider}/callback`.
//!
//! Whatever can be refused without the provider is refused before the `state` is used up, so that a stranger's request
//! or an outage costs nobody a sign-in. Then the `state` counts once, the provider is asked who this is, and user,
//! session and record are written in one transaction.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::{
    conversation::{self, PATIENCE, Return, Vouched},
    enter::enter,
    failure::SignInError,
    login::{self, Begin, Pending},
    onward::{self, Onward},
};
use crate::{
    app::App,
    config::provider::{IssuerRule, Provider, ResponseIss},
    federation::discovery::Metadata,
    identity::session::BrowserSession,
    oauth::params::Params,
    seal::OpenError,
    secret::TokenHash,
    store::{
        logins::{self, Login},
        switched_off::{self, Switch},
    },
    vault::sign_in,
    web::{error::PageError, page::see_other, request::Origin},
};

/// Longer than any provider's code.
const MAX_CODE_BYTES: usize = 4096;

/// `GET /login/{provider}/callback`
pub(super) async fn finish(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    mut session: BrowserSession,
    origin: Origin,
) -> Result<Response, PageError> {
    let deadline = Instant::now() + PATIENCE;
    let provider = login::provider_of(&app, &id)?;
    let stale = |reason: &'static str| PageError::stale_link().with_reason(reason);
    let params =
        Params::parse(query.unwrap_or_default().as_bytes()).map_err(|_| stale("malformed callback"))?;
    let state = params.get("state").ok_or_else(|| stale("callback without state"))?;
    let login = logins::find(&app.db, &TokenHash::of(state), app.clock.now()).await?;
    let login = login.ok_or_else(|| stale("state unknown or expired"))?;
    if !bool::from(login.browser_hash.ct_eq(&session.browser_hash())) {
        return Err(stale("state of another browser"));
    }
    if login.provider != provider.id {
        return Err(stale("state of another provider"));
    }
    let onward = onward::open(&app, &login, state).await?;
    let target = match (&login.interaction_id, &onward) {
        (Some(id), _) => format!("/interaction/{id}"),
        (None, Some(path)) => path.clone(),
        (None, None) => "/account".to_owned(),
    };
    let onward = onward.as_deref().map(Onward::parse).transpose()?;
    let again = Begin { onward, ..Begin::at(&provider.id, login.interaction_id.as_ref()) };
    if login.consumed_at.is_some() {
        // The browser's back button. Whoever is signed in goes on; nothing is done twice.
        return match session.signed_in() {
            Some(signed_in) if signed_in.provider == provider.id => Ok(see_other(&app.path(&target))),
            _ => Err(stale("state already used").with_link("Sign in again", again.path())),
        };
    }

    let came = async {
        let vouched = identify(&app, provider, &login, (state, &params), deadline).await?;
        enter(&app, provider, &login, &vouched, (&mut session, &origin)).await?;
        Ok(vouched.answer)
    };
    match came.await {
        Ok(answer) => {
            if let Some(signed_in) = session.signed_in() {
                sign_in::keep(&app, provider, (signed_in, answer), &origin).await;
            }
            Ok(see_other(&app.path(&target)))
        }
        Err(Stopped::Page(page)) => Err(*page),
        Err(Stopped::Refused(error)) => {
            error.record(&app, provider, &origin).await?;
            Err(error.page(provider, again))
        }
    }
}

/// Why the way back ends early.
pub(super) enum Stopped {
    /// For a reason that is not the provider's.
    Page(Box<PageError>),
    /// Because of what the provider, or a rule, said.
    Refused(SignInError),
}

impl<E: Into<PageError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Page(Box::new(error.into()))
    }
}

/// From the parameters that came with the person to who she is.
async fn identify<'p>(
    app: &App,
    provider: &'p Provider,
    login: &Login,
    (state, params): (&str, &Params),
    deadline: Instant,
) -> Result<Vouched<'p>, Stopped> {
    if switched_off::is_off(&app.db, Switch::Provider(&provider.id)).await? {
        return Err(Stopped::Refused(SignInError::SwitchedOff));
    }
    let reached = app.federation.reach(provider, &app.upstream, &app.clock).await;
    let reached = reached.map_err(|error| Stopped::Refused(error.into()))?;
    let response_iss = params.get("iss");
    check_response_iss(provider, &reached.metadata, response_iss).map_err(Stopped::Refused)?;
    let pending = open(app, provider, login, state).await?;

    let mut tx = app.db.begin().await?;
    if !logins::consume(&mut tx, &login.state_hash, app.clock.now()).await? {
        return Err(PageError::stale_link().with_reason("state used at the same moment").into());
    }
    tx.commit().await?;

    if let Some(error) = params.get("error") {
        return Err(Stopped::Refused(SignInError::Response(error.chars().take(64).collect())));
    }
    let redirect_uri = login::redirect_uri(&app.config.server.issuer, &provider.id)
        .map_err(|error| PageError::unavailable(format!("redirect_uri: {error}")))?;
    let code = params.get("code").filter(|code| code.len() <= MAX_CODE_BYTES);
    let returned = Return {
        code: code.ok_or_else(|| Stopped::Refused(SignInError::NoCode))?,
        response_iss,
        nonce: &pending.nonce,
        verifier: pending.verifier.as_deref(),
        max_age: pending.max_age.map(Duration::from_secs),
        redirect_uri,
    };
    let chance = (&app.clock, &app.entropy);
    conversation::identify(provider, &reached, returned, &app.upstream, chance, deadline)
        .await
        .map_err(Stopped::Refused)
}

/// RFC 9207 §2.4. Where the issuer is a template, the tenant is not known yet; the ID token's own `iss`, which must be
/// the same, decides later.
fn check_response_iss(
    provider: &Provider,
    metadata: &Metadata,
    iss: Option<&str>,
) -> Result<(), SignInError> {
    let right = match (iss, &provider.issuer) {
        (None, _) => !metadata.announces_iss && provider.response_iss == ResponseIss::WhenAnnounced,
        (Some(iss), IssuerRule::Exact(issuer)) => iss == issuer,
        (Some(_), IssuerRule::Template { .. }) => true,
    };
    if right { Ok(()) } else { Err(SignInError::ResponseIssuer) }
}

/// What was sealed when the sign-in began.
async fn open(app: &App, provider: &Provider, login: &Login, state: &str) -> Result<Pending, PageError> {
    let sealed = login.sealed.as_ref().ok_or_else(PageError::stale_link)?;
    let context = login::seal_context(&provider.id, state);
    let unusable =
        |error: &OpenError| PageError::stale_link().with_reason(format!("pending sign-in: {error}"));
    let opened = app.open_pending((&context, sealed), None, unusable).await?;
    serde_json::from_slice(&opened)
        .map_err(|error| PageError::unavailable(format!("pending sign-in: {:?}", error.classify())))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use url::Url;

    use super::*;
    use crate::config::provider::fixture::{multi_tenant, provider};

    const OURS: &str = "https://idp.acme.com";

    fn accepts(provider: &Provider, announces_iss: bool, iss: Option<&str>) -> bool {
        let url = Url::parse("https://idp.acme.com/x").unwrap();
        let metadata = Metadata {
            issuer: OURS.into(),
            authorization_endpoint: url.clone(),
            token_endpoint: url.clone(),
            userinfo_endpoint: None,
            end_session_endpoint: None,
            jwks_uri: url,
            announces_iss,
            s256: None,
            id_token_algs: Vec::new(),
            auth_methods: Vec::new(),
        };
        check_response_iss(provider, &metadata, iss).is_ok()
    }

    #[rstest]
    #[case(false, None, true)]
    #[case(false, Some(OURS), true)]
    #[case(true, Some(OURS), true)]
    #[case(true, None, false)]
    #[case(false, Some("https://evil.example"), false)]
    #[case(false, Some("https://idp.acme.com/"), false)]
    fn the_response_names_the_issuer_where_it_promised_to(
        #[case] announced: bool,
        #[case] iss: Option<&str>,
        #[case] passes: bool,
    ) {
        assert_eq!(accepts(&provider(), announced, iss), passes);
    }

    #[test]
    fn an_operator_may_require_what_was_not_promised() {
        let strict = Provider { response_iss: ResponseIss::Required, ..provider() };
        assert!(!accepts(&strict, false, None));
        assert!(accepts(&strict, false, Some(OURS)));
    }

    #[test]
    fn a_templated_issuer_is_left_to_the_token() {
        assert!(accepts(&multi_tenant(), false, Some("https://login.example/t1/v2.0")));
    }
}
