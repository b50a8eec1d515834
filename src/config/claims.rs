//! Where an upstream puts what we need to know of a person.

use std::fmt;

use serde_json::{Map, Value};

/// The way to a claim: `sub`, `realm_access.roles`, or a key that itself holds dots (`https://acme.com/roles`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimPath(String);

impl ClaimPath {
    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A path of our own.
    pub(super) fn known(path: &'static str) -> Self {
        Self(path.to_owned())
    }

    /// The claim's value. A key that is literally there wins over the reading of dots as steps, at every level;
    /// `null` counts as absent.
    pub fn lookup<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        walk(claims, &self.0)
    }
}

fn walk<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value).filter(|value| !value.is_null());
    }
    path.match_indices('.').find_map(|(dot, _)| {
        let (key, rest) = (path.get(..dot)?, path.get(dot + 1..)?);
        walk(claims.get(key)?.as_object()?, rest)
    })
}

/// Whether a claim's value meets a rule that names these: it is one of them, or a list that holds one.
pub fn is_one_of(value: &Value, named: &[Value]) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(|element| named.contains(element)),
        one => named.contains(one),
    }
}

impl TryFrom<String> for ClaimPath {
    type Error = &'static str;

    fn try_from(path: String) -> Result<Self, Self::Error> {
        /// Each dot doubles the readings of a hostile token in the worst case.
        const MAX_DOTS: usize = 8;
        const MAX_BYTES: usize = 256;
        if path.is_empty() || path.len() > MAX_BYTES || path.chars().any(char::is_control) {
            return Err("a claim is named by 1 to 256 characters, such as groups or realm_access.roles");
        }
        if path.matches('.').count() > MAX_DOTS {
            return Err("a claim is at most eight dots deep");
        }
        Ok(Self(path))
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where each fact stands in the upstream's claims.
#[derive(Debug, Clone)]
pub struct ClaimPaths {
    /// What never changes about a person at this upstream; several are joined, each part is required.
    pub subject: Vec<ClaimPath>,
    /// The e-mail address: a label, never a key.
    pub email: ClaimPath,
    /// Whether the upstream vouches for the address. `None`: it never does, and no e-mail rule can be met.
    pub email_verified: Option<ClaimPath>,
    /// The person's name, for pages.
    pub name: ClaimPath,
    /// The groups or roles.
    pub groups: Option<ClaimPath>,
    /// The upstream tenant that the person belongs to.
    pub tenant: Option<ClaimPath>,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> ClaimPath {
        ClaimPath::try_from(text.to_owned()).unwrap()
    }

    #[rstest]
    #[case("sub", json!("u1"))]
    #[case("realm_access.roles", json!(["admin"]))]
    #[case("https://acme.com/roles", json!(["namespaced"]))]
    #[case("resource_access.my.client.roles", json!(["dotted key inside"]))]
    #[case("a.b", json!("literal wins"))]
    fn finds(#[case] text: &str, #[case] value: Value) {
        let claims = json!({
            "sub": "u1",
            "realm_access": { "roles": ["admin"] },
            "https://acme.com/roles": ["namespaced"],
            "resource_access": { "my.client": { "roles": ["dotted key inside"] } },
            "a.b": "literal wins", "a": { "b": "steps lose" },
        });
        assert_eq!(path(text).lookup(claims.as_object().unwrap()), Some(&value));
    }

    #[rstest]
    #[case("gone")]
    #[case("sub.x")]
    #[case("a.")]
    #[case(".a")]
    #[case("null")]
    #[case("list.0")]
    fn finds_nothing(#[case] text: &str) {
        let claims = json!({ "sub": "u1", "a": {}, "null": null, "list": [1] });
        assert_eq!(path(text).lookup(claims.as_object().unwrap()), None);
    }

    #[test]
    fn a_path_has_a_shape() {
        for bad in ["", "a\nb", &"x".repeat(257), "1.2.3.4.5.6.7.8.9.10"] {
            assert!(ClaimPath::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
