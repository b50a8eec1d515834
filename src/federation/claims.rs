//! From an upstream's claims to a [`VerifiedIdentity`].
//!
//! Upstreams disagree on types, so each fact has one stated reading, and whatever does not fit it is absent rather
//! than guessed at: a string alone is one group and is never split, elements of a list that are no strings are no
//! groups, and a list that the upstream holds back (`_claim_names`, `hasgroups`) is [`Groups::TooMany`].

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value};

use super::id_token::IdToken;
use crate::{
    config::{
        claims::{ClaimPath, ClaimPaths},
        provider::{Provider, Userinfo},
    },
    identity::verified::{Groups, VerifiedIdentity},
};

/// Longer subjects than any upstream's; OIDC Core §2 allows 255, and several parts may be joined.
const MAX_SUBJECT_BYTES: usize = 512;
/// RFC 5321 §4.5.3.1.3 allows a path of 256 octets, brackets included.
const MAX_EMAIL_BYTES: usize = 254;
/// What pages show of a name in full.
const MAX_NAME_BYTES: usize = 256;

/// Separates the parts of a joined subject; inside a part it is percent-encoded, so that no two people's parts join
/// to the same text.
const SEPARATOR: &str = "|";
const PART: &AsciiSet = &CONTROLS.add(b'|').add(b'%');

/// Everything an upstream said about a person: its ID token and, where it was asked, its userinfo endpoint.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    pub(super) id_token: &'a Map<String, Value>,
    pub(super) userinfo: Option<&'a Map<String, Value>>,
}

/// The claims do not say who the person is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("claim {0}, which identifies people at this provider, is missing, no text, or too long")]
pub(super) struct NoSubject(String);

impl<'a> Claims<'a> {
    /// A claim's value: what was signed wins over what userinfo adds.
    pub(super) fn lookup(&self, path: &ClaimPath) -> Option<&'a Value> {
        path.lookup(self.id_token).or_else(|| path.lookup(self.userinfo?))
    }

    /// The address and whether it is verified, both from one source: a `true` of userinfo must not vouch for
    /// another address in the ID token.
    fn email(&self, paths: &ClaimPaths) -> (Option<String>, bool) {
        let sources = [Some(self.id_token), self.userinfo];
        let mut found = sources.into_iter().flatten().filter_map(|claims| {
            let email = paths.email.lookup(claims).and_then(address)?;
            let vouched = paths.email_verified.as_ref().and_then(|path| path.lookup(claims));
            Some((email, vouched.is_some_and(is_true)))
        });
        let Some((first, verified)) = found.next() else { return (None, false) };
        let confirmed = verified || found.any(|(email, verified)| verified && email == first);
        (Some(first), confirmed)
    }

    /// A line of text; one with a control character in it is none. PostgreSQL could not hold a NUL.
    fn text(&self, path: &ClaimPath, longest: usize) -> Option<String> {
        self.lookup(path)
            .and_then(Value::as_str)
            .map(str::trim)
            .filter(|text| !text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control))
            .map(str::to_owned)
    }

    fn groups(&self, path: Option<&ClaimPath>) -> Groups {
        let Some(path) = path else { return Groups::Known(BTreeSet::new()) };
        match self.lookup(path) {
            Some(Value::Array(list)) => Groups::of(list.iter().filter_map(Value::as_str).map(str::to_owned)),
            Some(Value::String(one)) => Groups::of([one.clone()]),
            None if self.holds_back(path) => Groups::TooMany,
            _ => Groups::Known(BTreeSet::new()),
        }
    }

    /// Whether the claim exists but is not in the token: a distributed claim (OIDC Core §5.6.2), or the short form of
    /// it that is `has` before the claim's name.
    fn holds_back(&self, path: &ClaimPath) -> bool {
        let distributed = self.id_token.get("_claim_names").and_then(Value::as_object);
        distributed.is_some_and(|names| names.contains_key(path.as_str()))
            || self.id_token.get(&format!("has{path}")).is_some_and(is_true)
    }

    fn subject(&self, paths: &[ClaimPath]) -> Result<String, NoSubject> {
        // Userinfo is asked for labels; who the person is stands in what was signed.
        let part = |path: &ClaimPath| match path.lookup(self.id_token) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            Some(Value::Number(number)) if number.is_u64() => Ok(number.to_string()),
            _ => Err(NoSubject(path.to_string())),
        };
        let subject = match paths {
            [one] => part(one)?,
            several => several
                .iter()
                .map(|path| part(path).map(|text| utf8_percent_encode(&text, PART).to_string()))
                .collect::<Result<Vec<_>, _>>()?
                .join(SEPARATOR),
        };
        let usable = (1..=MAX_SUBJECT_BYTES).contains(&subject.len()) && !subject.contains('\0');
        if usable { Ok(subject) } else { Err(NoSubject("sub".into())) }
    }
}

/// Whether the userinfo endpoint has to be asked: a fact that this provider knows a place for is not in the token.
pub(super) fn wants_userinfo(provider: &Provider, id_token: &Map<String, Value>) -> bool {
    let paths = &provider.claims;
    let absent = |path: &ClaimPath| path.lookup(id_token).is_none();
    match provider.userinfo {
        Userinfo::Never => false,
        Userinfo::Always => true,
        Userinfo::WhenMissing => {
            [&paths.email, &paths.name].into_iter().any(absent)
                || [&paths.email_verified, &paths.groups, &paths.tenant].into_iter().flatten().any(absent)
        }
    }
}

/// Who the person is, in our terms.
pub(super) fn identity(
    provider: &Provider,
    token: &IdToken,
    claims: &Claims<'_>,
) -> Result<VerifiedIdentity, NoSubject> {
    let paths = &provider.claims;
    let (email, email_verified) = claims.email(paths);
    Ok(VerifiedIdentity {
        provider: provider.id.clone(),
        issuer: token.issuer.clone(),
        subject: claims.subject(&paths.subject)?,
        organization: provider.organization.clone(),
        email,
        email_verified,
        name: claims.text(&paths.name, MAX_NAME_BYTES),
        groups: claims.groups(paths.groups.as_ref()),
        tenant: paths.tenant.as_ref().and_then(|path| claims.text(path, MAX_NAME_BYTES)),
        auth_time: token.auth_time,
        acr: token.acr.clone(),
        amr: token.amr.clone(),
        sid: token.sid.clone(),
    })
}

/// `true`, and what some upstreams write for it.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(yes) => *yes,
        Value::String(text) => text == "true" || text == "1",
        Value::Number(number) => number.as_u64() == Some(1),
        _ => false,
    }
}

/// An address with one `@` and something on both sides; people with several addresses are labelled by none.
fn address(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    let (mailbox, domain) = text.split_once('@')?;
    let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control()) && !domain.contains('@');
    (plain && !mailbox.is_empty() && !domain.is_empty() && text.len() <= MAX_EMAIL_BYTES)
        .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::federation::fixture::{multi_tenant, path, provider};

    fn token() -> IdToken {
        IdToken {
            issuer: "https://idp.acme.com".into(),
            subject: "ada".into(),
            auth_time: None,
            acr: None,
            amr: Vec::new(),
            sid: None,
        }
    }

    fn of(provider: &Provider, id_token: &Value, userinfo: &Value) -> Result<VerifiedIdentity, NoSubject> {
        let claims = Claims { id_token: id_token.as_object().unwrap(), userinfo: userinfo.as_object() };
        identity(provider, &token(), &claims)
    }

    fn known<const N: usize>(names: [&str; N]) -> Groups {
        Groups::of(names.map(str::to_owned))
    }

    #[rstest]
    #[case("a list", json!({ "groups": ["a", "b"] }), known(["a", "b"]))]
    #[case("a text is one group, whatever is in it", json!({ "groups": "a b,c" }), known(["a b,c"]))]
    #[case("elements that are no text are no groups", json!({ "groups": [1, { "name": "a" }, ["a"], null, "b"] }), known(["b"]))]
    #[case("an object is no list", json!({ "groups": { "a": true } }), known([]))]
    #[case("a number is no list", json!({ "groups": 7 }), known([]))]
    #[case("nothing said", json!({}), known([]))]
    #[case("null is nothing", json!({ "groups": null }), known([]))]
    #[case("ten thousand", json!({ "groups": (0..10_000).map(|n| n.to_string()).collect::<Vec<_>>() }), Groups::TooMany)]
    #[case("held back", json!({ "_claim_names": { "groups": "src1" } }), Groups::TooMany)]
    #[case("held back, the short form", json!({ "hasgroups": true }), Groups::TooMany)]
    #[case("another claim held back", json!({ "_claim_names": { "roles": "src1" } }), known([]))]
    fn groups_have_one_reading(#[case] why: &str, #[case] claims: Value, #[case] groups: Groups) {
        let mut claims = claims;
        claims["sub"] = json!("ada");
        assert_eq!(of(&provider(), &claims, &json!(null)).unwrap().groups, groups, "{why}");
    }

    #[test]
    fn groups_may_stand_deep_or_under_a_namespace() {
        let claims =
            json!({ "sub": "ada", "realm_access": { "roles": ["a"] }, "https://acme.com/roles": ["b"] });
        for (place, name) in [("realm_access.roles", "a"), ("https://acme.com/roles", "b")] {
            let mut provider = provider();
            provider.claims.groups = Some(path(place));
            assert_eq!(of(&provider, &claims, &json!(null)).unwrap().groups, known([name]));
        }
    }

    #[rstest]
    #[case("signed and vouched for", json!({ "email": "a@x.y", "email_verified": true }), json!(null), Some("a@x.y"), true)]
    #[case("as text", json!({ "email": "a@x.y", "email_verified": "true" }), json!(null), Some("a@x.y"), true)]
    #[case("as Entra writes it", json!({ "email": "a@x.y", "email_verified": 1 }), json!(null), Some("a@x.y"), true)]
    #[case("not vouched for", json!({ "email": "a@x.y" }), json!(null), Some("a@x.y"), false)]
    #[case("denied", json!({ "email": "a@x.y", "email_verified": false }), json!(null), Some("a@x.y"), false)]
    #[case("yes is not true", json!({ "email": "a@x.y", "email_verified": "yes" }), json!(null), Some("a@x.y"), false)]
    #[case("from userinfo", json!({}), json!({ "email": "a@x.y", "email_verified": true }), Some("a@x.y"), true)]
    #[case("userinfo confirms the same", json!({ "email": "a@x.y" }), json!({ "email": "a@x.y", "email_verified": true }), Some("a@x.y"), true)]
    #[case("userinfo vouches for another", json!({ "email": "a@x.y" }), json!({ "email": "b@x.y", "email_verified": true }), Some("a@x.y"), false)]
    #[case("userinfo vouches alone", json!({ "email": "a@x.y" }), json!({ "email_verified": true }), Some("a@x.y"), false)]
    #[case("the token vouches for nothing", json!({ "email_verified": true }), json!({ "email": "b@x.y" }), Some("b@x.y"), false)]
    #[case("two @", json!({ "email": "a@evil.example@x.y", "email_verified": true }), json!(null), None, false)]
    #[case("no @", json!({ "email": "x.y", "email_verified": true }), json!(null), None, false)]
    #[case("a list", json!({ "email": ["a@x.y"], "email_verified": true }), json!(null), None, false)]
    #[case("with a line break", json!({ "email": "a@x.y\nb", "email_verified": true }), json!(null), None, false)]
    fn an_address_and_its_proof_come_from_one_hand(
        #[case] why: &str,
        #[case] id_token: Value,
        #[case] userinfo: Value,
        #[case] email: Option<&str>,
        #[case] verified: bool,
    ) {
        let mut id_token = id_token;
        id_token["sub"] = json!("ada");
        let identity = of(&provider(), &id_token, &userinfo).unwrap();
        assert_eq!((identity.email.as_deref(), identity.email_verified), (email, verified), "{why}");
    }

    #[rstest]
    #[case(json!({ "oid": "o1" }), Some("o1"))]
    #[case(json!({ "oid": 42 }), Some("42"))]
    #[case(json!({}), None)]
    #[case(json!({ "oid": "" }), None)]
    #[case(json!({ "oid": 4.2 }), None)]
    #[case(json!({ "oid": ["o1"] }), None)]
    #[case(json!({ "oid": "x".repeat(513) }), None)]
    fn the_subject_is_text_or_a_whole_number(#[case] claims: Value, #[case] subject: Option<&str>) {
        let found = of(&multi_tenant(), &claims, &json!({ "oid": "of userinfo" })).ok();
        assert_eq!(found.map(|identity| identity.subject).as_deref(), subject);
    }

    #[test]
    fn parts_of_a_subject_never_join_to_the_same_text() {
        let mut provider = multi_tenant();
        provider.claims.subject = vec![path("tid"), path("oid")];
        let joined = |tid: &str, oid: &str| {
            of(&provider, &json!({ "tid": tid, "oid": oid }), &json!(null)).unwrap().subject
        };
        assert_eq!(joined("t1", "o1"), "t1|o1");
        assert_ne!(joined("a|b", "c"), joined("a", "b|c"));
        assert_ne!(joined("a%7Cb", "c"), joined("a|b", "c"));
        assert!(of(&provider, &json!({ "tid": "t1" }), &json!(null)).is_err());
    }

    #[test]
    fn userinfo_is_asked_only_where_it_can_help() {
        let mut provider = provider();
        let full = json!({ "email": "a@x.y", "email_verified": true, "name": "Ada", "groups": [] });
        let wants =
            |provider: &Provider, claims: &Value| wants_userinfo(provider, claims.as_object().unwrap());
        assert!(!wants(&provider, &full));
        assert!(wants(&provider, &json!({})));
        provider.userinfo = Userinfo::Always;
        assert!(wants(&provider, &full));
        provider.userinfo = Userinfo::Never;
        assert!(!wants(&provider, &json!({})));
    }
}
