//! What a client learns of a person, by scope (OpenID Connect Core §5.4).

use crate::oauth::scope::{Scope, ScopeSet};

/// Name.
pub(super) const PROFILE: &str = "profile";
/// E-mail address.
pub(super) const EMAIL: &str = "email";
/// Groups at her provider.
pub(super) const GROUPS: &str = "groups";

/// Without this one nobody is signed in.
const OPENID: &str = "openid";

/// What each lets a client do, in words for the person who is asked.
const WORDS: [(&str, &str); 4] = [
    (OPENID, "Know that you signed in"),
    (PROFILE, "Know your name"),
    (EMAIL, "Know your e-mail address"),
    (GROUPS, "Know the groups that you are in"),
];

/// What every sign-in is for.
pub fn required() -> ScopeSet {
    ScopeSet::parse(OPENID).unwrap_or_default()
}

/// What a scope tells.
pub fn words(scope: &Scope) -> Option<&'static str> {
    WORDS.into_iter().find(|(name, _)| *name == scope.as_str()).map(|(_, words)| words)
}
