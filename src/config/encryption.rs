//! `encryption:` the keys that seal what the database must not know.

use std::fmt;

use zeroize::Zeroizing;

/// The `encryption:` section.
#[derive(Debug, Clone)]
pub struct Encryption {
    /// Never empty. The first seals, all open.
    pub keys: Vec<EncryptionKey>,
}

/// A key-encryption key and the name by which sealed values remember it.
#[derive(Debug, Clone)]
pub struct EncryptionKey {
    /// Unique within the file; stored beside every value that the key sealed.
    pub id: String,
    /// The key itself.
    pub key: KeyBytes,
}

/// 256 secret bits: wiped on drop, never printed.
#[derive(Clone)]
pub struct KeyBytes(Zeroizing<[u8; 32]>);

impl KeyBytes {
    /// Takes the bytes over.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one call that seals or opens.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
