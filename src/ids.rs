//! Typed identifiers: a user's cannot be passed where a grant's is meant.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{clock::Clock, entropy::Entropy};

macro_rules! row_ids {
    ($($(#[doc = $doc:literal])+ $name:ident)+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
        #[sqlx(transparent)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A new id: a UUID version 7, so that rows made together lie together.
            pub fn new(clock: &Clock, entropy: &Entropy) -> Self {
                Self(uuid_v7(clock, entropy))
            }

            /// An id that somebody sent, in the only form that we make; anything else names no row.
            pub fn parse(sent: &str) -> Option<Self> {
                uuid::Uuid::try_parse(sent).ok().map(|id| Self(id.as_hyphenated().to_string()))
            }

            /// The id's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

row_ids! {
    /// A person; the `sub` of our tokens.
    UserId
    /// A person's account at one provider.
    IdentityId
    /// A browser session as its owner sees it on the account page; not the secret in the cookie.
    SessionId
    /// One authorization request being answered in one browser.
    InteractionId
    /// A standing permission: user, client, resource, scopes.
    GrantId
    /// A user's account at a vendor, whose tokens we keep.
    ConnectionId
    /// Tokens that are to be revoked at their vendor.
    RevocationId
    /// One access token (`jti`, RFC 9068 §2.2).
    TokenId
    /// One line of the audit record.
    AuditId
}

fn uuid_v7(clock: &Clock, entropy: &Entropy) -> String {
    let millis = u64::try_from(clock.now().as_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &entropy.bytes())
        .into_uuid()
        .as_hyphenated()
        .to_string()
}

/// The number that a page shows and the log holds, so that a person can quote what she saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference(String);

impl Reference {
    /// Forty random bits in groups that can be read aloud: `K7QM-29XF`.
    pub fn new(entropy: &Entropy) -> Self {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
        let text: String = entropy
            .bytes::<8>()
            .iter()
            .filter_map(|byte| ALPHABET.get(usize::from(byte & 31)))
            .map(|letter| char::from(*letter))
            .collect();
        let (head, tail) = text.split_at(4);
        Self(format!("{head}-{tail}"))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an entry in the configuration: 1 to 64 of `a-z 0-9 - _`, beginning with a letter or digit.
/// It appears in URLs (`/login/{provider}`), so nothing else may.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
#[sqlx(transparent)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

/// The name of a provider under `providers:`.
pub type ProviderId = Slug;
/// The name of a resource under `resources:`.
pub type ResourceId = Slug;
/// The name of an app at a vendor under `connections:`.
pub type ConnectionName = Slug;
/// The name of an authorization server of somebody else's under `idp.targets:`.
pub type TargetId = Slug;

impl Slug {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Slug {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if begins_well && name.len() <= 64 && name.chars().all(allowed) {
            Ok(Self(name))
        } else {
            Err("a name here is 1 to 64 characters of a-z, 0-9, - and _, beginning with a letter or digit")
        }
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A `client_id` (RFC 6749 §2.2): up to 1,024 printable ASCII characters; an `https://` URL names a metadata
/// document. Compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
#[sqlx(transparent)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(String);

impl ClientId {
    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the log shows of an id that names nobody: people paste secrets where ids belong.
    pub fn beginning(&self) -> String {
        self.0.chars().take(6).chain(['…']).collect()
    }

    /// Whether this id is the address of a metadata document rather than a name that we gave.
    pub fn is_url(&self) -> bool {
        self.0.starts_with("https://") || self.0.starts_with("http://")
    }
}

impl TryFrom<String> for ClientId {
    type Error = &'static str;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        if (1..=1024).contains(&id.len()) && id.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
            Ok(Self(id))
        } else {
            Err("a client_id is 1 to 1024 printable ASCII characters")
        }
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> Self {
        id.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
