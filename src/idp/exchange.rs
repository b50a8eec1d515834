//! Token exchange for a grant at the authorization server of somebody else (RFC 8693,
//! draft-ietf-oauth-identity-assertion-authz-grant §4.3): a client shows that a person signed in for it, and asks for
//! our word for her.
//!
//! In order: the form of the request; what is presented, and whether the person still stands as she did; the target and
//! its resource, which the operator declared together or which there are not; the rules; and last whether the sign-in
//! is fresh and strong enough, so that nobody is asked to sign in again for nothing.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{
    id_jag::{self, IdJag},
    subject_token::{self, SignedIn},
};
use crate::{
    app::{App, Audience, Idp},
    audit::{About, Kind},
    authorize::request::resource_scopes,
    config::idp::{SubjectForm, Target, TargetResource},
    ids::{ClientId, TokenId},
    oauth::{
        error::ErrorCode,
        scope::ScopeSet,
        token_exchange::{ExchangeRequest, TokenType},
    },
    policy::{Question, ReasonKind},
    store::{grants, pairwise_subjects},
    token::TokenRequest,
    web::error::ApiError,
};

/// The answer (§4.3.4). `N_A` says that the grant is no access token (RFC 8693 §2.2.1).
#[derive(Serialize)]
pub struct Granted {
    issued_token_type: &'static str,
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
}

/// What of the table a request is about.
#[derive(Clone, Copy)]
struct Place<'a> {
    target: &'a Target,
    resource: &'a TargetResource,
    client_there: &'a ClientId,
}

/// Issues a grant, or says why not.
pub async fn exchange(app: &Arc<App>, request: &TokenRequest) -> Result<Granted, ApiError> {
    let asked = ExchangeRequest::parse(&request.params)?;
    let refuse = |text: &'static str| Err(ApiError::new(ErrorCode::InvalidRequest, text));
    if asked.requested != Some(TokenType::IdJag) {
        return refuse("requested_token_type must be that of an ID-JAG");
    }
    if asked.actor.is_some() {
        return refuse("actor_token is not supported");
    }
    let idp = app.idp().ok_or_else(|| ApiError::unavailable("idp: route without configuration"))?;
    let client = &request.client.client().id;
    let signed_in = subject_token::verify(app, idp, request, asked.subject).await?;
    let about = signed_in.about();
    let place = place_of(&asked, idp, client).map_err(|error| error.with_about(about.clone()))?;
    let about = about.resource(&place.resource.uri);
    let scope = allowed(&signed_in, client, place, asked.scope.as_ref(), &about)?;
    let known_as = subject_of(&signed_in, place.target).map_err(|error| error.with_about(about.clone()))?;
    check_sign_in(app, &signed_in, place.target).map_err(|error| error.with_about(about.asked(&scope)))?;
    issue(app, idp, request, &signed_in, place, (known_as, scope)).await
}

/// Records the grant and signs it.
async fn issue(
    app: &App,
    idp: Idp<'_>,
    request: &TokenRequest,
    SignedIn { grant, standing }: &SignedIn,
    Place { target, resource, client_there }: Place<'_>,
    (known_as, scope): (KnownAs, ScopeSet),
) -> Result<Granted, ApiError> {
    let now = app.clock.now();
    let id = TokenId::new(&app.clock, &app.entropy);
    let event = request
        .event(Kind::IdJagIssued)
        .user(&grant.user_id)
        .provider(&standing.subject.provider)
        .resource(&resource.uri)
        .scope(&scope)
        .grant(&grant.id)
        .detail("target", &target.id)
        .detail("audience", &target.audience)
        .detail("client_there", client_there)
        .detail("jti", &id);
    let mut tx = request.begin(app, Audience::Idp(idp)).await?;
    let subject = match known_as {
        KnownAs::This(subject) => subject,
        KnownAs::Pairwise => {
            let fresh = app.entropy.token();
            pairwise_subjects::of(&mut tx, &target.audience, &grant.user_id, &fresh, now).await?
        }
    };
    if !grants::touch(&mut tx, &grant.id, now).await? {
        let text = "the subject token is invalid, expired or was revoked";
        return Err(ApiError::new(ErrorCode::InvalidGrant, text).with_reason("its grant ended meanwhile"));
    }
    app.record(&mut tx, &event).await?;
    tx.commit().await?;
    let bound_to = request.bound_to();
    let id_jag = IdJag {
        target,
        resource,
        client: client_there,
        subject: &subject,
        scope: &scope,
        grant,
        standing,
        bound_to,
        id: &id,
        now,
    };
    let signed = id_jag.sign(app, idp);
    Ok(Granted {
        issued_token_type: TokenType::IdJag.as_str(),
        access_token: signed.map_err(|error| ApiError::unavailable(format!("signing: {error}")))?,
        token_type: "N_A",
        expires_in: id_jag::LIFETIME.as_secs(),
        scope: scope.to_string(),
    })
}

/// The entry of the table that the request names: an audience, exact to the byte, and one of its resources. A client
/// that is not listed there is told no more than that it cannot have it.
fn place_of<'a>(asked: &ExchangeRequest<'_>, idp: Idp<'a>, client: &ClientId) -> Result<Place<'a>, ApiError> {
    let refuse = |text: &'static str| ApiError::new(ErrorCode::InvalidTarget, text);
    let unknown = |reason: String| {
        refuse("no grant for this audience and resource can be had by this client").with_reason(reason)
    };
    let audience = match asked.audiences.as_slice() {
        [] => return Err(ApiError::new(ErrorCode::InvalidRequest, "the parameter audience is missing")),
        [audience] => *audience,
        [..] => return Err(refuse("a grant is for one audience: ask for each separately")),
    };
    let target = idp.declared.targets.values().find(|target| target.audience == audience);
    let target = target.ok_or_else(|| unknown("no target has this audience".to_owned()))?;
    let client_there = target.client_ids.get(client);
    let client_there =
        client_there.ok_or_else(|| unknown(format!("idp.targets.{}.client_ids (client)", target.id)))?;
    let resource = match asked.resources.as_slice() {
        [] if target.resources.len() == 1 => target.resources.values().next(),
        [] => return Err(refuse("name the resource that the grant is for")),
        [uri] => target.resources.values().find(|resource| resource.uri == *uri),
        [..] => return Err(refuse("a grant is for one resource: ask for each separately")),
    };
    let resource = resource.ok_or_else(|| unknown(format!("target {} has no such resource", target.id)))?;
    Ok(Place { target, resource, client_there })
}

/// What of the scopes asked for the table and the rules leave; of its defaults where none are asked for. A grant
/// without any scope would leave it to the target how far our word goes, so there is none.
fn allowed(
    signed_in: &SignedIn,
    client: &ClientId,
    Place { target, resource, .. }: Place<'_>,
    asked: Option<&ScopeSet>,
    about: &About,
) -> Result<ScopeSet, ApiError> {
    let declared = resource.scopes.keys().cloned().collect();
    let asked = asked.map(|asked| resource_scopes(asked).union(&asked.intersection(&declared)));
    let asked = asked.unwrap_or_default();
    let subject = &signed_in.standing.subject;
    let decision = Question::of_target(subject, client, (target, resource), &asked).decide();
    if decision.barred.is_none() && !decision.granted.is_empty() {
        return Ok(decision.granted);
    }
    let unknown_alone = decision.reasons().all(|reason| reason.kind == ReasonKind::UnknownScope);
    let error = if unknown_alone {
        ApiError::new(ErrorCode::InvalidScope, "none of the scopes can be had at the resource")
    } else {
        ApiError::access_denied("the rules of the organization do not allow it")
    };
    let reason = format!("target {}, {decision}", target.id);
    Err(error.with_reason(reason).with_about(about.clone().asked(&asked).rules(decision.reasons())))
}

/// What the person is called at a target.
enum KnownAs {
    This(String),
    Pairwise,
}

fn subject_of(SignedIn { grant, standing }: &SignedIn, target: &Target) -> Result<KnownAs, ApiError> {
    Ok(match target.subject {
        SubjectForm::UserId => KnownAs::This(grant.user_id.to_string()),
        SubjectForm::Pairwise => KnownAs::Pairwise,
        SubjectForm::UpstreamSubject => KnownAs::This(standing.upstream_subject.clone()),
        SubjectForm::Email => {
            let vouched_for = standing.email.clone().filter(|_| standing.email_verified);
            KnownAs::This(vouched_for.ok_or_else(|| {
                let reason = format!("target {}: the user has no verified address to be known by", target.id);
                ApiError::access_denied("the rules of the organization do not allow it").with_reason(reason)
            })?)
        }
    })
}

/// Whether the person signed in recently and strongly enough for the target (§4.3.3). What to ask of her is told, so
/// that the client can have her sign in again (RFC 9470 §3).
fn check_sign_in(app: &App, SignedIn { grant, .. }: &SignedIn, target: &Target) -> Result<(), ApiError> {
    let age = grant.auth_time.map(|auth_time| app.clock.now().since(auth_time));
    let stale = target.max_age.is_some_and(|oldest| age.is_none_or(|age| age > oldest));
    let wanted = &target.acr_values;
    let weak = !wanted.is_empty() && !grant.acr.as_ref().is_some_and(|acr| wanted.contains(acr));
    if !stale && !weak {
        return Ok(());
    }
    let text = "the user must sign in again, as max_age and acr_values say";
    let mut error = ApiError::new(ErrorCode::InsufficientUserAuthentication, text).with_reason(format!(
        "target {}: the sign-in is {}",
        target.id,
        if stale { "too old" } else { "of another kind" }
    ));
    if let Some(oldest) = target.max_age {
        error = error.with_member("max_age", json!(oldest.as_secs()));
    }
    if !wanted.is_empty() {
        error = error.with_member("acr_values", json!(wanted.join(" ")));
    }
    Err(error)
}
