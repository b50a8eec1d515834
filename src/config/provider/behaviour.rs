//! What a preset says of an upstream and an operator may say differently.

use indexmap::IndexMap;

use super::{AssertionAudience, IdTokenAlg, ResponseIss, Userinfo};
use crate::config::{
    claims::{ClaimPath, ClaimPaths},
    form::{one_of, text},
    problem::Wrong,
    reader::Section,
};

/// Keys that presets and providers have in common.
#[derive(Debug, Clone)]
pub(in crate::config) struct Behaviour {
    pub(in crate::config) scopes: Vec<String>,
    pub(in crate::config) pkce: bool,
    pub(in crate::config) prompt_login: String,
    pub(in crate::config) response_iss: ResponseIss,
    pub(in crate::config) id_token_algs: Vec<IdTokenAlg>,
    pub(in crate::config) userinfo: Userinfo,
    pub(in crate::config) assertion_audience: AssertionAudience,
    pub(in crate::config) claims: ClaimPaths,
}

const RESPONSE_ISS: [(&str, ResponseIss); 2] =
    [("when_announced", ResponseIss::WhenAnnounced), ("required", ResponseIss::Required)];

const USERINFO: [(&str, Userinfo); 3] =
    [("when_missing", Userinfo::WhenMissing), ("never", Userinfo::Never), ("always", Userinfo::Always)];

/// By the words of the file.
pub(in crate::config) const ASSERTION_AUDIENCES: [(&str, AssertionAudience); 2] =
    [("token_endpoint", AssertionAudience::TokenEndpoint), ("issuer", AssertionAudience::Issuer)];

impl Behaviour {
    /// What OpenID Connect itself leads one to expect.
    pub(in crate::config) fn standard() -> Self {
        Self {
            scopes: ["openid", "profile", "email"].map(str::to_owned).into(),
            pkce: true,
            prompt_login: "login".to_owned(),
            response_iss: ResponseIss::WhenAnnounced,
            id_token_algs: vec![IdTokenAlg::Rs256],
            userinfo: Userinfo::WhenMissing,
            assertion_audience: AssertionAudience::default(),
            claims: ClaimPaths {
                subject: vec![ClaimPath::known("sub")],
                email: ClaimPath::known("email"),
                email_verified: Some(ClaimPath::known("email_verified")),
                name: ClaimPath::known("name"),
                groups: None,
                tenant: None,
            },
        }
    }

    /// What the section says, and `default` where it says nothing.
    pub(in crate::config) fn read(section: &Section<'_>, default: Self) -> Self {
        let scopes = section.list("scopes", scope).unwrap_or(default.scopes);
        if section.has("scopes") && !scopes.iter().any(|scope| scope == "openid") {
            section.problem("scopes", "lacks openid, without which there is no ID token");
        }
        let id_token_algs = algorithms(section, "id_token_algs");
        Self {
            scopes,
            pkce: section.flag("pkce").unwrap_or(default.pkce),
            prompt_login: section.optional("prompt_login", prompt).unwrap_or(default.prompt_login),
            response_iss: section
                .optional("response_iss", one_of(&RESPONSE_ISS))
                .unwrap_or(default.response_iss),
            id_token_algs: id_token_algs.unwrap_or(default.id_token_algs),
            userinfo: section.optional("userinfo", one_of(&USERINFO)).unwrap_or(default.userinfo),
            assertion_audience: section
                .optional("assertion_audience", one_of(&ASSERTION_AUDIENCES))
                .unwrap_or(default.assertion_audience),
            claims: section.section("claims", |claims| read_claims(claims, default.claims)),
        }
    }
}

fn scope(written: String) -> Result<String, Wrong> {
    crate::oauth::scope::Scope::try_from(written).map(String::from).map_err(Wrong::from)
}

/// Space-separated values of `prompt` (OIDC Core §3.1.2.1). `none` would show nothing to anybody.
fn prompt(written: String) -> Result<String, Wrong> {
    if written.split(' ').any(|value| value == "none") {
        return Err("cannot hold none: it is sent where the person shall be asked".into());
    }
    text(written)
}

/// What an upstream's tokens may be signed with. `None`: the key is absent.
pub(super) fn algorithms(section: &Section<'_>, key: &str) -> Option<Vec<IdTokenAlg>> {
    let said = section.list(key, |written| {
        if written == "none" || written.starts_with("HS") {
            return Err("is not accepted: it must be signed with a key that only the upstream has".into());
        }
        one_of(&IdTokenAlg::NAMES)(written)
    });
    if said.is_some() && section.count(key) == 0 {
        section.problem(key, "is empty, so no token could be accepted");
    }
    said
}

fn read_claims(section: &Section<'_>, default: ClaimPaths) -> ClaimPaths {
    let path = |key| section.optional(key, ClaimPath::try_from);
    let subject = section.list("subject", ClaimPath::try_from);
    if subject.is_some() && section.count("subject") == 0 {
        section.problem("subject", "is empty, so nobody could be told from anybody else");
    }
    ClaimPaths {
        subject: subject.unwrap_or(default.subject),
        email: path("email").unwrap_or(default.email),
        email_verified: path("email_verified").or(default.email_verified),
        name: path("name").unwrap_or(default.name),
        groups: path("groups").or(default.groups),
        tenant: path("tenant").or(default.tenant),
    }
}

/// Parameters of the authorization request that the protocol sets itself (OIDC Core §3.1.2.1, RFC 7636, RFC 9101),
/// and `max_age`, which is a key of its own because its answer is checked.
const RESERVED: [&str; 13] = [
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "id_token_hint",
    "max_age",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
];

/// The name of a further authorization parameter. `refused`: those that the preset knows to do harm, and why.
pub(in crate::config) fn parameter_name(
    refused: &IndexMap<String, String>,
) -> impl Fn(String) -> Result<String, Wrong> {
    move |written| {
        if RESERVED.contains(&written.as_str()) || written == "state" {
            return Err("is set by Chancery itself".into());
        }
        if let Some(reason) = refused.get(&written) {
            return Err(format!("is never sent: {reason}").into());
        }
        text(written)
    }
}
