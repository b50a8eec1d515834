//! Accepting identity assertions (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant §4.4; MCP Enterprise-Managed
//! Authorization §5): what stands in one is believed step by step, and each step has a type that proves it.
//!
//! The text is read in bounded form as [`Presented`](presented::Presented); its issuer is one that a provider's section
//! names, a [`Trusted`](issuer::Trusted), and a key of that issuer's own proves it; only then are its [`claims`]
//! checked, and its [`target`] found. The assertions of a [`workload`] about itself take the same way as far as that,
//! under rules of their own. What is wrong is a [`Refusal`], whose exact reason goes to the record and the log. The
//! wire has one text for each code, so that nobody learns by trying which issuers are trusted, or how far an assertion
//! of his got.

pub mod checks;
pub mod claims;
pub mod issuer;
pub mod presented;
mod refusal;
pub mod target;
pub mod workload;

pub use claims::IdJag;
pub use refusal::Refusal;
