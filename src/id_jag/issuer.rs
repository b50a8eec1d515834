//! Whose word an assertion is: an issuer that the operator named, by a key of that issuer's own.

use crate::{
    app::App,
    config::{
        Config,
        provider::{
            Provider,
            id_jag::{IdJag, IdJagIssuer},
        },
    },
    id_jag::Refusal,
    jose::{Unverified, Verified},
};

/// An issuer, and the rules of the provider that speaks for it.
#[derive(Debug, Clone, Copy)]
pub struct Trusted<'c> {
    /// The provider.
    pub provider: &'c Provider,
    /// What its assertions are worth.
    pub rules: &'c IdJag,
    /// The issuer.
    pub issuer: &'c IdJagIssuer,
}

/// Every issuer whose identity assertions count.
fn trusted(config: &Config) -> impl Iterator<Item = Trusted<'_>> {
    config.providers.values().flat_map(|provider| {
        provider.id_jag.iter().flat_map(move |rules| {
            rules.issuers.iter().map(move |issuer| Trusted { provider, rules, issuer })
        })
    })
}

/// Proves an assertion by the keys of the issuer that it names, if that one is trusted.
///
/// One of an issuer that is not is tried by the keys of another that is, and refused in any case: whom we trust is not
/// to be learnt from how long a refusal takes (ID-JAG §9.4).
pub async fn prove<'c>(app: &'c App, assertion: Unverified<'_>) -> Result<(Trusted<'c>, Verified), Refusal> {
    let named = assertion
        .issuer()
        .and_then(|issuer| trusted(&app.config).find(|trusted| trusted.issuer.trusted.issuer == issuer));
    let tried = named.or_else(|| trusted(&app.config).next()).ok_or(Refusal::Issuer)?;
    let outcome = verify(app, tried, assertion).await;
    let trusted = named.ok_or(Refusal::Issuer)?;
    Ok((trusted, outcome?))
}

async fn verify(app: &App, by: Trusted<'_>, assertion: Unverified<'_>) -> Result<Verified, Refusal> {
    if !by.rules.algorithms.iter().any(|accepted| accepted.algorithm() == assertion.algorithm()) {
        return Err(Refusal::Algorithm);
    }
    let (provider, issuer) = (by.provider, &by.issuer.trusted);
    let keys = app.federation.keys_of((provider, issuer), &app.upstream, &app.clock).await;
    let keys = keys.map_err(|error| Refusal::Unreachable { issuer: issuer.issuer.clone(), error })?;
    Ok(keys.verify(assertion).await?)
}
