//! Whose account was connected: its identity, which is pinned, and what rules ask of it.

use oauth2::http::StatusCode;
use serde_json::Value;

use super::{
    Tokens, Vendors,
    answer::{Answer, text},
    failure::VendorError,
    reached::Reached,
    request::Call,
};
use crate::{
    config::{
        claims::ClaimPath,
        connection::{
            AccountRequirements, Connection,
            behaviour::{Body, EmailVerified, Identity, Listing, Method, Source},
        },
    },
    jose::json::{Object, parse_object},
    secret::Secret,
};

/// An account at a vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// What never changes about it, and no other account there has.
    pub id: String,
    /// What people know it by; its id, where the vendor tells nothing better.
    pub label: String,
    /// The tenant, workspace or site that it belongs to.
    pub tenant: Option<String>,
    /// Its e-mail address, where the vendor vouches for it.
    pub email: Option<String>,
    /// Those that it is a member of; asked for where a rule names some.
    pub organizations: Vec<String>,
}

/// A site that an account may choose to work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// What the vendor's API knows it by.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its address.
    pub url: Option<String>,
}

impl Account {
    /// The first rule that it does not meet, by the name of its key.
    pub fn breaks(&self, rules: &AccountRequirements) -> Option<&'static str> {
        let among = |rules: &[String], found: &[String]| {
            rules.is_empty() || rules.iter().any(|rule| found.contains(rule))
        };
        let domain = self.email.as_deref().and_then(|email| email.rsplit_once('@'));
        let domain = domain.map(|(_, domain)| domain.to_ascii_lowercase());
        [
            ("tenants", among(&rules.tenants, self.tenant.as_slice())),
            ("organizations", among(&rules.organizations, &self.organizations)),
            ("email_domains", among(&rules.email_domains, domain.as_slice())),
        ]
        .into_iter()
        .find_map(|(key, met)| (!met).then_some(key))
    }
}

/// The account that these members tell of. `None`: its id is not among them.
pub(super) fn read(identity: &Identity, members: &Object) -> Option<Account> {
    /// Names and addresses that people can read fit.
    const LONGEST: usize = 256;
    let find = |path: &ClaimPath| path.lookup(members).and_then(text).filter(|text| text.len() <= LONGEST);
    let parts: Option<Vec<_>> = identity.id.iter().map(find).collect();
    let id = parts?.join(":");
    let email = identity.email.as_ref().and_then(find);
    let vouched = match &identity.email_verified {
        Some(EmailVerified::Always) => true,
        Some(EmailVerified::By(path)) => path.lookup(members) == Some(&Value::Bool(true)),
        None => false,
    };
    Some(Account {
        label: identity.label.as_ref().and_then(find).or_else(|| email.clone()).unwrap_or_else(|| id.clone()),
        id,
        tenant: identity.tenant.as_ref().and_then(find),
        email: email.filter(|_| vouched),
        organizations: Vec::new(),
    })
}

/// The question whose account it is.
fn who_is_it<'a>(reached: &'a Reached, access_token: &Secret) -> Result<Call<'a>, VendorError> {
    let (identity, url) = (&reached.behaviour.identity, reached.url("identity_url")?);
    let call = match &identity.query {
        Some(query) => Call::new(identity.method, url, Some(Body::Json)).with("query", query),
        None => Call::new(identity.method, url, None),
    };
    Ok(call.bearer(access_token, &reached.behaviour.inject))
}

impl Vendors {
    /// Whose account was connected.
    pub async fn account(&self, connection: &Connection, tokens: &Tokens) -> Result<Account, VendorError> {
        let reached = self.reach(connection).await?;
        let identity = &reached.behaviour.identity;
        let unknown = || VendorError::malformed("does not say whose account this is");
        let mut account = match (&tokens.account, identity.source) {
            (Some(account), _) => account.clone(),
            (None, Source::Answer | Source::IdToken) => return Err(unknown()),
            (None, Source::Nothing) => Account {
                id: connection.name.to_string(),
                label: connection.title.clone(),
                tenant: None,
                email: None,
                organizations: Vec::new(),
            },
            (None, Source::Url) => {
                let response = self.send(who_is_it(&reached, &tokens.access_token)?, &reached).await?;
                // Whatever the page says in words: the token is not taken.
                if let status @ (401 | 403) = response.status().as_u16() {
                    return Err(VendorError::Refused { code: format!("http_{status}") });
                }
                let answer = Answer::judge(response, &reached.behaviour, self.clock.now())?;
                read(identity, answer.members()).ok_or_else(unknown)?
            }
        };
        if !connection.account.require.organizations.is_empty() {
            let list = &reached.behaviour.organizations;
            let items = self.list("organizations_url", list, &tokens.access_token, &reached).await?;
            account.organizations = items.into_iter().map(|item| item.id).collect();
        }
        Ok(account)
    }

    /// Whether the vendor takes this access token, by its identity URL: it says by 401 that it does not (RFC 6750
    /// §3.1).
    pub async fn knows(&self, connection: &Connection, access_token: &Secret) -> Result<bool, VendorError> {
        let reached = self.reach(connection).await?;
        let response = self.send(who_is_it(&reached, access_token)?, &reached).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Ok(false);
        }
        Answer::judge(response, &reached.behaviour, self.clock.now()).map(|_| true)
    }

    /// The sites that the account may choose from; none where the vendor has no such thing.
    pub async fn sites(
        &self,
        connection: &Connection,
        access_token: &Secret,
    ) -> Result<Vec<Site>, VendorError> {
        let reached = self.reach(connection).await?;
        if reached.urls.sites.is_none() {
            return Ok(Vec::new());
        }
        self.list("sites_url", &reached.behaviour.sites, access_token, &reached).await
    }

    async fn list(
        &self,
        key: &'static str,
        list: &Listing,
        token: &Secret,
        reached: &Reached,
    ) -> Result<Vec<Site>, VendorError> {
        let call = Call::new(Method::Get, reached.url(key)?, None).bearer(token, &reached.behaviour.inject);
        let response = self.send(call, reached).await?;
        let status = response.status();
        if let Some(error) = VendorError::of_status(status.as_u16(), response.headers(), self.clock.now()) {
            return Err(error);
        }
        if !status.is_success() {
            return Err(VendorError::Refused { code: format!("http_{}", status.as_u16()) });
        }
        // A list alone is no object, which is all that the reader takes.
        let body = [b"{\"items\":", response.body().as_slice(), b"}"].concat();
        let whole = parse_object(&body).ok();
        let whole = whole.as_ref().and_then(|whole| whole.get("items"));
        let items = match (whole, &list.items) {
            (Some(Value::Array(items)), None) => Some(items),
            (Some(Value::Object(members)), Some(path)) => path.lookup(members).and_then(Value::as_array),
            _ => None,
        };
        let items = items.ok_or_else(|| VendorError::malformed("answered with something that is no list"))?;
        let item = |item: &Value| {
            let members = item.as_object()?;
            let find = |path: &ClaimPath| path.lookup(members).and_then(text);
            let id = find(&list.id)?;
            let name = list.name.as_ref().and_then(find).unwrap_or_else(|| id.clone());
            Some(Site { id, name, url: list.url.as_ref().and_then(find) })
        };
        Ok(items.iter().filter_map(item).collect())
    }
}
