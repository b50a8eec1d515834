//! Whether an access token is good here (RFC 9068 §4): signed by our issuer, meant for this resource and no other,
//! and not yet expired.

use std::{collections::BTreeSet, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, de::IgnoredAny};

use super::keys::Keys;
use crate::{
    clock::{Clock, Timestamp},
    oauth::issuer::Issuer,
};

/// How far our clock and the issuer's may differ.
const LEEWAY: Duration = Duration::from_secs(30);

/// Who is calling, and what the token lets her do.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) subject: String,
    pub(super) scopes: BTreeSet<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    Invalid(&'static str),
    KeysUnreachable,
}

#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) keys: Keys,
    pub(super) issuer: Issuer,
    /// Our own URI: what `aud` must be.
    pub(super) resource: String,
    pub(super) clock: Clock,
}

/// The claims that decide. Times are numbers; a token that writes them as text does not parse.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    exp: i64,
    nbf: Option<i64>,
    #[serde(default)]
    scope: String,
    cnf: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Verifier {
    pub(super) async fn verify(&self, token: &str) -> Result<Caller, Rejected> {
        let invalid = |why| move |_| Rejected::Invalid(why);
        let header = jsonwebtoken::decode_header(token).map_err(invalid("the token is no JWT"))?;
        if header.alg != Algorithm::ES256 || header.crit.is_some() {
            return Err(Rejected::Invalid("the token is not signed as expected"));
        }
        // An ID token of the same issuer must not pass for an access token.
        if !header.typ.is_some_and(|typ| matches!(typ.as_str(), "at+jwt" | "application/at+jwt")) {
            return Err(Rejected::Invalid("the token is no access token"));
        }
        let kid = header.kid.ok_or(Rejected::Invalid("the token names no key"))?;
        let jwk = self.keys.find(&kid).await.map_err(|_| Rejected::KeysUnreachable)?;
        let jwk = jwk.ok_or(Rejected::Invalid("the token is signed by an unknown key"))?;
        let key = DecodingKey::from_jwk(&jwk).map_err(invalid("the token is signed by an unknown key"))?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &signature_only())
            .map_err(invalid("the token's signature or claims are wrong"))?
            .claims;
        self.judge(&claims)?;
        let scopes = claims.scope.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
        Ok(Caller { subject: claims.sub, scopes })
    }

    fn judge(&self, claims: &Claims) -> Result<(), Rejected> {
        let now = self.clock.now();
        let meant_for_us = match &claims.aud {
            Audience::One(audience) => *audience == self.resource,
            Audience::Many(audiences) => matches!(audiences.as_slice(), [only] if *only == self.resource),
        };
        if claims.iss != self.issuer.as_str() {
            Err(Rejected::Invalid("the token is of another issuer"))
        } else if !meant_for_us {
            Err(Rejected::Invalid("the token is for another resource"))
        } else if Timestamp::from_secs(claims.exp).plus(LEEWAY) <= now {
            Err(Rejected::Invalid("the token has expired"))
        } else if claims.nbf.is_some_and(|nbf| Timestamp::from_secs(nbf) > now.plus(LEEWAY)) {
            Err(Rejected::Invalid("the token is not valid yet"))
        } else if claims.cnf.is_some() {
            // Bound to a key (RFC 9449 §7.2): as a mere bearer token it may have been stolen.
            Err(Rejected::Invalid("the token is bound to a key whose proof this server does not check"))
        } else {
            Ok(())
        }
    }
}

/// The crate's own claim checks read the system's clock and accept one audience among many; [`Verifier::judge`] is
/// stricter, so the crate verifies the signature alone.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}
