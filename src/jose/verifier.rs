//! Reading a signed JWT (RFC 7519) of somebody else's, by the rules of RFC 8725: its form, kind and algorithm are
//! settled before a key is looked for, its claims may be used only after the signature holds, and its dates are
//! compared by our clock.

use std::{sync::Arc, time::Duration};

use base64::{DecodeError, Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::{
    json::{Object, parse_object},
    jwks::JwksError,
    key_set::{LookupError, PRIVATE_MEMBERS, VerificationKey},
    thumbprint::Thumbprint,
};
use crate::clock::Timestamp;

/// The longest token that is read: ID tokens with hundreds of groups fit.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The last second of the year 9999; a date beyond it is a mistake, most often milliseconds.
const MAX_NUMERIC_DATE: f64 = 253_402_300_799.0;

/// The kinds of JWT that we read, each with its `typ`, so that none passes for another (RFC 8725 §3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An ID token: `JWT` or none (OpenID Connect Core §2).
    IdToken,
    /// An access token: `at+jwt` (RFC 9068 §2.1).
    AccessToken,
    /// What a client proves itself with: `client-authentication+jwt` (RFC 7523bis §4), `JWT` or none (RFC 7523 §3).
    ClientAssertion,
    /// An identity assertion that is a grant: `oauth-id-jag+jwt`, letter for letter (ID-JAG §3.1).
    IdJag,
    /// Any other assertion that is a grant: `JWT` or none (RFC 7523 §2.1).
    AuthorizationGrant,
    /// What proves possession of a key, which it carries: `dpop+jwt` (RFC 9449 §4.2).
    DpopProof,
    /// A provider's word that a session is over: `logout+jwt` or none (OpenID Connect Back-Channel Logout §2.4).
    LogoutToken,
}

impl Kind {
    fn admits(self, written: Option<&str>) -> bool {
        const PREFIX: &str = "application/"; // may be left out, RFC 7515 §4.1.9
        let typ = written.map(|typ| match typ.split_at_checked(PREFIX.len()) {
            Some((head, tail)) if head.eq_ignore_ascii_case(PREFIX) => tail,
            _ => typ,
        });
        match self {
            Self::IdToken | Self::AuthorizationGrant => typ.is_none_or(|typ| typ.eq_ignore_ascii_case("JWT")),
            Self::IdJag => written == Some("oauth-id-jag+jwt"),
            Self::ClientAssertion => typ.is_none_or(|typ| {
                typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("client-authentication+jwt")
            }),
            Self::LogoutToken => typ.is_none_or(|typ| typ.eq_ignore_ascii_case("logout+jwt")),
            Self::AccessToken => typ.is_some_and(|typ| typ.eq_ignore_ascii_case("at+jwt")),
            Self::DpopProof => typ.is_some_and(|typ| typ.eq_ignore_ascii_case("dpop+jwt")),
        }
    }
}

/// Why a token is refused. Nothing of the token is in the text.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Longer than 16 KB.
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three parts between two dots.
    #[error("the token is not a signed JWT")]
    NotCompact,
    /// A part is not base64url in its one canonical spelling.
    #[error("a part of the token is not base64url")]
    Base64(#[source] DecodeError),
    /// A part is not a JSON object, or one with repeated members or too much nesting.
    #[error("a part of the token is not JSON that can be read")]
    Json(#[source] serde_json::Error),
    /// A header member has the wrong type, or is one that we must refuse.
    #[error("the token's header member {0} cannot be accepted")]
    Header(&'static str),
    /// The `typ` of another kind of token.
    #[error("the token is of another kind")]
    Kind,
    /// An algorithm that is not on the list, `none` and the symmetric ones in any case.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// The key that a proof carries is symmetric or private: whoever reads the proof has it too (RFC 9449 §4.3).
    #[error("the token gives its own secret key away")]
    PrivateKey,
    /// The key that a proof carries is malformed, too short, of an unknown kind, or not for the algorithm.
    #[error("the token's own key cannot be used")]
    Key,
    /// The signature does not belong to the key and the text.
    #[error("the token's signature does not hold")]
    Signature,
    /// No key, or no single one, fits the token.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// There are no keys, because of a fault that is not the token's: ask again later.
    #[error(transparent)]
    NoKeys(Arc<JwksError>),
    /// A claim is missing.
    #[error("the token's claim {0} is missing")]
    Missing(&'static str),
    /// A claim has the wrong type.
    #[error("the token's claim {0} cannot be understood")]
    Malformed(&'static str),
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` is longer ago than the caller allows.
    #[error("the token was issued too long ago")]
    TooOld,
}

/// A token of the right form, kind and algorithm that nothing has proved yet. What it says about itself may be used to
/// find its issuer and key, and for nothing else.
#[derive(Debug)]
pub struct Unverified<'t> {
    algorithm: Algorithm,
    kid: Option<String>,
    /// The key in the header, of a proof alone.
    jwk: Option<Object>,
    claims: Object,
    signed: &'t str,
    signature: &'t str,
}

impl<'t> Unverified<'t> {
    /// Reads a compact serialisation (RFC 7515 §7.1). Keys and key addresses in the header are ignored, but for the
    /// `jwk` of a proof; extensions that would have to be understood (`crit`) are refused.
    pub fn parse(token: &'t str, kind: Kind, algorithms: &[Algorithm]) -> Result<Self, VerifyError> {
        Self::parse_one_of(token, &[kind], algorithms).map(|(_, token)| token)
    }

    /// Reads one that may be of several kinds, and tells of which it is: the first that its `typ` fits.
    pub fn parse_one_of(
        token: &'t str,
        kinds: &[Kind],
        algorithms: &[Algorithm],
    ) -> Result<(Kind, Self), VerifyError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(VerifyError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(VerifyError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(VerifyError::NotCompact)?;
        if payload.contains('.') || signature.is_empty() {
            return Err(VerifyError::NotCompact);
        }
        URL_SAFE_NO_PAD.decode(signature).map_err(VerifyError::Base64)?;
        let header = decode(header)?;
        let text = |name: &'static str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(VerifyError::Header(name)),
        };
        if header.contains_key("crit") {
            return Err(VerifyError::Header("crit"));
        }
        let typ = text("typ")?;
        let kind = kinds.iter().copied().find(|kind| kind.admits(typ)).ok_or(VerifyError::Kind)?;
        let named: Option<Algorithm> = text("alg")?.and_then(|alg| alg.parse().ok());
        let algorithm = named.filter(|alg| is_asymmetric(*alg) && algorithms.contains(alg));
        let jwk = match (kind, header.get("jwk")) {
            (Kind::DpopProof, Some(Value::Object(jwk))) => Some(jwk.clone()),
            (Kind::DpopProof, _) => return Err(VerifyError::Header("jwk")),
            _ => None,
        };
        let token = Self {
            algorithm: algorithm.ok_or(VerifyError::Algorithm)?,
            kid: text("kid")?.map(str::to_owned),
            jwk,
            claims: decode(payload)?,
            signed,
            signature,
        };
        Ok((kind, token))
    }

    /// Whom it names as its issuer.
    pub fn issuer(&self) -> Option<&str> {
        self.text("iss")
    }

    /// A claim that is text: what an issuer's template needs.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// The key it says it was signed with.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithm of its header, one of the accepted.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the signature was made with this key.
    pub(super) fn is_proved_by(&self, key: &VerificationKey) -> bool {
        key.proves(self.signed, self.signature, self.algorithm)
    }

    /// Checks the signature.
    pub fn verify(self, key: &VerificationKey) -> Result<Verified, VerifyError> {
        if self.is_proved_by(key) {
            Ok(Verified { claims: self.claims })
        } else {
            Err(VerifyError::Signature)
        }
    }

    /// Checks the signature of a proof by the key that it carries, and names that key. What is proved is that whoever
    /// made it has the key, and nothing about who that is (RFC 9449 §4.3).
    pub fn verify_possession(self) -> Result<(Verified, Thumbprint), VerifyError> {
        let jwk = self.jwk.as_ref().ok_or(VerifyError::Key)?;
        if PRIVATE_MEMBERS.iter().any(|name| jwk.contains_key(*name)) {
            return Err(VerifyError::PrivateKey);
        }
        let key = VerificationKey::parse(jwk).ok_or(VerifyError::Key)?;
        let thumbprint = Thumbprint::of(jwk).ok_or(VerifyError::Key)?;
        Ok((self.verify(&key)?, thumbprint))
    }
}

fn is_asymmetric(algorithm: Algorithm) -> bool {
    !matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

fn decode(part: &str) -> Result<Object, VerifyError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(VerifyError::Base64)?;
    parse_object(&bytes).map_err(VerifyError::Json)
}

/// The claims of a token whose signature holds. Issuer, audience and dates are the caller's to check.
#[derive(Debug)]
pub struct Verified {
    claims: Object,
}

/// The dates of a token that is good now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// `exp`.
    pub expires_at: Timestamp,
    /// `iat`.
    pub issued_at: Option<Timestamp>,
}

impl Verified {
    /// Claims that a test takes as proved.
    #[cfg(test)]
    pub(crate) const fn taken_as_proved(claims: Object) -> Self {
        Self { claims }
    }

    /// All claims.
    pub const fn claims(&self) -> &Object {
        &self.claims
    }

    /// The same, to keep.
    pub fn into_claims(self) -> Object {
        self.claims
    }

    /// A claim that must be there and be text.
    pub fn text(&self, claim: &'static str) -> Result<&str, VerifyError> {
        match self.claims.get(claim) {
            None => Err(VerifyError::Missing(claim)),
            Some(value) => value.as_str().ok_or(VerifyError::Malformed(claim)),
        }
    }

    /// `aud`: one text or a list of texts (RFC 7519 §4.1.3).
    pub fn audiences(&self) -> Result<Vec<&str>, VerifyError> {
        let malformed = VerifyError::Malformed("aud");
        match self.claims.get("aud") {
            None => Err(VerifyError::Missing("aud")),
            Some(Value::String(one)) => Ok(vec![one]),
            Some(Value::Array(several)) => {
                several.iter().map(Value::as_str).collect::<Option<_>>().ok_or(malformed)
            }
            Some(_) => Err(malformed),
        }
    }

    /// A `NumericDate` (RFC 7519 §2): a number, never a text.
    pub fn date(&self, claim: &'static str) -> Result<Option<Timestamp>, VerifyError> {
        let Some(value) = self.claims.get(claim) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| (0.0..=MAX_NUMERIC_DATE).contains(seconds));
        let seconds = seconds.ok_or(VerifyError::Malformed(claim))?;
        #[expect(clippy::cast_possible_truncation, reason = "within the range checked above")]
        Ok(Some(Timestamp::from_millis((seconds * 1000.0).floor() as i64)))
    }

    /// Checks `exp`, which must be there, `nbf` and `iat` (RFC 7519 §4.1.4 to §4.1.6), each by `leeway`. With
    /// `max_age`, `iat` must be there and no older.
    pub fn check_times(
        &self,
        now: Timestamp,
        leeway: Duration,
        max_age: Option<Duration>,
    ) -> Result<Times, VerifyError> {
        let expires_at = self.date("exp")?.ok_or(VerifyError::Missing("exp"))?;
        let issued_at = self.date("iat")?;
        if now.minus(leeway) >= expires_at {
            return Err(VerifyError::Expired);
        }
        if [self.date("nbf")?, issued_at].into_iter().flatten().any(|begin| begin > now.plus(leeway)) {
            return Err(VerifyError::NotYetValid);
        }
        if let Some(max_age) = max_age {
            let issued_at = issued_at.ok_or(VerifyError::Missing("iat"))?;
            if now.since(issued_at) > max_age.saturating_add(leeway) {
                return Err(VerifyError::TooOld);
            }
        }
        Ok(Times { expires_at, issued_at })
    }
}

#[cfg(test)]
mod tests;
