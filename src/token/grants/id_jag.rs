//! An identity assertion for an access token (ID-JAG §4.4): the enterprise's identity provider says who the user is and
//! that this client may act for her here. There is no consent and no refresh token: the provider is asked anew each
//! time.

use std::sync::Arc;

use sqlx::types::Json;

use crate::{
    app::{App, Audience},
    audit::{About, Kind},
    config::resource::Resource,
    id_jag::{
        IdJag, Refusal,
        claims::{self, Expected},
        issuer::{IdJagRules, Trusted},
        target,
    },
    identity::{
        assertion::{Naming, of_assertion},
        authentication::Authentication,
        users::{self, Found},
        verified::VerifiedIdentity,
    },
    ids::{GrantId, TokenId},
    jose::{Unverified, Verified},
    oauth::scope::ScopeSet,
    policy::{Asked, Assertion, Question, Subject},
    store::{
        grants::{self, Grant, GrantOrigin},
        replays,
    },
    token::{
        TokenRequest,
        issue::{self, Issuance, Person},
        standing::Standing,
    },
    web::error::ApiError,
};

/// An assertion of which every part is checked and that has changed nothing yet.
struct Checked<'a> {
    trusted: Trusted<'a, IdJagRules<'a>>,
    assertion: IdJag,
    who: VerifiedIdentity<'a>,
    resource: &'a Resource,
    asked: ScopeSet,
}

/// Exchanges an assertion.
pub async fn exchange<'a>(
    app: &'a Arc<App>,
    request: &TokenRequest,
    presented: Unverified<'_>,
) -> Result<Issuance<'a>, ApiError> {
    let about = About::default();
    let proved = Trusted::prove(app, Trusted::id_jag(&app.config), presented).await;
    let (trusted, verified) = match proved {
        Ok(proved) => proved,
        Err(refusal) => return Err(refusal.answer(about)),
    };
    let about = about.provider(&trusted.provider.id);
    let about = match verified.text("sub") {
        Ok(subject) => about.subject(subject),
        Err(_) => about,
    };
    let checked = match check(app, request, trusted, verified) {
        Ok(checked) => checked,
        Err(refusal) => return Err(refusal.answer(about)),
    };
    let about = about.resource(&checked.resource.uri).asked(&checked.asked);
    issue(app, request, checked).await.map_err(|refusal| refusal.answer(about))
}

/// Everything that an assertion whose signature holds must say, in itself and to this request.
fn check<'a>(
    app: &'a App,
    request: &TokenRequest,
    trusted: Trusted<'a, IdJagRules<'a>>,
    verified: Verified,
) -> Result<Checked<'a>, Refusal> {
    let (provider, (rules, issuer)) = (trusted.provider, trusted.rules);
    let client = request.client.client();
    let now = app.clock.now();
    let expected = Expected {
        client: &client.id,
        ours: &app.config.server.issuer,
        bound_to: request.bound_to(),
        leeway: provider.leeway,
        max_lifetime: rules.max_lifetime,
        now,
    };
    let assertion = claims::check(&verified, &expected)?;
    if client.is_public() && !rules.public_clients {
        return Err(Refusal::PublicClient);
    }
    let default = rules.default_resource.as_ref();
    let resource =
        target::resource(assertion.resources.as_deref(), &request.params, default, &app.config.resources)?;
    let asked = target::scope(assertion.scope.as_ref(), &request.params, resource)?;
    let authentication = Authentication::told_by(&verified, now, provider.leeway)?;
    let naming =
        Naming { issuer: &issuer.known_as, subject: &issuer.subject, tenants: issuer.tenants.as_ref() };
    let who = of_assertion(provider, naming, authentication, verified.into_claims())?;
    Ok(Checked { trusted, assertion, who, resource, asked })
}

/// Lets the user in, asks the rules, and takes effect: all in one transaction, so that whatever is refused leaves the
/// assertion as good as it was.
async fn issue<'a>(
    app: &'a App,
    request: &TokenRequest,
    checked: Checked<'a>,
) -> Result<Issuance<'a>, Refusal> {
    let Checked { trusted, assertion, who, resource, asked } = checked;
    let now = app.clock.now();
    let audience = Audience::Resource(resource);
    let mut tx = request.begin(app, audience).await?;
    let presenter = request.client.client();
    let presenter = (&presenter.id, presenter.is_public());
    let once = trusted.once(presenter, (assertion.jti.clone(), assertion.expires_at), assertion.bound);
    if !replays::spend(&mut tx, &once, now).await? {
        return Err(Refusal::Replayed);
    }
    let origin = &request.origin.recorded;
    let resolved = users::resolve(&mut tx, &who, origin, (&app.clock, &app.entropy)).await?;
    let identity = resolved.identity;
    let subject = Subject {
        provider: identity.provider.clone(),
        organization: identity.organization.clone(),
        groups: identity.groups.0.clone(),
    };
    let worth = Assertion {
        worth: Some(trusted.rules.0),
        claims: &who.claims.signed,
        scope: assertion.scope.as_ref(),
    };
    let client = request.client.client().id.clone();
    let asked = Asked { client: &client, resource, scope: &asked };
    let decision = Question::of_assertion(&subject, worth, asked).decide();
    if decision.barred.is_some() || decision.granted.is_empty() {
        return Err(Refusal::Policy(decision));
    }
    let mut grant = Grant {
        id: GrantId::new(&app.clock, &app.entropy),
        user_id: identity.user_id.clone(),
        identity_id: identity.id.clone(),
        origin: GrantOrigin::IdJag,
        session_id: None,
        client_id: client.clone(),
        purpose: audience.purpose(),
        audience: resource.uri.as_str().to_owned(),
        scope: decision.granted.clone(),
        auth_time: who.authentication.auth_time,
        acr: who.authentication.acr,
        amr: Json(who.authentication.amr),
        jkt: None,
        created_at: now,
        last_used_at: now,
        // Nothing renews it but another assertion.
        expires_at: now.plus(audience.access_token_lasts(&app.config)),
        revoked_at: None,
    };
    grant.id = grants::keep(&mut tx, &grant).await?;
    crate::store::clients::touch(&mut tx, &client, now).await?;
    let token_id = TokenId::new(&app.clock, &app.entropy);
    let event = issue::event(Kind::TokenIssued, request, &grant, audience)
        .provider(&identity.provider)
        .scope(&decision.granted)
        .detail("jti", &token_id)
        .detail("origin", "id_jag")
        .detail("issuer", trusted.name())
        .detail("assertion", &assertion.jti)
        .detail("new_user", resolved.found == Found::New);
    app.record(&mut tx, &event).await?;
    tx.commit().await?;
    let standing = Standing {
        subject,
        email: identity.email,
        email_verified: identity.email_verified,
        name: identity.name,
        upstream_subject: identity.subject,
        uses: None,
    };
    Ok(Issuance {
        client,
        person: Some(Person { grant, standing }),
        audience,
        nonce: None,
        scope: decision.granted,
        bound_to: request.bound_to().cloned(),
        refresh_token: None,
        delegation: None,
        token_id,
        now,
    })
}
