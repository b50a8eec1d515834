//! What stands before the MCP endpoint: a verified token for every request, and the tool's scope for every call.
//!
//! The answers are what makes clients move. A 401 names the metadata document and the scope to begin with (RFC 9728
//! §5.1); a 403 names every scope that a new token needs, those it has included, so that a step-up never loses any.

use std::{collections::BTreeSet, slice, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::{
    notes,
    token::{Caller, Rejected, Verifier},
};
use crate::dpop::{PROOF_ALGS, Presented, Scheme};

/// The largest message: a note of a thousand characters and room around it.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Guard {
    pub(super) verifier: Verifier,
    /// Where the RFC 9728 document is.
    pub(super) metadata_url: String,
}

enum Refusal {
    NoToken,
    Token(Scheme, Rejected),
    /// The scopes that would do: those of the token and those of the call.
    Scope(Scheme, String),
    /// The body is too long or no JSON; the status says which.
    Message(StatusCode),
}

/// Middleware: lets a request pass with its [`Caller`] attached, or answers with a challenge.
pub(super) async fn require_token(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.admit(request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => guard.challenge(&refusal),
    }
}

impl Guard {
    async fn admit(&self, request: Request) -> Result<Request, Refusal> {
        let (mut parts, body) = request.into_parts();
        // Read before anything is refused: an answer to half a request costs the client its connection, and clients
        // send their first request without a token.
        let bytes = to_bytes(body, MAX_MESSAGE_BYTES).await;
        let presented = Presented::of(&parts.method, &parts.headers).ok_or(Refusal::NoToken)?;
        let scheme = presented.scheme;
        let caller =
            self.verifier.verify(&presented).await.map_err(|rejected| Refusal::Token(scheme, rejected))?;
        let bytes = bytes.map_err(|_| Refusal::Message(StatusCode::PAYLOAD_TOO_LARGE))?;
        let mut body = Body::empty();
        if parts.method == Method::POST {
            let message: Value =
                serde_json::from_slice(&bytes).map_err(|_| Refusal::Message(StatusCode::BAD_REQUEST))?;
            let needed = scopes_needed(&message);
            if !needed.iter().all(|scope| caller.scopes.contains(*scope)) {
                return Err(Refusal::Scope(scheme, union(&caller, &needed)));
            }
            // What was judged is what runs: the parsed message goes on, not the bytes, which another parser could
            // read differently (a `method` given twice).
            body = Body::from(message.to_string());
            parts.headers.remove(header::CONTENT_LENGTH);
        }
        parts.extensions.insert(caller);
        Ok(Request::from_parts(parts, body))
    }

    fn challenge(&self, refusal: &Refusal) -> Response {
        let metadata = &self.metadata_url;
        let (status, error, text, scopes) = match refusal {
            // No error code when no authentication was tried (RFC 6750 §3.1).
            Refusal::NoToken => {
                (StatusCode::UNAUTHORIZED, None, "this server needs an access token".to_owned(), notes::READ)
            }
            // A client that read 401 here would throw a good token away.
            Refusal::Token(_, rejected) if rejected.is_an_outage() => {
                tracing::warn!(error = rejected as &dyn std::error::Error, "no token can be verified");
                return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")]).into_response();
            }
            Refusal::Token(_, rejected) => {
                (StatusCode::UNAUTHORIZED, Some(rejected.code()), rejected.to_string(), notes::READ)
            }
            Refusal::Scope(_, scopes) => {
                let text = "the token lacks a scope that this tool needs".to_owned();
                (StatusCode::FORBIDDEN, Some("insufficient_scope"), text, scopes.as_str())
            }
            Refusal::Message(status) => return status.into_response(),
        };
        let error_parameters = error
            .map(|error| format!(r#"error="{error}", error_description="{text}", "#))
            .unwrap_or_default();
        // In the scheme that the client spoke; with DPoP, what a proof may be signed with (RFC 9449 §7.1).
        let scheme = match refusal {
            Refusal::Token(Scheme::Dpop, _) | Refusal::Scope(Scheme::Dpop, _) => {
                format!(r#"DPoP algs="{}", "#, PROOF_ALGS.map(|(name, _)| name).join(" "))
            }
            _ => "Bearer ".to_owned(),
        };
        let challenge =
            format!(r#"{scheme}{error_parameters}resource_metadata="{metadata}", scope="{scopes}""#);
        let challenge = HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static("Bearer"));
        (status, [(header::WWW_AUTHENTICATE, challenge)], format!("{text}\n")).into_response()
    }
}

/// The scopes of all tools that a JSON-RPC message calls; the message may be a batch (MCP 2025-03-26).
fn scopes_needed(message: &Value) -> BTreeSet<&'static str> {
    let messages = match message {
        Value::Array(batch) => batch.as_slice(),
        one => slice::from_ref(one),
    };
    messages
        .iter()
        .filter(|message| message.get("method").is_some_and(|method| method == "tools/call"))
        .filter_map(|message| message.pointer("/params/name")?.as_str())
        .filter_map(notes::scope_of)
        .collect()
}

fn union(caller: &Caller, needed: &BTreeSet<&'static str>) -> String {
    let all: BTreeSet<&str> =
        caller.scopes.iter().map(String::as_str).chain(needed.iter().copied()).collect();
    all.into_iter().collect::<Vec<_>>().join(" ")
}
