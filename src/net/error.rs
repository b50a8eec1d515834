//! Why an outbound request came to nothing.

use std::{error::Error, io};

use super::{DEADLINE, guarded::NotPublic};

/// Why there is no answer. The text continues a sentence that begins with the name of the other end: "Okta" +
/// " did not answer within 5 s". It holds nothing that the other end wrote; the sources do, for the log.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The address itself is refused, whatever stands behind it; the text says why.
    #[error("has an address that may not be used: {0}")]
    Address(&'static str),
    /// The host's name leads to an address inside somebody's network (RFC 6890), or to this machine.
    #[error("has an address that is not on the public internet")]
    NotPublic,
    /// So many requests of this kind are under way that this one did not get its turn in time.
    #[error("could not be asked, because too many such requests are under way; try again in a moment")]
    Busy,
    /// No address for the name, no connection, or no proxy.
    #[error("could not be reached")]
    Connect(#[source] reqwest::Error),
    /// The certificate is not trusted or names another host, or no common version of TLS was found.
    #[error("could not prove who it is: its TLS certificate was not accepted")]
    Tls(#[source] reqwest::Error),
    /// The deadline passed before the last byte.
    #[error("did not answer within {} s", DEADLINE.as_secs())]
    Timeout,
    /// A redirect; none is followed, since it would leave the address that was checked.
    #[error("answered with a redirect (status {0}) instead of the document")]
    Redirect(u16),
    /// A status other than the one that counts.
    #[error("answered with the status {0}")]
    Status(u16),
    /// The body goes on after the limit.
    #[error("answered with more than {} KB", max_bytes / 1024)]
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// The body is not JSON, or not of the expected form.
    #[error("did not answer with the JSON that belongs there")]
    NotJson(#[source] serde_json::Error),
    /// The connection broke, or what came was not HTTP.
    #[error("broke off its answer")]
    Broken(#[source] reqwest::Error),
}

impl NetError {
    /// Whether the same request may well succeed a little later; the rest needs somebody to change something.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Busy | Self::Connect(_) | Self::Timeout | Self::Broken(_) => true,
            Self::Status(status) => matches!(status, 408 | 425 | 429 | 500..),
            Self::Address(_)
            | Self::NotPublic
            | Self::Tls(_)
            | Self::Redirect(_)
            | Self::TooLarge { .. }
            | Self::NotJson(_) => false,
        }
    }

    /// Sorts what reqwest reports; the URL is cut out, since its query may hold a secret.
    pub(super) fn from_reqwest(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let causes = || std::iter::successors(error.source(), |&cause| beneath(cause));
        if causes().any(<dyn Error>::is::<NotPublic>) {
            return Self::NotPublic;
        }
        // rustls reports through io::Error, always as InvalidData, which a TCP connection never is.
        let tls = |cause: &(dyn Error + 'static)| {
            cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::InvalidData)
        };
        if error.is_connect() {
            if causes().any(tls) { Self::Tls(error) } else { Self::Connect(error) }
        } else if error.is_timeout() {
            Self::Timeout
        } else {
            Self::Broken(error)
        }
    }
}

/// The next cause. `io::Error::source` skips the error that it wraps, which is the one that tells.
fn beneath<'e>(cause: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => cause.source(),
    }
}
