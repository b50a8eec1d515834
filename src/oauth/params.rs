//! Request parameters (OAuth 2.1 §3.1): unknown ones are ignored, empty ones count as absent, repeated ones are
//! refused, but for `resource`, which RFC 8707 §2 lets repeat, and in a token exchange `audience` (RFC 8693 §2.1).

use super::{
    error::{ErrorCode, OAuthError},
    token_exchange,
};

/// The most parameters a request may hold; real ones hold fewer than twenty.
const MAX_PARAMETERS: usize = 64;
/// The longest value: an assertion or a long `state` fits, an attack on memory does not.
const MAX_VALUE_BYTES: usize = 16 * 1024;
/// The parameters that may repeat (RFC 8707 §2).
const REPEATABLE: [&str; 1] = ["resource"];
/// Those of a token exchange (RFC 8693 §2.1).
const REPEATABLE_IN_EXCHANGE: [&str; 2] = ["resource", "audience"];

/// The parameters of one request, each at most once.
#[derive(Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Parses `application/x-www-form-urlencoded` text: a query or a form body.
    pub fn parse(encoded: &[u8]) -> Result<Self, OAuthError> {
        let exchanges = url::form_urlencoded::parse(encoded)
            .any(|(name, value)| name == "grant_type" && value == token_exchange::GRANT_TYPE);
        Self::parse_repeating(encoded, if exchanges { &REPEATABLE_IN_EXCHANGE } else { &REPEATABLE })
    }

    /// Parses a form of which the parameters in `repeatable` may repeat, such as the checkboxes of a page.
    pub fn parse_repeating(encoded: &[u8], repeatable: &[&str]) -> Result<Self, OAuthError> {
        let invalid = |text| OAuthError::new(ErrorCode::InvalidRequest, text);
        let mut params: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(encoded) {
            if params.len() == MAX_PARAMETERS {
                return Err(invalid("too many parameters"));
            }
            if value.len() > MAX_VALUE_BYTES || name.len() > 256 {
                return Err(invalid("a parameter is too long"));
            }
            if value.contains('\u{fffd}') || value.contains('\0') {
                return Err(invalid("a parameter is not valid UTF-8 text"));
            }
            if !repeatable.contains(&&*name) && params.iter().any(|(known, _)| *known == name) {
                return Err(invalid("a parameter is repeated"));
            }
            params.push((name.into_owned(), value.into_owned()));
        }
        params.retain(|(_, value)| !value.is_empty());
        Ok(Self(params))
    }

    /// The value of a parameter that was sent with one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value, or `invalid_request` naming what is missing.
    pub fn require(&self, name: &'static str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| {
            OAuthError::new(ErrorCode::InvalidRequest, format!("the parameter {name} is missing"))
        })
    }

    /// The parameters as `application/x-www-form-urlencoded` text.
    pub fn encode(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// All values of a repeatable parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Names only: values hold codes, tokens and secrets.
impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repeated_parameters_are_refused_but_resource() {
        assert!(Params::parse(b"state=1&state=2").is_err());
        assert!(Params::parse(b"state=1&state=1").is_err());
        assert!(Params::parse(b"state=&state=1").is_err());
        let params = Params::parse(b"resource=a&resource=b").unwrap();
        assert_eq!(params.all("resource").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn an_exchange_may_name_several_audiences_and_repeats_nothing_else() {
        let exchange = format!("grant_type={}&audience=a&audience=b", token_exchange::GRANT_TYPE);
        let params = Params::parse(exchange.as_bytes()).unwrap();
        assert_eq!(params.all("audience").collect::<Vec<_>>(), ["a", "b"]);
        for name in ["grant_type", "subject_token", "actor_token", "scope", "requested_token_type"] {
            assert!(Params::parse(format!("{exchange}&{name}=1&{name}=1").as_bytes()).is_err(), "{name}");
        }
        assert!(Params::parse(b"grant_type=refresh_token&audience=a&audience=b").is_err());
        let twice = format!("{exchange}&grant_type=refresh_token");
        assert!(Params::parse(twice.as_bytes()).is_err());
    }

    #[test]
    fn an_empty_value_counts_as_absent() {
        assert_eq!(Params::parse(b"scope=&state=x").unwrap().get("scope"), None);
    }

    #[test]
    fn floods_are_refused() {
        assert!(Params::parse("a=1&".repeat(65).as_bytes()).is_err());
        let many: String = (0..65).fold(String::new(), |all, i| format!("{all}p{i}=1&"));
        assert!(Params::parse(many.as_bytes()).is_err());
        assert!(Params::parse(format!("a={}", "x".repeat(MAX_VALUE_BYTES + 1)).as_bytes()).is_err());
    }

    #[test]
    fn broken_utf8_and_nul_are_refused() {
        assert!(Params::parse(b"state=%ff").is_err());
        assert!(Params::parse(b"state=%00").is_err());
    }

    #[test]
    fn values_never_print() {
        assert_eq!(format!("{:?}", Params::parse(b"code=secret").unwrap()), r#"["code"]"#);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Params::parse(&bytes);
        }
    }
}
