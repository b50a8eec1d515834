//! The people who can sign in at the test provider, and what it says of them.

use serde::Serialize;

/// A person, as the claims that the ID token and userinfo carry. All are released to every request: which scope
/// releases what differs between providers, and a test user has nothing to hide.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct TestUser {
    pub(super) sub: &'static str,
    pub(super) name: &'static str,
    pub(super) email: &'static str,
    pub(super) email_verified: bool,
    pub(super) groups: &'static [&'static str],
}

pub(super) static USERS: [TestUser; 2] = [
    TestUser {
        sub: "test-user-ada",
        name: "Ada Lovelace",
        email: "ada@example.test",
        email_verified: true,
        groups: &["staff", "support"],
    },
    TestUser {
        sub: "test-user-grace",
        name: "Grace Hopper",
        email: "grace@example.test",
        email_verified: true,
        groups: &["staff"],
    },
];
