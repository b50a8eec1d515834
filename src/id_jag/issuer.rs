//! Whose word an assertion is: an issuer that the operator named, by a key of that issuer's own.

use crate::{
    app::App,
    config::{
        Config,
        provider::{
            IdTokenAlg, Provider, TrustedIssuer, Workload,
            id_jag::{IdJag, IdJagIssuer},
        },
    },
    id_jag::Refusal,
    jose::{Unverified, Verified},
    store::switched_off::{self, Switch},
};

/// An issuer, and the rules of the provider that speaks for it.
#[derive(Debug, Clone, Copy)]
pub struct Trusted<'c, R> {
    /// The provider.
    pub provider: &'c Provider,
    /// What it says of this kind of assertion.
    pub rules: R,
    issuer: &'c TrustedIssuer,
    algorithms: &'c [IdTokenAlg],
}

/// What a provider says of identity assertions, and of this issuer of them.
pub type IdJagRules<'c> = (&'c IdJag, &'c IdJagIssuer);

impl<'c> Trusted<'c, IdJagRules<'c>> {
    /// Every issuer whose identity assertions count.
    pub fn id_jag(config: &'c Config) -> impl Iterator<Item = Self> + Clone {
        config.providers.values().flat_map(|provider| {
            provider.id_jag.iter().flat_map(move |id_jag| {
                id_jag.issuers.iter().map(move |named| Self {
                    provider,
                    rules: (id_jag, named),
                    issuer: &named.trusted,
                    algorithms: &id_jag.algorithms,
                })
            })
        })
    }
}

impl<'c> Trusted<'c, &'c Workload> {
    /// Every issuer whose assertions about workloads count.
    pub fn workload(config: &'c Config) -> impl Iterator<Item = Self> + Clone {
        config.providers.values().filter_map(|provider| {
            let rules = provider.workload.as_ref()?;
            Some(Self { provider, rules, issuer: &rules.issuer, algorithms: &rules.algorithms })
        })
    }
}

impl<'c, R: Copy> Trusted<'c, R> {
    /// What `iss` is.
    pub fn name(&self) -> &'c str {
        &self.issuer.issuer
    }

    /// Proves an assertion by the keys of the issuer that it names, if that is among these.
    ///
    /// One of an issuer that is not is tried by the keys of another that is, and refused in any case: whom we trust is
    /// not to be learnt from how long a refusal takes (ID-JAG §9.4).
    pub async fn prove(
        app: &'c App,
        mut these: impl Iterator<Item = Self> + Clone,
        assertion: Unverified<'_>,
    ) -> Result<(Self, Verified), Refusal> {
        let issuer = assertion.issuer();
        let named = issuer.and_then(|issuer| these.clone().find(|trusted| trusted.name() == issuer));
        let tried = named.or_else(|| these.next()).ok_or(Refusal::Issuer)?;
        let outcome = tried.verify(app, assertion).await;
        let trusted = named.ok_or(Refusal::Issuer)?;
        let verified = outcome?;
        let provider = &trusted.provider.id;
        if switched_off::is_off(&app.db, Switch::Provider(provider)).await? {
            return Err(Refusal::SwitchedOff(provider.clone()));
        }
        Ok((trusted, verified))
    }

    async fn verify(&self, app: &App, assertion: Unverified<'_>) -> Result<Verified, Refusal> {
        if !self.algorithms.iter().any(|accepted| accepted.algorithm() == assertion.algorithm()) {
            return Err(Refusal::Algorithm);
        }
        let keys = app.federation.keys_of((self.provider, self.issuer), &app.upstream, &app.clock).await;
        let keys = keys.map_err(|error| Refusal::Unreachable { issuer: self.name().to_owned(), error })?;
        Ok(keys.verify(assertion).await?)
    }
}
