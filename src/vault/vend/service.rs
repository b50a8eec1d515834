//! Handing out a token of the operator's own account. There is no account of the person's to look for; all else holds,
//! so that nobody works with it but for a person who allowed the resource what needs it.

use super::{Stop, Vended, Wanted, touch};
use crate::{
    app::App,
    oauth::{error::ErrorCode, scope::ScopeSet},
    store::switched_off::{self, Switch},
    token::TokenRequest,
    web::error::ApiError,
};

pub(super) async fn hand_out(
    app: &App,
    request: &TokenRequest,
    wanted: &Wanted<'_>,
    needed: &ScopeSet,
) -> Result<Vended, Stop> {
    let configured = wanted.connection;
    if wanted.account.is_some() {
        let error = ApiError::new(ErrorCode::InvalidTarget, "this connection has no accounts to choose from");
        return Err(error.with_about(wanted.about(needed)).into());
    }
    if switched_off::is_off(&app.db, Switch::Connection(&configured.name)).await? {
        return Err(wanted.disabled(needed).into());
    }
    let scopes = configured.scopes.union(needed);
    let token = app.vault.services.token(app, configured, &scopes).await;
    let token = token.map_err(|not| wanted.stop(not, needed))?;
    let missing = needed.difference(&token.scopes);
    if !missing.is_empty() {
        let error = ApiError::access_denied("the vendor does not give this account all that is needed there")
            .with_reason(format!("connection {}: the vendor does not give {missing}", configured.name));
        return Err(error.with_about(wanted.about(needed).reason("missing_scopes")).into());
    }
    let now = app.clock.now();
    let mut tx = request.spend(app).await?;
    let kind = touch(app, &mut tx, wanted).await?;
    let event = wanted.event(request, kind).scope(&token.scopes).detail("needed", needed);
    app.record(&mut tx, &event).await?;
    tx.commit().await?;
    Ok(Vended::of_service(configured, token, now))
}
