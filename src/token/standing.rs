//! Whether a user still stands as she did: asked before every token, with today's rules, her latest facts and her
//! latest word.

use std::borrow::Cow;

use crate::{
    app::{App, Audience},
    audit::About,
    config::connection::Uses,
    identity::entry,
    ids::{ClientId, IdentityId, UserId},
    oauth::{error::ErrorCode, scope::ScopeSet},
    policy::{self, Asked, Decision, Question, Subject},
    store::{
        consents::{self, Consent},
        grants::{Grant, GrantOrigin},
        identities,
        switched_off::{self, Switch},
    },
    web::error::ApiError,
};

/// A user who may have tokens.
#[derive(Debug)]
pub struct Standing {
    /// What rules may speak of.
    pub subject: Subject,
    /// Her e-mail address.
    pub email: Option<String>,
    /// Whether her provider vouches for the address.
    pub email_verified: bool,
    /// Her name.
    pub name: Option<String>,
    /// What her provider calls her.
    pub upstream_subject: String,
    /// What she was told, when she allowed it, of accounts elsewhere. `None`: nobody asked her, since her provider
    /// allowed it.
    pub uses: Option<Uses>,
}

/// Looks the user up, asks her provider's entry rules and the policy again and looks for her consent. Answers who she
/// is and what of `scope` she may have and still allows.
pub async fn confirm(
    app: &App,
    (user, identity): (&UserId, &IdentityId),
    client: &ClientId,
    audience: Audience<'_>,
    scope: &ScopeSet,
) -> Result<(Standing, ScopeSet), ApiError> {
    let about = About::default().user(user).client(client).resource(audience.uri()).asked(scope);
    let (mut standing, about) = look_up(app, (user, identity), client, about).await?;
    let consent = consents::find(&app.db, user, client, &audience.purpose())
        .await?
        .ok_or_else(|| gone(&about, "the consent was withdrawn"))?;
    let decision = match audience {
        Audience::Resource(resource) => policy::decide(&standing.subject, Asked { client, resource, scope }),
        Audience::Idp(idp) => Decision::of(scope.intersection(&idp.declared.scopes_of(client))),
    };
    let allowed = left_of(scope, &decision, about.clone())?;
    let granted = left(&decision, scope, &consent);
    if granted.is_empty() && !allowed.is_empty() {
        return Err(gone(&about, "the consent covers none of the scopes"));
    }
    standing.uses = Some(consent.uses.0);
    Ok((standing, granted))
}

/// The same for what a grant stands on, at its own audience: a consent, or what the user's provider asserted.
pub async fn confirm_grant(
    app: &App,
    grant: &Grant,
    audience: Audience<'_>,
    scope: &ScopeSet,
) -> Result<(Standing, ScopeSet), ApiError> {
    let (user, client) = ((&grant.user_id, &grant.identity_id), &grant.client_id);
    let (GrantOrigin::IdJag, Audience::Resource(resource)) = (grant.origin, audience) else {
        return confirm(app, user, client, audience, scope).await;
    };
    let about = About::default().user(&grant.user_id).client(client).resource(&resource.uri).asked(scope);
    let (standing, about) = look_up(app, user, client, about).await?;
    let provider = app.config.providers.get(&standing.subject.provider);
    let worth = provider.and_then(|provider| provider.id_jag.as_ref());
    let asked = Asked { client, resource, scope };
    let decision = Question::of_accepted(&standing.subject, worth, asked).decide();
    Ok((standing, left_of(scope, &decision, about)?))
}

/// Whether a user who is not there would be let in at all, by any account of hers.
pub async fn confirm_absent(app: &App, user: &UserId, client: &ClientId) -> Result<(), ApiError> {
    let about = About::default().user(user).client(client);
    let mut refused = gone(&about, "nobody has this id");
    for account in identities::of_user(&app.db, user).await? {
        match look_up(app, (user, &account.identity.id), client, about.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_fault() => return Err(error),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// The user, if she is not shut out, nothing between her and the client is switched off, and her provider still lets
/// her in.
async fn look_up(
    app: &App,
    (user, identity): (&UserId, &IdentityId),
    client: &ClientId,
    about: About,
) -> Result<(Standing, About), ApiError> {
    let Some(account) = identities::find_enabled_for(&app.db, identity, client).await? else {
        return Err(off(app, (user, identity), client, about).await?);
    };
    let about = about.provider(&account.provider);
    let Some(provider) = app.config.providers.get(&account.provider) else {
        return Err(gone(&about, format!("provider {} is no longer configured", account.provider)));
    };
    if let Some(reason) = entry::bar(provider, &account) {
        return Err(gone(&about.rules([&reason]), format!("entry rules: {reason}")));
    }
    let subject =
        Subject { provider: account.provider, organization: account.organization, groups: account.groups.0 };
    let standing = Standing {
        subject,
        email: account.email,
        email_verified: account.email_verified,
        name: account.name,
        upstream_subject: account.subject,
        uses: None,
    };
    Ok((standing, about))
}

/// What it is that is off.
async fn off(
    app: &App,
    (user, identity): (&UserId, &IdentityId),
    client: &ClientId,
    about: About,
) -> Result<ApiError, ApiError> {
    if switched_off::is_off(&app.db, Switch::Client(client)).await? {
        return Ok(gone(&about.reason("client_disabled"), format!("client {client} is switched off")));
    }
    let accounts = identities::of_user(&app.db, user).await?;
    let Some(account) = accounts.into_iter().find(|account| account.identity.id == *identity) else {
        return Ok(gone(&about, format!("user {user} is gone")));
    };
    let provider = account.identity.provider;
    let about = about.provider(&provider);
    Ok(match account.disabled_at {
        Some(_) => gone(&about.reason("user_disabled"), format!("user {user} is disabled")),
        None => gone(&about.reason("provider_disabled"), format!("provider {provider} is switched off")),
    })
}

/// What a decision leaves of the scopes that were asked about. Of no scope the policy grants the resource's defaults,
/// which must not slip in.
fn left_of(scope: &ScopeSet, decision: &Decision, about: About) -> Result<ScopeSet, ApiError> {
    let allowed = decision.granted.intersection(scope);
    if decision.barred.is_some() || (allowed.is_empty() && !scope.is_empty()) {
        return Err(gone(&about.rules(decision.reasons()), decision.to_string()));
    }
    Ok(allowed)
}

fn gone(about: &About, reason: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(ErrorCode::InvalidGrant, "the permission behind this token is no longer in force")
        .with_reason(reason)
        .with_about(about.clone())
}

/// What is left of `asked`: no more than the rules still grant and she still allows.
pub fn left(decision: &Decision, asked: &ScopeSet, consent: &Consent) -> ScopeSet {
    decision.granted.intersection(asked).intersection(&consent.scope)
}
