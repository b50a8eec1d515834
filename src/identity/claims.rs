//! From an upstream's claims to a [`VerifiedIdentity`].
//!
//! Upstreams disagree on types, so each fact has one stated reading, and whatever does not fit it is absent rather
//! than guessed at: a string alone is one group and is never split, elements of a list that are no strings are no
//! groups, and a list that the upstream holds back (`_claim_names`, `hasgroups`) is [`Groups::TooMany`].

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

use super::{
    authentication::Authentication,
    verified::{Groups, VerifiedIdentity, Voucher},
};
use crate::{
    config::{
        claims::{ClaimPath, ClaimPaths},
        provider::Provider,
    },
    jose::json::Object,
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

/// Everything an upstream said about a person: what it signed and, where it was asked, its userinfo endpoint.
#[derive(Debug, Clone)]
pub struct Claims {
    /// Those of the ID token or of the assertion.
    pub signed: Object,
    /// Those of the userinfo endpoint.
    pub userinfo: Option<Object>,
}

/// The claims do not say who the person is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("claim {0}, which identifies people at this provider, is missing, no text, or too long")]
pub struct NoSubject(String);

impl Claims {
    /// A claim's value: what was signed wins over what userinfo adds.
    pub fn lookup(&self, path: &ClaimPath) -> Option<&Value> {
        path.lookup(&self.signed).or_else(|| path.lookup(self.userinfo.as_ref()?))
    }

    /// The address and whether it is verified, both from one source: a `true` of userinfo must not vouch for
    /// another address in the ID token.
    fn email(&self, paths: &ClaimPaths) -> (Option<String>, Option<bool>) {
        let sources = [Some(&self.signed), self.userinfo.as_ref()];
        let mut found = sources.into_iter().flatten().filter_map(|claims| {
            let email = paths.email.lookup(claims).and_then(address)?;
            let vouched = paths.email_verified.as_ref().and_then(|path| path.lookup(claims));
            Some((email, vouched.map(is_true)))
        });
        let Some((first, verified)) = found.next() else { return (None, None) };
        let confirmed = found.any(|(email, verified)| verified == Some(true) && email == first);
        (Some(first), if confirmed { Some(true) } else { verified })
    }

    /// A line of text; one with a control character in it is none. PostgreSQL could not hold a NUL.
    fn text(&self, path: &ClaimPath, longest: usize) -> Option<String> {
        self.lookup(path)
            .and_then(Value::as_str)
            .map(str::trim)
            .filter(|text| !text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control))
            .map(str::to_owned)
    }

    fn groups(&self, path: &ClaimPath) -> Groups {
        match self.lookup(path) {
            Some(Value::Array(list)) => Groups::of(list.iter().filter_map(Value::as_str).map(str::to_owned)),
            Some(Value::String(one)) => Groups::of([one.clone()]),
            Some(_) => Groups::Known(BTreeSet::new()),
            None if self.holds_back(path) => Groups::TooMany,
            None => Groups::Unsaid,
        }
    }

    /// Whether the claim exists but is not in the token: a distributed claim (OIDC Core §5.6.2), or the short form of
    /// it that is `has` before the claim's name.
    fn holds_back(&self, path: &ClaimPath) -> bool {
        let distributed = self.signed.get("_claim_names").and_then(Value::as_object);
        distributed.is_some_and(|names| names.contains_key(path.as_str()))
            || self.signed.get(&format!("has{path}")).is_some_and(is_true)
    }

    fn subject(&self, paths: &[ClaimPath]) -> Result<String, NoSubject> {
        // Userinfo is asked for labels; who the person is stands in what was signed.
        let part = |path: &ClaimPath| match path.lookup(&self.signed) {
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

    /// Who the person is, in our terms; `subject` are the claims that together are her key at this issuer.
    pub(super) fn identity<'p>(
        self,
        provider: &'p Provider,
        (issuer, subject): (String, &[ClaimPath]),
        authentication: Authentication,
        voucher: Voucher,
    ) -> Result<VerifiedIdentity<'p>, NoSubject> {
        let paths = &provider.claims;
        let (email, email_verified) = self.email(paths);
        Ok(VerifiedIdentity {
            provider,
            issuer,
            subject: self.subject(subject)?,
            email,
            email_verified,
            name: self.text(&paths.name, MAX_NAME_BYTES),
            groups: paths.groups.as_ref().map_or(Groups::Unsaid, |path| self.groups(path)),
            tenant: paths.tenant.as_ref().and_then(|path| self.text(path, MAX_NAME_BYTES)),
            authentication,
            voucher,
            claims: self,
        })
    }
}

/// Who signed in, by the ID token of this issuer.
pub fn of_sign_in(
    provider: &Provider,
    issuer: String,
    authentication: Authentication,
    claims: Claims,
) -> Result<VerifiedIdentity<'_>, NoSubject> {
    claims.identity(provider, (issuer, &provider.claims.subject), authentication, Voucher::SignIn)
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
    use crate::config::provider::fixture::{multi_tenant, path, provider};

    fn of<'p>(
        provider: &'p Provider,
        signed: &Value,
        userinfo: &Value,
    ) -> Result<VerifiedIdentity<'p>, NoSubject> {
        let claims =
            Claims { signed: signed.as_object().unwrap().clone(), userinfo: userinfo.as_object().cloned() };
        of_sign_in(provider, "https://idp.acme.com".into(), Authentication::default(), claims)
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
    #[case("nothing said", json!({}), Groups::Unsaid)]
    #[case("null is nothing", json!({ "groups": null }), Groups::Unsaid)]
    #[case("ten thousand", json!({ "groups": (0..10_000).map(|n| n.to_string()).collect::<Vec<_>>() }), Groups::TooMany)]
    #[case("held back", json!({ "_claim_names": { "groups": "src1" } }), Groups::TooMany)]
    #[case("held back, the short form", json!({ "hasgroups": true }), Groups::TooMany)]
    #[case("another claim held back", json!({ "_claim_names": { "roles": "src1" } }), Groups::Unsaid)]
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
    #[case("signed and vouched for", json!({ "email": "a@x.y", "email_verified": true }), json!(null), Some("a@x.y"), Some(true))]
    #[case("as text", json!({ "email": "a@x.y", "email_verified": "true" }), json!(null), Some("a@x.y"), Some(true))]
    #[case("as Entra writes it", json!({ "email": "a@x.y", "email_verified": 1 }), json!(null), Some("a@x.y"), Some(true))]
    #[case("not vouched for", json!({ "email": "a@x.y" }), json!(null), Some("a@x.y"), None)]
    #[case("denied", json!({ "email": "a@x.y", "email_verified": false }), json!(null), Some("a@x.y"), Some(false))]
    #[case("yes is not true", json!({ "email": "a@x.y", "email_verified": "yes" }), json!(null), Some("a@x.y"), Some(false))]
    #[case("from userinfo", json!({}), json!({ "email": "a@x.y", "email_verified": true }), Some("a@x.y"), Some(true))]
    #[case("userinfo confirms the same", json!({ "email": "a@x.y" }), json!({ "email": "a@x.y", "email_verified": true }), Some("a@x.y"), Some(true))]
    #[case("userinfo vouches for another", json!({ "email": "a@x.y" }), json!({ "email": "b@x.y", "email_verified": true }), Some("a@x.y"), None)]
    #[case("userinfo vouches alone", json!({ "email": "a@x.y" }), json!({ "email_verified": true }), Some("a@x.y"), None)]
    #[case("the token vouches for nothing", json!({ "email_verified": true }), json!({ "email": "b@x.y" }), Some("b@x.y"), None)]
    #[case("two @", json!({ "email": "a@evil.example@x.y", "email_verified": true }), json!(null), None, None)]
    #[case("no @", json!({ "email": "x.y", "email_verified": true }), json!(null), None, None)]
    #[case("a list", json!({ "email": ["a@x.y"], "email_verified": true }), json!(null), None, None)]
    #[case("with a line break", json!({ "email": "a@x.y\nb", "email_verified": true }), json!(null), None, None)]
    fn an_address_and_its_proof_come_from_one_hand(
        #[case] why: &str,
        #[case] id_token: Value,
        #[case] userinfo: Value,
        #[case] email: Option<&str>,
        #[case] verified: Option<bool>,
    ) {
        let mut id_token = id_token;
        id_token["sub"] = json!("ada");
        let provider = provider();
        let identity = of(&provider, &id_token, &userinfo).unwrap();
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
        let provider = multi_tenant();
        let found = of(&provider, &claims, &json!({ "oid": "of userinfo" })).ok();
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
}
