//! The thumbprint of a public key (RFC 7638): how a token names the key that it is bound to (RFC 9449 §6.1).

use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::json::Object;

/// SHA-256 of a public JWK, in base64url: 43 characters.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(try_from = "String")]
#[sqlx(transparent)]
pub struct Thumbprint(String);

impl Thumbprint {
    /// The thumbprint of a public key as somebody wrote it; none of one whose kind has no thumbprint. What else is said
    /// of the key does not matter.
    pub fn of(jwk: &Object) -> Option<Self> {
        const REQUIRED: [&str; 6] = ["kty", "crv", "x", "y", "n", "e"];
        let members = jwk.iter().filter(|(name, _)| REQUIRED.contains(&name.as_str()));
        let members = members.map(|(name, value)| (name.clone(), value.clone())).collect();
        let key: Jwk = serde_json::from_value(Value::Object(members)).ok()?;
        key.thumbprint(ThumbprintHash::SHA256).ok().map(Self)
    }

    /// As it stands in `jkt`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `other`'s, in a time that does not tell where they differ.
    pub fn is(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl TryFrom<String> for Thumbprint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const CHARS: usize = 43;
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.len() == CHARS && text.bytes().all(is_base64url) {
            Ok(Self(text))
        } else {
            Err("a thumbprint is 43 characters of base64url")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::json::parse_object;

    /// The key of RFC 7517 §A.1; its thumbprint computed by another program.
    #[test]
    fn a_key_has_the_thumbprint_that_others_compute() {
        let key = parse_object(
            br#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","use":"enc",
                "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","alg":7}"#,
        )
        .unwrap();
        let thumbprint = Thumbprint::of(&key).unwrap();
        assert_eq!(thumbprint.as_str(), "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
        assert!(Thumbprint::try_from(thumbprint.as_str().to_owned()).unwrap().is(&thumbprint));
        assert!(Thumbprint::try_from("cn-I".to_owned()).is_err());
    }
}
