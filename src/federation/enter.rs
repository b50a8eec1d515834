//! The person comes in: user, session, what the session is at the provider, and the record, together or not at all.

use std::time::Duration;

use sqlx::types::Json;

use super::{callback::Stopped, conversation::Vouched, signed_out::Keeping};
use crate::{
    app::App,
    audit::{Event, Kind},
    clock::Timestamp,
    config::provider::Provider,
    identity::{
        ending::{Cause, Ending},
        session::BrowserSession,
        users::{self, Found, ResolveError},
    },
    ids::SessionId,
    store::{
        logins::Login,
        sessions::SignedIn,
        upstream_sessions::{self, UpstreamSession},
    },
    web::request::Origin,
};

/// Signs the person in, in this browser.
pub(super) async fn enter(
    app: &App,
    provider: &Provider,
    login: &Login,
    Vouched { identity, subject, id_token, .. }: &Vouched<'_>,
    (session, origin): (&mut BrowserSession, &Origin),
) -> Result<(), Stopped> {
    let now = app.clock.now();
    let chance = (&app.clock, &app.entropy);
    let lifetimes = &app.config.lifetimes;
    let new = SessionId::new(&app.clock, &app.entropy);
    let known = session.signed_in().map(|signed_in| signed_in.id.clone());
    let keeping = Keeping::prepare(app, provider, known.into_iter().chain([new.clone()]), now).await?;
    let mut tx = app.db.begin().await?;
    let resolved = users::resolve(&mut tx, identity, &origin.recorded, chance).await;
    let resolved = resolved.map_err(|error| match error {
        ResolveError::Store(error) => error.into(),
        ResolveError::Refused(refusal) => Stopped::Refused(refusal.into()),
    })?;
    let (account, proof) = (&resolved.identity, &identity.authentication);
    let ending = Ending { origin: &origin.recorded, cause: Cause::Replaced, chance };
    let id = session.succeed(&mut tx, &account.id, new, &ending).await?;
    let expires_at = now.plus(lifetimes.session_absolute);
    let upstream = UpstreamSession {
        session_id: id.clone(),
        identity_id: account.id.clone(),
        provider: provider.id.clone(),
        issuer: identity.issuer.clone(),
        subject: subject.clone(),
        sid: proof.sid.clone(),
        expires_at: expires_at.plus(lifetimes.refresh_absolute),
    };
    upstream_sessions::put(&mut tx, &upstream).await?;
    let id_token = keeping.seal(&id, id_token);
    let event = Event::new(Kind::SignIn, &origin.recorded)
        .user(&account.user_id)
        .provider(&provider.id)
        .detail("new_user", resolved.found == Found::New)
        .detail("session", &id);
    let opened = session
        .open(
            &mut tx,
            SignedIn {
                id,
                user_id: account.user_id.clone(),
                identity_id: account.id.clone(),
                provider: provider.id.clone(),
                auth_time: by_our_clock(proof.auth_time, login.created_at, provider.leeway, now),
                acr: proof.acr.clone(),
                amr: Json(proof.amr.clone()),
                user_agent: origin.user_agent.clone(),
                created_at: now,
                last_seen_at: now,
                expires_at,
                interaction_id: login.interaction_id.clone(),
            },
            id_token.as_ref(),
        )
        .await?;
    app.record(&mut tx, &event).await?;
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

    use super::*;

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
