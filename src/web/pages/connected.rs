//! A person's accounts elsewhere, as the account page shows them.

use super::shown::{LocalPath, Moment, Name, Prose};

/// An account that she connected.
pub struct Connected {
    /// The id that the forms post as `connection`.
    pub connection: String,
    /// What it is an account of: `GitHub`.
    pub title: Name,
    /// What it is called there.
    pub account: Option<Name>,
    /// What she calls it.
    pub label: Option<Name>,
    /// What the field for it holds: the label, as she wrote it.
    pub label_written: String,
    /// How it stands, and what to do, in words.
    pub state: Prose,
    /// Where she puts it in order, where she alone can.
    pub reconnect: Option<LocalPath>,
    /// What the vendor calls what we may do there.
    pub scopes: Vec<Name>,
    /// Whether it is meant where nobody says which. `None`: she has no other of its kind.
    pub is_default: Option<bool>,
    /// Who used it, the latest first.
    pub uses: Vec<Use>,
    /// The programs that may use it while she is away.
    pub offline: Vec<Name>,
    /// When it was connected first.
    pub since: Moment,
}

/// Who used a connection.
pub struct Use {
    /// The program.
    pub client: Name,
    /// At which resource she was using it. `None`: while she was away.
    pub resource: Option<Name>,
    /// When last.
    pub last: Moment,
    /// How often.
    pub count: i64,
}

/// What she may connect.
pub struct Offered {
    /// What it is an account of.
    pub title: Name,
    /// Where connecting it begins.
    pub href: LocalPath,
}
