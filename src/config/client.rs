//! `clients:` OAuth clients that the operator declares.

use indexmap::IndexMap;

use super::{
    Names,
    form::{name_of, text},
    problem::Wrong,
    reader::Section,
};
use crate::{
    ids::{ClientId, ResourceId},
    oauth::{grant_type::GrantType, redirect_uri::RedirectUri},
    secret::Secret,
};

/// One entry under `clients:`. It is confidential when it has a secret.
#[derive(Debug, Clone)]
pub struct DeclaredClient {
    /// Its `client_id`: never a URL, which would name a metadata document.
    pub id: ClientId,
    /// What people call it.
    pub name: String,
    /// What it proves itself with.
    pub secret: Option<Secret>,
    /// Where codes may be sent.
    pub redirect_uris: Vec<RedirectUri>,
    /// What it may ask the token endpoint for.
    pub grant_types: Vec<GrantType>,
    /// The resource whose server this is: it may introspect that resource's tokens.
    pub serves: Option<ResourceId>,
    /// The resource that is meant when it names none.
    pub default_resource: Option<ResourceId>,
}

/// What ids begin with that Chancery gives itself, so that a declared client cannot be taken for one of them.
pub const RESERVED_ID_PREFIX: &str = "chy_";

impl DeclaredClient {
    pub(super) fn read_all(root: &Section<'_>, names: &Names<'_>) -> IndexMap<ClientId, Self> {
        root.entries("clients", client_id, |id, section| Some(Self::read(id, section, names)))
    }

    fn read(id: ClientId, section: &Section<'_>, names: &Names<'_>) -> Self {
        let name = section.optional("name", text).unwrap_or_else(|| id.to_string());
        let secret = section.optional("secret", strong_secret);
        let redirect_uris = section.list("redirect_uris", RedirectUri::try_from).unwrap_or_default();
        let has_redirects = section.count("redirect_uris") > 0;
        let grant_types = section.list("grant_types", grant_type).unwrap_or_else(|| {
            let usual = [GrantType::AuthorizationCode, GrantType::RefreshToken];
            if has_redirects { usual.to_vec() } else { Vec::new() }
        });
        let resource = || name_of(&names.resources, "no resource has this name");
        let serves = section.optional("serves", resource());
        let default_resource = section.optional("default_resource", resource());

        let has_code = grant_types.contains(&GrantType::AuthorizationCode);
        if has_code && !has_redirects {
            section.problem("redirect_uris", "is missing: where codes are sent for authorization_code");
        }
        if has_redirects && !has_code {
            section.problem("redirect_uris", "is of no use without authorization_code among grant_types");
        }
        if grant_types.contains(&GrantType::RefreshToken) && !has_code {
            section.problem("grant_types", "has refresh_token but no grant that would give one");
        }
        if section.has("serves") && !section.has("secret") {
            section.problem("secret", "is missing: what the server of a resource proves itself with");
        }
        if !has_redirects && !section.has("serves") && grant_types.is_empty() {
            section.problem_here("can do nothing: it needs redirect_uris to sign people in, or serves");
        }
        Self { id, name, secret, redirect_uris, grant_types, serves, default_resource }
    }
}

fn client_id(written: String) -> Result<ClientId, Wrong> {
    let id = ClientId::try_from(written)?;
    if id.is_url() {
        let message = "is a URL, which would name a metadata document; name its host in registration.documents.allow_hosts";
        return Err(message.into());
    }
    if id.as_str().starts_with(RESERVED_ID_PREFIX) {
        return Err("begins with chy_, as the ids that Chancery itself gives".into());
    }
    Ok(id)
}

/// A secret that we check, so that guessing it must be hopeless (RFC 6749 §10.10).
pub(super) fn strong_secret(written: String) -> Result<Secret, Wrong> {
    const FEWEST_CHARS: usize = 16;
    if written.chars().count() < FEWEST_CHARS {
        return Err("must be a secret of at least 16 random characters".into());
    }
    Ok(Secret::new(written))
}

#[expect(clippy::needless_pass_by_value, reason = "it takes the text over, as TryFrom<String> does")]
fn grant_type(written: String) -> Result<GrantType, Wrong> {
    let there = GrantType::ALL.map(GrantType::as_str);
    GrantType::parse(&written).ok_or_else(|| Wrong::unknown("no grant_type has this name", &written, &there))
}
