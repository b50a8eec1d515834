//! The endpoints of a vendor.

/// The endpoints of a vendor, as templates or as URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls<T> {
    /// Where people are sent (RFC 6749 §3.1).
    pub authorize: Option<T>,
    /// Where codes become tokens (RFC 6749 §3.2).
    pub token: Option<T>,
    /// Where refresh tokens are redeemed, if not there.
    pub refresh: Option<T>,
    /// Where tokens are ended (RFC 7009, or the vendor's own).
    pub revoke: Option<T>,
    /// Where the account says who it is.
    pub identity: Option<T>,
    /// Where the organizations are that the account belongs to.
    pub organizations: Option<T>,
    /// Where the sites are that the account may choose from.
    pub sites: Option<T>,
}

/// The keys of a preset, in the order of the fields.
pub(in crate::config) const KEYS: [&str; 7] = [
    "authorize_url",
    "token_url",
    "refresh_url",
    "revoke_url",
    "identity_url",
    "organizations_url",
    "sites_url",
];

impl<T> Urls<T> {
    /// Each made by its key.
    pub fn each(mut make: impl FnMut(&'static str) -> Option<T>) -> Self {
        let [authorize, token, refresh, revoke, identity, organizations, sites] = KEYS.map(&mut make);
        Self { authorize, token, refresh, revoke, identity, organizations, sites }
    }

    /// Each with its key.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &T)> {
        let all = [
            &self.authorize,
            &self.token,
            &self.refresh,
            &self.revoke,
            &self.identity,
            &self.organizations,
            &self.sites,
        ];
        KEYS.into_iter().zip(all).filter_map(|(key, url)| Some((key, url.as_ref()?)))
    }

    /// The one of this key.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.iter().find(|(name, _)| *name == key).map(|(_, url)| url)
    }
}
