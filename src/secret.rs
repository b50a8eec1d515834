//! Secrets as types: nothing here prints, and what is only compared is kept as a hash.

use std::{fmt, marker::PhantomData};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::entropy::Entropy;

/// A secret that an operator configured. `Debug` prints stars; memory is wiped on drop.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The text itself, for the one call that must send or use it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether `sent` is this secret, in time that depends on neither.
    pub fn matches(&self, sent: &str) -> bool {
        Sha256::digest(self.expose()).ct_eq(&Sha256::digest(sent)).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// The SHA-256 of an opaque token: what the database holds and finds it by.
#[derive(Clone, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct TokenHash(Vec<u8>);

impl TokenHash {
    /// The hash of whatever was sent.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).to_vec())
    }
}

impl subtle::ConstantTimeEq for TokenHash {
    fn ct_eq(&self, other: &Self) -> subtle::Choice {
        self.0.ct_eq(&other.0)
    }
}

/// Eight hexadecimal digits: enough to find a row again, useless to an attacker.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What tells one kind of opaque token from another.
pub trait TokenKind {
    /// What its tokens begin with, so that scanners and people recognise a leaked one.
    const PREFIX: &'static str;
}

/// 256 random bits with a typed prefix. Shown to its holder once; we keep its [`TokenHash`].
pub struct OpaqueToken<K> {
    text: SecretString,
    kind: PhantomData<K>,
}

impl<K: TokenKind> OpaqueToken<K> {
    /// A new token.
    pub fn new(entropy: &Entropy) -> Self {
        Self::from_text(format!("{}{}", K::PREFIX, entropy.token()))
    }

    /// A token that somebody sent. `None`: it has not the form of this kind, so it cannot be one of ours and
    /// the database need not be asked.
    pub fn parse(sent: &str) -> Option<Self> {
        let bits = URL_SAFE_NO_PAD.decode(sent.strip_prefix(K::PREFIX)?).ok()?;
        (bits.len() == 32).then(|| Self::from_text(sent.to_owned()))
    }

    fn from_text(text: String) -> Self {
        Self { text: SecretString::from(text), kind: PhantomData }
    }

    /// The token itself, for the one answer that hands it out.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// What the database finds it by.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.expose())
    }
}

impl<K: TokenKind> fmt::Debug for OpaqueToken<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}***", K::PREFIX)
    }
}

macro_rules! token_kinds {
    ($($(#[doc = $doc:literal])+ $alias:ident, $kind:ident = $prefix:literal;)+) => {$(
        #[doc = concat!("Marks tokens that begin with `", $prefix, "`.")]
        #[derive(Clone, Copy)]
        pub enum $kind {}
        impl TokenKind for $kind {
            const PREFIX: &'static str = $prefix;
        }
        $(#[doc = $doc])+
        pub type $alias = OpaqueToken<$kind>;
    )+};
}

token_kinds! {
    /// An authorization code (RFC 6749 §1.3.1).
    AuthorizationCode, CodeKind = "chy_ac_";
    /// A refresh token (RFC 6749 §1.5).
    RefreshToken, RefreshKind = "chy_rt_";
    /// The secret of a dynamically registered client (RFC 7591 §3.2.1).
    ClientSecret, ClientSecretKind = "chy_cs_";
    /// What a link holds that leads one person to connecting an account.
    ConnectToken, ConnectKind = "chy_cl_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_never_print() {
        let secret = Secret::new("hunter2".into());
        let token = RefreshToken::new(&Entropy::seeded(1));
        assert_eq!(format!("{secret:?} {token:?}"), "*** chy_rt_***");
    }

    #[test]
    fn a_token_is_found_again_by_its_hash_and_only_as_its_kind() {
        let token = RefreshToken::new(&Entropy::seeded(1));
        assert_eq!(RefreshToken::parse(token.expose()).map(|t| t.hash()), Some(token.hash()));
        assert!(AuthorizationCode::parse(token.expose()).is_none());
        assert!(RefreshToken::parse("chy_rt_short").is_none());
        assert!(RefreshToken::parse(&format!("{}x", token.expose())).is_none());
    }

    #[test]
    fn a_secret_matches_itself_alone() {
        let secret = Secret::new("correct horse".into());
        assert!(secret.matches("correct horse"));
        assert!(!secret.matches("correct hors"));
        assert!(!secret.matches(""));
    }
}
