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
pub struct NoSubject(String);

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

    fn text(&self, path: &ClaimPath, longest: usize) -> Option<String> {
        self.lookup(path)
            .and_then(Value::as_str)
            .map(str::trim)
            .filter(|text| !text.is_empty() && text.len() <= longest)
            .map(str::to_owned)
    }

    fn groups(&self, path: Option<&ClaimPath>) -> Groups {
        let Some(path) = path else { return Groups::Known(BTreeSet::new()) };
        match self.lookup(path) {
            Some(Value::Array(list)) => Groups::of(list.iter().filter_map(Value::as_str).map(str::to_owned)),
            Some(Value::String(one)) => Groups::of([one.clone()]),
            Some(_) => Groups::Known(BTreeSet::new()),
            None if self.holds_back(path) => Groups::TooMany,
            None => Groups::Known(BTreeSet::new()),
        }
    }

    /// Whether the claim exists but is not in the token: a distributed claim (OIDC Core §5.6.2) or Entra's overage.
    fn holds_back(&self, path: &ClaimPath) -> bool {
        let distributed = self.id_token.get("_claim_names").and_then(Value::as_object);
        distributed.is_some_and(|names| names.contains_key(path.as_str()))
            || self.id_token.get("hasgroups").is_some_and(is_true)
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
    (plain && !mailbox.is_empty() && !domain.is_empty() && text.len() <= MAX_EMAIL_BYTES).then(|| text.to_owned())
}
