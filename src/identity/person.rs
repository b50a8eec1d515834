//! The person signed in, as pages show her.

use crate::{
    app::App,
    store::{identities, sessions::SignedIn},
    web::{error::PageError, pages},
};

/// Her name, address and provider. Whoever was shut out meanwhile is nobody any more: a stale link.
pub async fn person(app: &App, signed_in: &SignedIn) -> Result<pages::Person, PageError> {
    let account =
        identities::find_enabled(&app.db, &signed_in.identity_id).await?.ok_or_else(PageError::stale_link)?;
    let provider =
        app.config.providers.get(&account.provider).map_or(account.provider.as_str(), |p| p.name.as_str());
    let name = account.name.or_else(|| account.email.clone()).unwrap_or(account.subject);
    Ok(pages::Person {
        name: name.as_str().into(),
        email: account.email.as_deref().map(Into::into),
        provider: provider.into(),
    })
}
