//! A section becomes a [`Behaviour`]: in a preset over the standard, in the configuration over the preset.

use std::time::Duration;

use indexmap::IndexMap;
use oauth2::http::{HeaderName, HeaderValue};

use super::{
    AnswerPaths, Behaviour, Body, EmailVerified, Identity, Incremental, Inject, Listing, Method, Pkce,
    ReauthError, Refreshing, Revocation, RevocationAuth, RevokedToken, Rotation, ScopeManner, Separator,
    Source,
};
use crate::{
    config::{
        claims::ClaimPath,
        form::{duration, one_of, text},
        problem::Wrong,
        provider::behaviour::parameter_name,
        reader::Section,
    },
    oauth::scope::Scope,
};

const PKCE: [(&str, Pkce); 3] = [("s256", Pkce::S256), ("required", Pkce::Required), ("off", Pkce::Off)];
const BODIES: [(&str, Body); 2] = [("form", Body::Form), ("json", Body::Json)];
const REVOCATION_BODIES: [(&str, Option<Body>); 3] =
    [("form", Some(Body::Form)), ("json", Some(Body::Json)), ("none", None)];
const SEPARATORS: [(&str, Separator); 2] = [("space", Separator::Space), ("comma", Separator::Comma)];
const INCREMENTAL: [(&str, Incremental); 2] = [("union", Incremental::Union), ("added", Incremental::Added)];
const ROTATION: [(&str, Rotation); 3] =
    [("none", Rotation::None), ("replace", Rotation::Replace), ("single_use", Rotation::SingleUse)];
const METHODS: [(&str, Method); 3] =
    [("GET", Method::Get), ("POST", Method::Post), ("DELETE", Method::Delete)];
const REVOCATION_AUTH: [(&str, RevocationAuth); 4] = [
    ("client", RevocationAuth::Client),
    ("basic", RevocationAuth::Basic),
    ("bearer", RevocationAuth::Bearer),
    ("none", RevocationAuth::None),
];
const REVOKED: [(&str, RevokedToken); 3] =
    [("access", RevokedToken::Access), ("refresh", RevokedToken::Refresh), ("both", RevokedToken::Both)];
const SOURCES: [(&str, Source); 4] = [
    ("url", Source::Url),
    ("answer", Source::Answer),
    ("id_token", Source::IdToken),
    ("none", Source::Nothing),
];

/// Parameters of the token request that the protocol sets itself (RFC 6749 §4.1.3, §6, RFC 7521 §4.2, RFC 7636 §4.5).
const TOKEN_PARAMS: [&str; 9] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
];

/// Headers that are set by what is sent.
const HEADERS: [&str; 6] =
    ["authorization", "connection", "content-length", "content-type", "cookie", "host"];

/// No token of a vendor that tells its lifetime lives longer.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
/// A reuse window is for the answer that was lost a moment ago.
const LONGEST_REUSE: Duration = Duration::from_secs(24 * 60 * 60);
const LONGEST_MARGIN: Duration = Duration::from_secs(60 * 60);
const DEFAULT_MARGIN: Duration = Duration::from_secs(5 * 60);

impl Behaviour {
    /// What RFC 6749 leads one to expect.
    pub(in crate::config) fn standard() -> Self {
        let path = ClaimPath::known;
        Self {
            pkce: Pkce::S256,
            body: Body::Form,
            scopes: ScopeManner {
                parameter: "scope".to_owned(),
                separator: Separator::Space,
                answer_separator: Separator::Space,
                incremental: Incremental::Union,
                aliases: IndexMap::new(),
            },
            authorize_params: IndexMap::new(),
            token_params: IndexMap::new(),
            refresh_params: IndexMap::new(),
            headers: IndexMap::new(),
            answer: AnswerPaths {
                success: None,
                error: vec![path("error")],
                description: path("error_description"),
                access_token: path("access_token"),
                refresh_token: path("refresh_token"),
                token_type: path("token_type"),
                token_types: vec!["bearer".to_owned()],
                scope: path("scope"),
                expires_in: path("expires_in"),
                refresh_expires_in: path("refresh_expires_in"),
                details: IndexMap::new(),
            },
            refresh_answer: None,
            lifetime: None,
            refreshing: Refreshing {
                rotation: Rotation::Replace,
                reuse_window: Duration::ZERO,
                idle_expiry: None,
                absolute_expiry: None,
                margin: DEFAULT_MARGIN,
            },
            reauth_errors: vec![ReauthError { code: "invalid_grant".to_owned(), words: None }],
            revocation: Revocation {
                method: Method::Post,
                auth: RevocationAuth::Client,
                token: RevokedToken::Both,
                parameter: "token".to_owned(),
                body: Some(Body::Form),
            },
            identity: Identity {
                source: Source::Url,
                method: Method::Get,
                query: None,
                id: vec![path("sub")],
                label: None,
                tenant: None,
                email: None,
                email_verified: None,
            },
            organizations: Listing { items: None, id: path("id"), name: None, url: None },
            sites: Listing { items: None, id: path("id"), name: None, url: None },
            inject: Inject { header: "Authorization".to_owned(), format: "Bearer {token}".to_owned() },
            api_base: None,
        }
    }

    /// What the section says, and `default` where it says nothing.
    pub(in crate::config) fn read(section: &Section<'_>, default: Self) -> Self {
        let pkce = section.optional("pkce", one_of(&PKCE)).unwrap_or(default.pkce);
        if pkce == Pkce::Off && default.pkce == Pkce::Required {
            section.problem("pkce", "cannot be off: the vendor refuses requests without it");
        }
        let headers = section.texts("headers", header_name, |_, value| header_value(value));
        let answer = section.section("answer", |answer| AnswerPaths::read(answer, default.answer));
        let refresh_answer = if section.has("refresh_answer") {
            let default = default.refresh_answer.unwrap_or_else(|| answer.clone());
            Some(section.section("refresh_answer", |paths| AnswerPaths::read(paths, default)))
        } else {
            default.refresh_answer
        };
        let api_base = section.optional("api_base", text).or(default.api_base);
        if let Some(unknown) = api_base
            .as_deref()
            .and_then(|base| braced(base).find(|name| *name != "site" && !answer.details.contains_key(*name)))
        {
            section.problem("api_base", format!("names {{{unknown}}}, which is no detail of the answer"));
        }
        let params = |key, name: fn(String) -> Result<String, Wrong>, default: IndexMap<_, _>| {
            let said = section.texts(key, name, |_, value| text(value));
            default.into_iter().chain(said).collect()
        };
        Self {
            pkce,
            body: section.optional("body", one_of(&BODIES)).unwrap_or(default.body),
            scopes: ScopeManner::read(section, default.scopes),
            authorize_params: params("authorize_params", authorize_param, default.authorize_params),
            token_params: params("token_params", token_param, default.token_params),
            refresh_params: params("refresh_params", token_param, default.refresh_params),
            headers: default.headers.into_iter().chain(headers).collect(),
            answer,
            refresh_answer,
            lifetime: section
                .optional("lifetime", duration(Duration::from_secs(1), LONGEST))
                .or(default.lifetime),
            refreshing: Refreshing::read(section, default.refreshing),
            reauth_errors: section.list("reauth_errors", reauth_error).unwrap_or(default.reauth_errors),
            revocation: section.section("revoke", |revoke| Revocation::read(revoke, default.revocation)),
            identity: section.section("identity", |identity| Identity::read(identity, default.identity)),
            organizations: section
                .section("organizations", |list| Listing::read(list, default.organizations)),
            sites: section.section("sites", |list| Listing::read(list, default.sites)),
            inject: section.section("inject", |inject| Inject::read(inject, default.inject)),
            api_base,
        }
    }
}

impl ScopeManner {
    fn read(section: &Section<'_>, default: Self) -> Self {
        let separator = |key| section.optional(key, one_of(&SEPARATORS));
        let aliases = section.texts("scope_aliases", Scope::try_from, |_, ours| Scope::try_from(ours));
        Self {
            parameter: section.optional("scope_parameter", text).unwrap_or(default.parameter),
            separator: separator("scope_separator").unwrap_or(default.separator),
            answer_separator: separator("answer_scope_separator").unwrap_or(default.answer_separator),
            incremental: section.optional("incremental", one_of(&INCREMENTAL)).unwrap_or(default.incremental),
            aliases: default.aliases.into_iter().chain(aliases).collect(),
        }
    }
}

impl AnswerPaths {
    fn read(section: &Section<'_>, default: Self) -> Self {
        let path = |key, default| section.optional(key, ClaimPath::try_from).unwrap_or(default);
        let details = section.texts("details", detail_name, |_, path| ClaimPath::try_from(path));
        Self {
            success: section.optional("success", ClaimPath::try_from).or(default.success),
            error: section.list("error", ClaimPath::try_from).unwrap_or(default.error),
            description: path("description", default.description),
            access_token: path("access_token", default.access_token),
            refresh_token: path("refresh_token", default.refresh_token),
            token_type: path("token_type", default.token_type),
            token_types: section
                .list("token_types", |word| text(word).map(|word| word.to_ascii_lowercase()))
                .unwrap_or(default.token_types),
            scope: path("scope", default.scope),
            expires_in: path("expires_in", default.expires_in),
            refresh_expires_in: path("refresh_expires_in", default.refresh_expires_in),
            details: default.details.into_iter().chain(details).collect(),
        }
    }
}

impl Refreshing {
    fn read(section: &Section<'_>, default: Self) -> Self {
        let time = |key, most| section.optional(key, duration(Duration::from_secs(1), most));
        Self {
            rotation: section.optional("rotation", one_of(&ROTATION)).unwrap_or(default.rotation),
            reuse_window: section
                .optional("reuse_window", duration(Duration::ZERO, LONGEST_REUSE))
                .unwrap_or(default.reuse_window),
            idle_expiry: time("idle_expiry", LONGEST).or(default.idle_expiry),
            absolute_expiry: time("absolute_expiry", LONGEST).or(default.absolute_expiry),
            margin: time("refresh_margin", LONGEST_MARGIN).unwrap_or(default.margin),
        }
    }
}

impl Revocation {
    fn read(section: &Section<'_>, default: Self) -> Self {
        Self {
            method: section.optional("method", one_of(&METHODS)).unwrap_or(default.method),
            auth: section.optional("auth", one_of(&REVOCATION_AUTH)).unwrap_or(default.auth),
            token: section.optional("token", one_of(&REVOKED)).unwrap_or(default.token),
            parameter: section.optional("parameter", text).unwrap_or(default.parameter),
            body: section.optional("body", one_of(&REVOCATION_BODIES)).unwrap_or(default.body),
        }
    }
}

impl Identity {
    fn read(section: &Section<'_>, default: Self) -> Self {
        let path = |key| section.optional(key, ClaimPath::try_from);
        let id = section.list("id", ClaimPath::try_from);
        if id.is_some() && section.count("id") == 0 {
            section.problem("id", "is empty, so no account could be told from any other");
        }
        let email_verified = section.optional("email_verified", |written| match written.as_str() {
            "always" => Ok(EmailVerified::Always),
            _ => ClaimPath::try_from(written).map(EmailVerified::By),
        });
        Self {
            source: section.optional("source", one_of(&SOURCES)).unwrap_or(default.source),
            method: section.optional("method", one_of(&METHODS)).unwrap_or(default.method),
            query: section.optional("query", text).or(default.query),
            id: id.unwrap_or(default.id),
            label: path("label").or(default.label),
            tenant: path("tenant").or(default.tenant),
            email: path("email").or(default.email),
            email_verified: email_verified.or(default.email_verified),
        }
    }
}

impl Listing {
    fn read(section: &Section<'_>, default: Self) -> Self {
        let path = |key| section.optional(key, ClaimPath::try_from);
        Self {
            items: path("items").or(default.items),
            id: path("id").unwrap_or(default.id),
            name: path("name").or(default.name),
            url: path("url").or(default.url),
        }
    }
}

impl Inject {
    fn read(section: &Section<'_>, default: Self) -> Self {
        let header = section.optional("header", |written| {
            let known = written.parse::<HeaderName>().map(|_| written);
            known.map_err(|_| "must be the name of a header, such as Authorization")
        });
        let format = section.optional("format", |written| match written.matches("{token}").count() {
            1 => text(written),
            _ => Err("must hold {token} once, such as Bearer {token}".into()),
        });
        Self { header: header.unwrap_or(default.header), format: format.unwrap_or(default.format) }
    }
}

/// A code, or `code: words` where its description must hold these words.
fn reauth_error(written: String) -> Result<ReauthError, Wrong> {
    let written = text(written)?;
    Ok(match written.split_once(": ") {
        Some((code, words)) => ReauthError { code: code.to_owned(), words: Some(words.to_owned()) },
        None => ReauthError { code: written, words: None },
    })
}

fn authorize_param(written: String) -> Result<String, Wrong> {
    parameter_name(&IndexMap::new())(written)
}

fn token_param(written: String) -> Result<String, Wrong> {
    if TOKEN_PARAMS.contains(&written.as_str()) {
        return Err("is set by Chancery itself".into());
    }
    text(written)
}

#[expect(clippy::needless_pass_by_value, reason = "it takes the text over, as TryFrom<String> does")]
fn header_name(written: String) -> Result<String, Wrong> {
    let lower = written.to_ascii_lowercase();
    if HEADERS.contains(&lower.as_str()) {
        return Err("is set by Chancery itself".into());
    }
    lower.parse::<HeaderName>().map(|_| lower).map_err(|_| "must be the name of a header".into())
}

fn header_value(written: String) -> Result<String, Wrong> {
    match HeaderValue::from_str(&written) {
        Ok(_) => text(written),
        Err(_) => Err("must be the value of a header: visible ASCII".into()),
    }
}

fn detail_name(written: String) -> Result<String, Wrong> {
    if written == "site" || !written.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return Err("must be a word of a-z and _ other than site, which a chosen site is called".into());
    }
    Ok(written)
}

/// The names in braces.
fn braced(written: &str) -> impl Iterator<Item = &str> {
    written.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}
