//! The ways to a token, each with what stands in it.

use super::{Asker, By, Explanation, Finding, Person, Way, switched_off};
use crate::{
    clock::Timestamp,
    config::{
        Config,
        claims::ClaimPath,
        provider::{Provider, id_jag::IdJag},
        resource::Resource,
    },
    identity::{
        assertion::{Naming, of_assertion},
        authentication::Authentication,
        entry,
        verified::VerifiedIdentity,
    },
    jose::json::Object,
    oauth::{grant_type::GrantType, purpose::Purpose, scope::ScopeSet},
    policy::{Asked, Assertion, Question, Subject},
    store::{
        Db, StoreError, consents,
        grants::{self, GrantOrigin},
        identities::{Account, Identity},
    },
    token::standing,
};

/// A question about a user.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The rules.
    pub config: &'a Config,
    /// Who she is.
    pub account: &'a Account,
    /// Her provider; none: it is no longer configured.
    pub provider: Option<&'a Provider>,
    /// Who asks.
    pub client: &'a Asker,
    /// Where.
    pub resource: &'a Resource,
    /// What; empty for what is given to whoever asks for nothing.
    pub scope: &'a ScopeSet,
    /// What the assertion says beside who she is, where one is presented.
    pub claims: &'a Object,
}

impl Case<'_> {
    /// What comes of it by these ways; where there are none, by all.
    pub async fn explain(self, db: &Db, now: Timestamp, by: &[By]) -> Result<Explanation, StoreError> {
        let mut ways = Vec::new();
        let off = switched_off(db, &self.client.id, Some(&self.account.identity.provider)).await?;
        for way in if by.is_empty() { &[By::Consent, By::Refresh, By::Assertion][..] } else { by } {
            let way = match way {
                By::Consent => self.by_consent(),
                By::Refresh => self.by_refresh(db, now).await?,
                By::Assertion => self.by_assertion(),
                By::Itself => continue,
            };
            ways.push(way.unless(&off));
        }
        Ok(Explanation {
            user: Some(Person::from(self.account)),
            ways,
            ..about(self.client, self.resource, self.scope)
        })
    }

    fn by_consent(self) -> Way {
        let known = |provider| VerifiedIdentity::remembered(provider, &self.account.identity);
        let mut findings = self.gates(
            self.client.may_use(GrantType::AuthorizationCode, self.config),
            self.provider.map(known).as_ref(),
        );
        let trace = Question::of_user(&subject(&self.account.identity), self.asked(self.scope)).trace();
        findings.extend(trace.findings.into_iter().map(Finding::from));
        Way::new(By::Consent, findings, &trace.decision.granted)
    }

    /// As `token::standing` has it, of the latest grant that is in force.
    async fn by_refresh(self, db: &Db, now: Timestamp) -> Result<Way, StoreError> {
        let identity = &self.account.identity;
        let known = |provider| VerifiedIdentity::remembered(provider, identity);
        let mut findings = self.gates(
            self.client.may_use(GrantType::RefreshToken, self.config),
            self.provider.map(known).as_ref(),
        );
        let purpose = Purpose::Resource(self.resource.id.clone());
        let grants = grants::of_user(db, &identity.user_id, now).await?;
        let grant = grants.iter().find(|grant| {
            grant.origin == GrantOrigin::Consent
                && grant.client_id == self.client.id
                && grant.purpose == purpose
        });
        findings.push(Finding::of("grant", "in force", grant.is_some()));
        let consent = consents::find(db, &identity.user_id, &self.client.id, &purpose).await?;
        findings.push(Finding::of("consent", "not withdrawn", consent.is_some()));
        let granted = grant.map(|grant| &grant.scope);
        let scope = granted.filter(|_| self.scope.is_empty()).unwrap_or(self.scope);
        let trace = Question::of_user(&subject(identity), self.asked(scope)).trace();
        findings.extend(trace.findings.into_iter().map(Finding::from));
        for (name, holds) in [("grant", granted), ("consent", consent.as_ref().map(|consent| &consent.scope))]
        {
            let Some(holds) = holds else { continue };
            findings.extend(scope.iter().map(|scope| Finding {
                scope: Some(scope.to_string()),
                ..Finding::of(name, holds.to_string(), holds.contains(scope))
            }));
        }
        let left =
            consent.map(|consent| standing::left(&trace.decision, scope, &consent)).unwrap_or_default();
        let left = granted.map(|granted| left.intersection(granted)).unwrap_or_default();
        Ok(Way::new(By::Refresh, findings, &left))
    }

    fn by_assertion(self) -> Way {
        let said = self.provider.and_then(|provider| asserted(provider, &self.account.identity, self.claims));
        let mut subject = subject(&self.account.identity);
        if let Some(said) = &said {
            subject.groups = said.groups.names();
        }
        let mut findings = self.gates(self.client.may_use(GrantType::JwtBearer, self.config), said.as_ref());
        let worth = self.provider.and_then(|provider| provider.id_jag.as_ref());
        if let Some((provider, id_jag)) = self.provider.zip(worth) {
            findings.push(proves_itself(provider, id_jag, self.client));
        }
        let assertion = Assertion { worth, claims: self.claims, scope: None };
        let trace = Question::of_assertion(&subject, assertion, self.asked(self.scope)).trace();
        findings.extend(trace.findings.into_iter().map(Finding::from));
        Way::new(By::Assertion, findings, &trace.decision.granted)
    }

    /// What is asked before the policy: the provider, the client, the user, and whether she may come in at all.
    fn gates(self, client: Finding, who: Option<&VerifiedIdentity<'_>>) -> Vec<Finding> {
        let id = &self.account.identity.provider;
        let mut findings = vec![
            client,
            Finding::of(format!("providers.{id}"), "configured", self.provider.is_some()),
            Finding::of("user", "not disabled", self.account.disabled_at.is_none()),
        ];
        findings.extend(who.into_iter().flat_map(admitted));
        findings
    }

    const fn asked<'s>(&'s self, scope: &'s ScopeSet) -> Asked<'s> {
        Asked { client: &self.client.id, resource: self.resource, scope }
    }
}

/// Whether she may come in: the entry rules of her provider.
pub(super) fn admitted<'w>(who: &'w VerifiedIdentity<'_>) -> impl Iterator<Item = Finding> + 'w {
    let id = &who.provider.id;
    entry::rules(who.provider).map(move |rule| {
        let path = format!("providers.{id}.{}", rule.path());
        Finding::of(path, rule.wants().join(", "), rule.ask(who).is_ok())
    })
}

/// Whether such a client may present assertions of the provider.
pub(super) fn proves_itself(provider: &Provider, id_jag: &IdJag, client: &Asker) -> Finding {
    let rule = format!("providers.{}.id_jag.public_clients", provider.id);
    Finding::of(rule, "a client that proves who it is", id_jag.public_clients || !client.is_public())
}

/// What a client may have for itself.
pub async fn itself(
    (config, db): (&Config, &Db),
    client: &Asker,
    resource: &Resource,
    scope: &ScopeSet,
) -> Result<Explanation, StoreError> {
    let own = client.client.as_ref().map(|client| client.own_scopes.clone()).unwrap_or_default();
    let asked = Asked { client: &client.id, resource, scope };
    let trace = Question::of_client(&own, asked).trace();
    let mut findings = vec![client.may_use(GrantType::ClientCredentials, config)];
    findings.extend(trace.findings.into_iter().map(Finding::from));
    let off = switched_off(db, &client.id, None).await?;
    let ways = vec![Way::new(By::Itself, findings, &trace.decision.granted).unless(&off)];
    Ok(Explanation { ways, ..about(client, resource, scope) })
}

fn about(client: &Asker, resource: &Resource, scope: &ScopeSet) -> Explanation {
    Explanation {
        user: None,
        client: client.clone(),
        resource: Some(resource.into()),
        scope: scope.to_string(),
        ways: Vec::new(),
    }
}

fn subject(identity: &Identity) -> Subject {
    Subject {
        provider: identity.provider.clone(),
        organization: identity.organization.clone(),
        groups: identity.groups.0.clone(),
    }
}

/// The user as an assertion with these claims would name her.
fn asserted<'p>(provider: &'p Provider, known: &Identity, claims: &Object) -> Option<VerifiedIdentity<'p>> {
    let key = [ClaimPath::try_from("sub".to_owned()).ok()?];
    let mut signed = claims.clone();
    signed.insert("sub".to_owned(), known.subject.clone().into());
    let naming = Naming { issuer: &known.issuer, subject: &key, tenants: None };
    let who = of_assertion(provider, naming, Authentication::default(), signed).ok()?;
    Some(who.completed(Some(known)).into_owned())
}
