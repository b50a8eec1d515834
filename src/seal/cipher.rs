//! AES-256-GCM over whole values, and the padding that hides how long they are.

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use zeroize::Zeroizing;

use super::envelope::{KEY, NONCE};

/// The tag did not fit: the value was changed, or belongs elsewhere.
pub(super) struct Changed;

/// A sealed value's length tells a token's length to within so many bytes, and no closer.
const BUCKET: usize = 64;

/// The byte between a value and its padding (ISO/IEC 9797-1, method 2).
const END: u8 = 0x80;

#[expect(clippy::expect_used, reason = "AES-GCM only refuses what is longer than 64 GiB")]
pub(super) fn encrypt(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    plaintext: &[u8],
    associated_data: &[u8],
) -> Vec<u8> {
    Aes256Gcm::new(key.into())
        .encrypt(nonce.into(), Payload { msg: plaintext, aad: associated_data })
        .expect("a value fits into memory")
}

/// The whole value or nothing: no byte is given out before the tag was checked.
pub(super) fn decrypt(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    ciphertext: &[u8],
    associated_data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Changed> {
    Aes256Gcm::new(key.into())
        .decrypt(nonce.into(), Payload { msg: ciphertext, aad: associated_data })
        .map(Zeroizing::new)
        .map_err(|_| Changed)
}

/// The value, its end, and zeros to the next multiple of [`BUCKET`].
pub(super) fn pad(plaintext: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = (plaintext.len() + 1).next_multiple_of(BUCKET);
    let mut padded = Zeroizing::new(Vec::with_capacity(length));
    padded.extend_from_slice(plaintext);
    padded.push(END);
    padded.resize(length, 0);
    padded
}

/// What [`pad`] made longer. `None`: it did not.
pub(super) fn unpad(mut padded: Zeroizing<Vec<u8>>) -> Option<Zeroizing<Vec<u8>>> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    (padded.len().is_multiple_of(BUCKET) && padded.get(end) == Some(&END)).then_some(())?;
    padded.truncate(end);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_come_in_buckets() {
        let length = |length| pad(&vec![0; length]).len();
        assert_eq!([0, 1, 63, 64, 127, 128].map(length), [64, 64, 64, 128, 128, 192]);
    }

    proptest! {
        #[test]
        fn what_was_padded_comes_back(plaintext: Vec<u8>) {
            prop_assert_eq!(&**unpad(pad(&plaintext)).unwrap(), &plaintext);
        }

        #[test]
        fn nothing_else_is_padding(bytes: Vec<u8>) {
            if let Some(value) = unpad(Zeroizing::new(bytes.clone())) {
                prop_assert_eq!(&**pad(&value), &bytes);
            }
        }
    }
}
