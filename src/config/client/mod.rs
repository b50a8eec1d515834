//! `clients:` OAuth clients that the operator declares.

mod exchange;
mod proof;

use indexmap::IndexMap;

pub use self::exchange::Exchange;
pub use self::proof::{ASSERTION_ALGS, ClientKeys, ClientProof, KeySource};
use super::{
    Names,
    form::{name_of, text},
    problem::Wrong,
    reader::Section,
    resource::Resource,
};
use crate::{
    ids::{ClientId, ResourceId, UserId},
    oauth::{
        grant_type::GrantType,
        redirect_uri::RedirectUri,
        scope::{Scope, ScopeSet},
    },
    secret::Secret,
};

/// One entry under `clients:`. It is confidential when it can prove itself.
#[derive(Debug, Clone)]
pub struct DeclaredClient {
    /// Its `client_id`: never a URL, which would name a metadata document.
    pub id: ClientId,
    /// What people call it.
    pub name: String,
    /// How it proves itself.
    pub proof: ClientProof,
    /// Where codes may be sent.
    pub redirect_uris: Vec<RedirectUri>,
    /// What it may ask the token endpoint for. `client_credentials` is there only with a proof and resources.
    pub grant_types: Vec<GrantType>,
    /// What it may have for itself, with no person behind it.
    pub resources: IndexMap<ResourceId, ScopeSet>,
    /// The resource whose server this is: it may introspect that resource's tokens.
    pub serves: Option<ResourceId>,
    /// Whether a connection lets it have the tokens of people who are not there.
    pub offline: bool,
    /// What those tokens are worth elsewhere.
    pub exchange: Option<Exchange>,
    /// The resource that is meant when it names none.
    pub default_resource: Option<ResourceId>,
    /// Whether it has tokens bound to a key alone (RFC 9449 §5.2).
    pub dpop_bound: bool,
}

/// What ids begin with that Chancery gives itself, so that a declared client cannot be taken for one of them.
pub const RESERVED_ID_PREFIX: &str = "chy_";

/// What `grant_types` may name; any other grant follows from a key of its own.
const NAMED_GRANTS: [GrantType; 4] = [
    GrantType::AuthorizationCode,
    GrantType::RefreshToken,
    GrantType::ClientCredentials,
    GrantType::JwtBearer,
];

impl DeclaredClient {
    pub(super) fn read_all(
        root: &Section<'_>,
        names: &Names<'_>,
        resources: &IndexMap<ResourceId, Resource>,
        loopback: bool,
    ) -> IndexMap<ClientId, Self> {
        root.entries("clients", client_id, |id, section| {
            Some(Self::read(id, section, names, resources, loopback))
        })
    }

    fn read(
        id: ClientId,
        section: &Section<'_>,
        names: &Names<'_>,
        known: &IndexMap<ResourceId, Resource>,
        loopback: bool,
    ) -> Self {
        let name = section.optional("name", text).unwrap_or_else(|| id.to_string());
        let proof = ClientProof::read(section, loopback);
        let redirect_uris = section.list("redirect_uris", RedirectUri::try_from).unwrap_or_default();
        let has_redirects = section.count("redirect_uris") > 0;
        let grant_types = section.list("grant_types", grant_type).unwrap_or_else(|| {
            let usual = [GrantType::AuthorizationCode, GrantType::RefreshToken];
            if has_redirects { usual.to_vec() } else { Vec::new() }
        });
        let resource = || name_of(&names.resources, "no resource has this name");
        let serves = section.optional("serves", resource());
        let exchange = Exchange::read(section, serves.as_ref(), names);
        let default_resource = section.optional("default_resource", resource());
        let resources = section.section("resources", |section| own_resources(section, names, known));
        let dpop_bound = section.flag("dpop_bound_access_tokens").unwrap_or(false);

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
        let has_proof = proof::KEYS.into_iter().any(|key| section.has(key));
        if section.has("serves") && !has_proof {
            section.problem("secret", "is missing: what the server of a resource proves itself with");
        }
        let offline =
            names.offline.iter().find(|(client, _)| *client == id).map(|(_, connection)| connection);
        if let Some(connection) = offline
            && !has_proof
        {
            let message =
                format!("is missing: what it proves itself with as connections.{connection}.offline says");
            section.problem("secret", message);
        }
        if grant_types.contains(&GrantType::ClientCredentials) {
            if !has_proof {
                section.problem("secret", "is missing: client_credentials needs a secret, jwks or jwks_uri");
            }
            if !section.has("resources") {
                section.problem(
                    "resources",
                    "is missing: what client_credentials gives, such as tickets: [\"tickets:read\"]",
                );
            }
        }
        let workload = names.workloads.iter().find(|(client, _)| *client == id).map(|(_, provider)| provider);
        if let Some(provider) = workload {
            if !grant_types.contains(&GrantType::JwtBearer) {
                let grant = GrantType::JwtBearer.as_str();
                let message = format!("lacks {grant}, by which providers.{provider}.workload has it come");
                section.problem("grant_types", message);
            }
            if !section.has("resources") {
                let message = format!("is missing: what it gets as a workload of {provider}");
                section.problem("resources", message);
            }
        }
        let presenter = names.presenters.iter().find(|(client, ..)| *client == id);
        if let Some((_, provider, resource)) = presenter
            && !grant_types.contains(&GrantType::JwtBearer)
        {
            let grant = GrantType::JwtBearer.as_str();
            let message =
                format!("lacks {grant}, by which providers.{provider}.id_jag.allow.{resource} has it come");
            section.problem("grant_types", message);
        }
        if workload.is_some() || grant_types.contains(&GrantType::ClientCredentials) {
            if UserId::parse(id.as_str()).is_some() {
                section.problem_here(
                    "is a UUID, as the ids of people are: as the sub of a token it could be taken for one",
                );
            }
        } else if section.has("resources") && !grant_types.contains(&GrantType::JwtBearer) {
            section.problem("resources", "is of no use without client_credentials among grant_types");
        }
        if !has_redirects && !section.has("serves") && grant_types.is_empty() && offline.is_none() {
            section.problem_here("can do nothing: it needs redirect_uris to sign people in, or serves");
        }
        Self {
            id,
            name,
            proof,
            redirect_uris,
            grant_types,
            resources,
            serves,
            offline: offline.is_some(),
            exchange,
            default_resource,
            dpop_bound,
        }
    }
}

/// The scopes that a client may have for itself, by resource.
fn own_resources(
    section: &Section<'_>,
    names: &Names<'_>,
    known: &IndexMap<ResourceId, Resource>,
) -> IndexMap<ResourceId, ScopeSet> {
    let mut own = IndexMap::new();
    for name in &names.resources {
        let Ok(id) = ResourceId::try_from((*name).to_owned()) else { continue };
        let scopes = section.restriction(name, |written| match known.get(&id) {
            Some(resource) => {
                let there: Vec<_> = resource.scopes.keys().map(Scope::as_str).collect();
                name_of(&there, "the resource has no scope of this name")(written)
            }
            None => Scope::try_from(written).map_err(Wrong::from),
        });
        if !scopes.is_empty() {
            own.insert(id, scopes.into_iter().collect());
        }
    }
    own
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
    if written == GrantType::TokenExchange.as_str() {
        return Err("is not named here: the key exchange says what may be exchanged".into());
    }
    let there = NAMED_GRANTS.map(GrantType::as_str);
    let named = NAMED_GRANTS.into_iter().find(|grant| grant.as_str() == written);
    named.ok_or_else(|| Wrong::unknown("no grant_type has this name", &written, &there))
}
