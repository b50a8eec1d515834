//! Sealers for tests: no key of theirs is worth anything.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use super::{Roots, SealContext, Sealed, Sealer};
use crate::{
    clock::{Clock, Timestamp},
    config::encryption::EncryptionKey,
    entropy::Entropy,
};

/// What does not wait. A local key must not: it is used where nothing may be waited for.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a local key waits for nobody"),
    }
}

/// Something sealed, always to the same bytes.
pub(crate) fn sealed(context: &SealContext<'_>, plaintext: &[u8]) -> Sealed {
    at_once(sealer(&[("k", 7)]).seal(&Entropy::seeded(1), context, plaintext)).unwrap()
}

/// The first seals. A key is its id and a byte, repeated.
pub(crate) fn sealer(keys: &[(&str, u8)]) -> Sealer {
    let keys: Vec<_> = keys.iter().map(|(id, byte)| EncryptionKey::local(id, [*byte; 32])).collect();
    Sealer::new(&keys, &Clock::manual(Timestamp::from_secs(1))).unwrap()
}

/// What local keys of these bytes, repeated, stand for.
pub(crate) fn roots(bytes: &[u8]) -> Roots {
    Roots(bytes.iter().map(|byte| [*byte; 32].into()).collect())
}
