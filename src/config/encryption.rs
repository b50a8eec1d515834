//! `encryption:` the keys that seal what the database must not know.

mod transit;

use std::{collections::HashSet, fmt};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::{Zeroize as _, Zeroizing};

pub use self::transit::{Transit, TransitAuth};
use super::{problem::Wrong, reader::Section};

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
    /// Where it is.
    pub source: KeySource,
}

/// Where a key-encryption key is.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// Here: the key itself.
    Local(KeyBytes),
    /// In the Transit engine of an OpenBao or HashiCorp Vault, which it never leaves.
    Transit(Box<Transit>),
}

impl EncryptionKey {
    /// A key whose bytes we have.
    pub fn local(id: &str, bytes: [u8; 32]) -> Self {
        Self { id: id.to_owned(), source: KeySource::Local(KeyBytes::new(bytes)) }
    }
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

/// Base64 with or without padding, in either alphabet: what key tools write.
const DECODING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, DECODING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, DECODING);

impl Encryption {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let keys = section.sections("keys", |key| {
            let id = key.required("id", "a name that is never used again, such as 2026-11", key_id);
            let source = if key.has("transit") {
                if key.has("key") {
                    key.problem("key", "an encryption key is in one place, and here is transit too");
                }
                let _ = key.optional("key", Ok::<_, Wrong>);
                key.section("transit", Transit::read).map(|transit| KeySource::Transit(Box::new(transit)))
            } else {
                key.required("key", KEY_EXPECTED, KeyBytes::parse).map(KeySource::Local)
            };
            Some(EncryptionKey { id: id?, source: source? })
        });
        if keys.is_empty() {
            section.problem(
                "keys",
                "is missing: the key that seals secrets in the database; chancery keys generate makes one",
            );
        }
        let keys: Vec<_> = keys.into_iter().collect::<Option<_>>()?;
        let mut ids = HashSet::new();
        if let Some(twice) = keys.iter().find(|key| !ids.insert(key.id.as_str())) {
            section.problem(
                "keys",
                format!("has two keys with the id {}; sealed values name theirs by it", twice.id),
            );
        }
        Some(Self { keys })
    }
}

fn key_id(written: String) -> Result<String, Wrong> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if written.len() <= 64 && written.chars().all(allowed) {
        Ok(written)
    } else {
        Err("must be 1 to 64 of a-z, A-Z, 0-9, -, _ and .".into())
    }
}

const KEY_EXPECTED: &str = "32 random bytes in base64, as chancery keys generate makes them";

impl KeyBytes {
    fn parse(mut written: String) -> Result<Self, Wrong> {
        let decoded = STANDARD.decode(&written).or_else(|_| URL_SAFE.decode(&written)).map(Zeroizing::new);
        written.zeroize();
        let decoded = decoded.map_err(|_| format!("is not base64; it must be {KEY_EXPECTED}"))?;
        let bytes: [u8; 32] = decoded
            .as_slice()
            .try_into()
            .map_err(|_| format!("is {} bytes long; it must be {KEY_EXPECTED}", decoded.len()))?;
        let key = Self::new(bytes);
        if key.is_weak() {
            return Err(format!("is no random key but a pattern or a text; it must be {KEY_EXPECTED}").into());
        }
        Ok(key)
    }

    /// Whether this cannot have come from a generator. Among 32 random bytes fewer than 16 different ones, only
    /// printable ones, or equal steps happen less than once in 2^40 keys.
    fn is_weak(&self) -> bool {
        const FEWEST_DIFFERENT: usize = 16;
        let different: HashSet<_> = self.expose().iter().collect();
        let steps: HashSet<_> = self
            .expose()
            .windows(2)
            .filter_map(|pair| Some(pair.last()?.wrapping_sub(*pair.first()?)))
            .collect();
        different.len() < FEWEST_DIFFERENT
            || steps.len() == 1
            || self.expose().iter().all(|byte| (b' '..=b'~').contains(byte))
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use rstest::rstest;

    use super::*;
    use crate::entropy::Entropy;

    #[test]
    fn every_generated_key_is_accepted_in_both_alphabets() {
        let entropy = Entropy::seeded(7);
        for _ in 0..1000 {
            let bytes: [u8; 32] = entropy.bytes();
            for text in [STANDARD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)] {
                assert_eq!(KeyBytes::parse(text).unwrap().expose(), &bytes);
            }
        }
    }

    #[rstest]
    #[case(&[0; 32], "is no random key but a pattern or a text")]
    #[case(b"correct horse battery staple 123", "is no random key but a pattern or a text")]
    #[case(b"correcthorsebatterystaple_123456", "is no random key but a pattern or a text")]
    #[case(&std::array::from_fn::<u8, 32, _>(|i| u8::try_from(i).unwrap()), "is no random key but a pattern or a text")]
    #[case(&[7; 31], "is 31 bytes long")]
    #[case(&[7; 64], "is 64 bytes long")]
    fn refused(#[case] bytes: &[u8], #[case] message: &str) {
        let expected =
            format!("{message}; it must be 32 random bytes in base64, as chancery keys generate makes them");
        assert_eq!(KeyBytes::parse(STANDARD.encode(bytes)).unwrap_err().message, expected);
    }

    #[test]
    fn a_key_does_not_print() {
        assert_eq!(format!("{:?}", KeyBytes::new([65; 32])), "***");
        let error = KeyBytes::parse("hunter2!".into()).unwrap_err();
        assert!(!error.message.contains("hunter2"));
    }
}
