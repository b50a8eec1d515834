//! The states of a connection, and what leads from one to the next: pure, so that every way is tested.
//!
//! While somebody signs in at the vendor there is no connection yet, and after a disconnect there is none any more.
//! What lies between is [`State`]; that a token is being refreshed at the moment is a lease and no state of its own.

use std::fmt;

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its tokens are good as far as anybody knows.
    Active,
    /// The vendor could not refresh them just now. It will be asked again; what has not expired is handed out.
    Degraded(Trouble),
    /// Only the person can mend it.
    NeedsReconnect(Loss),
    /// An operator has switched it off.
    Disabled,
}

/// Why the vendor gave no new token, though the old ones may be as good as ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It did not answer, failed, or wants to be left alone for a while.
    Unavailable,
    /// It refuses our app, not the person: its secret or its settings there are wrong.
    Refused,
    /// Its answer could not be understood.
    Malformed,
}

/// Why the tokens are of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The vendor does not know the refresh token any more.
    Revoked,
    /// We stopped in the midst of a refresh, and the vendor may have replaced the token by one that nobody got.
    Interrupted,
    /// The access token has ended and there is nothing to get another with.
    Expired,
    /// The vendor says that the account is another one now, or the rules do not allow it any more.
    Account,
    /// What is kept was changed or moved behind our back.
    Unreadable,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// The vendor gave a new token.
    Refreshed,
    /// It did not, and asking again may help.
    Failed(Trouble),
    /// Nothing will help but the person.
    Lost(Loss),
    /// The person connected the same account again.
    Reconnected,
    /// An operator switched it off.
    SwitchedOff,
    /// An operator switched it on again.
    SwitchedOn,
}

impl State {
    /// All that there are.
    pub const ALL: [Self; 10] = [
        Self::Active,
        Self::Degraded(Trouble::Unavailable),
        Self::Degraded(Trouble::Refused),
        Self::Degraded(Trouble::Malformed),
        Self::NeedsReconnect(Loss::Revoked),
        Self::NeedsReconnect(Loss::Interrupted),
        Self::NeedsReconnect(Loss::Expired),
        Self::NeedsReconnect(Loss::Account),
        Self::NeedsReconnect(Loss::Unreadable),
        Self::Disabled,
    ];

    /// The state that follows. What an operator switched off stays off; the first reason for which the person is needed
    /// stays the reason, and no mere trouble hides it.
    #[must_use]
    pub const fn after(self, happened: Happened) -> Self {
        match (self, happened) {
            (Self::Disabled, Happened::SwitchedOn) => Self::Active,
            (Self::Disabled, _) | (_, Happened::SwitchedOff) => Self::Disabled,
            (state, Happened::SwitchedOn) => state,
            (_, Happened::Refreshed | Happened::Reconnected) => Self::Active,
            (Self::NeedsReconnect(loss), Happened::Failed(_) | Happened::Lost(_)) => {
                Self::NeedsReconnect(loss)
            }
            (_, Happened::Failed(trouble)) => Self::Degraded(trouble),
            (_, Happened::Lost(loss)) => Self::NeedsReconnect(loss),
        }
    }

    /// Its stable name, without the reason.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Degraded(_) => "degraded",
            Self::NeedsReconnect(_) => "needs_reconnect",
            Self::Disabled => "disabled",
        }
    }

    /// The stable code of why it is so.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Active | Self::Disabled => None,
            Self::Degraded(trouble) => Some(trouble.code()),
            Self::NeedsReconnect(loss) => Some(loss.code()),
        }
    }
}

impl Trouble {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
        }
    }
}

impl Loss {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Interrupted => "interrupted",
            Self::Expired => "expired",
            Self::Account => "account",
            Self::Unreadable => "unreadable",
        }
    }
}

/// As its column holds it: the name, and behind a colon the reason.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.reason().map_or(Ok(()), |reason| write!(f, ":{reason}"))
    }
}

impl TryFrom<String> for State {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let known = Self::ALL.into_iter().find(|state| state.to_string() == text);
        known.ok_or_else(|| format!("no state of a connection is called {text}"))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const REVOKED: State = State::NeedsReconnect(Loss::Revoked);
    const DEGRADED: State = State::Degraded(Trouble::Unavailable);

    #[rstest]
    #[case(State::Active, Happened::Failed(Trouble::Unavailable), DEGRADED)]
    #[case(DEGRADED, Happened::Failed(Trouble::Refused), State::Degraded(Trouble::Refused))]
    #[case(DEGRADED, Happened::Refreshed, State::Active)]
    #[case(DEGRADED, Happened::Lost(Loss::Revoked), REVOKED)]
    #[case(State::Active, Happened::Lost(Loss::Interrupted), State::NeedsReconnect(Loss::Interrupted))]
    #[case::marked_once(REVOKED, Happened::Lost(Loss::Interrupted), REVOKED)]
    #[case::no_trouble_hides_it(REVOKED, Happened::Failed(Trouble::Unavailable), REVOKED)]
    #[case::stored_late(REVOKED, Happened::Refreshed, State::Active)]
    #[case(REVOKED, Happened::Reconnected, State::Active)]
    #[case(REVOKED, Happened::SwitchedOff, State::Disabled)]
    #[case(REVOKED, Happened::SwitchedOn, REVOKED)]
    #[case(State::Disabled, Happened::Refreshed, State::Disabled)]
    #[case(State::Disabled, Happened::Reconnected, State::Disabled)]
    #[case(State::Disabled, Happened::Lost(Loss::Revoked), State::Disabled)]
    #[case(State::Disabled, Happened::SwitchedOn, State::Active)]
    fn what_follows(#[case] before: State, #[case] happened: Happened, #[case] after: State) {
        assert_eq!(before.after(happened), after);
    }

    #[test]
    fn its_text_says_it_all() {
        for state in State::ALL {
            assert_eq!(State::try_from(state.to_string()), Ok(state));
        }
        assert_eq!(REVOKED.to_string(), "needs_reconnect:revoked");
        assert!(State::try_from("needs_reconnect".to_owned()).is_err());
    }
}
