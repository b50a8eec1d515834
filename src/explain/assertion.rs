//! What would become of an identity assertion (ID-JAG) that an operator has at hand: every check of the token endpoint,
//! by the same functions, each met or not. The issuer is asked for its keys and nobody for anything else; nothing is
//! written, and the assertion is as good as before.

use super::{Asker, By, Explanation, Finding, Person, Way, switched_off, ways};
use crate::{
    clock::Clock,
    config::Config,
    federation::Federation,
    id_jag::{
        Refusal, checks,
        claims::{self, Expected},
        issuer::{IdJagRules, Trusted},
        presented::Presented,
        target,
    },
    identity::{
        assertion::{Naming, of_assertion},
        authentication::Authentication,
        link,
    },
    ids::ClientId,
    jose::{Thumbprint, Verified, VerifyError},
    net::Upstream,
    oauth::{grant_type::GrantType, params::Params, scope::ScopeSet},
    policy::{Asked, Assertion, Question, Subject},
    store::{
        Db, StoreError,
        identities::{self, Account},
        replays,
    },
};

/// An assertion, and how it would be presented.
#[derive(Debug)]
pub struct Pasted<'a> {
    /// The assertion.
    pub assertion: &'a str,
    /// Who would present it; none: whom it names.
    pub client: Option<ClientId>,
    /// The request's `resource` and `scope`, where it would have them.
    pub params: Params,
}

/// Why nothing can be said of it. The texts repeat nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// It is no ID-JAG.
    #[error("the assertion cannot be read: {0}")]
    Form(String),
    /// It is about a program.
    #[error("the assertion is a workload's own and no ID-JAG: its typ is JWT, or missing")]
    Workload,
    /// Neither the operator nor the assertion says who presents it.
    #[error("the assertion names no client that could be: say who presents it with --client")]
    Client,
    /// Its issuer's keys cannot be had.
    #[error("whether its signature holds is not known: {0}")]
    Keys(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was heard so far.
#[derive(Default)]
struct Heard(Vec<Finding>);

impl Heard {
    /// Notes what a check said: what it wants where it is met, else why it is not.
    fn note<T>(&mut self, rule: &str, wants: &str, checked: Result<T, Refusal>) -> Option<T> {
        let said = checked.as_ref().err().map_or_else(|| wants.to_owned(), ToString::to_string);
        self.0.push(Finding::of(rule, said, checked.is_ok()));
        checked.ok()
    }
}

/// What would become of it now.
pub async fn of_assertion_at_hand(
    (config, db): (&Config, &Db),
    pasted: Pasted<'_>,
    upstream: &Upstream,
    clock: &Clock,
) -> Result<Explanation, NoAnswer> {
    let assertion = match Presented::read(pasted.assertion) {
        Ok(Presented::IdJag(assertion)) => assertion,
        Ok(Presented::Workload(_)) => return Err(NoAnswer::Workload),
        Err(refusal) => return Err(NoAnswer::Form(refusal.to_string())),
    };
    let named = assertion.text("client_id").and_then(|id| ClientId::try_from(id.to_owned()).ok());
    let client = pasted.client.or(named).ok_or(NoAnswer::Client)?;
    let client = Asker::find(config, db, &client).await?;
    let mut heard = Heard(vec![client.may_use(GrantType::JwtBearer, config)]);
    let issuer = assertion.issuer().unwrap_or_default().to_owned();
    let trusted = Trusted::id_jag(config).find(|trusted| trusted.name() == issuer);
    let trusted = heard.note("assertion.iss", &issuer, trusted.ok_or(Refusal::Issuer));
    let judged = match trusted {
        None => Judged::default(),
        Some(trusted) => {
            let federation = Federation::new(config);
            let proved = trusted.verify((&federation, upstream, clock), assertion).await;
            if let Err(error @ (Refusal::Unreachable { .. } | Refusal::Token(VerifyError::NoKeys(_)))) =
                &proved
            {
                return Err(NoAnswer::Keys(error.to_string()));
            }
            heard.0.extend(switched_off(db, &client.id, Some(&trusted.provider.id)).await?);
            match heard.note("assertion.signature", &format!("by a key of {}", trusted.name()), proved) {
                None => Judged::default(),
                Some(verified) => {
                    let case = Case { config, db, client: &client, trusted, params: &pasted.params, clock };
                    case.judge(&verified, &mut heard).await?
                }
            }
        }
    };
    Ok(judged.told(client.clone(), heard))
}

/// What came of it, as far as it came.
#[derive(Default)]
struct Judged<'a> {
    account: Option<Account>,
    resource: Option<&'a crate::config::resource::Resource>,
    asked: ScopeSet,
    granted: ScopeSet,
}

impl Judged<'_> {
    fn told(self, client: Asker, heard: Heard) -> Explanation {
        Explanation {
            user: self.account.as_ref().map(Person::from),
            client,
            resource: self.resource.map(Into::into),
            scope: self.asked.to_string(),
            ways: vec![Way::new(By::Assertion, heard.0, &self.granted)],
        }
    }
}

/// An assertion whose signature holds, and all that it is held against.
#[derive(Clone, Copy)]
struct Case<'a> {
    config: &'a Config,
    db: &'a Db,
    client: &'a Asker,
    trusted: Trusted<'a, IdJagRules<'a>>,
    params: &'a Params,
    clock: &'a Clock,
}

impl<'a> Case<'a> {
    /// In the order of `token/grants/id_jag.rs`; but a check that is not met does not keep the next from being heard.
    async fn judge(self, verified: &Verified, heard: &mut Heard) -> Result<Judged<'a>, StoreError> {
        self.hear_the_assertion(verified, heard).await?;
        let rules = self.trusted.rules.0;
        heard.0.push(ways::proves_itself(self.trusted.provider, rules, self.client));
        let (ours, default) = (&self.config.resources, rules.default_resource.as_ref());
        let resource = claims::resources(verified)
            .and_then(|claimed| target::resource(claimed.as_deref(), self.params, default, ours));
        let resource = heard.note("assertion.resource", "one of resources", resource);
        let scopes = resource.and_then(|resource| {
            let scopes = claims::scope(verified).and_then(|given| {
                let asked = target::scope(given.as_ref(), self.params, resource)?;
                Ok((given, asked))
            });
            heard.note("assertion.scope", "scopes of the resource", scopes)
        });
        let (given, asked) = scopes.unwrap_or_default();
        let mut judged = Judged { resource, asked, ..Judged::default() };
        self.hear_the_rules(verified, (&mut judged, given.as_ref()), heard).await?;
        Ok(judged)
    }

    /// What the assertion must say of itself.
    async fn hear_the_assertion(self, verified: &Verified, heard: &mut Heard) -> Result<(), StoreError> {
        let (rules, _) = self.trusted.rules;
        let now = self.clock.now();
        let key = holder(verified);
        let expected = Expected {
            client: &self.client.id,
            ours: &self.config.server.issuer,
            bound_to: key.as_ref(),
            leeway: self.trusted.provider.leeway,
            max_lifetime: rules.max_lifetime,
            now,
        };
        let lasts = format!("good now, and for {} s at most", rules.max_lifetime.as_secs());
        let until = heard.note("assertion.exp", &lasts, claims::lifetime(verified, &expected));
        heard.note("assertion.aud", expected.ours.as_str(), claims::audience(verified, &expected));
        heard.note("assertion.client_id", expected.client.as_str(), claims::presenter(verified, &expected));
        let jti = heard.note("assertion.jti", "an identifier", checks::jti(verified));
        let restricted = match &key {
            Some(key) => {
                format!("no restriction but to the key {}, which the request must prove", key.as_str())
            }
            None => "no restriction that is not understood".to_owned(),
        };
        let bound = heard.note("assertion.cnf", &restricted, checks::restrictions(verified, key.as_ref()));
        if let Some(jti) = jti {
            let presenter = (&self.client.id, self.client.is_public());
            let until = until.unwrap_or(now);
            let once = self.trusted.once(presenter, (jti, until), bound.unwrap_or_default());
            let fresh = !replays::is_spent(self.db, &once, now).await?;
            heard.0.push(Finding::of("assertion", "not presented before", fresh));
        }
        Ok(())
    }

    /// Whom it is about, whether she may come in, and what the rules leave.
    async fn hear_the_rules(
        self,
        verified: &Verified,
        (judged, given): (&mut Judged<'a>, Option<&ScopeSet>),
        heard: &mut Heard,
    ) -> Result<(), StoreError> {
        let (provider, (rules, issuer)) = (self.trusted.provider, self.trusted.rules);
        let told =
            Authentication::told_by(verified, self.clock.now(), provider.leeway).map_err(Refusal::from);
        let naming =
            Naming { issuer: &issuer.known_as, subject: &issuer.subject, tenants: issuer.tenants.as_ref() };
        let claims = verified.claims().clone();
        let who = told.and_then(|told| Ok(of_assertion(provider, naming, told, claims)?));
        let Some(who) = heard.note("assertion.sub", "somebody of the provider's", who) else { return Ok(()) };
        let account = identities::of_key(self.db, &who.issuer, &who.subject).await?;
        heard.0.push(match &account {
            None => Finding::of("user", "made when it is accepted, or found by identity", true),
            Some(account) => Finding::of("user", "not disabled", account.disabled_at.is_none()),
        });
        if let (Some(named), Some(account)) = (link::named(&who), &account) {
            let is_she = named == account.identity.user_id.as_str();
            heard.0.push(Finding::of("assertion.aud_sub", account.identity.user_id.as_str(), is_she));
        }
        let whole = who.completed(account.as_ref().map(|account| &account.identity));
        heard.0.extend(ways::admitted(&whole));
        if let Some(resource) = judged.resource {
            let subject = Subject {
                provider: provider.id.clone(),
                organization: provider.organization.clone(),
                groups: whole.groups.names(),
            };
            let worth = Assertion { worth: Some(rules), claims: &who.claims.signed, scope: given };
            let asked = Asked { client: &self.client.id, resource, scope: &judged.asked };
            let trace = Question::of_assertion(&subject, worth, asked).trace();
            heard.0.extend(trace.findings.into_iter().map(Finding::from));
            if trace.decision.barred.is_none() && trace.decision.granted.is_empty() {
                heard.0.push(Finding::of("scope", "at least one", false));
            }
            judged.granted = trace.decision.granted;
        }
        judged.account = account;
        Ok(())
    }
}

/// The key that the assertion is bound to. Whether who presents it can prove that key does not stand in it.
fn holder(verified: &Verified) -> Option<Thumbprint> {
    let jkt = verified.claims().get("cnf")?.get("jkt")?.as_str()?;
    Thumbprint::try_from(jkt.to_owned()).ok()
}
