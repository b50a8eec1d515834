//! Whose word an assertion is: an issuer that the operator named, by a key of that issuer's own.

use crate::{
    app::App,
    clock::{Clock, Timestamp},
    config::{
        Config,
        provider::{
            IdTokenAlg, Provider, TrustedIssuer, Workload,
            id_jag::{IdJag, IdJagIssuer, Replay},
        },
    },
    federation::Federation,
    id_jag::Refusal,
    ids::ClientId,
    jose::{Unverified, Verified},
    net::Upstream,
    store::{
        replays::{OneTime, OneTimeKind},
        switched_off::{self, Switch},
    },
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

    /// What makes one of its assertions count once, until then; again for the same client where the operator allows it,
    /// if nobody else can pass for that client.
    pub fn once(
        &self,
        (client, is_public): (&ClientId, bool),
        (jti, expires_at): (String, Timestamp),
        bound: bool,
    ) -> OneTime {
        let is_surely_the_same = !is_public || bound;
        let may_come_again = self.rules.0.replay == Replay::SameClient && is_surely_the_same;
        OneTime {
            kind: OneTimeKind::IdJag,
            issuer: self.name().to_owned(),
            jti,
            expires_at,
            holder: may_come_again.then(|| client.clone()),
        }
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
        let outcome = tried.verify((&app.federation, &app.upstream, &app.clock), assertion).await;
        let trusted = named.ok_or(Refusal::Issuer)?;
        let verified = outcome?;
        let provider = &trusted.provider.id;
        if switched_off::is_off(&app.db, Switch::Provider(provider)).await? {
            return Err(Refusal::SwitchedOff(provider.clone()));
        }
        Ok((trusted, verified))
    }

    /// Proves an assertion of this issuer by its keys.
    pub async fn verify(
        &self,
        (federation, upstream, clock): (&Federation, &Upstream, &Clock),
        assertion: Unverified<'_>,
    ) -> Result<Verified, Refusal> {
        if !self.algorithms.iter().any(|accepted| accepted.algorithm() == assertion.algorithm()) {
            return Err(Refusal::Algorithm);
        }
        let keys = federation.keys_of((self.provider, self.issuer), upstream, clock).await;
        let keys = keys.map_err(|error| Refusal::Unreachable { issuer: self.name().to_owned(), error })?;
        Ok(keys.verify(assertion).await?)
    }
}
