//! An ID token as a label of the account that was connected.
//!
//! It came from the token endpoint over our own TLS connection, which is proof enough of who wrote it (OIDC Core
//! §3.1.3.7, number 6). Nobody is signed in by it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::reached::Reached;
use crate::{
    clock::Timestamp,
    jose::json::{Object, parse_object},
};

/// How far the vendor's clock may be from ours.
const LEEWAY: Duration = Duration::from_secs(5 * 60);

/// Its claims, if there is one that was made for us and in time.
pub(super) fn claims(answer: &Object, reached: &Reached, now: Timestamp) -> Option<Object> {
    let token = answer.get("id_token")?.as_str()?;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims = parse_object(&claims).ok()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let ours = match claims.get("aud")? {
        Value::String(audience) => *audience == reached.client_id,
        Value::Array(audiences) => audiences.iter().any(|a| a.as_str() == Some(&reached.client_id)),
        _ => false,
    };
    let issuer = reached.issuer.as_deref().is_none_or(|issuer| text("iss") == Some(issuer));
    let fresh = Timestamp::from_secs(claims.get("exp")?.as_i64()?).plus(LEEWAY) > now;
    (ours && issuer && fresh).then_some(claims)
}
