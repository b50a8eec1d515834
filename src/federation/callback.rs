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
use sqlx::types::Json;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::{
    conversation::{self, PATIENCE, Return},
    failure::SignInError,
    login::{self, Begin, Pending},
};
use crate::{
    app::App,
    audit::{About, Event, Kind},
    clock::Timestamp,
    config::provider::{IssuerRule, Provider, ResponseIss},
    federation::discovery::Metadata,
    identity::{
        session::BrowserSession,
        users::{self, Found, Refusal, ResolveError},
        verified::VerifiedIdentity,
    },
    ids::SessionId,
    oauth::params::Params,
    secret::TokenHash,
    store::{
        logins::{self, Login},
        sessions::SignedIn,
    },
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
    let target = match &login.interaction_id {
        Some(id) => format!("/interaction/{id}"),
        None => "/account".to_owned(),
    };
    let again = Begin::at(&provider.id, login.interaction_id.as_ref());
    if login.consumed_at.is_some() {
        // The browser's back button. Whoever is signed in goes on; nothing is done twice.
        return match session.signed_in() {
            Some(signed_in) if signed_in.provider == provider.id => Ok(see_other(&app.path(&target))),
            _ => Err(stale("state already used").with_link("Sign in again", again.path())),
        };
    }

    let came = async {
        let identity = sign_in(&app, provider, &login, (state, &params), deadline).await?;
        enter(&app, provider, &login, &identity, (&mut session, &origin)).await
    };
    match came.await {
        Ok(()) => Ok(see_other(&app.path(&target))),
        Err(Stopped::Page(page)) => Err(*page),
        Err(Stopped::Refused(error)) => {
            record(&app, provider, &error, &origin).await?;
            Err(error.page(provider, again))
        }
    }
}

/// Records that somebody was refused, where somebody decided it.
async fn record(
    app: &App,
    provider: &Provider,
    error: &SignInError,
    origin: &Origin,
) -> Result<(), PageError> {
    let Some(code) = error.code() else { return Ok(()) };
    let event = Event::new(Kind::SignInRefused, &origin.recorded).provider(&provider.id).reason(code);
    let event = match error {
        SignInError::Refused(Refusal::Disabled(user)) => event.user(user),
        SignInError::Refused(Refusal::Entry(refusal)) => {
            event.about(About::default().rules([format!("providers.{}.{refusal}", provider.id)]))
        }
        _ => event,
    };
    Ok(app.record_refusal(origin, &event).await?)
}

/// Why the way back ends early.
enum Stopped {
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
async fn sign_in<'p>(
    app: &App,
    provider: &'p Provider,
    login: &Login,
    (state, params): (&str, &Params),
    deadline: Instant,
) -> Result<VerifiedIdentity<'p>, Stopped> {
    let reached = app.federation.reach(provider, &app.upstream, &app.clock).await;
    let reached = reached.map_err(|error| Stopped::Refused(error.into()))?;
    let response_iss = params.get("iss");
    check_response_iss(provider, &reached.metadata, response_iss).map_err(Stopped::Refused)?;
    let pending = open(app, provider, login, state)?;

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

/// What was sealed when the sign-in began. It does not open only after the encryption keys were changed meanwhile.
fn open(app: &App, provider: &Provider, login: &Login, state: &str) -> Result<Pending, PageError> {
    let sealed = login.sealed.as_ref().ok_or_else(PageError::stale_link)?;
    let opened = app.sealer.open(&login::seal_context(&provider.id, state), sealed);
    let opened =
        opened.map_err(|error| PageError::stale_link().with_reason(format!("pending sign-in: {error}")))?;
    serde_json::from_slice(&opened)
        .map_err(|error| PageError::unavailable(format!("pending sign-in: {:?}", error.classify())))
}

/// The person comes in: user, session and record, together or not at all.
async fn enter(
    app: &App,
    provider: &Provider,
    login: &Login,
    identity: &VerifiedIdentity<'_>,
    (session, origin): (&mut BrowserSession, &Origin),
) -> Result<(), Stopped> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let chance = (&app.clock, &app.entropy);
    let resolved = users::resolve(&mut tx, identity, &origin.recorded, chance).await;
    let resolved = resolved.map_err(|error| match error {
        ResolveError::Store(error) => error.into(),
        ResolveError::Refused(refusal) => Stopped::Refused(refusal.into()),
    })?;
    let (user, proof) = (&resolved.identity.user_id, &identity.authentication);
    let opened = session
        .open(
            &mut tx,
            SignedIn {
                id: SessionId::new(&app.clock, &app.entropy),
                user_id: user.clone(),
                identity_id: resolved.identity.id.clone(),
                provider: provider.id.clone(),
                auth_time: by_our_clock(proof.auth_time, login.created_at, provider.leeway, now),
                acr: proof.acr.clone(),
                amr: Json(proof.amr.clone()),
                user_agent: origin.user_agent.clone(),
                created_at: now,
                last_seen_at: now,
                expires_at: now.plus(app.config.lifetimes.session_absolute),
                interaction_id: login.interaction_id.clone(),
            },
        )
        .await?;
    let event = Event::new(Kind::SignIn, &origin.recorded).user(user).provider(&provider.id);
    app.record(&mut tx, &event.detail("new_user", resolved.found == Found::New)).await?;
    tx.commit().await?;
    Ok(session.adopt(opened).await?)
}

/// When the person proved herself, as our clock saw it: a proof that the provider dates within its leeway of this
/// sign-in was made during it. A provider that does not date it had its say just now.
fn by_our_clock(
    auth_time: Option<Timestamp>,
    began: Timestamp,
    leeway: Duration,
    now: Timestamp,
) -> Timestamp {
    match auth_time {
        Some(at) if at >= began.minus(leeway) => at.max(began).min(now),
        Some(at) => at,
        None => now,
    }
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

    #[rstest]
    #[case("their clock is behind: still during this sign-in", Some(75), 100)]
    #[case("during this sign-in", Some(110), 110)]
    #[case("their clock is ahead", Some(130), 120)]
    #[case("an hour ago, by single sign-on", Some(-3500), -3500)]
    #[case("not said", None, 120)]
    fn a_proof_is_dated_by_our_clock(#[case] why: &str, #[case] auth_time: Option<i64>, #[case] dated: i64) {
        let at = Timestamp::from_secs;
        let found = by_our_clock(auth_time.map(at), at(100), Duration::from_secs(30), at(120));
        assert_eq!(found, at(dated), "{why}");
    }
}
