//! What an interaction needs next: a pure function of the request, the person and what she allowed before.

use crate::{
    clients::Client,
    clock::Timestamp,
    config::connection::Uses,
    oauth::{
        authorization::ValidatedRequest,
        error::{ErrorCode, OAuthError},
        redirect_uri::{Reach, RedirectUri},
        scope::ScopeSet,
    },
    policy::{Decision, Reason},
    store::{consents::Consent, interactions::Interaction, sessions::SignedIn},
};

/// The next step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The person must sign in, or sign in again.
    SignIn,
    /// The person must be asked for these scopes.
    AskConsent(ScopeSet),
    /// Consent is remembered: a code may be given at once.
    Finish(ScopeSet),
    /// No rule lets this person have any of it.
    NotEntitled(Vec<Reason>),
    /// The client asked that nothing be shown, and something must be.
    Refuse(OAuthError),
}

/// Whether a sign-in will do for this request: that of the person whom the client named, if it named one, and either
/// made for the request, or young enough and of a kind that the client wants, where it did not insist on a new one.
/// What was made for the request is young and strong enough in any case, since `federation` has held the provider to
/// `max_age`, `acr_values` are a wish (OpenID Connect Core §3.1.2.1), and asking again would never end. One that was
/// merely made meanwhile is not: nothing of what this request demands was asked of the provider.
pub(super) fn sign_in_suffices(interaction: &Interaction, now: Timestamp, session: &SignedIn) -> bool {
    let request = &interaction.request;
    let age = now.since(session.auth_time).as_secs();
    let young_enough = request.max_age.is_none_or(|most| age <= u64::from(most));
    let strong_enough = request.acr_values.is_empty()
        || session.acr.as_ref().is_some_and(|acr| request.acr_values.contains(acr));
    let will_do =
        is_made_for(interaction, session) || (young_enough && strong_enough && !request.prompt.login);
    will_do && !request.means_another(&session.user_id)
}

fn is_made_for(interaction: &Interaction, session: &SignedIn) -> bool {
    session.interaction_id.as_ref() == Some(&interaction.id)
}

/// What comes before there is a session that suffices; after a sign-in that was made for the request as somebody else
/// there will be none (OpenID Connect Core §3.1.2.1, `id_token_hint`).
pub(super) fn without_session(interaction: &Interaction, session: Option<&SignedIn>) -> Step {
    let refuse = |text: &'static str| Step::Refuse(OAuthError::new(ErrorCode::LoginRequired, text));
    if session.is_some_and(|session| is_made_for(interaction, session)) {
        refuse("somebody else signed in")
    } else if interaction.request.prompt.none {
        refuse("the user is not signed in")
    } else {
        Step::SignIn
    }
}

/// What comes once the person is known and the policy has spoken.
pub(super) fn with_session(
    request: &ValidatedRequest,
    client: &Client,
    decision: Decision,
    (uses, remembered): (&Uses, Option<&Consent>),
) -> Step {
    if !decision.is_allowed() {
        let refused = decision.refused.into_iter().map(|(_, reason)| reason);
        return Step::NotEntitled(decision.barred.into_iter().chain(refused).collect());
    }
    if may_skip_consent(request, client, (&decision.granted, uses), remembered) {
        return Step::Finish(decision.granted);
    }
    if request.prompt.none {
        return Step::Refuse(OAuthError::new(ErrorCode::ConsentRequired, "the user must be asked"));
    }
    Step::AskConsent(decision.granted)
}

/// Consent is remembered only where the client at the other end is surely the one that was allowed: its identity is
/// assured, the answer goes to the same host over https, its document has the addresses and keys that it had then, and
/// no other site sent the person here. And it covers what she was told: not accounts of hers elsewhere that the operator
/// has let the resource use since.
fn may_skip_consent(
    request: &ValidatedRequest,
    client: &Client,
    (scope, uses): (&ScopeSet, &Uses),
    remembered: Option<&Consent>,
) -> bool {
    remembers_consent(client, &request.reply.redirect_uri)
        && !request.prompt.consent
        && !request.cross_site
        && remembered.is_some_and(|consent| {
            scope.is_subset(&consent.scope)
                && consent.uses.cover(uses)
                && consent.redirect_host == request.reply.redirect_uri.host()
                && consent.document.as_ref() == client.fingerprint()
        })
}

/// Whether a consent given to this client at this address would be remembered.
pub(super) fn remembers_consent(client: &Client, redirect_uri: &RedirectUri) -> bool {
    client.is_assured() && redirect_uri.reach() == Reach::Web
}
