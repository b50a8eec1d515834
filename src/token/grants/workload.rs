//! A workload's own assertion for an access token (RFC 7523 §2.1): its platform says which program it is, and the
//! operator declared which client that is. The token is the client's own, as that of `client_credentials` is.

use std::sync::Arc;

use crate::{
    app::App,
    audit::{About, Event},
    id_jag::{
        Refusal,
        issuer::Trusted,
        workload::{self, Expected},
    },
    jose::Unverified,
    store::replays,
    token::{TokenRequest, grants::client_credentials::Own, issue::Issuance},
    web::error::ApiError,
};

/// Exchanges an assertion.
pub async fn exchange<'a>(
    app: &'a Arc<App>,
    request: &TokenRequest,
    presented: Unverified<'_>,
) -> Result<Issuance<'a>, ApiError> {
    let about = About::default();
    let proved = Trusted::prove(app, Trusted::workload(&app.config), presented).await;
    let (trusted, verified) = match proved {
        Ok(proved) => proved,
        Err(refusal) => return Err(refusal.answer(about)),
    };
    let about = about.provider(&trusted.provider.id);
    let subject = verified.text("sub").unwrap_or_default().to_owned();
    let expected = Expected {
        client: &request.client.client().id,
        rules: trusted.rules,
        ours: &app.config.server.issuer,
        bound_to: request.bound_to(),
        leeway: trusted.provider.leeway,
        now: app.clock.now(),
    };
    let once = match workload::check(&verified, &expected) {
        Ok(once) => once,
        Err(refusal) => return Err(refusal.answer(about.subject(&subject))),
    };
    let about = about.subject(&subject);
    let own = Own::of(app, request)?;
    let mut tx = request.begin(app, own.audience()).await?;
    if let Some(once) = &once
        && !replays::spend(&mut tx, once, app.clock.now()).await?
    {
        return Err(Refusal::Replayed.answer(about));
    }
    let told = |event: Event| {
        let event = event.provider(&trusted.provider.id).detail("origin", "workload");
        let event = event.detail("issuer", trusted.name()).detail("subject", &subject);
        match &once {
            Some(once) => event.detail("assertion", &once.jti),
            None => event,
        }
    };
    own.issue(app, request, tx, told).await
}
