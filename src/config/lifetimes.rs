//! `lifetimes:` how long things last.

use std::time::Duration;

/// The `lifetimes:` section.
#[derive(Debug, Clone)]
pub struct Lifetimes {
    /// An authorization code (RFC 6749 §4.1.2 caps it at ten minutes).
    pub code: Duration,
    /// An access token, unless its resource says otherwise.
    pub access_token: Duration,
    /// A refresh token that is not used.
    pub refresh_idle: Duration,
    /// A grant, however often it is refreshed.
    pub refresh_absolute: Duration,
    /// How long a refresh token that was just rotated answers again.
    pub retry_window: Duration,
    /// A browser session that is not used.
    pub session_idle: Duration,
    /// A browser session, however often it is used.
    pub session_absolute: Duration,
    /// How long a person may take from the client's request to the answer.
    pub interaction: Duration,
    /// How long a person may take at the upstream's sign-in page.
    pub upstream_state: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        Self {
            code: Duration::from_secs(MINUTE),
            access_token: Duration::from_secs(10 * MINUTE),
            refresh_idle: Duration::from_secs(30 * DAY),
            refresh_absolute: Duration::from_secs(90 * DAY),
            retry_window: Duration::from_secs(MINUTE),
            session_idle: Duration::from_secs(8 * HOUR),
            session_absolute: Duration::from_secs(DAY),
            interaction: Duration::from_secs(10 * MINUTE),
            upstream_state: Duration::from_secs(10 * MINUTE),
        }
    }
}
