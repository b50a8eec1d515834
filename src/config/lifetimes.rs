//! `lifetimes:` how long things last.

use std::time::Duration;

use super::{form::duration, reader::Section};

/// The `lifetimes:` section.
#[derive(Debug, Clone)]
pub struct Lifetimes {
    /// An authorization code (RFC 6749 §4.1.2 caps it at ten minutes).
    pub code: Duration,
    /// An access token, unless its resource says otherwise.
    pub access_token: Duration,
    /// An ID token: for so long a client may show it.
    pub id_token: Duration,
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
    /// A line of the audit record.
    pub audit: Duration,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// RFC 6749 §4.1.2.
const LONGEST_CODE: Duration = Duration::from_secs(10 * 60);
/// An access token cannot be called back before it expires: what a resource verifies offline lives a day at most.
pub(super) const LONGEST_ACCESS_TOKEN: Duration = DAY;
/// Beyond this a forgotten entry is more likely than a wish.
const LONGEST_GRANT: Duration = Duration::from_secs(5 * 366 * 24 * 60 * 60);
/// For as long a stolen, just rotated refresh token may still be used.
const LONGEST_RETRY_WINDOW: Duration = Duration::from_secs(10 * 60);
/// Ten years: the longest that auditors ask for.
const LONGEST_RECORD: Duration = Duration::from_secs(3653 * 24 * 60 * 60);
const LONGEST_SESSION: Duration = Duration::from_secs(366 * 24 * 60 * 60);

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            code: MINUTE,
            access_token: 10 * MINUTE,
            id_token: HOUR,
            refresh_idle: 30 * DAY,
            refresh_absolute: 90 * DAY,
            retry_window: MINUTE,
            session_idle: 8 * HOUR,
            session_absolute: DAY,
            interaction: 10 * MINUTE,
            upstream_state: 10 * MINUTE,
            audit: 400 * DAY,
        }
    }
}

impl Lifetimes {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let read = |key, default, min, max| section.optional(key, duration(min, max)).unwrap_or(default);
        let lifetimes = Self {
            code: read("code", default.code, SECOND, LONGEST_CODE),
            access_token: read("access_token", default.access_token, SECOND, LONGEST_ACCESS_TOKEN),
            id_token: read("id_token", default.id_token, SECOND, DAY),
            refresh_idle: read("refresh_idle", default.refresh_idle, SECOND, LONGEST_GRANT),
            refresh_absolute: read("refresh_absolute", default.refresh_absolute, SECOND, LONGEST_GRANT),
            retry_window: read("retry_window", default.retry_window, Duration::ZERO, LONGEST_RETRY_WINDOW),
            session_idle: read("session_idle", default.session_idle, SECOND, LONGEST_SESSION),
            session_absolute: read("session_absolute", default.session_absolute, SECOND, LONGEST_SESSION),
            interaction: read("interaction", default.interaction, MINUTE, HOUR),
            upstream_state: read("upstream_state", default.upstream_state, MINUTE, HOUR),
            audit: read("audit", default.audit, DAY, LONGEST_RECORD),
        };
        if lifetimes.refresh_idle > lifetimes.refresh_absolute {
            section.problem("refresh_idle", "is longer than refresh_absolute, so it would never count");
        }
        if lifetimes.session_idle > lifetimes.session_absolute {
            section.problem("session_idle", "is longer than session_absolute, so it would never count");
        }
        lifetimes
    }
}
