//! How and when a person proved herself at her provider, as an ID token or an assertion tells it.

use std::time::Duration;

use serde_json::Value;

use crate::{
    clock::Timestamp,
    jose::{Verified, VerifyError},
};

/// OIDC Core §2: a subject is at most 255 characters; other identifiers of a token are held to the same.
const MAX_IDENTIFIER_BYTES: usize = 255;
/// More methods than RFC 8176 names; the rest of a longer list says nothing.
const MAX_AMR: usize = 16;

/// How and when a person proved herself at her provider, as far as it says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authentication {
    /// When.
    pub auth_time: Option<Timestamp>,
    /// How strongly (OIDC Core §2).
    pub acr: Option<String>,
    /// By which means (RFC 8176).
    pub amr: Vec<String>,
    /// The session at the provider, for its logout.
    pub sid: Option<String>,
}

impl Authentication {
    /// What the token says of it. Only a date that lies ahead, by a clock that may be `leeway` off, is refused.
    pub fn told_by(token: &Verified, now: Timestamp, leeway: Duration) -> Result<Self, VerifyError> {
        let auth_time = token.date("auth_time")?;
        if auth_time.is_some_and(|at| at > now.plus(leeway)) {
            return Err(VerifyError::NotYetValid);
        }
        Ok(Self { auth_time, acr: told(token, "acr"), amr: methods(token), sid: told(token, "sid") })
    }
}

/// A claim that informs and decides nothing: what is no short text is as good as absent.
fn told(token: &Verified, claim: &'static str) -> Option<String> {
    token.text(claim).ok().filter(|text| is_identifier(text)).map(str::to_owned)
}

/// `amr`, a list (OIDC Core §2) that some write as one text.
fn methods(token: &Verified) -> Vec<String> {
    let named = match token.claims().get("amr") {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one.as_str()],
        _ => Vec::new(),
    };
    named.into_iter().filter(|method| is_identifier(method)).take(MAX_AMR).map(str::to_owned).collect()
}

/// Whether a text can be an identifier in a token: short, and without control characters.
pub fn is_identifier(text: &str) -> bool {
    (1..=MAX_IDENTIFIER_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}
