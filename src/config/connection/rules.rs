//! Which accounts may be connected, and who may use them while nobody is there.

use crate::{
    config::{
        Names,
        form::{mail_domain, name_of, text},
        problem::Wrong,
        reader::Section,
    },
    ids::ClientId,
};

use super::{App, behaviour::Source};

/// Which accounts may be connected.
#[derive(Debug, Clone, Default)]
pub struct AccountRules {
    /// What an account must be.
    pub require: AccountRequirements,
    /// Whether a person may have several accounts connected at once.
    pub several: bool,
    /// Whether a connection may be renewed with another account than before.
    pub change: bool,
}

/// What an account must be. An empty list does not restrict; every list that is not empty must be met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountRequirements {
    /// The vendor's own name of the tenant, workspace or site that it belongs to: one of these.
    pub tenants: Vec<String>,
    /// The organizations that it is a member of: one of these is among them.
    pub organizations: Vec<String>,
    /// The domain of its verified e-mail address: one of these; lower case.
    pub email_domains: Vec<String>,
}

/// Who may use a connection while its person is not there.
#[derive(Debug, Clone, Default)]
pub struct Offline {
    /// These clients; nobody when empty.
    pub clients: Vec<ClientId>,
}

impl AccountRules {
    pub(super) fn read(section: &Section<'_>, app: Option<&App>) -> Self {
        let require = section.section("require", |require| {
            let rules = AccountRequirements {
                tenants: require.restriction("tenants", text),
                organizations: require.restriction("organizations", text),
                email_domains: require.restriction("email_domains", mail_domain),
            };
            if let Some(app) = app {
                rules.can_be_met(app, require);
            }
            rules
        });
        Self {
            require,
            several: section.flag("several").unwrap_or(false),
            change: section.flag("change").unwrap_or(false),
        }
    }
}

impl AccountRequirements {
    /// Whether nothing is required.
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty() && self.organizations.is_empty() && self.email_domains.is_empty()
    }

    /// Reports a rule that no account could meet, since the vendor does not tell.
    fn can_be_met(&self, app: &App, section: &Section<'_>) {
        let identity = &app.behaviour.identity;
        let told = match identity.source {
            Source::Url => app.urls.identity.is_some() || app.discovery.is_some(),
            Source::Answer | Source::IdToken => true,
            Source::Nothing => false,
        };
        let known = [
            ("tenants", !self.tenants.is_empty(), told && identity.tenant.is_some(), "its tenant"),
            (
                "organizations",
                !self.organizations.is_empty(),
                app.urls.organizations.is_some(),
                "its organizations",
            ),
            (
                "email_domains",
                !self.email_domains.is_empty(),
                told && identity.email.is_some() && identity.email_verified.is_some(),
                "a verified e-mail address",
            ),
        ];
        for (key, wanted, told, what) in known {
            if wanted && !told {
                section
                    .problem(key, format!("cannot be met: an account of this vendor does not tell {what}"));
            }
        }
    }
}

impl Offline {
    pub(super) fn read(section: &Section<'_>, names: &Names<'_>) -> Self {
        let client = |written: String| -> Result<ClientId, Wrong> {
            name_of(&names.clients, "no client has this name")(written)
        };
        Self { clients: section.restriction("clients", client) }
    }
}
