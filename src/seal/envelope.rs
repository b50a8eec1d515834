//! The bytes of a sealed value.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | format of the value: 2, padded and in AES-256-GCM; 1, the same not padded |
//! | 1 | how the data key is wrapped: 1, by a key of ours; 2, by Transit |
//! | 1 + n | key id, behind its length |
//! | 32 | salt: of the wrapping key, or of the commitment |
//! | 32 | commitment: to the configured key (1) or to the data key (2) |
//! | 48, or 2 + n | wrapped data key: with its tag (1), or Transit's text behind its length (2) |
//! | 12 | nonce |
//! | 16 + m | ciphertext with its tag |

use super::key::{Algorithm, Wrapped};

pub(super) const SALT: usize = 32;
pub(super) const COMMITMENT: usize = 32;
pub(super) const KEY: usize = 32;
pub(super) const NONCE: usize = 12;
pub(super) const TAG: usize = 16;
const WRAPPED: usize = KEY + TAG;

/// How a value is turned into ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// AES-256-GCM of the value as it is: what was sealed before values were padded.
    Plain = 1,
    /// AES-256-GCM of the padded value.
    Padded = 2,
}

/// An envelope's parts, not yet believed.
pub(super) struct Envelope<'a> {
    pub(super) format: Format,
    pub(super) key_id: &'a str,
    pub(super) wrapped: Wrapped,
    pub(super) nonce: &'a [u8; NONCE],
    pub(super) ciphertext: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// `None` for anything that [`Envelope::write`] does not write.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let ([format, algorithm, id_length], rest) = bytes.split_first_chunk()?;
        let format = match *format {
            1 => Format::Plain,
            2 => Format::Padded,
            _ => return None,
        };
        let algorithm = match *algorithm {
            1 => Algorithm::Local,
            2 => Algorithm::Transit,
            _ => return None,
        };
        let (key_id, rest) = rest.split_at_checked(usize::from(*id_length))?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (commitment, rest) = rest.split_first_chunk()?;
        let (length, rest) = match algorithm {
            Algorithm::Local => (WRAPPED, rest),
            Algorithm::Transit => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
        };
        let (data_key, rest) = rest.split_at_checked(length)?;
        let (nonce, ciphertext) = rest.split_first_chunk()?;
        (ciphertext.len() >= TAG).then_some(())?;
        let key_id = std::str::from_utf8(key_id).ok()?;
        let wrapped =
            Wrapped { algorithm, salt: *salt, commitment: *commitment, data_key: data_key.to_vec() };
        Some(Self { format, key_id, wrapped, nonce, ciphertext })
    }

    /// The key's id is at most 255 bytes long, and the wrapped key at most 64 KB: who makes them sees to it.
    pub(super) fn write(&self) -> Vec<u8> {
        let Wrapped { algorithm, salt, commitment, data_key } = &self.wrapped;
        let id_length = u8::try_from(self.key_id.len()).unwrap_or(u8::MAX);
        let length = u16::try_from(data_key.len()).unwrap_or(u16::MAX).to_be_bytes();
        let length = match algorithm {
            Algorithm::Local => &[][..],
            Algorithm::Transit => &length,
        };
        [
            &[self.format as u8, *algorithm as u8, id_length][..],
            self.key_id.as_bytes(),
            salt,
            commitment,
            length,
            data_key,
            self.nonce,
            self.ciphertext,
        ]
        .concat()
    }
}
