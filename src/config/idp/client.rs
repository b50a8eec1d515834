//! `idp.clients:` the applications that sign people in with Chancery.

use indexmap::IndexMap;

use crate::{
    config::{
        client::{ClientProof, RESERVED_ID_PREFIX},
        form::text,
        problem::Wrong,
        reader::Section,
    },
    ids::ClientId,
    oauth::{
        grant_type::GrantType,
        redirect_uri::RedirectUri,
        scope::{Scope, ScopeSet},
    },
};

/// One entry under `idp.clients:`. Nobody else is a client there: neither registration nor a document that is not named
/// makes one.
#[derive(Debug, Clone)]
pub enum IdpClient {
    /// All of it stands in the file.
    Declared(Box<SignInClient>),
    /// Its name is the address of the metadata document that says the rest.
    Document,
}

/// A client that signs people in.
#[derive(Debug, Clone)]
pub struct SignInClient {
    /// Its `client_id` at the identity provider.
    pub id: ClientId,
    /// What people call it.
    pub name: String,
    /// How it proves itself.
    pub proof: ClientProof,
    /// Where codes may be sent; never empty.
    pub redirect_uris: Vec<RedirectUri>,
    /// What it may ask the token endpoint for, beside grants for others.
    pub grant_types: Vec<GrantType>,
    /// What it may learn about a person; `openid` is always in it.
    pub scopes: ScopeSet,
    /// Whether it gets nothing that is not bound to a key (`dpop_bound_access_tokens`, RFC 9449 §5.2).
    pub dpop_bound: bool,
}

/// The scopes of sign-in (OpenID Connect Core §5.4), and `groups`, which several providers have beside them.
const SCOPES: [&str; 4] = ["openid", "profile", "email", "groups"];
/// Those that a client may have unless its entry says otherwise. Groups tell much of a company.
const USUAL_SCOPES: &str = "openid profile email";

/// What `grant_types` may name; which client may ask for grants for others is said by the targets.
const NAMED_GRANTS: [GrantType; 2] = [GrantType::AuthorizationCode, GrantType::RefreshToken];

/// What a client may learn where nothing else is said.
pub(super) fn usual_scopes() -> ScopeSet {
    ScopeSet::parse(USUAL_SCOPES).unwrap_or_default()
}

impl IdpClient {
    pub(super) fn read_all(section: &Section<'_>, loopback: bool) -> IndexMap<ClientId, Self> {
        section.entries("clients", client_id, |id, section| {
            Some(if id.is_url() {
                Self::Document
            } else {
                Self::Declared(Box::new(SignInClient::read(id, section, loopback)))
            })
        })
    }
}

impl SignInClient {
    fn read(id: ClientId, section: &Section<'_>, loopback: bool) -> Self {
        let name = section.optional("name", text).unwrap_or_else(|| id.to_string());
        let proof = ClientProof::read(section, loopback);
        let redirect_uris = section.list("redirect_uris", RedirectUri::try_from).unwrap_or_default();
        if section.count("redirect_uris") == 0 {
            section.problem("redirect_uris", "is missing: where codes are sent");
        }
        let grant_types = section.list("grant_types", grant_type).unwrap_or_else(|| NAMED_GRANTS.to_vec());
        if section.has("grant_types") && !grant_types.contains(&GrantType::AuthorizationCode) {
            section.problem("grant_types", "lacks authorization_code, without which nobody is signed in");
        }
        let scopes = section.list("scopes", scope).map_or_else(usual_scopes, ScopeSet::from_iter);
        if !scopes.iter().any(|scope| scope.as_str() == "openid") {
            section.problem("scopes", "lacks openid, without which nobody is signed in");
        }
        let dpop_bound = section.flag("dpop_bound_access_tokens").unwrap_or(false);
        Self { id, name, proof, redirect_uris, grant_types, scopes, dpop_bound }
    }
}

fn client_id(written: String) -> Result<ClientId, Wrong> {
    let id = ClientId::try_from(written)?;
    if id.as_str().starts_with(RESERVED_ID_PREFIX) {
        return Err("begins with chy_, as the ids that Chancery itself gives".into());
    }
    Ok(id)
}

#[expect(clippy::needless_pass_by_value, reason = "it takes the text over, as TryFrom<String> does")]
fn grant_type(written: String) -> Result<GrantType, Wrong> {
    let there = NAMED_GRANTS.map(GrantType::as_str);
    let served = NAMED_GRANTS.into_iter().find(|grant| grant.as_str() == written);
    served.ok_or_else(|| Wrong::unknown("no grant_type has this name here", &written, &there))
}

fn scope(written: String) -> Result<Scope, Wrong> {
    if !SCOPES.contains(&written.as_str()) {
        return Err(Wrong::unknown("no scope of sign-in has this name", &written, &SCOPES));
    }
    Ok(Scope::try_from(written)?)
}
