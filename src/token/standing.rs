//! Whether a user still stands as she did: asked before every token, with today's rules, her latest facts and her
//! latest word.

use crate::{
    app::{App, Audience},
    audit::About,
    identity::entry,
    ids::{ClientId, IdentityId, UserId},
    oauth::{error::ErrorCode, scope::ScopeSet},
    policy::{self, Asked, Decision, Subject},
    store::{consents, identities},
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
}

/// Looks the user up, asks her provider's entry rules and the policy again and looks for her consent. Answers who she is
/// and what of `scope` she may have and still allows.
pub async fn confirm(
    app: &App,
    (user, identity): (&UserId, &IdentityId),
    client: &ClientId,
    audience: Audience<'_>,
    scope: &ScopeSet,
) -> Result<(Standing, ScopeSet), ApiError> {
    let gone = |about: &About, reason: String| {
        ApiError::new(ErrorCode::InvalidGrant, "the permission behind this token is no longer in force")
            .with_reason(reason)
            .with_about(about.clone())
    };
    let about = About::default().user(user).client(client).resource(audience.uri()).asked(scope);
    let account = identities::find_enabled(&app.db, identity)
        .await?
        .ok_or_else(|| gone(&about, format!("user {user} is disabled or gone")))?;
    let about = about.provider(&account.provider);
    let Some(provider) = app.config.providers.get(&account.provider) else {
        return Err(gone(&about, format!("provider {} is no longer configured", account.provider)));
    };
    if let Some(reason) = entry::bar(provider, &account) {
        return Err(gone(&about.rules([&reason]), format!("entry rules: {reason}")));
    }
    let subject =
        Subject { provider: account.provider, organization: account.organization, groups: account.groups.0 };
    let consent = consents::find(&app.db, user, client, &audience.purpose())
        .await?
        .ok_or_else(|| gone(&about, "the consent was withdrawn".to_owned()))?;
    let decision = match audience {
        Audience::Resource(resource) => policy::decide(&subject, Asked { client, resource, scope }),
        Audience::Idp(idp) => Decision::of(scope.intersection(&idp.declared.scopes_of(client))),
    };
    // Of no scope the policy grants the resource's defaults, which must not slip in.
    let allowed = decision.granted.intersection(scope);
    if decision.barred.is_some() || (allowed.is_empty() && !scope.is_empty()) {
        return Err(gone(&about.rules(decision.reasons()), decision.to_string()));
    }
    let granted = allowed.intersection(&consent.scope);
    if granted.is_empty() && !allowed.is_empty() {
        return Err(gone(&about, "the consent covers none of the scopes".to_owned()));
    }
    let (email, email_verified, name) = (account.email, account.email_verified, account.name);
    Ok((Standing { subject, email, email_verified, name }, granted))
}
