//! Issuers whose assertions are accepted as grants, and where their keys are.

use url::Url;

use super::IssuerRule;
use crate::{
    config::{form::upstream_url, problem::Wrong, reader::Section},
    oauth::issuer::Issuer,
};

/// An issuer that the operator named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrustedIssuer {
    /// What `iss` must be, byte for byte.
    pub issuer: String,
    /// Where its keys are.
    pub keys: IssuerKeys,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum IssuerKeys {
    /// Where those are that the provider signs ID tokens with.
    OfSignIn,
    /// Where the issuer's own metadata says (RFC 8414 §2, OpenID Connect Discovery §3).
    Announced,
    /// Here.
    At(Url),
}

/// What an issuer is judged by.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// The issuer of the provider's ID tokens, unless that is wrong itself.
    pub(super) sign_in: Option<&'a IssuerRule>,
    /// Our own issuer, unless that is wrong itself.
    pub(super) ours: Option<&'a Issuer>,
    /// Whether our own issuer is this machine.
    pub(super) loopback: bool,
}

impl TrustedIssuer {
    /// The one that people sign in by, where it is a single one.
    pub(super) fn of_sign_in(around: Around<'_>) -> Option<Self> {
        match around.sign_in? {
            IssuerRule::Exact(issuer) => Some(Self { issuer: issuer.clone(), keys: IssuerKeys::OfSignIn }),
            IssuerRule::Template { .. } => None,
        }
    }

    /// The keys `issuer` and `jwks_uri`.
    pub(super) fn read(section: &Section<'_>, around: Around<'_>) -> Option<Self> {
        let issuer = section.required("issuer", "the iss of its assertions, byte for byte", |written| {
            issuer(written, around)
        });
        let jwks_uri = section.optional("jwks_uri", |written| upstream_url(&written, around.loopback));
        let issuer = issuer?;
        let keys = match jwks_uri {
            Some(url) => IssuerKeys::At(url),
            None if Self::of_sign_in(around).is_some_and(|own| own.issuer == issuer) => IssuerKeys::OfSignIn,
            None => IssuerKeys::Announced,
        };
        Some(Self { issuer, keys })
    }
}

/// Whether it is one of our own, of either role. What we sign ourselves is for others: no assertion of ours is a grant
/// with us (ID-JAG §9.3), and nobody signs in here by having signed in here.
pub(super) fn is_own(written: &str, ours: Option<&Issuer>) -> bool {
    let bare = written.strip_suffix('/').unwrap_or(written);
    ours.is_some_and(|ours| bare == ours.as_str() || bare == ours.below("/idp").as_str())
}

fn issuer(written: String, around: Around<'_>) -> Result<String, Wrong> {
    if upstream_url(&written, around.loopback)?.query().is_some() {
        return Err("must not have a query".into());
    }
    if is_own(&written, around.ours) {
        return Err("is our own: what we sign ourselves is for others".into());
    }
    Ok(written)
}
