//! The rule that kept somebody out, in two languages.

use std::fmt;

use crate::config::claims::ClaimPath;

/// How many of the names that would let a person in a page lists.
const NAMES_SHOWN: usize = 3;

/// The rule that kept a person out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryRefusal {
    /// The account's tenant is not among those of this rule.
    Tenant(&'static str),
    /// The account has no e-mail address.
    EmailMissing,
    /// The provider does not vouch for the address.
    EmailUnverified,
    /// The address is of another domain than these.
    EmailDomain(Vec<String>),
    /// The account belongs to another hosted domain (`hd`) than these, or to none.
    HostedDomain(Vec<String>),
    /// The person is in none of these groups.
    Groups(Vec<String>),
    /// The provider did not tell the groups, because there are too many.
    GroupsUnknown,
    /// This claim has none of the values asked for.
    Claim(ClaimPath),
}

impl EntryRefusal {
    /// The rule's path below the provider in the configuration.
    pub fn rule(&self) -> String {
        match self {
            Self::Tenant(rule) => (*rule).to_owned(),
            Self::EmailMissing | Self::EmailUnverified | Self::EmailDomain(_) => {
                "sign_in.email_domains".into()
            }
            Self::HostedDomain(_) => "sign_in.require.hosted_domains".into(),
            Self::Groups(_) | Self::GroupsUnknown => "sign_in.require.groups".into(),
            Self::Claim(path) => format!("sign_in.require.claims.{path}"),
        }
    }

    /// A stable code for the record.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Tenant(_) => "entry_tenant",
            Self::EmailMissing | Self::EmailUnverified | Self::EmailDomain(_) => "entry_email_domain",
            Self::HostedDomain(_) => "entry_hosted_domain",
            Self::Groups(_) | Self::GroupsUnknown => "entry_groups",
            Self::Claim(_) => "entry_claim",
        }
    }

    /// What the person is told.
    pub fn in_words(&self) -> String {
        match self {
            Self::Tenant(_) => "Your account belongs to an organization that is not let in here.".into(),
            Self::EmailMissing => {
                "Only certain e-mail addresses are let in here, and your account has none.".into()
            }
            Self::EmailUnverified => {
                "Only confirmed e-mail addresses are let in here, and yours is not confirmed.".into()
            }
            Self::EmailDomain(domains) => {
                format!("Only e-mail addresses at {} are let in here.", listed(domains))
            }
            Self::HostedDomain(domains) => format!("Only accounts of {} are let in here.", listed(domains)),
            Self::Groups(groups) => format!("Only members of {} are let in here.", listed(groups)),
            Self::GroupsUnknown => {
                "Only members of certain groups are let in here, and you are in more groups than can be checked."
                    .into()
            }
            Self::Claim(path) => {
                format!("Your account does not have what is required here (its “{path}” is not one that is let in).")
            }
        }
    }
}

/// The rule and what did not fit, for the log and the record: no address, no group of the person's.
impl fmt::Display for EntryRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Tenant(_) => "tenant not listed",
            Self::EmailMissing => "no e-mail address",
            Self::EmailUnverified => "e-mail address not verified",
            Self::EmailDomain(_) => "other e-mail domain",
            Self::HostedDomain(_) => "other hosted domain",
            Self::Groups(_) => "in none of the groups",
            Self::GroupsUnknown => "groups not told",
            Self::Claim(_) => "other value",
        };
        write!(f, "{} ({what})", self.rule())
    }
}

impl std::error::Error for EntryRefusal {}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>();
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown.join(" or "),
        more => format!("{} or {more} more", shown.join(", ")),
    }
}
