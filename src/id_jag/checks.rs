//! What every kind of assertion has in common (RFC 7523 §3). Pure.

use serde_json::Value;

use super::Refusal;
use crate::jose::{Thumbprint, Verified};

/// The longest `jti`; a UUID has 36, a hash in hexadecimal 64.
const MAX_JTI_BYTES: usize = 256;

/// Its identifier, in a form that can be kept.
pub fn jti(verified: &Verified) -> Result<String, Refusal> {
    let jti = verified.text("jti")?;
    if !(1..=MAX_JTI_BYTES).contains(&jti.len()) || jti.chars().any(char::is_control) {
        return Err(Refusal::Jti);
    }
    Ok(jti.to_owned())
}

/// Whether only the holder of a key may present it, whom `bound_to` then proved to be; what else restricts it is
/// refused, since it is not understood.
pub fn restrictions(verified: &Verified, bound_to: Option<&Thumbprint>) -> Result<bool, Refusal> {
    // It narrows what is given in ways that we do not know (RFC 9396).
    if verified.claims().contains_key("authorization_details") {
        return Err(Refusal::AuthorizationDetails);
    }
    // RFC 7800 §3.1; a proof by RFC 9449 shows who holds the key (ID-JAG §9.8.1.2). Any other way to confirm is one
    // that we cannot check.
    let Some(cnf) = verified.claims().get("cnf") else { return Ok(false) };
    let members = cnf.as_object().filter(|members| members.len() == 1);
    let jkt = members.and_then(|members| members.get("jkt")).and_then(Value::as_str);
    let jkt = jkt.and_then(|jkt| Thumbprint::try_from(jkt.to_owned()).ok()).ok_or(Refusal::Confirmation)?;
    match bound_to {
        Some(key) if key.is(&jkt) => Ok(true),
        Some(_) | None => Err(Refusal::Possession),
    }
}
