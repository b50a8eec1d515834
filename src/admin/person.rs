//! Whom the operator means, and what she has.

use serde::Serialize;

use super::{AdminError, Operator, connections::Connected};
use crate::{
    ids::{ProviderId, UserId},
    store::{
        grants::{self, EndedGrant, Grant, GrantOrigin},
        identities::{self, Identity},
        sessions::{self, EndedSession, SignedIn},
        users::{self, User},
    },
};

/// A person and what she has.
#[derive(Debug, Serialize)]
pub struct Profile {
    /// Her id.
    pub user: String,
    /// Her name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Her address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// When she first came.
    pub created_at: String,
    /// Since when she is shut out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_since: Option<String>,
    /// Her accounts at providers.
    pub accounts: Vec<Account>,
    /// Where she is signed in.
    pub sessions: Vec<Session>,
    /// What is allowed in her name.
    pub grants: Vec<Permission>,
    /// The accounts that she has connected.
    pub connections: Vec<Connected>,
}

/// An account at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The provider.
    pub provider: String,
    /// The issuer that names her.
    pub issuer: String,
    /// What it calls her.
    pub subject: String,
    /// Her address there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether the provider vouches for it.
    pub email_verified: bool,
    /// When she last came by it.
    pub last_seen_at: String,
}

/// A browser session.
#[derive(Debug, Serialize)]
pub struct Session {
    /// Its id.
    pub session: String,
    /// Through which provider.
    pub provider: String,
    /// The browser's description of itself.
    pub browser: String,
    /// When she signed in.
    pub signed_in_at: String,
}

/// A grant.
#[derive(Debug, Serialize)]
pub struct Permission {
    /// Its id.
    pub grant: String,
    /// Who may.
    pub client: String,
    /// Where: the resource, or the sign-in.
    pub resource: String,
    /// What.
    pub scope: String,
    /// Whether it was her provider that allowed it, by an assertion.
    pub by_assertion: bool,
}

impl From<&Identity> for Account {
    fn from(identity: &Identity) -> Self {
        Self {
            provider: identity.provider.to_string(),
            issuer: identity.issuer.clone(),
            subject: identity.subject.clone(),
            email: identity.email.clone(),
            email_verified: identity.email_verified,
            last_seen_at: identity.last_seen_at.to_string(),
        }
    }
}

impl Operator<'_> {
    /// Whom these words name: the subject at a provider where one is said; else the user's id, or an address for which
    /// a provider vouches, if it is one person's.
    pub async fn find(&self, provider: Option<&ProviderId>, sought: &str) -> Result<UserId, AdminError> {
        if let Some(provider) = provider {
            let found = identities::with_subject(self.db, provider, sought).await?;
            let nobody = || format!("nobody has come through {provider} whose subject there is {sought}");
            return one_of(found.into_iter().map(|account| account.identity), nobody, || {
                format!("several people have the subject {sought} at issuers of {provider}")
            });
        }
        if let Some(user) = UserId::parse(sought) {
            return self.user(&user).await.map(|user| user.id);
        }
        if !sought.contains('@') {
            return Err(AdminError::Nobody(format!(
                "{sought} is neither a user's id nor an e-mail address; to name her by her subject, say --provider too"
            )));
        }
        let found =
            identities::with_email(self.db, sought).await?.into_iter().map(|account| account.identity);
        let (vouched, claimed): (Vec<_>, Vec<_>) = found.partition(|identity| identity.email_verified);
        if vouched.is_empty() && !claimed.is_empty() {
            let what = format!("no provider vouches that {sought} is hers, so it may be somebody else's");
            return Err(AdminError::Several { what, who: claimed.iter().map(labelled).collect() });
        }
        one_of(
            vouched,
            || format!("nobody who came here has the address {sought}"),
            || format!("several people have the address {sought}"),
        )
    }

    /// Shows a person.
    pub async fn show(&self, user: &UserId) -> Result<Profile, AdminError> {
        let found = self.user(user).await?;
        let now = self.chance.0.now();
        let idle_since = now.minus(self.config.lifetimes.session_idle);
        let accounts = identities::of_user(self.db, user).await?;
        let sessions = sessions::of_user(self.db, user, now, idle_since).await?;
        let grants = grants::of_user(self.db, user, now).await?;
        Ok(Profile {
            user: found.id.to_string(),
            name: found.name,
            email: found.email,
            created_at: found.created_at.to_string(),
            disabled_since: found.disabled_at.map(|at| at.to_string()),
            accounts: accounts.iter().map(|account| Account::from(&account.identity)).collect(),
            sessions: sessions.into_iter().map(Session::from).collect(),
            grants: grants.into_iter().map(Permission::from).collect(),
            connections: self.connected(user, None).await?,
        })
    }

    pub(super) async fn user(&self, id: &UserId) -> Result<User, AdminError> {
        let found = users::find(self.db, id).await?;
        found.ok_or_else(|| AdminError::Nobody(format!("there is no user {id}")))
    }
}

macro_rules! of_rows {
    ($($session:ident)+; $($grant:ident)+) => {
        $(impl From<$session> for Session {
            fn from(session: $session) -> Self {
                Self {
                    session: session.id.to_string(),
                    provider: session.provider.to_string(),
                    browser: session.user_agent,
                    signed_in_at: session.created_at.to_string(),
                }
            }
        })+
        $(impl From<$grant> for Permission {
            fn from(grant: $grant) -> Self {
                Self {
                    grant: grant.id.to_string(),
                    client: grant.client_id.to_string(),
                    resource: grant.purpose.to_string(),
                    scope: grant.scope.to_string(),
                    by_assertion: grant.origin == GrantOrigin::IdJag,
                }
            }
        })+
    };
}

of_rows! { SignedIn EndedSession; Grant EndedGrant }

fn labelled(identity: &Identity) -> (UserId, String) {
    let Identity { user_id, provider, subject, .. } = identity;
    (user_id.clone(), format!("{subject} at {provider}"))
}

/// The one person whose accounts these are.
fn one_of(
    found: impl IntoIterator<Item = Identity>,
    nobody: impl FnOnce() -> String,
    several: impl FnOnce() -> String,
) -> Result<UserId, AdminError> {
    let found: Vec<_> = found.into_iter().collect();
    let Some(first) = found.first() else { return Err(AdminError::Nobody(nobody())) };
    if found.iter().all(|identity| identity.user_id == first.user_id) {
        return Ok(first.user_id.clone());
    }
    Err(AdminError::Several { what: several(), who: found.iter().map(labelled).collect() })
}
