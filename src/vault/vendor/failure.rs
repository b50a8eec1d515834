//! Why a vendor gave nothing.

use std::time::Duration;

use oauth2::http::{HeaderMap, header};

use crate::{clock::Timestamp, config::connection::behaviour::ReauthError, net::NetError};

/// Why a vendor gave nothing. The text continues a sentence that begins with the vendor's name. It holds nothing that
/// the vendor wrote but its error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VendorError {
    /// What was presented is worth nothing any more, by an error that the preset lists: for a refresh token, the person
    /// must connect again.
    #[error("does not accept the grant any more: {code}")]
    Reconnect {
        /// Its code.
        code: String,
    },
    /// It refused for another reason, such as a wrong secret of ours: nothing that the person could put right.
    #[error("refused the request: {code}")]
    Refused {
        /// Its code, or `http_` and the status.
        code: String,
    },
    /// It did not answer, or said that it cannot now: the same request may succeed later.
    #[error("{reason}")]
    Unavailable {
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
        /// Whether it may have done what it was asked for all the same: it was told, and broke off.
        in_doubt: bool,
        /// What happened.
        reason: String,
    },
    /// It answered with something that is no answer to this request.
    #[error("{reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
}

/// Codes by which vendors say with a status below 500 that they cannot now.
const TRANSIENT: [&str; 10] = [
    "fatal_error",
    "internal_error",
    "rate_limit_exceeded",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "server_error",
    "service_unavailable",
    "slow_down",
    "temporarily_unavailable",
];

/// No vendor is left alone for longer, whatever it says: it may be wrong, and somebody is waiting.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

impl VendorError {
    pub(super) fn malformed(reason: impl Into<String>) -> Self {
        Self::Malformed { reason: reason.into() }
    }

    /// An error code of the vendor's and how it describes it. `reauth`: those that mean that the person must connect
    /// again.
    pub(super) fn of_code(code: &str, description: Option<&str>, reauth: &[ReauthError]) -> Self {
        if reauth.iter().any(|listed| listed.is(code, description)) {
            return Self::Reconnect { code: shown(code) };
        }
        if TRANSIENT.contains(&code) {
            let reason = format!("cannot answer now: {code}");
            return Self::Unavailable { retry_after: None, in_doubt: false, reason };
        }
        Self::Refused { code: shown(code) }
    }

    /// A status that says that it cannot now (RFC 9110 §10.2.3).
    pub(super) fn of_status(status: u16, headers: &HeaderMap, now: Timestamp) -> Option<Self> {
        let error = NetError::Status(status);
        error.is_transient().then(|| Self::Unavailable {
            retry_after: retry_after(headers, now),
            in_doubt: is_in_doubt(&error),
            reason: error.to_string(),
        })
    }

    /// How long it wants to be left alone.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Reconnect { .. } | Self::Refused { .. } | Self::Malformed { .. } => None,
        }
    }

    /// Whether it says that it does not know us (RFC 6749 §5.2).
    pub(super) fn is_unknown_client(&self) -> bool {
        matches!(self, Self::Refused { code } if code == "invalid_client")
    }

    /// Whether it may have done what it was asked for, and nobody can tell.
    pub const fn leaves_doubt(&self) -> bool {
        match self {
            Self::Reconnect { .. } | Self::Refused { .. } => false,
            Self::Unavailable { in_doubt, .. } => *in_doubt,
            Self::Malformed { .. } => true,
        }
    }
}

impl From<NetError> for VendorError {
    fn from(error: NetError) -> Self {
        let reason = error.to_string();
        let in_doubt = is_in_doubt(&error);
        match error {
            NetError::Redirect(_)
            | NetError::TooLarge { .. }
            | NetError::NotJson(_)
            | NetError::Address(_)
            | NetError::NotPublic => Self::Malformed { reason },
            NetError::Status(status) if !error.is_transient() => {
                Self::Refused { code: format!("http_{status}") }
            }
            NetError::Busy
            | NetError::Connect(_)
            | NetError::Tls(_)
            | NetError::Timeout
            | NetError::Status(_)
            | NetError::Broken(_) => Self::Unavailable { retry_after: None, in_doubt, reason },
        }
    }
}

/// Whether whoever was asked may have done it. One that throttles or is down for maintenance says so instead.
const fn is_in_doubt(error: &NetError) -> bool {
    match error {
        NetError::Timeout | NetError::Broken(_) => true,
        NetError::Status(status) => !matches!(status, 408 | 425 | 429 | 503),
        _ => false,
    }
}

/// What the log and the record may hold of a code: it is written by somebody else, who may repeat a token there. Codes
/// are words in one case, or short as `AADSTS50076`; tokens are long, and have digits or both cases.
fn shown(code: &str) -> String {
    const LONGEST: usize = 64;
    const SHORT: usize = 16;
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let shown: String = code.chars().filter(allowed).take(LONGEST).collect();
    let has = |kind: fn(&char) -> bool| shown.chars().any(|c| kind(&c));
    let is_mixed = has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase);
    let is_word = !is_mixed && !has(char::is_ascii_digit);
    if is_word || shown.len() <= SHORT { shown } else { "a code that is not shown".to_owned() }
}

/// `Retry-After`: seconds or a date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = || text.parse().map(Duration::from_secs).ok();
    let date = || {
        let at = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        at.checked_sub(Duration::from_millis(u64::try_from(now.as_millis()).ok()?))
    };
    seconds().or_else(date).map(|wait| wait.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("120", Some(120))]
    #[case(" 0 ", Some(0))]
    #[case("Sat, 21 Nov 2026 10:01:00 GMT", Some(60))]
    #[case("Sat, 21 Nov 2026 09:00:00 GMT", None)]
    #[case("999999999", Some(3600))]
    #[case("soon", None)]
    #[case("-1", None)]
    fn how_long_to_wait(#[case] text: &str, #[case] seconds: Option<u64>) {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
        let now = Timestamp::from_secs(1_795_255_200);
        assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs));
    }

    #[test]
    fn a_code_is_shown_without_what_does_not_belong_there() {
        assert_eq!(shown("invalid_grant"), "invalid_grant");
        assert_eq!(shown("<script>\n\u{202e}x"), "scriptx");
        assert_eq!(shown(&"a".repeat(100)).len(), 64);
        assert_eq!(shown("AADSTS50076"), "AADSTS50076");
        for token in [
            "gho_16C7e42F292c6912E7710c838347Ae178B4a",
            "xoxe-abcdefghijklmnop-qrstuvwxyzAB",
            "1234567890abcdefg",
        ] {
            assert_eq!(shown(token), "a code that is not shown");
        }
    }
}
