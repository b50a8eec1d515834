//! What a vendor answered: judged, and read by the paths of its preset.

use std::{collections::BTreeMap, time::Duration};

use oauth2::{
    HttpResponse,
    http::{HeaderValue, header},
};
use serde_json::Value;
use zeroize::Zeroize as _;

use super::{Account, failure::VendorError};
use crate::{
    clock::Timestamp,
    config::{
        claims::ClaimPath,
        connection::behaviour::{AnswerPaths, Behaviour, ScopeManner},
    },
    jose::json::{Object, parse_object},
    oauth::scope::{Scope, ScopeSet},
    secret::Secret,
};

/// A lifetime beyond this is a mistake, or means without end.
const LONGEST_LIFETIME: u64 = 100 * 366 * 24 * 60 * 60;
/// Addresses, names and ids of tenants fit.
const LONGEST_DETAIL: usize = 2048;

/// What a code or a refresh token became.
#[derive(Debug)]
pub struct Tokens {
    /// The access token; it can be sent in a header.
    pub access_token: Secret,
    /// The refresh token; after a refresh `None` means that the old one stays.
    pub refresh_token: Option<Secret>,
    /// When the access token expires. `None`: not as far as anybody says.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token expires, where the vendor says so.
    pub refresh_expires_at: Option<Timestamp>,
    /// What was granted; what was asked for, where the vendor does not say (RFC 6749 §5.1).
    pub scopes: ScopeSet,
    /// Whether the vendor says so.
    pub names_scopes: bool,
    /// What an MCP server needs beside the token: those that the preset names.
    pub details: BTreeMap<String, String>,
    /// The account, where the answer itself tells.
    pub(super) account: Option<Account>,
}

impl Tokens {
    /// What a person entered in the place of tokens: it stays as it is, and whoever has it can do all that she can.
    pub fn entered(access_token: Secret) -> Self {
        Self {
            access_token,
            refresh_token: None,
            expires_at: None,
            refresh_expires_at: None,
            scopes: ScopeSet::default(),
            names_scopes: false,
            details: BTreeMap::new(),
            account: None,
        }
    }

    /// The account, where the answer itself tells.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }
}

/// The members of an answer. Some are secrets, so all are wiped.
pub(super) struct Answer(Object);

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| wipe(value));
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.iter_mut().for_each(|(_, value)| wipe(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Answer {
    /// Judges an answer of the token endpoint, or of another that speaks as it does.
    pub(super) fn judge(
        response: HttpResponse,
        behaviour: &Behaviour,
        now: Timestamp,
    ) -> Result<Self, VendorError> {
        let status = response.status();
        if let Some(unavailable) = VendorError::of_status(status.as_u16(), response.headers(), now) {
            return Err(unavailable);
        }
        let Some(answer) = Self::parse(response) else {
            return Err(if status.is_success() {
                VendorError::malformed("answered with something that is no JSON object")
            } else {
                VendorError::malformed(format!(
                    "answered with the status {} and no error code",
                    status.as_u16()
                ))
            });
        };
        let paths = &behaviour.answer;
        let code = paths.error.iter().find_map(|path| answer.find(path));
        let failed = paths.success.as_ref().is_some_and(|path| answer.find(path) != Some(&Value::Bool(true)));
        match code {
            Some(Value::String(code)) if !code.is_empty() => {
                let description = answer.find(&paths.description).and_then(Value::as_str);
                Err(VendorError::of_code(code, description, &behaviour.reauth_errors))
            }
            _ if !status.is_success() || failed || code.is_some_and(Value::is_object) => {
                Err(VendorError::Refused { code: format!("http_{}", status.as_u16()) })
            }
            _ => Ok(answer),
        }
    }

    /// A JSON object, or a form where the vendor says that it is one.
    pub(super) fn parse(response: HttpResponse) -> Option<Self> {
        let is_form = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_form = is_form.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let mut body = response.into_body();
        let read = if is_form {
            let pairs = url::form_urlencoded::parse(&body).into_owned();
            Some(pairs.map(|(name, value)| (name, Value::String(value))).collect())
        } else {
            parse_object(&body).ok()
        };
        body.zeroize();
        read.map(Self)
    }

    /// A JSON object.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        parse_object(text.as_bytes()).ok().map(Self)
    }

    pub(super) fn members(&self) -> &Object {
        &self.0
    }

    pub(super) fn find(&self, path: &ClaimPath) -> Option<&Value> {
        path.lookup(&self.0)
    }

    /// A string, or a number as one.
    pub(super) fn text(&self, path: &ClaimPath) -> Option<String> {
        self.find(path).and_then(text)
    }

    fn secret(&self, path: &ClaimPath) -> Option<Secret> {
        let text = self.find(path)?.as_str()?;
        (!text.is_empty()).then(|| Secret::new(text.to_owned()))
    }

    /// When something expires that lives for so many seconds. Vendors write numbers, and strings that are numbers. What
    /// is neither counts as absent: the tokens beside it may be the only ones that still work.
    fn expiry(&self, path: &ClaimPath, now: Timestamp) -> Option<Timestamp> {
        let seconds = match self.find(path)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let seconds = seconds.filter(|seconds| *seconds <= LONGEST_LIFETIME)?;
        Some(now.plus(Duration::from_secs(seconds)))
    }

    /// The tokens in an answer that was judged. `paths`: where they are. `asked`: the scopes that are meant when it
    /// names none.
    pub(super) fn tokens(
        &self,
        behaviour: &Behaviour,
        paths: &AnswerPaths,
        asked: &ScopeSet,
        now: Timestamp,
    ) -> Result<Tokens, VendorError> {
        let access_token = self
            .secret(&paths.access_token)
            .ok_or_else(|| VendorError::malformed("answered without an access token"))?;
        if HeaderValue::from_str(access_token.expose()).is_err() {
            return Err(VendorError::malformed("answered with an access token that cannot be sent"));
        }
        let kind = self.find(&paths.token_type).and_then(Value::as_str).map(str::to_ascii_lowercase);
        if kind.is_some_and(|kind| !paths.token_types.contains(&kind)) {
            return Err(VendorError::malformed("answered with a token of a type that we cannot use"));
        }
        let named = self.scopes(&paths.scope, &behaviour.scopes);
        let assumed = behaviour.lifetime.map(|lifetime| now.plus(lifetime));
        Ok(Tokens {
            access_token,
            refresh_token: self.secret(&paths.refresh_token),
            expires_at: self.expiry(&paths.expires_in, now).or(assumed),
            refresh_expires_at: self.expiry(&paths.refresh_expires_in, now),
            names_scopes: named.is_some(),
            scopes: named.unwrap_or_else(|| asked.clone()),
            details: self.details(paths),
            account: None,
        })
    }

    /// What was granted. A name that cannot be a scope cannot have been asked for, and is left out.
    fn scopes(&self, path: &ClaimPath, manner: &ScopeManner) -> Option<ScopeSet> {
        let scope = |text: &str| {
            let scope = Scope::try_from(text.to_owned()).ok()?;
            Some(manner.aliases.get(&scope).cloned().unwrap_or(scope))
        };
        match self.find(path)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => {
                let separator = manner.answer_separator.char();
                Some(text.split(separator).map(str::trim).filter_map(scope).collect())
            }
            Value::Array(items) => Some(items.iter().filter_map(Value::as_str).filter_map(scope).collect()),
            _ => None,
        }
    }

    fn details(&self, paths: &AnswerPaths) -> BTreeMap<String, String> {
        let detail = |(name, path): (&String, &ClaimPath)| {
            let value = self.text(path).filter(|value| value.len() <= LONGEST_DETAIL)?;
            Some((name.clone(), value))
        };
        paths.details.iter().filter_map(detail).collect()
    }
}

/// A string that is not empty, or a number as one.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
