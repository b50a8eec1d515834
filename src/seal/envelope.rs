//! The bytes of a sealed value.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | format, 1 |
//! | 1 | algorithm, 1: AES-256-GCM, wrapping key by HKDF-SHA-256 |
//! | 1 + n | key id, behind its length |
//! | 32 | salt of the wrapping key |
//! | 32 | commitment to the configured key |
//! | 48 | data key, wrapped, with its tag |
//! | 12 | nonce |
//! | 16 + m | ciphertext with its tag |

/// The one format so far.
pub(super) const FORMAT: u8 = 1;
/// The one algorithm so far.
pub(super) const AES_256_GCM: u8 = 1;

pub(super) const SALT: usize = 32;
pub(super) const COMMITMENT: usize = 32;
pub(super) const KEY: usize = 32;
pub(super) const NONCE: usize = 12;
pub(super) const TAG: usize = 16;
const WRAPPED: usize = KEY + TAG;

/// An envelope's parts, not yet believed.
pub(super) struct Envelope<'a> {
    pub(super) key_id: &'a str,
    pub(super) salt: &'a [u8; SALT],
    pub(super) commitment: &'a [u8; COMMITMENT],
    pub(super) wrapped_key: &'a [u8],
    pub(super) nonce: &'a [u8; NONCE],
    pub(super) ciphertext: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// `None` for anything that [`Envelope::write`] does not write.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let ([FORMAT, AES_256_GCM, id_length], rest) = bytes.split_first_chunk()? else { return None };
        let (key_id, rest) = rest.split_at_checked(usize::from(*id_length))?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (commitment, rest) = rest.split_first_chunk()?;
        let (wrapped_key, rest) = rest.split_at_checked(WRAPPED)?;
        let (nonce, ciphertext) = rest.split_first_chunk()?;
        (ciphertext.len() >= TAG).then_some(())?;
        let key_id = std::str::from_utf8(key_id).ok()?;
        Some(Self { key_id, salt, commitment, wrapped_key, nonce, ciphertext })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let id_length = u8::try_from(self.key_id.len()).unwrap_or(u8::MAX);
        [
            &[FORMAT, AES_256_GCM, id_length][..],
            self.key_id.as_bytes(),
            self.salt,
            self.commitment,
            self.wrapped_key,
            self.nonce,
            self.ciphertext,
        ]
        .concat()
    }
}
